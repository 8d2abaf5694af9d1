"""What can go wrong with a job of tags. All of them are refusals: exit 1.

Refused (tallystick_provisioning.errors)
    TableError              a table of items with wrong rows
    JobError                a step that the state of a job, or what was given, does not allow
    KeysError               tag keys that are not there, or not for this tag
    SheetError              a closing sheet that is not what its statement says, or not this installer's
"""

from tallystick_provisioning.errors import Refused


class TableError(Refused):
    """A table of items with wrong rows; the message holds every complaint, one a line."""


class JobError(Refused):
    """A step that the state of a job, or what was given, does not allow."""


class KeysError(Refused):
    """Tag keys that are not there, or not for this tag."""


class SheetError(Refused):
    """A closing sheet that is not what its statement says, or not this installer's."""

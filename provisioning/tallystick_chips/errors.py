"""What can go wrong with one tag, beyond the air (NfcError in tallystick_provisioning.errors).

ProvisioningError           exit 2: it could not run
    JournalError            a tag's journal that cannot be read, written or believed
    Refused                 exit 1: somebody said no
        TagRefused          this tag is not taken: `code` for counting, `next_action` for the person
        OrderError          a tag order that no tag can carry: check digit, serial, host, length
        SunError            what a tag's link says does not hold; each reason is a class of its own (sun.py)
"""

from tallystick_provisioning.errors import ProvisioningError, Refused


class JournalError(ProvisioningError):
    """A tag's journal that cannot be read, written or believed."""


class TagRefused(Refused):
    """This tag is not taken. `code` is short and stable, `next_action` says what the person does now.

    `facts`: what the message names, without words of any language.
    """

    def __init__(self, code: str, message: str, next_action: str, facts: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.next_action = next_action
        self.facts = facts


class OrderError(Refused):
    """A tag order that no tag can carry: check digit, serial, host, length."""


class SunError(Refused):
    """What a tag's link says does not hold."""

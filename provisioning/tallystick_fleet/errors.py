"""What can go wrong with boards and the nodes on them.

ProvisioningError           exit 2: it could not run
    BoardLost               a board that is gone, or does not answer as MicroPython does
        LoaderSilent        no loader answers either: there is nothing that could take MicroPython
    Refused                 exit 1: somebody said no
        InterpreterError    a file that is no MicroPython for a board, or not for this board
            FlashNotBlank   the board holds a program
            NotErased       the board holds a node, or nobody agreed to erase it
        SelfTestFailed      a node whose first readings do not hold
        NotPlaced           a mark that is no node or no place
        PlanError           a plan of nodes or a roll-out that cannot be carried out
"""

from tallystick_provisioning.errors import ProvisioningError, Refused


class BoardLost(ProvisioningError):
    """A board that is gone, or does not answer as MicroPython does."""


class LoaderSilent(BoardLost):
    """No loader answers, in whose hands MicroPython could be put."""


class InterpreterError(Refused):
    """A file that is no MicroPython for a board, or that this board must not get. Nothing was written."""


class FlashNotBlank(InterpreterError):
    """The board holds a program, whoever wrote it."""


class NotErased(InterpreterError):
    """The board holds a node, or nobody agreed to erase it."""


class SelfTestFailed(Refused):
    """A node whose first readings do not hold. `complaints` are all that is wrong."""

    def __init__(self, *complaints: str) -> None:
        super().__init__("; ".join(complaints))
        self.complaints = complaints


class PlanError(Refused):
    """A plan of nodes or a roll-out that cannot be carried out; the message holds every complaint, one a line."""


class NotPlaced(Refused):
    """A mark that is no node, or no place, or nothing that can be undone. `code` and `about` say it in any language."""

    def __init__(self, code: str, *about: str) -> None:
        super().__init__(" ".join((code, *about)))
        self.code, self.about = code, about

"""What goes into the writing of a tag and what comes out of it: order, keys, outcome. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from tallystick_provisioning.item import Item

Chip = Literal["ntag213", "ntag215", "ntag216", "ntag424", "ntag424tt"]
State = Literal["written", "locked", "factory", "retired", "planned", "refused", "unfinished"]

CHIPS: dict[Chip, str] = {
    "ntag213": "NTAG213",
    "ntag215": "NTAG215",
    "ntag216": "NTAG216",
    "ntag424": "NTAG 424 DNA",
    "ntag424tt": "NTAG 424 DNA TagTamper",
}
TYPE2_CHIPS: tuple[Chip, ...] = ("ntag213", "ntag215", "ntag216")  # copyable: whoever can read one can make another

# The keys of a tag. A 424 has five; the password of an NTAG21x is cut from a sixth.
MASTER_KEY = 0
META_KEY = 1  # decrypts p of a link, before anyone knows whose link it is: one for a whole job
FILE_KEY = 2  # makes the MAC c of a link
SPARE_KEYS = (3, 4)  # changed all the same: a factory key is a key that everybody has
KEY_NUMBERS = (0, 1, 2, 3, 4)
PASSWORD_KEY = 5
KEY_BYTES = 16
FACTORY_VERSION = 0  # of a key that is all zero
MIN_KEY_VERSION = 1
MAX_KEY_VERSION = 254  # one byte on the tag
RETIRED_VERSION = 255  # of a random key that nobody knows


@dataclass(frozen=True, slots=True)
class TagOrder:
    """Which identity a tag is to carry."""

    chip: Chip
    host: str
    item: Item


class TagKeys(Protocol):
    """The keys of one job. They are diversified by UID before they come here; a provider never hands out a master."""

    @property
    def version(self) -> int:
        """1 to 254: which generation of keys this is. Written beside each key, and into the journal."""
        ...

    def key(self, uid: bytes, number: int) -> bytes:
        """The 16 bytes of key `number` (0 to 4, or PASSWORD_KEY). META_KEY is the same for every UID of a job."""
        ...


@dataclass(frozen=True, slots=True)
class TagOutcome:
    """How it ended. `reason` and `next_action` are sentences for the person at the reader; `code` is for counting.

    written, locked: wholly ours, and verified after a fresh activation. factory: as it left the factory, where the
    chip allows. retired: ours and emptied for good. planned: a dry run found nothing against it. refused: nothing was
    changed. unfinished: something was or may have been changed; the journal knows, and resume or recover ends it.
    """

    state: State
    code: str
    reason: str
    next_action: str
    uid: bytes | None = None
    chip: Chip | None = None
    url: str | None = None  # as a phone reads it in the fresh activation
    counter: int | None = None  # the tag's read counter in that activation
    key_version: int | None = None
    epoch: int | None = None  # how many times this tag was personalised: its counter starts anew each time
    copyable: bool = False  # NTAG21x: the link says which item is meant and proves nothing
    seal: str | None = None  # TagTamper: "closed", "open", "invalid"
    facts: str = ""  # which rows, tags or chips the reason names: no words, so that it stands in any language

    @property
    def good(self) -> bool:
        """Whether what was asked for is done."""
        return self.state not in ("refused", "unfinished")


DuplicateCheck = Callable[[bytes], str | None]  # uid -> None, or a sentence: which tag of which job it is already
Tell = Callable[[str], None]  # each step as it begins: one of personalise.STEPS

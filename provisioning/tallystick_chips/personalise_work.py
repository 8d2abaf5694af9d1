"""What both kinds of tag have in common while they are personalised: keys at hand, journal, steps, refusals."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from tallystick_chips.errors import TagRefused
from tallystick_chips.tag_journal import History, Journal
from tallystick_chips.tag_link import Link, Read
from tallystick_chips.tag_order import (
    FACTORY_VERSION,
    KEY_BYTES,
    KEY_NUMBERS,
    MAX_KEY_VERSION,
    MIN_KEY_VERSION,
    PASSWORD_KEY,
    RETIRED_VERSION,
    Chip,
    TagKeys,
    Tell,
)
from tallystick_chips.tag_originality import Originality


def foreign() -> TagRefused:
    """The tag's keys are neither of this job nor of the factory."""
    return TagRefused(
        "foreign-keys",
        "the tag has keys or settings that are neither this job's nor the factory's",
        "set it aside: it belongs to another job or was written by others",
    )


def locked() -> TagRefused:
    """Nobody can change this tag any more."""
    return TagRefused("locked", "the tag is locked for good", "take another tag")


def not_ours(what: str) -> TagRefused:
    """The tag is not as we write them."""
    return TagRefused("verify", f"the tag is not wholly ours: {what}", "run recover on this tag")


def unsigned() -> TagRefused:
    """No chip of the maker."""
    return TagRefused("signature", "the maker's signature of the chip does not hold", "set it aside: it is not genuine")


@dataclass(frozen=True, slots=True)
class Ring:
    """The keys that one tag is to have."""

    version: int
    keys: dict[int, bytes] = field(repr=False)

    @classmethod
    def of(cls, provider: TagKeys, uid: bytes) -> "Ring":
        """All keys of this tag, before the tag is touched; ValueError when the provider gives nonsense."""
        version = provider.version
        if not MIN_KEY_VERSION <= version <= MAX_KEY_VERSION:
            raise ValueError(f"key version {version} must be {MIN_KEY_VERSION} to {MAX_KEY_VERSION}")
        keys = {number: provider.key(uid, number) for number in (*KEY_NUMBERS, PASSWORD_KEY)}
        if any(len(key) != KEY_BYTES for key in keys.values()):
            raise ValueError(f"a tag key has {KEY_BYTES} bytes")
        return cls(version, keys)


@dataclass(frozen=True, slots=True)
class Bench:
    """What the work on one tag needs besides the tag."""

    uid: bytes
    ring: Ring
    journal: Journal
    tell: Tell
    originality: Originality
    random_bytes: Callable[[int], bytes]

    def change(self, number: int, old: int, new: int) -> None:
        """Journal that key `number` is about to go from version `old` to `new`. Durable when it returns."""
        self.journal.append(self.uid, "key", number=number, old=old, new=new)


@dataclass(frozen=True, slots=True)
class Tapped:
    """A link that was read and held."""

    url: str
    counter: int
    seal: str | None = None


class Work(Protocol):
    """One activation of one tag of a known kind. TagRefused says what is in the way; NfcError that it broke off.

    make_* and lock and retire may be called on whatever an interrupted run left behind: they look first and do what is
    missing. Each key change and each lock is journalled before the tag hears of it.
    """

    bench: Bench
    chip: Chip

    def check_signature(self) -> None:
        """The maker signed the UID."""

    def check_factory(self, every_key: bool = False) -> None:
        """As it left the factory, as far as can be read. Changes nothing."""

    def make_ours(self, link: Link, history: History) -> None:
        """Link, keys, settings."""

    def make_factory(self, link: Link, history: History) -> None:
        """Everything back; `link` is what was, or may have been, written."""

    def lock(self, link: Link, history: History) -> None:
        """For good: nobody changes the link any more."""

    def retire(self, link: Link, history: History) -> str:
        """For good: it never verifies again. What remains to be said about it."""

    def read(self) -> Read:
        """The link as a phone reads it: first thing in an activation."""

    def check_link(self, read: Read) -> Tapped:
        """The link is this tag's; SunError says what does not hold."""

    def check_all(self, link: Link, history: History, is_locked: bool) -> None:
        """Wholly ours: link, keys, settings, as written or as locked."""


def expected_versions(history: History, number: int, ours: int) -> tuple[int, ...]:
    """The versions that key `number` may have, the likely one first."""
    maybe = history.keys.get(number, set())
    if RETIRED_VERSION in maybe:
        return (ours,)
    return (ours, FACTORY_VERSION) if ours in maybe else (FACTORY_VERSION, ours)

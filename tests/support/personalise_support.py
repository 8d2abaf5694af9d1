"""Emulated tags, keys and a reader that watches the journal: what the tests of personalisation share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tallystick_chips import an10922, ntag21x, personalise, personalise_desk
from tallystick_chips.ntag424 import FACTORY_KEY
from tallystick_chips.ntag424 import Ntag424 as Chip424
from tallystick_chips.personalise_desk import silent
from tallystick_chips.tag_journal import Journal
from tallystick_chips.tag_order import META_KEY, PASSWORD_KEY, Chip, TagOrder, TagOutcome, Tell
from tallystick_chips.tag_originality import Originality
from tallystick_emulators.tag_field import EmulatedTag, Field
from tallystick_emulators.tag_ntag21x import Ntag21x
from tallystick_emulators.tag_ntag424 import Ntag424
from tallystick_emulators.tag_reader import EmulatedReader
from tallystick_emulators.tag_signature import ORIGINALITY_PUBLIC_KEY_21X, ORIGINALITY_PUBLIC_KEY_424
from tallystick_provisioning.item import item
from tallystick_provisioning.nfc import COMMAND_TIMEOUT_S, SENSE_TIMEOUT_S, Family, Reader, Tag

EMULATED = Originality((ORIGINALITY_PUBLIC_KEY_21X,), (ORIGINALITY_PUBLIC_KEY_424,))
UID = bytes.fromhex("04A1B2C3D4E580")
OTHER_UID = bytes.fromhex("04A1B2C3D4E581")
HOST = "item.example"
ITEM = item("09506000134352", "AB-1")
CHIPS: tuple[Chip, ...] = ("ntag213", "ntag215", "ntag216", "ntag424", "ntag424tt")
_CHANGE_KEY, _WRITE = 0xC4, 0xA2
_NATIVE_WRITES = {0xC4, 0x5F, 0x5C, 0x8D}  # ChangeKey, ChangeFileSettings, SetConfiguration, WriteData


def make_tag(chip: Chip, uid: bytes = UID) -> EmulatedTag:
    """A factory-fresh emulated tag."""
    if chip.startswith("ntag424"):
        return Ntag424(uid, tag_tamper=chip.endswith("tt"))
    return Ntag21x(chip.upper(), uid)


def reloaded(tag: EmulatedTag) -> EmulatedTag:
    """The same EEPROM in a new tag object."""
    kind = Ntag424 if isinstance(tag, Ntag424) else Ntag21x
    return kind.from_bytes(tag.to_bytes())


def order(chip: Chip) -> TagOrder:
    return TagOrder(chip, HOST, ITEM)


@dataclass(frozen=True)
class JobKeys:
    """TagKeys of a job: diversified from a master that only tests know."""

    master: bytes = bytes(range(16))
    version: int = 7

    def key(self, uid: bytes, number: int) -> bytes:
        whose = bytes(7) if number == META_KEY else uid
        return an10922.diversify(self.master, an10922.tag_input(whose, b"job 1", number))


class WatchedReader:
    """An emulated reader that looks into the journal before each command that changes a tag."""

    def __init__(self, air: Field, journal: Journal) -> None:
        self._reader = EmulatedReader(air)
        self.journal = journal
        self.name = self._reader.name
        self.violations: list[str] = []

    def sense(self, timeout_s: float = SENSE_TIMEOUT_S) -> Tag | None:
        tag = self._reader.sense(timeout_s)
        return None if tag is None else _WatchedTag(tag, self)

    def close(self) -> None:
        self._reader.close()

    def look(self, uid: bytes, family: Family, command: bytes) -> None:
        """Note a command that the journal does not know of yet."""
        changes = command[0] == _WRITE if family == "type2" else command[1] in _NATIVE_WRITES and command[0] == 0x90
        if not changes:
            return
        records = self.journal.records(uid)
        number = _key_number(family, command)
        if self.journal.history(uid).stage not in ("writing", "locking", "resetting", "retiring"):
            self.violations.append(f"{command[:6].hex()} although nothing was begun")
        if number is not None and not _names_key(records, number):
            self.violations.append(f"key {number} before it was journalled")


class _WatchedTag:
    def __init__(self, tag: Tag, reader: WatchedReader) -> None:
        self._tag, self._reader = tag, reader
        self.uid, self.family = tag.uid, tag.family

    def transceive(self, command: bytes, timeout_s: float = COMMAND_TIMEOUT_S) -> bytes:
        self._reader.look(self.uid, self.family, command)
        return self._tag.transceive(command, timeout_s)


def _key_number(family: Family, command: bytes) -> int | None:
    """Which key a command writes. Password pages lie at different places, so it is told from the layouts."""
    if family == "type4":
        return command[5] if command[1] == _CHANGE_KEY else None
    return PASSWORD_KEY if command[1] in {layout.config + 2 for layout in ntag21x.LAYOUTS.values()} else None


def _names_key(records: list[dict[str, object]], number: int) -> bool:
    """The newest record names this key: no other key record is good for it."""
    return bool(records) and records[-1]["event"] == "key" and records[-1]["number"] == number


@dataclass
class Desk:
    """One tag on one antenna, with journal and keys."""

    folder: Path
    chip: Chip = "ntag424"
    keys: JobKeys = field(default_factory=JobKeys)

    def __post_init__(self) -> None:
        self.tag = make_tag(self.chip)
        self.air = Field(self.tag)
        self.journal = Journal(self.folder)
        self.reader = WatchedReader(self.air, self.journal)

    def plug_in(self) -> None:
        """The reader is plugged in again, and the tag has power."""
        violations = self.reader.violations
        self.reader = WatchedReader(self.air, self.journal)
        self.reader.violations = violations

    def write(self, **more: Any) -> TagOutcome:
        return self.run(personalise.write, order=order(self.chip), **more)

    def run(
        self,
        command: Callable[..., TagOutcome],
        *,
        reader: Reader | None = None,
        tell: Tell = silent,
        originality: Originality = EMULATED,
        only: bytes | None = None,
        **more: Any,
    ) -> TagOutcome:
        """One of personalise's works, with this desk's reader or another one in front of it."""
        at = reader or self.reader
        desk = personalise_desk.Desk(at, self.keys, self.journal, tell, 0.0, originality, only=only)
        return command(desk, **more)


def as_reader(reader: WatchedReader) -> Reader:
    """Holds the watched reader against the protocol."""
    return reader


def sensed(desk: Desk) -> Tag:
    """The tag on its antenna, freshly activated."""
    tag = desk.reader.sense()
    assert tag is not None
    return tag


def opened(desk: Desk, key: bytes = FACTORY_KEY) -> Chip424:
    """The same, its application selected and open with key 0."""
    chip = Chip424(sensed(desk))
    chip.select()
    chip.authenticate(0, key)
    return chip

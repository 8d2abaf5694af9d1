"""The work on an NTAG 424 DNA.

Order of a writing: link, keys 1 to 4, key 0, settings, container. Key 0 goes last of the keys: until then the factory
key opens the tag, afterwards ours does, and the version byte beside each other key says which one it is. So wherever
the power fails, one of two keys opens it and the tag itself tells the rest.
"""

from dataclasses import dataclass

from tallystick_chips import ntag424, sun, tag_link
from tallystick_chips.errors import TagRefused
from tallystick_chips.ntag424 import (
    CONTAINER_FILE,
    CONTAINER_WRITE_BYTE,
    FACTORY_CONTAINER,
    FACTORY_KEY,
    FACTORY_SETTINGS,
    NDEF_FILE,
    NDEF_FILE_BYTES,
    Ntag424,
)
from tallystick_chips.personalise_work import (
    Bench,
    Tapped,
    expected_versions,
    foreign,
    locked,
    not_ours,
    unsigned,
)
from tallystick_chips.tag_journal import History
from tallystick_chips.tag_link import Link, Read
from tallystick_chips.tag_order import (
    FACTORY_VERSION,
    FILE_KEY,
    KEY_BYTES,
    KEY_NUMBERS,
    MASTER_KEY,
    META_KEY,
    RETIRED_VERSION,
    Chip,
)
from tallystick_provisioning.errors import TagStatusError

_NLEN_BYTES = 2  # the length in front of the message: offsets of settings count from it
_CLOSED = bytes.fromhex("00FFEF")  # read free, all else nobody: for good
_EMPTIED = bytes.fromhex("0000E0")  # read free, written with key 0, no SDM
_READ_ONLY = b"\xff"


@dataclass(frozen=True, slots=True)
class Found:
    """How a tag is when we come to it."""

    settings: bytes  # of the NDEF file
    master: int  # version of key 0
    others: dict[int, int]  # versions of keys 1 to 4, which the tag MACs

    @property
    def is_locked(self) -> bool:
        """Nobody can change the NDEF file any more."""
        return self.settings[1:3] == _CLOSED[1:]

    @property
    def versions(self) -> list[tuple[int, int]]:
        """(number, version) of all keys, key 0 last."""
        return [*self.others.items(), (MASTER_KEY, self.master)]


class Work424:
    """A Work."""

    def __init__(self, tag: Ntag424, bench: Bench, chip: Chip) -> None:
        self.bench, self.chip = bench, chip
        self._tag = tag  # its application selected
        self._found: Found | None = None

    def check_signature(self) -> None:
        if not self.bench.originality.signed_424(self.bench.uid, self._tag.signature()):
            raise unsigned()

    def check_factory(self, every_key: bool = False) -> None:
        settings = self._tag.settings(NDEF_FILE)
        if settings[1:3] == _CLOSED[1:]:
            raise locked()
        if settings != FACTORY_SETTINGS[NDEF_FILE]:
            raise foreign()
        if self._tag.settings(CONTAINER_FILE) != FACTORY_SETTINGS[CONTAINER_FILE]:
            raise TagRefused("container", "others closed or opened the tag's container (CC)", "take another tag")
        if {version for _, version in self._look((FACTORY_VERSION,), settings).versions} != {FACTORY_VERSION}:
            raise foreign()
        # Others may change a key and leave its version byte at 0: only the key itself tells.
        if every_key and not all(self._opens_factory(number) for number in KEY_NUMBERS):
            raise foreign()

    def make_ours(self, link: Link, history: History) -> None:
        ours, found = self.bench.ring.version, self._look_for_work(history)
        self.bench.tell("write")
        self._tag.write(NDEF_FILE, 0, len(link.message).to_bytes(_NLEN_BYTES, "big") + link.message)
        # A crash here: factory keys, and a link that no key protects yet.
        self.bench.tell("keys")
        for number, version in found.versions:
            if version != ours:
                self._change(number, version, ours, self.bench.ring.keys[number])
        # A crash between two keys: the journal names the one that may have changed, its version byte says whether.
        if found.master != ours:
            self._tag.authenticate(MASTER_KEY, self.bench.ring.keys[MASTER_KEY])
        self.bench.tell("settings")
        if self.chip == "ntag424tt" and self._tag.seal() == "II":
            self.bench.journal.append(self.bench.uid, "seal")
            self._tag.enable_seal()
        self._tag.change_settings(NDEF_FILE, _settings(link))
        self.bench.tell("container")
        self._tag.write(CONTAINER_FILE, CONTAINER_WRITE_BYTE, _READ_ONLY)
        # A crash here or before: keys are ours, so resume finishes and recover goes back.

    def make_factory(self, link: Link, history: History) -> None:
        found = self._look_for_work(history)
        self.bench.tell("settings")
        if found.settings != FACTORY_SETTINGS[NDEF_FILE]:
            self._tag.change_settings(NDEF_FILE, FACTORY_SETTINGS[NDEF_FILE])
        self._tag.write(NDEF_FILE, 0, bytes(NDEF_FILE_BYTES))
        self._tag.write(CONTAINER_FILE, 0, FACTORY_CONTAINER)
        self.bench.tell("keys")
        for number, version in found.versions:
            if version != FACTORY_VERSION:
                self._change(number, version, FACTORY_VERSION, FACTORY_KEY)

    def lock(self, link: Link, history: History) -> None:
        self.bench.tell("lock")
        self._authenticate_ours()
        for file, closed in ((CONTAINER_FILE, _CLOSED), (NDEF_FILE, _settings(link, is_locked=True))):
            if self._tag.settings(file) != closed:
                self._tag.change_settings(file, closed)

    def retire(self, link: Link, history: History) -> str:
        ours = self.bench.ring.version
        if RETIRED_VERSION in history.keys.get(MASTER_KEY, set()) and not self._opens(ours):
            return "its keys are gone"  # an earlier run got that far
        found = self._look((ours, FACTORY_VERSION))
        if not found.is_locked:
            self._tag.change_settings(NDEF_FILE, _EMPTIED)
            self._tag.write(NDEF_FILE, 0, bytes(NDEF_FILE_BYTES))
        for number, version in found.versions:
            if version != RETIRED_VERSION:
                self._change(number, version, RETIRED_VERSION, self.bench.random_bytes(KEY_BYTES))
        return "it is locked, so its link stays readable; it will never verify" if found.is_locked else "it is empty"

    def read(self) -> Read:
        return tag_link.read_message(self._tag.read_ndef())

    def check_link(self, read: Read) -> Tapped:
        keys = self.bench.ring.keys
        tap = sun.verify(
            read.p or "",
            read.c or "",
            keys[META_KEY],
            keys[FILE_KEY],
            mac_input=read.mac_input,
            uid=self.bench.uid,
        )
        if (read.seal is not None) != (self.chip == "ntag424tt"):
            raise not_ours("its link has no place for the seal, or one too many")
        seal = None if read.seal is None else tag_link.SEALS.get(read.seal[:1], "invalid")
        return Tapped(read.url, tap.counter, seal)

    def check_all(self, link: Link, history: History, is_locked: bool) -> None:
        ours = self.bench.ring.version
        if not self._opens(ours):
            raise not_ours("key 0 is another one")
        if any(self._tag.key_version(number) != ours for number in KEY_NUMBERS):
            raise not_ours("not all keys are changed")
        if self._tag.settings(NDEF_FILE) != _settings(link, is_locked):
            raise not_ours("the settings of the link differ")
        if self._tag.read(CONTAINER_FILE, CONTAINER_WRITE_BYTE, 1) != _READ_ONLY:
            raise not_ours("the container says that phones may write")

    # --- how the tag is

    def _look(self, masters: tuple[int, ...], settings: bytes | None = None) -> Found:
        """Once in an activation: authenticate with key 0 of one of these versions and ask for the rest."""
        if self._found is None:
            master = self._open(masters)
            others = {number: self._tag.key_version(number) for number in KEY_NUMBERS if number != MASTER_KEY}
            self._found = Found(settings or self._tag.settings(NDEF_FILE), master, others)
        return self._found

    def _look_for_work(self, history: History) -> Found:
        """Refused unless all keys are the factory's or ours, and the tag is not locked."""
        ours = self.bench.ring.version
        found = self._look(expected_versions(history, MASTER_KEY, ours))
        if set(found.others.values()) - {FACTORY_VERSION, ours}:
            raise foreign()
        if found.is_locked:
            raise locked()
        return found

    # --- keys

    def _open(self, versions: tuple[int, ...]) -> int:
        """Authenticate with key 0 of one of these versions; which one it was."""
        for version in versions:
            if self._opens(version):
                return version
        raise foreign()

    def _opens(self, version: int) -> bool:
        try:
            self._tag.authenticate(MASTER_KEY, self._key(MASTER_KEY, version))
        except TagStatusError as error:
            if error.status == ntag424.DELAY:
                raise TagRefused(
                    "delay", "the tag takes no key for a while: it saw too many wrong ones", "leave it on the reader"
                ) from None
            if error.status == ntag424.NO_PERMISSION:  # in the selected application only LRP mode says so
                raise TagRefused("lrp", "the tag is in LRP mode for good; we write AES", "take another tag") from None
            if error.status != ntag424.WRONG_KEY:
                raise
            return False
        return True

    def _opens_factory(self, number: int) -> bool:
        try:
            self._tag.authenticate(number, FACTORY_KEY)
        except TagStatusError as error:
            if error.status != ntag424.WRONG_KEY:
                raise
            return False
        return True

    def _authenticate_ours(self) -> None:
        if not self._opens(self.bench.ring.version):
            raise foreign()

    def _key(self, number: int, version: int) -> bytes:
        return FACTORY_KEY if version == FACTORY_VERSION else self.bench.ring.keys[number]

    def _change(self, number: int, old: int, new: int, key: bytes) -> None:
        """Journal first: a crash after the tag acted leaves a key that the journal names."""
        self.bench.change(number, old, new)
        try:
            self._tag.change_key(number, key, new, self._key(number, old))
        except TagStatusError as error:
            if error.status != ntag424.INTEGRITY_ERROR:
                raise
            raise foreign() from None  # the version byte said that the old key is the factory's or ours


def _settings(link: Link, is_locked: bool = False) -> bytes:
    seal = None if link.seal is None else link.seal + _NLEN_BYTES
    mac_input, mac = (_NLEN_BYTES + (place or 0) for place in (link.mac_input, link.mac))
    return ntag424.sdm_settings(link.mirror + _NLEN_BYTES, seal, mac_input, mac, is_locked)

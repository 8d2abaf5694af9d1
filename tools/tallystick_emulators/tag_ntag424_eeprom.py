"""What an NTAG 424 DNA keeps without power, and how it is saved."""

from dataclasses import dataclass, field

from tallystick_emulators.errors import BadEeprom, ChipRefusal
from tallystick_emulators.tag_ntag424_files import KEYS, File, Settings, delivered_files
from tallystick_wire import cbor
from tallystick_wire.errors import CborError

UID_BYTES, KEY_BYTES = 7, 16
MAX_NUMBER = 0xFFFFFF  # counters, of which the widest has 24 bits
FAILURES_LIMIT = 1000  # as delivered (SetConfiguration, option 0Ah)
FAILURES_DECREMENT = 10
TAMPER_CLOSED, TAMPER_OPEN = b"C", b"O"


@dataclass
class Eeprom:
    """Factory-fresh unless told otherwise: zero keys, version 0, three files, AES mode."""

    uid: bytes
    tag_tamper: bool
    keys: list[bytes] = field(default_factory=lambda: [bytes(KEY_BYTES)] * KEYS)
    versions: list[int] = field(default_factory=lambda: [0] * KEYS)
    failures: list[int] = field(default_factory=lambda: [0] * KEYS)
    files: list[File] = field(default_factory=delivered_files)
    random_id: bool = False
    lrp: bool = False
    counts_failures: bool = True
    failures_limit: int = FAILURES_LIMIT
    failures_decrement: int = FAILURES_DECREMENT
    strong_modulation: bool = True
    capabilities: bytes = bytes(2)  # PDCap2.5 and PDCap2.6
    tamper_enabled: bool = False
    tamper_right: int = 0xE
    tamper_opened: bool = False  # for ever

    def measure(self, loop_open: bool) -> bytes:
        """TTPermStatus and TTCurrStatus; an open loop is remembered for good."""
        self.tamper_opened |= loop_open
        return (TAMPER_OPEN if self.tamper_opened else TAMPER_CLOSED) + (TAMPER_OPEN if loop_open else TAMPER_CLOSED)

    def to_bytes(self) -> bytes:
        files = [[one.settings.to_bytes(), bytes(one.data), one.counter] for one in self.files]
        return cbor.encode(["NTAG 424", self.uid, self.keys, self.versions, self.failures, files, self._flags()])

    def _flags(self) -> list[object]:
        return [
            self.tag_tamper,
            self.random_id,
            self.lrp,
            self.counts_failures,
            self.failures_limit,
            self.failures_decrement,
            self.strong_modulation,
            self.capabilities,
            self.tamper_enabled,
            self.tamper_right,
            self.tamper_opened,
        ]

    @classmethod
    def from_bytes(cls, data: bytes) -> "Eeprom":
        """The EEPROM that was saved; BadEeprom for anything else."""
        try:
            saved = cbor.decode(data)
            if not _has_shape(saved):
                raise BadEeprom("not the EEPROM of an emulated NTAG 424 DNA")
            _, uid, keys, versions, failures, files, flags = saved
            made = cls(uid, flags[0], keys, versions, failures)
            for file, (settings, content, counter) in zip(made.files, files, strict=True):
                file.settings, file.data, file.counter = Settings.from_bytes(settings), bytearray(content), counter
        except (CborError, ChipRefusal):
            raise BadEeprom("not the EEPROM of an emulated NTAG 424 DNA") from None
        made.random_id, made.lrp, made.counts_failures, made.failures_limit, made.failures_decrement = flags[1:6]
        made.strong_modulation, made.capabilities = flags[6:8]
        made.tamper_enabled, made.tamper_right, made.tamper_opened = flags[8:]
        return made


def _has_shape(value: object) -> bool:
    """Whether every value has the type, and every list and key the length, that `to_bytes` writes."""
    fresh = ["NTAG 424", bytes(UID_BYTES), [bytes(KEY_BYTES)] * KEYS, [0] * KEYS, [0] * KEYS]
    files = [[one.settings.to_bytes(), bytes(one.data), one.counter] for one in delivered_files()]
    return _alike(value, [*fresh, files, Eeprom(bytes(UID_BYTES), False)._flags()])


def _alike(value: object, model: object) -> bool:
    if isinstance(model, list):
        return isinstance(value, list) and len(value) == len(model) and all(map(_alike, value, model))
    if type(value) is not type(model):
        return False
    if isinstance(model, bytes) and isinstance(value, bytes):  # settings alone have lengths of their own
        return len(value) == len(model) or (len(model) == 3 and len(value) > 3)
    return value == model if isinstance(model, str) else not isinstance(value, int) or 0 <= value <= MAX_NUMBER

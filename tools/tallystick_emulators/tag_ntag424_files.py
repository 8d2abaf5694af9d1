"""Files of NTAG 424 DNA: their settings on the wire, what ChangeFileSettings refuses, what a read mirrors.

Data sheets NT4H2421Gx and NT4H2421Tx: 8.2.3, 9.3 and the tables of ChangeFileSettings.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tallystick_emulators.errors import ChipRefusal
from tallystick_emulators.tag_ntag424_crypto import AesMirror
from tallystick_emulators.tag_ntag424_lrp import LrpMirror

LENGTH_ERROR, PERMISSION_DENIED, PARAMETER_ERROR = 0x917E, 0x919D, 0x919E
FREE, NEVER = 0xE, 0xF
KEYS = 5
NDEF_FILE = 2
UID_CHARACTERS, COUNTER_CHARACTERS, MAC_CHARACTERS, TAMPER_CHARACTERS = 14, 6, 16, 2
NOT_MIRRORED = 0xFFFFFF
MIRRORS_UID, MIRRORS_COUNTER, LIMITS_READS, ENCRYPTS, MIRRORS_TAMPER, ASCII = 0x80, 0x40, 0x20, 0x10, 0x08, 0x01


@dataclass
class Mirroring:
    """Secure Dynamic Messaging of a file. An offset that is not on the wire is None."""

    options: int = 0
    meta_read: int = NEVER
    file_read: int = NEVER
    counter_read: int = NEVER
    offsets: dict[str, int] = field(default_factory=dict)

    def names(self) -> Iterator[str]:
        """Which three-byte fields are on the wire, in their order."""
        if self.meta_read == FREE and self.options & MIRRORS_UID:
            yield "uid"
        if self.meta_read == FREE and self.options & MIRRORS_COUNTER:
            yield "counter"
        if self.meta_read < KEYS:
            yield "picc_data"
        if self.options & MIRRORS_TAMPER:
            yield "tamper"
        if self.file_read != NEVER:
            yield "mac_input"
            if self.options & ENCRYPTS:
                yield "encrypted"
                yield "encrypted_length"
            yield "mac"
        if self.options & LIMITS_READS:
            yield "limit"

    def to_bytes(self) -> bytes:
        rights = bytes([0xF0 | self.counter_read, self.meta_read << 4 | self.file_read])
        return bytes([self.options]) + rights + b"".join(self.offsets[n].to_bytes(3, "little") for n in self.names())

    @classmethod
    def from_bytes(cls, data: bytes) -> "Mirroring":
        """ChipRefusal when a field is missing or one too many."""
        if len(data) < 3:
            raise ChipRefusal(LENGTH_ERROR)
        one = cls(data[0], data[2] >> 4, data[2] & 15, data[1] & 15)
        if data[1] >> 4 != 0xF:
            raise ChipRefusal(PARAMETER_ERROR)
        names = list(one.names())
        if len(data) != 3 + 3 * len(names):
            raise ChipRefusal(LENGTH_ERROR)
        for at, name in enumerate(names):
            one.offsets[name] = int.from_bytes(data[3 + 3 * at : 6 + 3 * at], "little")
        return one


@dataclass
class Settings:
    """FileOption and access rights; 0..4 is a key, E free, F never."""

    option: int
    read: int
    write: int
    read_write: int
    change: int
    mirroring: Mirroring | None = None

    @property
    def mode(self) -> int:
        """Communication mode: 0 plain (2 as well), 1 MAC, 3 full."""
        return 0 if self.option & 3 == 2 else self.option & 3

    def rights(self) -> bytes:
        return bytes([self.read_write << 4 | self.change, self.read << 4 | self.write])

    def to_bytes(self) -> bytes:
        """As ChangeFileSettings takes it."""
        return bytes([self.option]) + self.rights() + (self.mirroring.to_bytes() if self.mirroring else b"")

    @classmethod
    def from_bytes(cls, data: bytes) -> "Settings":
        if len(data) < 3:
            raise ChipRefusal(LENGTH_ERROR)
        mirroring = Mirroring.from_bytes(data[3:]) if data[0] & 0x40 else None
        if mirroring is None and len(data) != 3:
            raise ChipRefusal(LENGTH_ERROR)
        return cls(data[0], data[2] >> 4, data[2] & 15, data[1] >> 4, data[1] & 15, mirroring)


@dataclass
class File:
    """A StandardData file. `iso_id` is its ISO file identifier, `counter` its SDMReadCtr."""

    number: int
    iso_id: int
    settings: Settings
    data: bytearray
    counter: int = 0

    def described(self) -> bytes:
        """The answer of GetFileSettings."""
        settings = self.settings.to_bytes()
        return b"\0" + settings[:3] + len(self.data).to_bytes(3, "little") + settings[3:]


def delivered_files() -> list[File]:
    """CC, NDEF and proprietary file as a new chip has them (8.2.3.1)."""
    container = bytes.fromhex("001720010000FF0406E104010000000506E10500808283").ljust(32, b"\0")
    return [
        File(1, 0xE103, Settings.from_bytes(bytes.fromhex("0000E0")), bytearray(container)),
        File(NDEF_FILE, 0xE104, Settings.from_bytes(bytes.fromhex("00E0EE")), bytearray(256)),
        File(3, 0xE105, Settings.from_bytes(bytes.fromhex("033023")), bytearray(b"\x00\x7e".ljust(128, b"\0"))),
    ]


def check(new: Settings, file: File, lrp: bool, tag_tamper: bool) -> None:
    """ChipRefusal with the status word that the chip would answer to ChangeFileSettings."""
    if any(KEYS <= right < FREE for right in (new.read, new.write, new.read_write, new.change)):
        raise ChipRefusal(PARAMETER_ERROR)
    if new.option & ~0x43:
        raise ChipRefusal(PARAMETER_ERROR)
    if new.mirroring is None:
        return
    if file.number != NDEF_FILE:
        raise ChipRefusal(PERMISSION_DENIED)
    _check_options(new.mirroring, tag_tamper)
    _check_offsets(new.mirroring, len(file.data), LrpMirror.picc_data_bytes if lrp else AesMirror.picc_data_bytes)
    # Enabling counts from 0 again; a limit of a file that mirrors already must lie above its counter.
    counter = file.counter if file.settings.mirroring else 0
    if new.mirroring.options & LIMITS_READS and new.mirroring.offsets["limit"] <= counter:
        raise ChipRefusal(PARAMETER_ERROR)


def _check_options(new: Mirroring, tag_tamper: bool) -> None:
    options = new.options
    uid, counter = bool(options & MIRRORS_UID), bool(options & MIRRORS_COUNTER)
    wrong = (
        not options & ASCII,
        options & (0x06 if tag_tamper else 0x0E),
        any(KEYS <= right < FREE for right in (new.meta_read, new.file_read, new.counter_read)),
        new.file_read == FREE,
        new.meta_read != NEVER and not uid and not counter,
        new.meta_read == NEVER and uid,
        new.counter_read != NEVER and not counter,
        options & ENCRYPTS and (new.file_read == NEVER or not uid or not counter),
        options & LIMITS_READS and not counter,
    )
    if any(wrong):
        raise ChipRefusal(PARAMETER_ERROR)


def _check_offsets(new: Mirroring, size: int, picc_data_bytes: int) -> None:
    """Everything inside the file, in order, and nothing on top of anything else."""
    at = new.offsets
    lengths = {"uid": UID_CHARACTERS, "counter": COUNTER_CHARACTERS, "picc_data": 2 * picc_data_bytes}
    lengths |= {"tamper": TAMPER_CHARACTERS, "mac": MAC_CHARACTERS, "encrypted": at.get("encrypted_length", 0)}
    areas = {n: (at[n], at[n] + lengths[n]) for n in at if n in lengths and not _is_unmirrored_counter(n, at[n])}
    wrong = any(end > size for _, end in areas.values())
    names = sorted(areas)
    for index, one in enumerate(names):
        for other in names[index + 1 :]:
            if {one, other} == {"encrypted", "tamper"}:
                wrong |= _cuts_plaintext(areas["encrypted"], areas["tamper"])
            else:
                wrong |= areas[one][0] < areas[other][1] and areas[other][0] < areas[one][1]
    if "mac" in at:
        wrong |= at["mac_input"] > at["mac"]
    if "encrypted" in at:
        length = at["encrypted_length"]
        wrong |= length < 32 or length % 32 != 0
        wrong |= at["encrypted"] < at["mac_input"] or at["encrypted"] + length > at["mac"]
    if wrong:
        raise ChipRefusal(PARAMETER_ERROR)


def _is_unmirrored_counter(name: str, offset: int) -> bool:
    return name == "counter" and offset == NOT_MIRRORED


def _cuts_plaintext(encrypted: tuple[int, int], tamper: tuple[int, int]) -> bool:
    """The tamper status may lie in the plaintext half of the encrypted area, whole, or outside the area."""
    half = encrypted[0] + (encrypted[1] - encrypted[0]) // 2
    outside = tamper[1] <= encrypted[0] or tamper[0] >= encrypted[1]
    return not outside and not (encrypted[0] <= tamper[0] and tamper[1] <= half)


def rendered(file: File, uid: bytes, keys: list[bytes], lrp: bool, random: bytes, tamper: bytes) -> bytes:
    """The whole file as it is read without authentication. `random`: 8 bytes (LRP) and 16 bytes of padding."""
    mirroring, image = file.settings.mirroring, bytearray(file.data)
    if mirroring is None:
        return bytes(image)
    kind = LrpMirror if lrp else AesMirror
    options, at = mirroring.options, mirroring.offsets
    counter = file.counter.to_bytes(3, "little") if options & MIRRORS_COUNTER else b""
    shown_uid = uid if options & MIRRORS_UID else b""

    def put(name: str, text: bytes) -> None:
        image[at[name] : at[name] + len(text)] = text

    if "tamper" in at:
        put("tamper", tamper)
    if "uid" in at:
        put("uid", uid.hex().upper().encode())
    if "counter" in at and at["counter"] != NOT_MIRRORED:
        put("counter", f"{file.counter:06X}".encode())
    if "picc_data" in at:
        tag = options & (MIRRORS_UID | MIRRORS_COUNTER) | len(shown_uid)
        plain = (bytes([tag]) + shown_uid + counter + random[kind.random_bytes :])[:16]
        sealed = kind.picc_data(keys[mirroring.meta_read], random[: kind.random_bytes], plain)
        put("picc_data", sealed.hex().upper().encode())
    if "mac" in at:
        session = kind(keys[mirroring.file_read], shown_uid, counter)
        if "encrypted" in at:
            plain = bytes(image[at["encrypted"] : at["encrypted"] + at["encrypted_length"] // 2])
            put("encrypted", session.encrypted(plain).hex().upper().encode())
        put("mac", session.mac(bytes(image[at["mac_input"] : at["mac"]])).hex().upper().encode())
    return bytes(image)

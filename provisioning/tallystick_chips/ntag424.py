"""The reader's side of an NTAG 424 DNA: commands, secure messaging, files. One activation, one object.

Status words of the tag become TagStatusError; an answer whose MAC is wrong or whose length is impossible becomes
TagAnswerError. Nothing here retries: what a lost answer means only the journal can say.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from tallystick_chips.ntag424_crypto import RANDOM_BYTES, Challenge, Session, change_key_data
from tallystick_provisioning import nfc
from tallystick_provisioning.errors import TagAnswerError, TagStatusError

OK = 0x9100
OK_ISO = 0x9000
OK_SIGNATURE = 0x9190
MORE = 0x91AF
WRONG_KEY = 0x91AE  # authentication error: wrong key, or nobody is authenticated
DELAY = 0x91AD  # too many wrong keys: wait
NO_PERMISSION = 0x919D
INTEGRITY_ERROR = 0x911E  # a MAC or a CRC does not hold: for ChangeKey, the old key is another one

CONTAINER_FILE, NDEF_FILE, DATA_FILE = 1, 2, 3
NDEF_FILE_BYTES = 256
CONTAINER_FILE_BYTES = 32
CONTAINER_WRITE_BYTE = 14  # of the capability container: may a phone write the NDEF file
FACTORY_CONTAINER = bytes.fromhex("001720010000FF0406E104010000000506E10500808283").ljust(CONTAINER_FILE_BYTES, b"\0")
FACTORY_SETTINGS = {CONTAINER_FILE: bytes.fromhex("0000E0"), NDEF_FILE: bytes.fromhex("00E0EE")}

MAX_WRITE_BYTES = 240  # Lc is one byte: header of 7, data, MAC of 8
MAX_READ_BYTES = 128
MAX_FRAMES = 4  # of one answer: GetVersion has three, nothing else more than one
UID_BYTES = 7
FACTORY_KEY = bytes(16)
_APPLICATION = bytes.fromhex("D2760000850101")
_TAMPER_OPTION = 7


@dataclass(frozen=True, slots=True)
class Version:
    """What GetVersion tells. Unsigned, and anybody could say it: it chooses the kind of tag, no more."""

    vendor: int
    kind: int
    subtype: int
    uid: bytes

    @property
    def is_ntag424(self) -> bool:
        """NXP, NTAG, 50 pF, with or without a seal loop."""
        return self.vendor == 0x04 and self.kind == 0x04 and self.subtype & 0x0F in (0x02, 0x08)

    @property
    def has_seal(self) -> bool:
        """TagTamper."""
        return self.subtype & 0x0F == 0x08


class Ntag424:
    """Commands to one activated tag."""

    def __init__(self, tag: nfc.Tag, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._tag = tag
        self._random_bytes = random_bytes
        self._session: Session | None = None

    # --- without a key

    def select(self) -> None:
        """Select the NDEF application: what all else is in."""
        self._iso(bytes.fromhex("00A4040C") + bytes([len(_APPLICATION)]) + _APPLICATION + b"\0")

    def version(self) -> Version:
        """Maker, kind and UID."""
        answer = self._frames(0x60)
        if len(answer) < 14 + UID_BYTES:
            raise TagAnswerError(f"GetVersion: {len(answer)} bytes, too few")
        return Version(answer[0], answer[1], answer[2], answer[14 : 14 + UID_BYTES])

    def signature(self) -> bytes:
        """The maker's signature over the UID."""
        return self._native(0x3C, b"\0", good=(OK, OK_SIGNATURE))

    def read_ndef(self) -> bytes:
        """The NDEF message as a phone reads it: select the file, its length, its bytes."""
        self._iso(bytes.fromhex("00A4000C02E10400"))
        length = int.from_bytes(self._read_binary(0, 2), "big")
        if length > NDEF_FILE_BYTES - 2:
            raise TagAnswerError(f"the NDEF file says {length} bytes and has room for {NDEF_FILE_BYTES - 2}")
        message = b""
        while len(message) < length:
            message += self._read_binary(2 + len(message), min(MAX_READ_BYTES, length - len(message)))
        return message

    # --- authentication

    def authenticate(self, number: int, key: bytes) -> None:
        """AuthenticateEV2First; TagStatusError WRONG_KEY when the tag refuses, TagAnswerError when it lacks the key."""
        self._session = None
        first = self._native(0x71, bytes([number, 0]), good=(MORE,))
        challenge = Challenge.of(key, self._random_bytes(RANDOM_BYTES), first)
        self._session = challenge.session(self._native(0xAF, challenge.response))

    # --- keys

    def key_version(self, number: int) -> int:
        """The version byte beside a key, MACed by the tag."""
        answer = self._mac(0x64, bytes([number]))
        if len(answer) != 1:
            raise TagAnswerError(f"GetKeyVersion: {len(answer)} bytes, not 1")
        return answer[0]

    def change_key(self, number: int, new: bytes, version: int, old: bytes) -> None:
        """ChangeKey, authenticated with key 0. After key 0 itself the session is over, and the answer has no MAC."""
        self._full(0xC4, bytes([number]), change_key_data(number, new, version, old), maced=number != 0)
        if number == 0:
            self._session = None

    # --- files

    def settings(self, file: int) -> bytes:
        """GetFileSettings as ChangeFileSettings would take them: option, access rights, SDM."""
        header = bytes([file])
        answer = self._mac(0xF5, header) if self._session else self._native(0xF5, header)
        if len(answer) < 7:
            raise TagAnswerError(f"GetFileSettings: {len(answer)} bytes, too few")
        return answer[1:4] + answer[7:]  # without type and size

    def change_settings(self, file: int, settings: bytes) -> None:
        """ChangeFileSettings: option, access rights, SDM."""
        self._full(0x5F, bytes([file]), settings)

    def write(self, file: int, offset: int, data: bytes) -> None:
        """WriteData in CommMode.Plain, in pieces that fit one command."""
        for start in range(0, len(data), MAX_WRITE_BYTES):
            piece = data[start : start + MAX_WRITE_BYTES]
            place = (offset + start).to_bytes(3, "little") + len(piece).to_bytes(3, "little")
            self._native(0x8D, bytes([file]) + place + piece)
            self._step()

    def read(self, file: int, offset: int, length: int) -> bytes:
        """ReadData in CommMode.Plain."""
        place = offset.to_bytes(3, "little") + length.to_bytes(3, "little")
        data = self._native(0xAD, bytes([file]) + place)
        self._step()
        if len(data) != length:
            raise TagAnswerError(f"ReadData: {len(data)} bytes instead of {length}")
        return data

    # --- the seal

    def enable_seal(self) -> None:
        """Switch the seal loop on, its status free to read. Permanent; it measures from the next activation on."""
        self._full(0x5C, bytes([_TAMPER_OPTION]), bytes([1, 0x0E]), bare_ok=True)

    def seal(self) -> str:
        """Two letters, ever and now: C closed, O open, I not enabled."""
        answer = self._full(0xF7, b"", b"")
        if len(answer) != 2 or not answer.isalpha():
            raise TagAnswerError("GetTTStatus: not two letters")
        return answer.decode("ascii")

    # --- framing

    def _mac(self, command: int, header: bytes) -> bytes:
        session = self._authenticated()
        answer = self._native(command, header + session.mac_command(command, header))
        return session.open_answer(OK, answer, encrypted=False)

    def _full(self, command: int, header: bytes, data: bytes, maced: bool = True, bare_ok: bool = False) -> bytes:
        """CommMode.Full. `bare_ok`: the data sheet shows a MAC behind SetConfiguration, and tags send none."""
        session = self._authenticated()
        sealed = session.encrypt_command(data) if data else b""
        answer = self._native(command, header + sealed + session.mac_command(command, header, sealed))
        if not maced or (bare_ok and not answer):
            session.step()
            return b""
        return session.open_answer(OK, answer, encrypted=True)

    def _authenticated(self) -> Session:
        if self._session is None:
            raise TagStatusError("nobody is authenticated with the tag", WRONG_KEY)
        return self._session

    def _step(self) -> None:
        """A plain command counts too while somebody is authenticated."""
        if self._session is not None:
            self._session.step()

    def _read_binary(self, offset: int, length: int) -> bytes:
        data = self._iso(b"\x00\xb0" + offset.to_bytes(2, "big") + bytes([length]))
        if len(data) != length:
            raise TagAnswerError(f"ISOReadBinary: {len(data)} bytes instead of {length}")
        return data

    def _iso(self, command: bytes) -> bytes:
        status, data = self._exchange(command)
        if status != OK_ISO:
            raise TagStatusError(f"the tag answers {status:04X} to {command[:4].hex().upper()}", status)
        return data

    def _native(self, command: int, data: bytes = b"", good: tuple[int, ...] = (OK,)) -> bytes:
        body = bytes([len(data)]) + data if data else b""
        status, answer = self._exchange(bytes([0x90, command, 0, 0]) + body + b"\0")
        if status not in good:
            self._session = None  # the tag forgets its session with every error
            raise TagStatusError(f"the tag answers {status:04X} to command {command:02X}", status)
        return answer

    def _frames(self, command: int) -> bytes:
        """The data of an answer in several frames."""
        answer = b""
        for _ in range(MAX_FRAMES):
            status, data = self._exchange(bytes([0x90, command, 0, 0, 0]))
            answer += data
            if status == OK:
                return answer
            if status != MORE:
                raise TagStatusError(f"the tag answers {status:04X} to command {command:02X}", status)
            command = 0xAF
        raise TagAnswerError(f"the tag's answer has more than {MAX_FRAMES} frames")

    def _exchange(self, command: bytes) -> tuple[int, bytes]:
        answer = self._tag.transceive(command)
        if not 2 <= len(answer) <= nfc.MAX_RESPONSE_BYTES:
            raise TagAnswerError(f"an answer of {len(answer)} bytes")
        return int.from_bytes(answer[-2:], "big"), answer[:-2]


def sdm_settings(mirror: int, seal: int | None, mac_input: int, mac: int, locked: bool = False) -> bytes:
    """Settings of the NDEF file: free to read, written with key 0 (locked: by nobody, for good), SDM in ASCII with
    encrypted UID and counter under key 1 and a MAC under key 2. Offsets count from the file's first byte."""
    rights = bytes.fromhex("FFEF" if locked else "00E0")
    options = 0xC1 | (0x08 if seal is not None else 0)
    offsets = [mirror, *([seal] if seal is not None else []), mac_input, mac]
    places = b"".join(offset.to_bytes(3, "little") for offset in offsets)
    # SDM access rights F1F2 hex, little endian: meta key 1, file key 2, nobody reads the counter.
    return b"\x40" + rights + bytes([options]) + bytes.fromhex("FF12") + places

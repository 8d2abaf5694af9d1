"""C2SP signed notes: text, a blank line, signature lines. Strict both ways: format(parse(data)) == data.

A note is exactly what is signed and shown, so nothing in it may have two spellings: base64 is decoded, re-encoded and
compared (Python's own check accepts flipped trailing bits), names hold no space and no plus.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from tallystick_proof import keys
from tallystick_proof.errors import KeyFormatError, NoteError

TYPE_ED25519 = 1
TYPE_COSIGNATURE = 4
MAX_NOTE_BYTES = 64 * 1024  # 64 lines of the longest signature line that we know (an ML-DSA one would be 3.4 KiB) fit
MAX_SIGNATURE_LINES = 64  # the C2SP minimum is 16; a policy names at most 32 witnesses, so twice that
MAX_NAME_CHARACTERS = 256  # a ledger origin (128) with a gateway's thumbprint and epoch behind it
MAX_TIME_S = 2**63 - 1  # tlog-cosignature

_KEY_ID_BYTES = 4
_TIME_BYTES = 8
_DASH = "— "
# Controls, spaces but U+0020, line ends, directions, invisible and special characters. A fixed list: "printable" by the
# Unicode tables of one's library would let two verifiers of different years disagree.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\xa0\xad\u061c\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000"
    "\ud800-\udfff\ufeff\ufff0-\ufffb\U000e0000-\U000e0fff]"
)
# A gateway's origin says so itself, so the two kinds of checkpoint cannot be confused: see checkpoint.gateway_origin.
GATEWAY_ORIGIN = re.compile(r"(?P<ledger>.+)/gateway/(?P<thumbprint>[0-9a-f]{64})/(?P<epoch>[1-9][0-9]*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """Who may sign: a key name, a signature type and a public key."""

    name: str
    key_type: int
    public_key: bytes

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.key_type not in (TYPE_ED25519, TYPE_COSIGNATURE):
            raise NoteError(f"signature type {self.key_type} is neither {TYPE_ED25519} nor {TYPE_COSIGNATURE}")
        try:
            keys.check_public_key(self.public_key)
        except KeyFormatError as error:
            raise NoteError(f"verifier key {self.name}: {error}") from None

    @property
    def key_id(self) -> bytes:
        """The 4 bytes that stand before a signature of this key."""
        head = self.name.encode() + b"\n" + bytes([self.key_type])
        return hashlib.sha256(head + self.public_key).digest()[:_KEY_ID_BYTES]

    @property
    def vkey(self) -> str:
        """<name>+<key id in hex>+<base64 of type and key>."""
        key = encode_base64(bytes([self.key_type]) + self.public_key)
        return f"{self.name}+{self.key_id.hex()}+{key}"

    @classmethod
    def parse(cls, vkey: str) -> "VerifierKey":
        """The key in its text form; NoteError when it is written in any other way."""
        parts = vkey.split("+", 2)
        if len(parts) != 3:
            raise NoteError("a verifier key is <name>+<key id>+<base64>")
        material = decode_base64(parts[2])
        if len(material) != 1 + keys.PUBLIC_KEY_BYTES:
            raise NoteError(f"a verifier key holds a type and {keys.PUBLIC_KEY_BYTES} bytes")
        key = cls(parts[0], material[0], material[1:])
        if key.vkey != vkey:
            raise NoteError(f"the key id of verifier key {key.name} is wrong")
        return key


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """One signature: `blob` is what stands behind the key id (64 bytes; 8 bytes of time before them in type 4)."""

    name: str
    key_id: bytes
    blob: bytes

    @property
    def text(self) -> str:
        """The line with its newline."""
        return f"{_DASH}{self.name} {encode_base64(self.key_id + self.blob)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A text that ends in a newline, and at least one signature line. Nothing here is verified."""

    text: str
    lines: list[SignatureLine]


@dataclass(frozen=True, slots=True)
class NoteBody:
    """A checkpoint text to be signed by the log that its first line names."""

    text: str

    @property
    def kind(self) -> str:
        origin = self.text.partition("\n")[0]
        return keys.GATEWAY_CHECKPOINT if GATEWAY_ORIGIN.fullmatch(origin) else keys.LEDGER_CHECKPOINT

    @property
    def to_be_signed(self) -> bytes:
        return self.text.encode()


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A witness's word that at `time_s` this text was the newest checkpoint it saw, and consistent."""

    time_s: int
    text: str

    @property
    def kind(self) -> str:
        return keys.COSIGNATURE

    @property
    def to_be_signed(self) -> bytes:
        return f"cosignature/v1\ntime {self.time_s}\n{self.text}".encode()


def sign_note(signer: keys.Signer, name: str, text: str) -> SignatureLine:
    """The log's own line under a checkpoint text; `name` must be the text's origin."""
    check_text(text)
    if text.partition("\n")[0] != name:
        raise NoteError("a log signs under its origin only")
    match = GATEWAY_ORIGIN.fullmatch(name)
    if match and match["thumbprint"] != signer.thumbprint.hex():
        raise NoteError("a gateway signs under its own thumbprint only")
    key_id = VerifierKey(name, TYPE_ED25519, signer.public_key).key_id
    return SignatureLine(name, key_id, signer.sign(NoteBody(text)))


def sign_cosignature(signer: keys.Signer, name: str, text: str, time_s: int) -> SignatureLine:
    """A witness's line; the caller has checked the text."""
    check_text(text)
    if not 0 <= time_s <= MAX_TIME_S:
        raise NoteError(f"time_s must be from 0 to {MAX_TIME_S}")
    key_id = VerifierKey(name, TYPE_COSIGNATURE, signer.public_key).key_id
    signature = signer.sign(Cosignature(time_s, text))
    return SignatureLine(name, key_id, time_s.to_bytes(_TIME_BYTES, "big") + signature)


def cosignature_time_s(line: SignatureLine) -> int:
    """When the witness says that it signed; NoteError when the line has no such form."""
    if len(line.blob) != _TIME_BYTES + keys.SIGNATURE_BYTES:
        raise NoteError(f"a cosignature is {_TIME_BYTES} + {keys.SIGNATURE_BYTES} bytes")
    time_s = int.from_bytes(line.blob[:_TIME_BYTES], "big")
    if time_s > MAX_TIME_S:
        raise NoteError(f"time_s must be from 0 to {MAX_TIME_S}")
    return time_s


def verify_line(text: str, line: SignatureLine, vkey: VerifierKey) -> bool:
    """Whether the line is this key's and its signature over the text holds."""
    if (line.name, line.key_id) != (vkey.name, vkey.key_id):
        return False
    if vkey.key_type == TYPE_ED25519:
        return keys.verify_signature(vkey.public_key, text.encode(), line.blob)
    try:
        message = Cosignature(cosignature_time_s(line), text).to_be_signed
    except NoteError:
        return False
    return keys.verify_signature(vkey.public_key, message, line.blob[_TIME_BYTES:])


def parse(data: bytes) -> Note:
    """The one note that is written as `data`; NoteError otherwise. Signatures are not checked."""
    if len(data) > MAX_NOTE_BYTES:
        raise NoteError(f"a note is at most {MAX_NOTE_BYTES} bytes")
    try:
        whole = data.decode()
    except UnicodeDecodeError:
        raise NoteError("a note is UTF-8") from None
    head, blank, tail = whole.rpartition("\n\n")
    if not blank or not tail.endswith("\n"):
        raise NoteError("a note is a text, an empty line and lines that end in a newline")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURE_LINES:
        raise NoteError(f"a note has at most {MAX_SIGNATURE_LINES} signature lines")
    text = head + "\n"
    check_text(text)
    return Note(text, [parse_line(line) for line in lines])


def format(note: Note) -> bytes:
    """The bytes of a note."""
    return (note.text + "\n" + "".join(line.text for line in note.lines)).encode()


def parse_line(line: str) -> SignatureLine:
    """A signature line without its newline."""
    parts = line.removeprefix(_DASH).split(" ")
    if not line.startswith(_DASH) or len(parts) != 2:
        raise NoteError("a signature line is an em dash, a name and base64, with one space between them")
    check_name(parts[0])
    blob = decode_base64(parts[1])
    if len(blob) <= _KEY_ID_BYTES:
        raise NoteError("a signature line holds a key id and a signature")
    return SignatureLine(parts[0], blob[:_KEY_ID_BYTES], blob[_KEY_ID_BYTES:])


def check_name(name: str) -> None:
    """A key name or an origin: plain text without space and plus, at most MAX_NAME_CHARACTERS."""
    if not 0 < len(name) <= MAX_NAME_CHARACTERS:
        raise NoteError(f"a name has 1 to {MAX_NAME_CHARACTERS} characters")
    if not is_plain(name) or " " in name or "+" in name:
        raise NoteError("a name holds no space, no plus and no hidden character")


def is_plain(text: str) -> bool:
    """Whether the text shows on one line what it is: none of the characters of _HIDDEN."""
    return not _HIDDEN.search(text)


def check_text(text: str) -> None:
    """A note text: UTF-8, ends in a newline, no other control character."""
    if not text.endswith("\n"):
        raise NoteError("a note text ends in a newline")
    if any(character < " " and character != "\n" for character in text):
        raise NoteError("a note text holds no control characters but newlines")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise NoteError("a note text is valid Unicode")


def encode_base64(data: bytes) -> str:
    """Standard base64 with padding (RFC 4648 section 4)."""
    return base64.b64encode(data).decode()


def decode_base64(text: str) -> bytes:
    """The bytes whose one base64 form is `text`; NoteError otherwise."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise NoteError("not base64") from None
    if encode_base64(data) != text:
        raise NoteError("base64 with stray bits")
    return data

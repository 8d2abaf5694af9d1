"""Secure Unique NFC: does the link that a phone read come from the genuine chip, and is it a new one? Pure.

A 424 writes into its link, anew at every tap: p, its encrypted UID and read counter; c, a MAC over both and over the
part of the link in front of c that its settings name (AN12196; AN12321 and AN12304 for LRP). The mode is seen from
the length of p.
"""

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tallystick_chips import aes
from tallystick_chips.errors import SunError
from tallystick_chips.lrp import Lrp
from tallystick_chips.ntag424_crypto import MAC_BYTES, truncated

Mode = Literal["aes", "lrp"]
FileKey = bytes | Callable[[bytes], bytes]  # of the tag with this UID

UID_BYTES = 7
COUNTER_BYTES = 3
MAX_COUNTER = (1 << 24) - 1
MAX_ENCRYPTED_FILE_BYTES = 240  # the NDEF file has 256
LRP_RANDOM_BYTES = 8  # in front of the block: the counter of its encryption
P_BYTES: dict[int, Mode] = {aes.BLOCK_BYTES: "aes", LRP_RANDOM_BYTES + aes.BLOCK_BYTES: "lrp"}
_PICC_DATA_TAG = 0xC7  # UID mirrored, counter mirrored, UID of 7 bytes
_MANUFACTURER = 0x04  # NXP: the first byte of each of its UIDs
_SV1 = bytes.fromhex("C33C00010080")
_SV2 = bytes.fromhex("3CC300010080")
_LRP_HEAD = bytes.fromhex("00010080")
_LRP_TAIL = bytes.fromhex("1EE1")


class SunFormatError(SunError):
    """A part is cut short, too long or no hex."""


class SunSwappedError(SunError):
    """p stands where c belongs, and c where p belongs."""


class SunKeyError(SunError):
    """p does not decrypt: another job's or another maker's tag, or the wrong meta key."""


class SunMacError(SunError):
    """c does not fit: the link was altered or put together from two, or the file key is wrong."""


class SunTagError(SunError):
    """A genuine link of another tag than the one that belongs to this item."""


class SunCounterError(SunError):
    """A genuine link, seen before: its counter is not above the last one. Tap again."""


@dataclass(frozen=True, slots=True)
class Tap:
    """What a genuine link says."""

    uid: bytes
    counter: int
    mode: Mode
    file_data: bytes | None = None  # the decrypted enc, when there was one


def verify(
    p: str,
    c: str,
    meta_key: bytes,
    file_key: FileKey,
    *,
    mac_input: bytes = b"",
    enc: str | None = None,
    uid: bytes | None = None,
    last_counter: int | None = None,
) -> Tap:
    """The tap behind a link; SunError's subclasses say what does not hold.

    `mac_input` is the text of the link between SDMMACInputOffset and c, as it was read. `uid` is that of the item's
    tag, `last_counter` the highest counter seen in this epoch of the tag; None leaves the check to the caller, who
    then must make it.
    """
    if (_hex_length(p), _hex_length(c)) in {(MAC_BYTES, length) for length in P_BYTES}:
        raise SunSwappedError("p and c have changed places")
    encrypted, mac = _unhex("p", p, *P_BYTES), _unhex("c", c, MAC_BYTES)
    mode = P_BYTES[len(encrypted)]
    found_uid, count = _open_picc_data(encrypted, meta_key)
    key = file_key if isinstance(file_key, bytes) else file_key(found_uid)
    file_data = _check_mac(mode, key, found_uid, count, mac, mac_input, enc)
    return _check_freshness(Tap(found_uid, int.from_bytes(count, "little"), mode, file_data), uid, last_counter)


def verify_plain(
    uid_hex: str,
    counter_hex: str,
    c: str,
    file_key: FileKey,
    *,
    mode: Mode = "aes",
    mac_input: bytes = b"",
    uid: bytes | None = None,
    last_counter: int | None = None,
) -> Tap:
    """The same for a link that mirrors UID and counter in the clear: there the counter stands MSB first."""
    found_uid = _unhex("uid", uid_hex, UID_BYTES)
    count = _unhex("counter", counter_hex, COUNTER_BYTES)[::-1]
    mac = _unhex("c", c, MAC_BYTES)
    key = file_key if isinstance(file_key, bytes) else file_key(found_uid)
    _check_mac(mode, key, found_uid, count, mac, mac_input, None)
    return _check_freshness(Tap(found_uid, int.from_bytes(count, "little"), mode), uid, last_counter)


def _open_picc_data(encrypted: bytes, meta_key: bytes) -> tuple[bytes, bytes]:
    """(UID, counter bytes as they lie in PICCData: LSB first)."""
    if len(encrypted) == aes.BLOCK_BYTES:
        plain = aes.decrypt(meta_key, encrypted)
    else:
        primitive = Lrp(meta_key)
        counter, block = encrypted[:LRP_RANDOM_BYTES], encrypted[LRP_RANDOM_BYTES:]
        plain = primitive.decrypt(primitive.updated_key(0), block, counter)
    if plain[0] != _PICC_DATA_TAG or plain[1] != _MANUFACTURER:
        raise SunKeyError("p does not decrypt: this link was made with other keys")
    return plain[1 : 1 + UID_BYTES], plain[1 + UID_BYTES : 1 + UID_BYTES + COUNTER_BYTES]


def _check_mac(
    mode: Mode, key: bytes, uid: bytes, count: bytes, mac: bytes, mac_input: bytes, enc: str | None
) -> bytes | None:
    """The decrypted enc. Its MAC is checked first, over the characters of the link."""
    session = _aes_session(key, uid, count) if mode == "aes" else _lrp_session(key, uid, count)
    made, decrypt = session
    if not hmac.compare_digest(truncated(made(mac_input)), mac):
        raise SunMacError("c does not fit this link: it was altered, put together from two, or made with other keys")
    if enc is None:
        return None
    data = _unhex("enc", enc, *range(aes.BLOCK_BYTES, MAX_ENCRYPTED_FILE_BYTES + 1, aes.BLOCK_BYTES))
    return decrypt(data)


_Session = tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]  # (CMAC of a message, decryption of enc)


def _aes_session(key: bytes, uid: bytes, count: bytes) -> _Session:
    mac_key = aes.cmac(key, _SV2 + uid + count)
    enc_key = aes.cmac(key, _SV1 + uid + count)
    iv = aes.encrypt_block(enc_key, count.ljust(aes.BLOCK_BYTES, b"\0"))
    return lambda message: aes.cmac(mac_key, message), lambda data: aes.decrypt(enc_key, data, iv)


def _lrp_session(key: bytes, uid: bytes, count: bytes) -> _Session:
    master = Lrp(key)
    vector = (_LRP_HEAD + uid + count).ljust(aes.BLOCK_BYTES - len(_LRP_TAIL), b"\0") + _LRP_TAIL
    session = Lrp(master.cmac(master.updated_key(0), vector))
    counter = count + bytes(3)
    return (
        lambda message: session.cmac(session.updated_key(0), message),
        lambda data: session.decrypt(session.updated_key(1), data, counter),
    )


def _check_freshness(tap: Tap, uid: bytes | None, last_counter: int | None) -> Tap:
    if uid is not None and tap.uid != uid:
        raise SunTagError(f"the link is of tag {tap.uid.hex().upper()}, and this item has tag {uid.hex().upper()}")
    if last_counter is not None and tap.counter <= last_counter:
        raise SunCounterError(f"counter {tap.counter} was used before: {last_counter} has been seen; tap again")
    return tap


def _hex_length(text: str) -> int:
    return len(text) // 2 if re.fullmatch(r"([0-9A-Fa-f]{2})+", text) else -1


def _unhex(name: str, text: str, *lengths: int) -> bytes:
    """`text` as bytes; SunFormatError unless it is hex of one of these lengths."""
    length = _hex_length(text)
    if length not in lengths:
        wanted = " or ".join(str(2 * each) for each in lengths[:4])
        raise SunFormatError(f"{name} has {len(text)} characters; it must be {wanted} hex digits")
    return bytes.fromhex(text)

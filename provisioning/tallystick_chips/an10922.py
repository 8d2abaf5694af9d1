"""Keys diversified by tag, as in NXP's AN10922 for AES-128: one master key, another key for every tag and purpose.

What a key is diversified by is UID || AID || system id || key number. A stolen tag key says nothing about any other.
"""

from tallystick_chips import aes

CONSTANT = b"\x01"  # AN10922: the AES-128 case
PADDED_BYTES = 32  # two blocks, whatever the length of the input
MAX_INPUT_BYTES = 31
UID_BYTES = 7
AID = bytes.fromhex("D2760000850101")  # the NDEF application: the only one on these tags
MIN_SYSTEM_ID_BYTES = 1
MAX_SYSTEM_ID_BYTES = 16
_MAX_NUMBER = 255


def diversify(master: bytes, diversification: bytes) -> bytes:
    """The 16 bytes of the diversified key; ValueError for an input of another length than 1 to 31 bytes."""
    if not 1 <= len(diversification) <= MAX_INPUT_BYTES:
        raise ValueError(f"AN10922 takes 1 to {MAX_INPUT_BYTES} bytes, not {len(diversification)}")
    message = CONSTANT + diversification
    subkey = aes.double(aes.encrypt_block(master, aes.ZERO_IV))
    if len(message) < PADDED_BYTES:
        # Padded to two blocks: for up to 15 bytes of input CMAC itself would stop at one.
        message = (message + b"\x80").ljust(PADDED_BYTES, b"\0")
        subkey = aes.double(subkey)
    head, tail = message[: aes.BLOCK_BYTES], message[aes.BLOCK_BYTES :]
    return aes.encrypt_block(master, aes.xor(aes.xor(tail, subkey), aes.encrypt_block(master, head)))


def tag_input(uid: bytes, system_id: bytes, number: int) -> bytes:
    """UID || AID || system id || key number. ValueError names what has a wrong length."""
    if len(uid) != UID_BYTES:
        raise ValueError(f"a tag's UID has {UID_BYTES} bytes, not {len(uid)}")
    if not MIN_SYSTEM_ID_BYTES <= len(system_id) <= MAX_SYSTEM_ID_BYTES:
        raise ValueError(f"a system id has {MIN_SYSTEM_ID_BYTES} to {MAX_SYSTEM_ID_BYTES} bytes, not {len(system_id)}")
    if not 0 <= number <= _MAX_NUMBER:
        raise ValueError(f"a key number is 0 to {_MAX_NUMBER}, not {number}")
    return uid + AID + system_id + bytes([number])


def cmac_input(diversification: bytes) -> bytes:
    """What plain AES-CMAC must be given to be AN10922: for a token that offers CMAC. ValueError below 16 bytes."""
    if not aes.BLOCK_BYTES <= len(diversification) <= MAX_INPUT_BYTES:
        raise ValueError(f"CMAC is AN10922 for {aes.BLOCK_BYTES} to {MAX_INPUT_BYTES} bytes only")
    return CONSTANT + diversification

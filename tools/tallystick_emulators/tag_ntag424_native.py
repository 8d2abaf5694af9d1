"""The native commands of NTAG 424 DNA (class byte 90h; data sheets NT4H2421Gx chapter 10, NT4H2421Tx chapter 11)."""

from tallystick_emulators import tag_signature
from tallystick_emulators.errors import ChipRefusal
from tallystick_emulators.tag_ntag424_chip import (
    AUTHENTICATION_ERROR,
    FULL,
    INTEGRITY_ERROR,
    MAC,
    MAC_BYTES,
    NO_SUCH_KEY,
    PLAIN,
    Chip,
)
from tallystick_emulators.tag_ntag424_crypto import crc32_of_key
from tallystick_emulators.tag_ntag424_eeprom import KEY_BYTES, UID_BYTES
from tallystick_emulators.tag_ntag424_files import (
    FREE,
    KEYS,
    LENGTH_ERROR,
    NEVER,
    PARAMETER_ERROR,
    PERMISSION_DENIED,
    File,
    Settings,
    check,
)

OK, SIGNATURE_OK, MORE = 0x9100, 0x9190, 0x91AF
ILLEGAL_COMMAND, BOUNDARY_ERROR, ABORTED, FILE_NOT_FOUND = 0x911C, 0x91BE, 0x91CA, 0x91F0
MAX_RESPONSE_BYTES = 256
PRODUCTION = bytes.fromhex("CF5D9045104621")  # batch, key and date of a real chip

Answer = tuple[bytes, int]


def answer(chip: Chip, code: int, data: bytes) -> Answer:
    """Data and status word. Every refusal ends the authentication (9.1.9)."""
    try:
        if code == 0xAF:
            return _continue(chip, data)
        if chip.abort():
            raise ChipRefusal(ABORTED)
        command = COMMANDS.get(code)
        if command is None or (code == 0xF7 and not chip.eeprom.tag_tamper):
            raise ChipRefusal(ILLEGAL_COMMAND)
        return command(chip, data)
    except ChipRefusal as refusal:
        chip.abort()
        chip.forget()
        return b"", refusal.status


def _continue(chip: Chip, data: bytes) -> Answer:
    if chip.authentication is not None:
        return chip.finish(data), OK
    if not chip.frames:
        raise ChipRefusal(ILLEGAL_COMMAND)
    if data:
        raise ChipRefusal(LENGTH_ERROR)
    frame = chip.frames.pop(0)
    return frame, MORE if chip.frames else OK


def _authenticate_first(chip: Chip, data: bytes) -> Answer:
    return chip.begin(True, data), MORE


def _authenticate_next(chip: Chip, data: bytes) -> Answer:
    return chip.begin(False, data), MORE


# --- the chip


def _get_version(chip: Chip, data: bytes) -> Answer:
    """Three frames; with an authentication one MAC over all of them comes last."""
    eeprom = chip.eeprom
    if chip.opened(0x60, b"", data, MAC):
        raise ChipRefusal(LENGTH_ERROR)
    subtype = (0x08 if eeprom.tag_tamper else 0x02) | (0x00 if eeprom.strong_modulation else 0x80)
    frames = [
        bytes([0x04, 0x04, subtype, 0x30, 0x00, 0x11, 0x05]),
        bytes([0x04, 0x04, 0x02, 0x01, 0x02, 0x11, 0x05]),
        (bytes(UID_BYTES) if eeprom.random_id else eeprom.uid) + PRODUCTION,
    ]
    whole = chip.sealed(b"".join(frames), MAC)
    chip.frames = [frames[1], frames[2] + whole[sum(map(len, frames)) :]]
    return frames[0], MORE


def _get_uid(chip: Chip, data: bytes) -> Answer:
    if chip.opened(0x51, b"", data, FULL):
        raise ChipRefusal(LENGTH_ERROR)
    return chip.sealed(chip.eeprom.uid, FULL), OK


def _read_signature(chip: Chip, data: bytes) -> Answer:
    """Free, except of a chip that hides its UID."""
    if chip.session is None and chip.eeprom.random_id:
        raise ChipRefusal(AUTHENTICATION_ERROR)
    header, body = _split(data, 1)
    if chip.opened(0x3C, header, body, _full_if_authenticated(chip)):
        raise ChipRefusal(LENGTH_ERROR)
    if header != b"\0":
        raise ChipRefusal(PARAMETER_ERROR)
    return chip.sealed(tag_signature.sign_424(chip.eeprom.uid), FULL, SIGNATURE_OK), SIGNATURE_OK


def _tamper_status(chip: Chip, data: bytes) -> Answer:
    right = chip.eeprom.tamper_right
    if right == NEVER:
        raise ChipRefusal(PERMISSION_DENIED)
    if right not in (FREE, chip.key_number):
        raise ChipRefusal(AUTHENTICATION_ERROR)
    if chip.opened(0xF7, b"", data, _full_if_authenticated(chip)):
        raise ChipRefusal(LENGTH_ERROR)
    return chip.sealed(chip.tamper_status(), FULL), OK


def _set_configuration(chip: Chip, data: bytes) -> Answer:
    header, body = _split(data, 1)
    _need_master_key(chip)
    plain = chip.opened(0x5C, header, body, FULL)
    eeprom = chip.eeprom
    sizes = {0x00: 1, 0x04: 2, 0x05: 10, 0x0A: 5, 0x0B: 1} | ({0x07: 2} if eeprom.tag_tamper else {})
    if header[0] not in sizes:
        raise ChipRefusal(PARAMETER_ERROR)
    if len(plain) != sizes[header[0]]:
        raise ChipRefusal(LENGTH_ERROR)
    _configure(chip, header[0], plain)
    return chip.sealed(b"", FULL), OK


def _configure(chip: Chip, option: int, plain: bytes) -> None:
    """What can be enabled stays so for ever: random ID, LRP, tamper detection."""
    eeprom = chip.eeprom
    if option == 0x00:
        if plain[0] & ~0x02:
            raise ChipRefusal(PARAMETER_ERROR)
        eeprom.random_id |= bool(plain[0] & 0x02)
    elif option == 0x05:
        eeprom.capabilities = plain[8:]
        if plain[4] & 0x02 and not eeprom.lrp:
            eeprom.lrp = True
            for file in eeprom.files:
                file.settings.mirroring = None
                file.settings.option &= ~0x40
    elif option == 0x07:
        if plain[0] & ~0x01 or KEYS <= plain[1] < FREE or plain[1] > NEVER:
            raise ChipRefusal(PARAMETER_ERROR)
        eeprom.tamper_enabled |= bool(plain[0] & 0x01)
        eeprom.tamper_right = plain[1]
    elif option == 0x0A:
        limit = int.from_bytes(plain[1:3], "little")
        if plain[0] & 1 and limit == 0:
            raise ChipRefusal(PARAMETER_ERROR)
        eeprom.counts_failures = bool(plain[0] & 1)
        if eeprom.counts_failures:
            eeprom.failures_limit, eeprom.failures_decrement = limit, int.from_bytes(plain[3:], "little")
    elif option == 0x0B:
        eeprom.strong_modulation = bool(plain[0] & 1)


# --- keys


def _change_key(chip: Chip, data: bytes) -> Answer:
    """Key 0: new key and version. Others: new XOR old, version, CRC-32 of the new key. Changing key 0 logs out."""
    header, body = _split(data, 1)
    number = header[0]
    if number >= KEYS:
        raise ChipRefusal(NO_SUCH_KEY)
    _need_master_key(chip)
    if len(body) != 32 + MAC_BYTES:
        raise ChipRefusal(LENGTH_ERROR)
    plain = chip.opened(0xC4, header, body, FULL)
    key, version = plain[:KEY_BYTES], plain[KEY_BYTES : KEY_BYTES + 1]
    if number:
        key = bytes(a ^ b for a, b in zip(key, chip.eeprom.keys[number], strict=False))
    if plain[KEY_BYTES + 1 :] != (crc32_of_key(key) if number else b"") or not version:
        raise ChipRefusal(INTEGRITY_ERROR)
    chip.eeprom.keys[number], chip.eeprom.versions[number] = key, version[0]
    chip.eeprom.failures[number] = 0
    if number == 0:
        chip.forget()
    return chip.sealed(b"", FULL), OK


def _get_key_version(chip: Chip, data: bytes) -> Answer:
    header, body = _split(data, 1)
    if chip.opened(0x64, header, body, MAC):
        raise ChipRefusal(LENGTH_ERROR)
    if header[0] >= KEYS:
        raise ChipRefusal(NO_SUCH_KEY)
    return chip.sealed(bytes([chip.eeprom.versions[header[0]]]), MAC), OK


# --- files


def _get_file_settings(chip: Chip, data: bytes) -> Answer:
    header, body = _split(data, 1)
    file = _file(chip, header[0])
    if chip.opened(0xF5, header, body, MAC):
        raise ChipRefusal(LENGTH_ERROR)
    return chip.sealed(file.described(), MAC), OK


def _change_file_settings(chip: Chip, data: bytes) -> Answer:
    """Enabling mirroring starts its counter at 0; while it stays on, the counter goes on."""
    header, body = _split(data, 1)
    file = _file(chip, header[0])
    if file.settings.change == NEVER:
        raise ChipRefusal(PERMISSION_DENIED)
    if file.settings.change not in (FREE, chip.key_number):
        raise ChipRefusal(AUTHENTICATION_ERROR)
    mode = PLAIN if file.settings.change == FREE else FULL
    new = Settings.from_bytes(chip.opened(0x5F, header, body, mode))
    check(new, file, chip.eeprom.lrp, chip.eeprom.tag_tamper)
    if new.mirroring is not None and file.settings.mirroring is None:
        file.counter = 0
    file.settings = new
    return chip.sealed(b"", mode), OK


def _get_file_counters(chip: Chip, data: bytes) -> Answer:
    header, body = _split(data, 1)
    file = _file(chip, header[0])
    right = file.settings.mirroring.counter_read if file.settings.mirroring else NEVER
    if right == NEVER:
        raise ChipRefusal(PERMISSION_DENIED)
    if right not in (FREE, chip.key_number):
        raise ChipRefusal(AUTHENTICATION_ERROR)
    if chip.opened(0xF6, header, body, _full_if_authenticated(chip)):
        raise ChipRefusal(LENGTH_ERROR)
    return chip.sealed(file.counter.to_bytes(3, "little") + bytes(2), FULL), OK


def _read_data(chip: Chip, data: bytes) -> Answer:
    header, body = _split(data, 7)
    file, offset, length = _span(chip, header)
    settings = file.settings
    mirrored = settings.mirroring is not None and settings.mirroring.file_read < KEYS and chip.session is None
    mode = PLAIN if mirrored else _mode(chip, file, settings.read, settings.read_write)
    if chip.opened(0xAD, header, body, mode):
        raise ChipRefusal(LENGTH_ERROR)
    length = length or len(file.data) - offset
    if length <= 0 or offset + length > len(file.data):
        raise ChipRefusal(BOUNDARY_ERROR)
    image = bytes(file.data) if chip.session is not None else chip.image("native", file)
    content = chip.sealed(image[offset : offset + length], mode)
    if len(content) > MAX_RESPONSE_BYTES:
        raise ChipRefusal(LENGTH_ERROR)
    return content, OK


def _write_data(chip: Chip, data: bytes) -> Answer:
    header, body = _split(data, 7)
    file, offset, length = _span(chip, header)
    mode = _mode(chip, file, file.settings.write, file.settings.read_write)
    plain = chip.opened(0x8D, header, body, mode)
    if not length or len(plain) != length:
        raise ChipRefusal(LENGTH_ERROR)
    if offset + length > len(file.data):
        raise ChipRefusal(BOUNDARY_ERROR)
    file.data[offset : offset + length] = plain
    return chip.sealed(b"", mode), OK


# --- common


def _split(data: bytes, size: int) -> tuple[bytes, bytes]:
    if len(data) < size:
        raise ChipRefusal(LENGTH_ERROR)
    return data[:size], data[size:]


def _span(chip: Chip, header: bytes) -> tuple[File, int, int]:
    file = _file(chip, header[0])
    return file, int.from_bytes(header[1:4], "little"), int.from_bytes(header[4:7], "little")


def _file(chip: Chip, number: int) -> File:
    if not chip.in_application:
        raise ChipRefusal(PERMISSION_DENIED)
    file = chip.file(number)
    if file is None:
        raise ChipRefusal(FILE_NOT_FOUND)
    return file


def _mode(chip: Chip, file: File, *rights: int) -> int:
    """How a granted access is protected: as the file says when a key grants it, not at all when it is free."""
    if chip.key_number is not None and chip.key_number in rights:
        return file.settings.mode
    if FREE in rights:
        return PLAIN
    raise ChipRefusal(PERMISSION_DENIED if set(rights) == {NEVER} else AUTHENTICATION_ERROR)


def _full_if_authenticated(chip: Chip) -> int:
    return PLAIN if chip.session is None else FULL


def _need_master_key(chip: Chip) -> None:
    if chip.key_number != 0:
        raise ChipRefusal(AUTHENTICATION_ERROR)


COMMANDS = {
    0x71: _authenticate_first,
    0x77: _authenticate_next,
    0x60: _get_version,
    0x51: _get_uid,
    0x3C: _read_signature,
    0xF7: _tamper_status,
    0x5C: _set_configuration,
    0xC4: _change_key,
    0x64: _get_key_version,
    0xF5: _get_file_settings,
    0x5F: _change_file_settings,
    0xF6: _get_file_counters,
    0xAD: _read_data,
    0x8D: _write_data,
}

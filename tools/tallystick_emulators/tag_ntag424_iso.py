"""The ISO 7816-4 commands of NTAG 424 DNA (class byte 00h; data sheet NT4H2421Gx, 10.9)."""

from tallystick_emulators.errors import ChipRefusal
from tallystick_emulators.tag_ntag424_chip import Chip
from tallystick_emulators.tag_ntag424_files import FREE, KEYS, File

OK = 0x9000
WRONG_LENGTH, NOT_ALLOWED, NO_FILE, WRONG_PARAMETER, WRONG_LC = 0x6700, 0x6982, 0x6A82, 0x6A86, 0x6A87
CONDITIONS, UNKNOWN_COMMAND = 0x6985, 0x6D00
APPLICATION_NAME, PICC_NAME = bytes.fromhex("D2760000850101"), bytes.fromhex("D2760000850100")
APPLICATION_ID, PICC_ID = 0xE110, 0x3F00


def answer(chip: Chip, code: int, p1: int, p2: int, data: bytes, expected: int | None) -> tuple[bytes, int]:
    """Data and status word; `expected` is Le, 256 for 00h. A refusal leaves the authentication alone."""
    try:
        if chip.abort():
            raise ChipRefusal(CONDITIONS)
        if code == 0xA4:
            _select(chip, p1, p2, data)
            return b"", OK
        if code == 0xB0:
            return _read(chip, p1, p2, data, expected), OK
        if code == 0xD6:
            _update(chip, p1, p2, data)
            return b"", OK
        raise ChipRefusal(UNKNOWN_COMMAND)
    except ChipRefusal as refusal:
        status = refusal.status if refusal.status >> 8 != 0x91 else NOT_ALLOWED
        return b"", status


def _select(chip: Chip, p1: int, p2: int, data: bytes) -> None:
    """The application, the PICC level or a file. The first two end an authentication."""
    if p1 > 4 or p2 not in (0x00, 0x0C):
        raise ChipRefusal(WRONG_PARAMETER)
    if p1 == 4:
        if data not in (APPLICATION_NAME, PICC_NAME):
            raise ChipRefusal(NO_FILE)
        _enter(chip, data == APPLICATION_NAME)
        return
    if len(data) not in (0, 2) or (p1 == 3 and data) or (p1 in (1, 2) and not data):
        raise ChipRefusal(WRONG_LC)
    identifier = int.from_bytes(data) if data else PICC_ID
    if identifier == PICC_ID and p1 in (0, 3):
        _enter(chip, False)
    elif identifier == APPLICATION_ID and p1 in (0, 1):
        _enter(chip, True)
    else:
        file = next((one for one in chip.eeprom.files if one.iso_id == identifier), None)
        if file is None or p1 not in (0, 2) or not chip.in_application:
            raise ChipRefusal(NO_FILE)
        chip.selected = file


def _enter(chip: Chip, application: bool) -> None:
    chip.in_application, chip.selected = application, None
    chip.forget()


def _addressed(chip: Chip, p1: int, p2: int) -> tuple[File, int]:
    """File and offset: 15 bits of offset into the selected file, or a short file identifier and 8 bits."""
    if not p1 & 0x80:
        offset = p1 << 8 | p2
    else:
        if p1 & 0x60 or p1 & 0x1F == 0x1F:
            raise ChipRefusal(WRONG_PARAMETER)
        offset = p2
        if p1 & 0x1F:
            file = next((one for one in chip.eeprom.files if one.iso_id & 0x1F == p1 & 0x1F), None)
            if file is None or not chip.in_application:
                raise ChipRefusal(NO_FILE)
            chip.selected = file
    if chip.selected is None:
        raise ChipRefusal(CONDITIONS)
    return chip.selected, offset


def _read(chip: Chip, p1: int, p2: int, data: bytes, expected: int | None) -> bytes:
    file, offset = _addressed(chip, p1, p2)
    if expected is None or data:
        raise ChipRefusal(WRONG_LENGTH)
    settings = file.settings
    mirrored = settings.mirroring is not None and settings.mirroring.file_read < KEYS
    if chip.session is not None or not (FREE in (settings.read, settings.read_write) or mirrored):
        raise ChipRefusal(NOT_ALLOWED)
    if offset >= len(file.data):
        raise ChipRefusal(WRONG_PARAMETER)
    return chip.image("iso", file)[offset : offset + expected]


def _update(chip: Chip, p1: int, p2: int, data: bytes) -> None:
    file, offset = _addressed(chip, p1, p2)
    if not data or offset + len(data) > len(file.data):
        raise ChipRefusal(WRONG_LENGTH)
    if chip.session is not None or FREE not in (file.settings.write, file.settings.read_write):
        raise ChipRefusal(NOT_ALLOWED)
    file.data[offset : offset + len(data)] = data

"""Emulated NTAG 424 DNA and NTAG 424 DNA TagTamper, as their data sheets say: APDUs in, answers with status word out.

A pure state machine: the radio, ISO 14443-4 blocks and time are elsewhere. The delay after failed authentications is
left out. All writes of the chip are whole or not at all, but for data longer than one radio frame (10.8.2).
"""

import secrets

from tallystick_emulators import tag_ntag424_iso as iso
from tallystick_emulators import tag_ntag424_native as native
from tallystick_emulators.tag_field import Family
from tallystick_emulators.tag_ntag424_chip import Chip, Random
from tallystick_emulators.tag_ntag424_eeprom import UID_BYTES, Eeprom
from tallystick_emulators.tag_ntag424_files import PARAMETER_ERROR

ANSWER_TO_SELECT = bytes.fromhex("067777710280")  # ATS: frames of 128 bytes to the tag
FRAME_BYTES = 128 - 3  # what one frame carries of a command
WRONG_CLASS = 0x6E00


class Ntag424:
    """One tag. `random` replaces the chip's random numbers, for known answers."""

    family: Family = "type4"

    def __init__(self, uid: bytes, tag_tamper: bool = False, random: Random = secrets.token_bytes) -> None:
        if len(uid) != UID_BYTES:
            raise ValueError(f"uid: {UID_BYTES} bytes")
        self._chip = Chip(Eeprom(uid, tag_tamper), random)
        self._active = False
        self._presented = uid

    @property
    def uid(self) -> bytes:
        return self._chip.eeprom.uid

    @property
    def presented_uid(self) -> bytes:
        return self._presented

    @property
    def loop_open(self) -> bool:
        """The tamper loop. The chip notices only when it is read, and then for ever."""
        return self._chip.loop_open

    @loop_open.setter
    def loop_open(self, is_open: bool) -> None:
        self._chip.loop_open = is_open

    def to_bytes(self) -> bytes:
        return self._chip.eeprom.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes, random: Random = secrets.token_bytes) -> "Ntag424":
        """The tag that was saved, without power; BadEeprom for anything else."""
        eeprom = Eeprom.from_bytes(data)
        tag = cls(eeprom.uid, eeprom.tag_tamper, random)
        tag._chip = Chip(eeprom, random)
        return tag

    def activate(self) -> None:
        self._chip.reset()
        self._active = True
        random_id = self._chip.eeprom.random_id
        self._presented = b"\x08" + self._chip.random(3) if random_id else self.uid

    def power_off(self) -> None:
        self._chip.reset()
        self._active = False

    def answer(self, command: bytes) -> bytes | None:
        """One APDU; anything that is none gets 6700h."""
        if not self._active:
            return None
        parts = _parse(command)
        if parts is None:
            return iso.WRONG_LENGTH.to_bytes(2)
        (cla, code, p1, p2), data, expected = parts
        self._chip.next_command({(0x00, 0xB0): "iso", (0x90, 0xAD): "native"}.get((cla, code), ""))
        if cla == 0x00:
            content, status = iso.answer(self._chip, code, p1, p2, data, expected)
        elif cla == 0x90:
            wrong = (p1, p2) != (0, 0)
            content, status = (b"", PARAMETER_ERROR) if wrong else native.answer(self._chip, code, data)
        else:
            content, status = b"", WRONG_CLASS
        return content + status.to_bytes(2)

    def answer_torn(self, command: bytes) -> None:
        """Nothing is written, except the first frame of a write to a file that needed more than one."""
        if len(command) <= FRAME_BYTES or command[1] not in (0x8D, 0xD6):
            return
        before = Eeprom.from_bytes(self.to_bytes())
        self.answer(command)
        for old, new in zip(before.files, self._chip.eeprom.files, strict=True):
            changed = [at for at, (a, b) in enumerate(zip(old.data, new.data, strict=True)) if a != b]
            if changed:
                header = 5 if command[1] == 0xD6 else 12
                start = int.from_bytes(command[2:4]) if command[1] == 0xD6 else int.from_bytes(command[6:9], "little")
                end = start + FRAME_BYTES - header
                new.data[end:] = old.data[end:]


def _parse(command: bytes) -> tuple[tuple[int, int, int, int], bytes, int | None] | None:
    """Header, data and Le (None when absent, 256 for 00h) of a short APDU; None when it is none."""
    if len(command) < 4:
        return None
    header = (command[0], command[1], command[2], command[3])
    body = command[4:]
    if len(body) <= 1:
        return header, b"", (body[0] or 256) if body else None
    data, rest = body[1 : 1 + body[0]], body[1 + body[0] :]
    if not body[0] or len(data) != body[0] or len(rest) > 1:
        return None
    return header, data, (rest[0] or 256) if rest else None

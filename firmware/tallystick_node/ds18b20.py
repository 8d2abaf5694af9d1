"""The Maxim DS18B20 temperature probe on 1-Wire, several on one bus (data sheet "DS18B20", revision 6).

The bus is micropython-lib's `onewire.OneWire`: reset, bits and bytes. The search, the checksums and the meaning are
here: its `ds18x20` answers in floats, takes a bus that is shorted for 0 degrees, and believes the power-on value.
"""

import time

from tallystick_node import sensor
from tallystick_node.errors import SensorError
from tallystick_node.sensor import Channel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Wire(Protocol):
        """As onewire.OneWire."""

        def reset(self) -> bool:
            """Whether somebody is there; a line that is tied to ground looks like somebody."""

        def readbit(self) -> int: ...
        def readbyte(self) -> int: ...
        def writebit(self, value: int) -> None: ...
        def writebyte(self, value: int) -> None: ...


FAMILY = 0x28
SEARCH_ROM, MATCH_ROM, SKIP_ROM = 0xF0, 0x55, 0xCC
CONVERT, READ_SCRATCHPAD, READ_POWER_SUPPLY = 0x44, 0xBE, 0xB4
ROM_BYTES = 8
SCRATCHPAD_BYTES = 9
CONVERT_MS = 750  # table 2: at most, with 12 bits
POLL_MS = 10
POWER_ON_RAW = 0x0550  # 85 degrees: what it says before its first conversion, and when one failed for lack of power
CONFIG_ONES, CONFIG_MASK = 0x1F, 0x9F  # figure 10: these bits of byte 4 are fixed; a shorted line has none of them

SHORT = "short"
POWER_ON_VALUE = "power-on value"
NO_POWER = "no power"  # fed by the data line, and nobody who can hold it up
WHICH = "which probe"  # several on the bus, and nobody said which one is called p

NAMES = ("p", "pb", "pc", "pd")
MAX_DEVICES = 16  # so many answers to a search are read; noise must not make it endless

# Page 1 of the data sheet, and what a probe in a steel tube can follow: from air into ice water, half of the way in
# about half a minute. Its noise is below its step of 1/16 degree, and goods hold a temperature for hours: the same
# number again and again is no fault here.
LOWEST_CENTI_CELSIUS, HIGHEST_CENTI_CELSIUS = -5500, 12500
CENTI_CELSIUS_PER_MINUTE = 3000
NOISE_CENTI_CELSIUS = 50


class Probes:
    """The probes on one bus. `roms` says which is which, by name; without it there must be only one, and it is p.

    `pull_up(on)` holds the line up strongly while probes convert that are fed by it (parasite power).
    """

    def __init__(
        self,
        wire: "Wire",
        roms: "dict[str, bytes] | None" = None,
        pull_up: "Callable[[bool], None] | None" = None,
        pause_ms: "Callable[[int], None] | None" = None,
    ) -> None:
        self._wire = wire
        self._roms = roms or {}
        self._pull_up = pull_up
        self._pause_ms = pause_ms or _sleep_ms
        self._fresh: "set[str]" = set()  # whose last conversion nobody has read yet

    def channels(self) -> "list[Channel]":
        return [self._channel(name) for name in NAMES if name in (self._roms or ("p",))]

    def _channel(self, name: str) -> Channel:
        return Channel(
            name,
            lambda: self._read(name),
            LOWEST_CENTI_CELSIUS,
            HIGHEST_CENTI_CELSIUS,
            noise=NOISE_CENTI_CELSIUS,
            per_minute=CENTI_CELSIUS_PER_MINUTE,
        )

    def _read(self, name: str) -> int:
        rom = self._roms.get(name) or only(search(self._wire))
        if name not in self._fresh:  # the first one asked converts for all
            self._convert()
            self._fresh = set(self._roms or (name,))
        self._fresh.remove(name)
        try:
            return centi_celsius(self._scratchpad(rom))
        except SensorError as error:
            if str(error) == POWER_ON_VALUE:
                raise  # reading it again would not measure again
            return centi_celsius(self._scratchpad(rom))

    def _convert(self) -> None:
        self._check_line()
        self._say(SKIP_ROM, READ_POWER_SUPPLY)
        fed_by_line = not self._wire.readbit()  # one that is fed by the line pulls it down
        if fed_by_line and self._pull_up is None:
            raise SensorError(NO_POWER)
        self._say(SKIP_ROM, CONVERT)
        if fed_by_line and self._pull_up is not None:
            self._pull_up(True)
            self._pause_ms(CONVERT_MS)
            self._pull_up(False)
        else:
            self._await_conversion()

    def _check_line(self) -> None:
        """Nobody may hold the line down while nobody was asked: a strong pull-up would burn."""
        self._say()
        if not self._wire.readbit():
            raise SensorError(SHORT)

    def _await_conversion(self) -> None:
        for _ in range(CONVERT_MS // POLL_MS + 1):
            if self._wire.readbit():
                return
            self._pause_ms(POLL_MS)
        raise SensorError(sensor.NO_ANSWER)

    def _scratchpad(self, rom: bytes) -> bytes:
        self._say(MATCH_ROM)
        for byte in rom:
            self._wire.writebyte(byte)
        self._wire.writebyte(READ_SCRATCHPAD)
        return bytes([self._wire.readbyte() for _ in range(SCRATCHPAD_BYTES)])

    def _say(self, *commands: int) -> None:
        if not self._wire.reset():
            raise SensorError(sensor.NO_ANSWER)
        for command in commands:
            self._wire.writebyte(command)


def centi_celsius(scratchpad: bytes) -> int:
    """Hundredths of a degree, rounded down; SensorError when it is no measurement."""
    if not any(scratchpad):
        raise SensorError(SHORT)  # its checksum is right
    if min(scratchpad) == 0xFF:
        raise SensorError(sensor.NO_ANSWER)
    if len(scratchpad) != SCRATCHPAD_BYTES or crc8(scratchpad) != 0 or scratchpad[4] & CONFIG_MASK != CONFIG_ONES:
        raise SensorError(sensor.BAD_CHECKSUM)
    raw = scratchpad[1] << 8 | scratchpad[0]
    if raw == POWER_ON_RAW:
        raise SensorError(POWER_ON_VALUE)
    undefined_bits = 3 - (scratchpad[4] >> 5 & 3)  # at 9, 10 and 11 bits the lowest ones mean nothing
    signed = raw - (1 << 16) if raw & 1 << 15 else raw
    return (signed >> undefined_bits << undefined_bits) * 25 // 4


def only(roms: "list[bytes]") -> bytes:
    """The one probe on the bus."""
    probes = [rom for rom in roms if rom[0] == FAMILY]
    if not probes:
        raise SensorError(sensor.NO_ANSWER)
    if len(probes) > 1:
        raise SensorError(WHICH)
    return probes[0]


def search(wire: "Wire") -> "list[bytes]":
    """The ROM ids of all that answer, at most MAX_DEVICES, whose checksum fits (Maxim application note 187)."""
    found: "list[bytes]" = []
    rom, fork = 0, -1
    for _ in range(MAX_DEVICES):
        rom, fork = _descend(wire, rom, fork)
        data = rom.to_bytes(ROM_BYTES, "little")
        if not rom:
            raise SensorError(SHORT)  # a line that is down; its checksum is right
        if crc8(data) == 0:
            found.append(data)
        if fork < 0:
            break
    return found


def _descend(wire: "Wire", guide: int, fork: int) -> "tuple[int, int]":
    """One way through the tree of ids: like `guide` before bit `fork`, 1 there, 0 wherever there is a choice behind it.

    Returns the id and the last bit at which there was a choice and 0 was taken, -1 for none.
    """
    if not wire.reset():
        raise SensorError(sensor.NO_ANSWER)
    wire.writebyte(SEARCH_ROM)
    rom, next_fork = 0, -1
    for bit in range(8 * ROM_BYTES):
        is_one, is_zero = wire.readbit(), wire.readbit()  # each device: its bit, then the opposite; 0 wins
        if is_one and is_zero:
            raise SensorError(sensor.NO_ANSWER)
        if is_one != is_zero:
            chosen = is_one
        else:
            chosen = guide >> bit & 1 if bit < fork else int(bit == fork)
            if not chosen:
                next_fork = bit
        wire.writebit(chosen)
        rom |= chosen << bit
    return rom, next_fork


def crc8(data: bytes) -> int:
    """Of Maxim's application note 27: 0 over data with its checksum."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8C if crc & 1 else 0)
    return crc


def _sleep_ms(duration_ms: int) -> None:
    time.sleep(duration_ms / 1000)

"""A 1-Wire bus without hardware, and DS18B20 probes on it, time slot by time slot.

For computers and tests: the driver does not know. Nothing of it is installed on a board.
"""

from tallystick_node import ds18b20

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

ALARM_HIGH, ALARM_LOW = 0x4B, 0x46  # bytes 2 and 3 as they leave the factory
WRITE_SCRATCHPAD = 0x4E

# What a device expects of the next slot.
_IDLE, _ROM_COMMAND, _SEARCH, _MATCH, _COMMAND, _TELL, _CONVERTING, _TAKE = range(8)


class EmulatedWire:
    """As onewire.OneWire. `is_shorted`: the line lies on ground. `pull_up` as ds18b20.Probes wants it."""

    def __init__(self, *devices: "EmulatedDs18b20") -> None:
        self.devices = list(devices)
        self.is_shorted = False
        self.burnt = 0  # times that a strong pull-up fed a short

    def reset(self) -> bool:
        present = [device.reset() for device in self.devices if device.is_there]
        return self.is_shorted or any(present)

    def readbit(self) -> int:
        """The line is the AND of everybody."""
        bits = [device.read_slot() for device in self.devices if device.is_there]
        return 0 if self.is_shorted or 0 in bits else 1

    def writebit(self, value: int) -> None:
        for device in self.devices:
            if device.is_there:
                device.write_slot(0 if self.is_shorted else value)

    def readbyte(self) -> int:
        return sum([self.readbit() << bit for bit in range(8)])

    def writebyte(self, value: int) -> None:
        for bit in range(8):
            self.writebit(value >> bit & 1)

    def pull_up(self, on: bool) -> None:
        self.burnt += on and self.is_shorted
        for device in self.devices:
            device.hold_up(on)


class EmulatedDs18b20:
    """`feel()` gives hundredths of a degree at the moment of a conversion.

    Faults: `is_there` False; `is_parasite`: fed by the line; `flips`: a bit of the scratchpad to flip for each time it
    is read; `loses_power` in every conversion; power_cycle(); `is_busy_for_ever`.
    """

    def __init__(self, serial: int, feel: "Callable[[], int]", now_ms: "Callable[[], int]", bits: int = 12) -> None:
        body = bytes([ds18b20.FAMILY]) + serial.to_bytes(6, "little")
        self.rom = body + bytes([ds18b20.crc8(body)])
        self.is_there = True
        self.is_parasite = False
        self.is_busy_for_ever = False
        self.loses_power = False
        self.flips: "list[int]" = []
        self.conversions = 0
        self._feel = feel
        self._now_ms = now_ms
        self._bits = bits
        self._held_up = False
        self.power_cycle()

    def power_cycle(self) -> None:
        self._raw = ds18b20.POWER_ON_RAW
        self._expects = _IDLE
        self._done_ms = 0
        self._coming: "int | None" = None  # the raw value of the conversion under way
        self._slots: "list[int]" = []

    @property
    def scratchpad(self) -> bytes:
        raw = self._raw & 0xFFFF
        body = bytes([raw & 0xFF, raw >> 8, ALARM_HIGH, ALARM_LOW, (self._bits - 9) << 5 | 0x1F, 0xFF, 0x0C, 0x10])
        return body + bytes([ds18b20.crc8(body)])

    def reset(self) -> bool:
        """Presence. A conversion under way goes on, but for one that was fed by the line."""
        self._finish()
        self._expect(_ROM_COMMAND)
        return True

    def read_slot(self) -> int:
        if self._expects == _SEARCH:
            return self._search_bit()
        if self._expects == _TELL:
            return self._slots.pop(0) if self._slots else 1
        if self._expects == _CONVERTING:
            self._finish()
            return int(self.is_parasite or (self._coming is None and not self.is_busy_for_ever))
        self.write_slot(1)  # to a device that listens, the slot of a read is that of a 1
        return 1

    def write_slot(self, bit: int) -> None:
        if self._expects == _SEARCH:
            self._take_direction(bit)
        elif self._expects not in (_IDLE, _TELL, _CONVERTING):
            self._slots.append(bit)
            wanted = {_MATCH: 8 * ds18b20.ROM_BYTES, _TAKE: 24}.get(self._expects, 8)
            if len(self._slots) == wanted:
                self._hear(sum([one << place for place, one in enumerate(self._slots)]))

    def hold_up(self, on: bool) -> None:
        self._finish()
        self._held_up = on

    def _expect(self, what: int, slots: "list[int] | None" = None) -> None:
        self._expects = what
        self._slots = slots or []

    def _hear(self, value: int) -> None:
        if self._expects == _ROM_COMMAND:
            commands = {ds18b20.SEARCH_ROM: _SEARCH, ds18b20.MATCH_ROM: _MATCH, ds18b20.SKIP_ROM: _COMMAND}
            self._expect(commands.get(value, _IDLE))
        elif self._expects == _MATCH:
            self._expect(_COMMAND if value == int.from_bytes(self.rom, "little") else _IDLE)
        elif self._expects == _TAKE:
            self._bits = (value >> 21 & 3) + 9
            self._expect(_IDLE)
        elif value == ds18b20.CONVERT:
            self._convert()
        elif value == ds18b20.READ_SCRATCHPAD:
            told = int.from_bytes(self.scratchpad, "little") ^ (self.flips.pop(0) if self.flips else 0)
            self._expect(_TELL, [told >> bit & 1 for bit in range(8 * ds18b20.SCRATCHPAD_BYTES)])
        elif value == ds18b20.READ_POWER_SUPPLY:
            self._expect(_TELL, [int(not self.is_parasite)] * 8)
        else:
            self._expect(_TAKE if value == WRITE_SCRATCHPAD else _IDLE)

    def _convert(self) -> None:
        self.conversions += 1
        self._coming = self._feel() * 16 // 100 >> (12 - self._bits) << (12 - self._bits)
        self._done_ms = self._now_ms() + (ds18b20.CONVERT_MS >> (12 - self._bits)) - 1
        self._expect(_CONVERTING)

    def _finish(self) -> None:
        """Take over a conversion whose time is over; without power in the meantime there is the power-on value."""
        if self._coming is None:
            return
        starved = self.loses_power or (self.is_parasite and not self._held_up)
        if starved and self._now_ms() > self._done_ms - (ds18b20.CONVERT_MS >> (12 - self._bits)) + 1:
            self._raw, self._coming = ds18b20.POWER_ON_RAW, None
        elif self._now_ms() >= self._done_ms:
            self._raw, self._coming = self._coming, None

    def _search_bit(self) -> int:
        """The slots of a search come in threes: my bit, its opposite, the way that is taken."""
        step = len(self._slots)
        mine = int.from_bytes(self.rom, "little") >> step // 3 & 1
        self._slots.append(mine)
        return mine if step % 3 == 0 else 1 - mine

    def _take_direction(self, bit: int) -> None:
        mine = self._slots[-1] if self._slots else -1
        self._slots.append(bit)
        if bit != mine:
            self._expect(_IDLE)
        elif len(self._slots) == 3 * 8 * ds18b20.ROM_BYTES:
            self._expect(_COMMAND)

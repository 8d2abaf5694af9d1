"""The emulated chips against their data sheets, byte by byte and without our drivers: two wrongs must not agree."""

import pytest

from tallystick_node.emulated_i2c import EmulatedI2c, EmulatedSht3x
from tallystick_node.emulated_onewire import EmulatedDs18b20, EmulatedWire


class Clock:
    def __init__(self) -> None:
        self.now_ms = 0

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


# --- SHT3x: commands of chapter 4


class TestSht3x:
    @pytest.fixture
    def bus(self, clock: Clock) -> EmulatedI2c:
        return EmulatedI2c(EmulatedSht3x(lambda: (2500, 40), clock))

    def test_a_measurement(self, bus: EmulatedI2c, clock: Clock) -> None:
        bus.writeto(0x44, b"\x24\x00")
        clock.now_ms += 16
        assert bus.readfrom(0x44, 6).hex() == "666693" * 2, "25 degrees and 40 % are 6666, whose checksum is 93"

    def test_no_acknowledge_while_it_measures(self, bus: EmulatedI2c, clock: Clock) -> None:
        bus.writeto(0x44, b"\x24\x00")
        clock.now_ms += 14
        with pytest.raises(OSError, match=r"^\d+$"):
            bus.readfrom(0x44, 6)
        with pytest.raises(OSError, match=r"^\d+$"):
            bus.writeto(0x44, b"\xf3\x2d")
        clock.now_ms += 1
        assert len(bus.readfrom(0x44, 6)) == 6

    def test_an_answer_is_given_once(self, bus: EmulatedI2c, clock: Clock) -> None:
        bus.writeto(0x44, b"\x24\x00")
        clock.now_ms += 16
        bus.readfrom(0x44, 6)
        with pytest.raises(OSError, match=r"^\d+$"):
            bus.readfrom(0x44, 6)

    def test_the_status_register(self, bus: EmulatedI2c, clock: Clock) -> None:
        def status() -> int:
            bus.writeto(0x44, b"\xf3\x2d")
            return int.from_bytes(bus.readfrom(0x44, 3)[:2], "big")

        assert status() == 0x8010, "alert pending and reset detected, as after every power-on"
        bus.writeto(0x44, b"\x30\x41")
        assert status() == 0
        bus.writeto(0x44, b"\x30\x6d")
        assert status() == 1 << 13, "the heater is on"
        bus.writeto(0x44, b"\x30\x66")
        assert status() == 0
        bus.writeto(0x44, b"\x30\xa2")
        clock.now_ms += 2
        assert status() == 0x8010, "a soft reset"

    def test_what_it_does_not_know_it_does_not_acknowledge(self, bus: EmulatedI2c) -> None:
        with pytest.raises(OSError, match=r"^\d+$"):
            bus.writeto(0x44, b"\x12\x34")
        with pytest.raises(OSError, match=r"^\d+$"):
            bus.writeto(0x45, b"\x24\x00")


# --- DS18B20: figures 10 to 16


def say(wire: EmulatedWire, *data: int) -> bool:
    present = wire.reset()
    for byte in data:
        for bit in range(8):
            wire.writebit(byte >> bit & 1)
    return present


def hear(wire: EmulatedWire, count: int) -> bytes:
    return bytes([sum(wire.readbit() << bit for bit in range(8)) for _ in range(count)])


class TestDs18b20:
    @pytest.fixture
    def chip(self, clock: Clock) -> EmulatedDs18b20:
        return EmulatedDs18b20(0x0316821D64FF, lambda: 2500, clock)

    @pytest.fixture
    def wire(self, chip: EmulatedDs18b20) -> EmulatedWire:
        return EmulatedWire(chip)

    def test_nobody_there(self) -> None:
        assert not EmulatedWire().reset()
        assert hear(EmulatedWire(), 2) == b"\xff\xff"

    def test_the_scratchpad_after_power_on(self, wire: EmulatedWire) -> None:
        """As every user of this chip has seen it once."""
        assert say(wire, 0xCC, 0xBE)
        assert hear(wire, 9).hex(" ") == "50 05 4b 46 7f ff 0c 10 1c"

    def test_a_conversion_takes_its_time(self, wire: EmulatedWire, clock: Clock) -> None:
        say(wire, 0xCC, 0x44)
        assert wire.readbit() == 0
        clock.now_ms += 700
        assert wire.readbit() == 0
        say(wire, 0xCC, 0xBE)
        assert hear(wire, 2) == b"\x50\x05", "not yet"
        say(wire, 0xCC, 0x44)
        clock.now_ms += 750
        assert wire.readbit() == 1
        say(wire, 0xCC, 0xBE)
        assert hear(wire, 2) == b"\x90\x01", "25 degrees"

    def test_match_rom(self, wire: EmulatedWire, chip: EmulatedDs18b20) -> None:
        say(wire, 0x55, *chip.rom, 0xBE)
        assert hear(wire, 2) == b"\x50\x05"
        say(wire, 0x55, *chip.rom[:-1], chip.rom[-1] ^ 1, 0xBE)
        assert hear(wire, 2) == b"\xff\xff"

    def test_search_rom_tells_each_bit_and_its_opposite(self, wire: EmulatedWire, chip: EmulatedDs18b20) -> None:
        say(wire, 0xF0)
        found = 0
        for place in range(64):
            bit, opposite = wire.readbit(), wire.readbit()
            assert bit != opposite
            found |= bit << place
            wire.writebit(bit)
        assert found.to_bytes(8, "little") == chip.rom
        assert chip.rom[0] == 0x28

    def test_two_chips_collide_as_zeros(self, chip: EmulatedDs18b20, clock: Clock) -> None:
        wire = EmulatedWire(chip, EmulatedDs18b20(0x0316821D64FE, lambda: 0, clock))
        say(wire, 0xF0)
        for place in range(8):  # the family is the same
            wire.writebit(wire.readbit() & (1 - wire.readbit()))
            assert place < 8
        assert (wire.readbit(), wire.readbit()) == (0, 0)
        wire.writebit(1)  # the second one drops out
        assert (wire.readbit(), wire.readbit()) == (1, 0)

    def test_power_supply(self, wire: EmulatedWire, chip: EmulatedDs18b20) -> None:
        say(wire, 0xCC, 0xB4)
        assert wire.readbit() == 1
        chip.is_parasite = True
        say(wire, 0xCC, 0xB4)
        assert wire.readbit() == 0

    def test_starved_by_the_line_it_falls_back_to_its_power_on_value(
        self, wire: EmulatedWire, chip: EmulatedDs18b20, clock: Clock
    ) -> None:
        say(wire, 0xCC, 0x44)
        clock.now_ms += 750
        chip.is_parasite = True
        for held_up, expected in ((True, b"\x90\x01"), (False, b"\x50\x05")):
            say(wire, 0xCC, 0x44)
            wire.pull_up(held_up)
            clock.now_ms += 750
            wire.pull_up(False)
            say(wire, 0xCC, 0xBE)
            assert hear(wire, 2) == expected

    def test_resolution(self, wire: EmulatedWire, clock: Clock) -> None:
        say(wire, 0xCC, 0x4E, 0x4B, 0x46, 0x1F)
        say(wire, 0xCC, 0x44)
        clock.now_ms += 94
        assert wire.readbit() == 1, "9 bits take an eighth of the time"

    def test_a_shorted_line(self, wire: EmulatedWire) -> None:
        wire.is_shorted = True
        assert say(wire, 0xCC, 0xBE), "looks like somebody"
        assert hear(wire, 9) == bytes(9)

"""Readers: one that vanishes is opened again; raw commands through PC/SC readers of every kind."""

from collections.abc import Callable

import pytest
from personalise_support import UID

from tallystick_provisioning import nfc_open
from tallystick_provisioning.errors import ReaderLost, TagAnswerError
from tallystick_provisioning.nfc import Tag
from tallystick_provisioning.nfc_pcsc import PcscTag, _objects
from tallystick_provisioning.nfc_steady import HEARTBEAT_S, MAX_PAUSE_S, SteadyReader

# --- the reader that stays


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Antenna:
    """A reader that a test makes fail: `sense` runs what is planned."""

    name = "antenna"

    def __init__(self, clock: Clock, plan: Callable[[float], Tag | None]) -> None:
        self.clock, self.plan = clock, plan
        self.closed = False

    def sense(self, timeout_s: float = 2.0) -> Tag | None:
        return self.plan(timeout_s)

    def close(self) -> None:
        self.closed = True


class Tagged:
    uid = UID
    family = "type4"

    def transceive(self, command: bytes, timeout_s: float = 0.5) -> bytes:
        return b""


def test_a_reader_that_vanishes_is_opened_again_and_said_once() -> None:
    clock, said, opened = Clock(), list[str](), list[Antenna]()

    def gone(timeout_s: float) -> Tag | None:
        raise ReaderLost("unplugged")

    def found(timeout_s: float) -> Tag | None:
        return Tagged()  # type: ignore[return-value]

    def opener() -> Antenna:
        if 0 < len(opened) < 4:
            opened.append(Antenna(clock, gone))
            raise ReaderLost("not there yet")
        opened.append(Antenna(clock, gone if not opened else found))
        return opened[-1]

    reader = SteadyReader(opener, said.append, monotonic=clock, sleep=clock.sleep)
    assert reader.sense(60.0) is not None
    assert said == ["reader lost: unplugged; looking for it", "reader is back: antenna"]
    pauses = [pause for pause in clock.slept if pause >= 0.5]
    assert pauses == sorted(pauses)
    assert len(set(pauses)) == len(pauses) == 3
    assert opened[0].closed


def test_pauses_grow_to_a_limit_and_sense_keeps_its_time() -> None:
    clock = Clock()

    def never() -> Antenna:
        raise ReaderLost("none")

    reader = SteadyReader(never, lambda text: None, monotonic=clock, sleep=clock.sleep)
    assert reader.sense(300.0) is None
    assert max(clock.slept) == MAX_PAUSE_S
    assert clock.now < 301
    clock.slept.clear()
    assert reader.sense(1.0) is None
    assert clock.slept[0] <= 1.0


def test_a_slow_reader_is_opened_again() -> None:
    clock, said = Clock(), list[str]()
    readers: list[Antenna] = []

    def slow(timeout_s: float) -> Tag | None:
        clock.sleep(timeout_s * 5 + 5)
        return None

    def opener() -> Antenna:
        readers.append(Antenna(clock, slow))
        return readers[-1]

    reader = SteadyReader(opener, said.append, monotonic=clock, sleep=clock.sleep)
    assert reader.sense(1.0) is None
    assert said == ["reader lost: antenna became slow; looking for it"]
    assert readers[0].closed
    reader.sense(1.0)
    assert len(readers) == 2


def test_a_reader_that_sees_nothing_for_long_is_opened_anew_and_nothing_is_said() -> None:
    """A dead reader and an empty desk look the same."""
    clock, said = Clock(), list[str]()
    readers: list[Antenna] = []

    def nothing(timeout_s: float) -> Tag | None:
        clock.sleep(timeout_s)
        return None

    def opener() -> Antenna:
        readers.append(Antenna(clock, nothing))
        return readers[-1]

    reader = SteadyReader(opener, said.append, monotonic=clock, sleep=clock.sleep)
    while clock.now < 2.5 * HEARTBEAT_S:
        reader.sense(2.0)
    assert len(readers) == 3
    assert said == []
    reader.close()
    assert all(one.closed for one in readers)


@pytest.mark.parametrize("path", ["", "ttyUSB0", "bluetooth", "usb0"])
def test_unknown_readers_are_refused(path: str) -> None:
    with pytest.raises(ReaderLost, match="a reader is"):
        nfc_open.open_reader(path)


# --- PC/SC


class PseudoReader:
    """What a PC/SC reader answers to pseudo-APDUs; commands in hex."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def transmit(self, activation: int, command: bytes) -> bytes:
        self.asked.append(command.hex().upper())
        for start, answer in self.answers.items():
            if self.asked[-1].startswith(start.strip("_")):
                return bytes.fromhex(answer)
        return b"\x6a\x81"


def tag_behind(reader: PseudoReader) -> PcscTag:
    return PcscTag(reader, 1, UID, "type2")  # type: ignore[arg-type]


def test_reading_and_writing_by_pseudo_apdus() -> None:
    reader = PseudoReader(_FFB00004="00" * 16 + "9000", _FFB0=" 6300", _FFD600="9000")
    tag = tag_behind(reader)
    assert tag.transceive(b"\x30\x04") == bytes(16)
    assert tag.transceive(b"\x30\xff") == b"\x00"
    assert tag.transceive(bytes.fromhex("A20501020304")) == b"\x0a"
    assert reader.asked[-1] == "FFD600050401020304"


def test_raw_commands_by_direct_transmit() -> None:
    reader = PseudoReader(_FFC2="6A81", _FF0000="D54300" + "0004040201000F03" + "9000")
    tag = tag_behind(reader)
    assert tag.transceive(b"\x60") == bytes.fromhex("0004040201000F03")
    assert tag.transceive(b"\x60")
    assert reader.asked == ["FFC200010395016000", "FF00000003D44260", "FF00000003D44260"]


def test_raw_commands_by_transparent_exchange() -> None:
    reader = PseudoReader(_FFC2="C003009000" + "9708" + "0004040201000F03" + "9000")
    assert tag_behind(reader).transceive(b"\x60") == bytes.fromhex("0004040201000F03")


def test_a_reader_without_raw_commands_says_so() -> None:
    with pytest.raises(TagAnswerError, match="no raw commands"):
        tag_behind(PseudoReader()).transceive(b"\x60")


def test_objects_that_do_not_fit_are_left_out() -> None:
    assert _objects(bytes.fromhex("C003009000970100")) == {0xC0: bytes.fromhex("009000"), 0x97: b"\0"}
    assert _objects(b"\x97\x82\x01") == {}
    assert _objects(b"\x97") == {}

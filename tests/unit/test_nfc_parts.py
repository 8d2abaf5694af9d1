"""The parts below the personalisation: journal, links, pages, the reader that stays, PC/SC's ways."""

import os
import threading
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from personalise_support import CHIPS, HOST, ITEM, UID, order

from tallystick_provisioning import nfc_open, ntag21x, tag_link
from tallystick_provisioning.errors import JournalError, OrderError, ReaderLost, TagAnswerError
from tallystick_provisioning.item import item
from tallystick_provisioning.nfc import Tag
from tallystick_provisioning.nfc_pcsc import PcscTag, _objects
from tallystick_provisioning.nfc_steady import HEARTBEAT_S, MAX_PAUSE_S, SteadyReader
from tallystick_provisioning.ntag21x import LAYOUTS
from tallystick_provisioning.tag_journal import MAX_JOURNAL_BYTES, Journal
from tallystick_provisioning.tag_order import TYPE2_CHIPS, Chip
from tallystick_tools.tag_ntag21x_memory import MODELS

BEGIN = {"chip": "ntag424", "host": HOST, "gtin": ITEM.gtin, "serial": ITEM.serial, "version": 3}

# --- journal


def begun(folder: Path) -> Journal:
    journal = Journal(folder)
    journal.append(UID, "begin", **BEGIN)
    journal.append(UID, "key", number=1, old=0, new=3)
    return journal


def file_of(folder: Path) -> Path:
    return folder / "04A1B2C3D4E580.journal"


def test_journal_tells_what_was_begun(tmp_path: Path) -> None:
    history = begun(tmp_path / "new").history(UID)
    assert (history.stage, history.key_version, history.epoch) == ("writing", 3, 1)
    assert history.order == order("ntag424")
    assert history.keys == {1: {0, 3}}
    assert Journal(tmp_path / "new").uids() == [UID]
    assert Journal(tmp_path / "nowhere").uids() == []
    assert Journal(tmp_path / "nowhere").history(UID).stage == "new"


def test_stages_follow_the_events(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    for event, stage in [
        ("seal", "writing"),
        ("protect", "writing"),
        ("written", "written"),
        ("lock", "locking"),
        ("locked", "locked"),
        ("retire", "retiring"),
        ("retired", "retired"),
    ]:
        journal.append(UID, event)
        assert journal.history(UID).stage == stage
    other = begun(tmp_path / "other")
    for event, stage in [("reset", "resetting"), ("factory", "factory"), ("begin", "writing")]:
        other.append(UID, event, **(BEGIN if event == "begin" else {}))
        assert other.history(UID).stage == stage
    assert other.history(UID).epoch == 2
    assert other.history(UID).keys == {}


def test_torn_last_line_is_dropped_at_every_byte(tmp_path: Path) -> None:
    """A crash while a record is written: the tag has not heard of it."""
    begun(tmp_path)
    whole = file_of(tmp_path).read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    for cut in range(1, len(last)):
        file_of(tmp_path).write_bytes(whole[:-cut])
        journal = Journal(tmp_path)
        assert len(journal.records(UID)) == 1
        journal.append(UID, "key", number=2, old=0, new=3)
        assert [record["event"] for record in Journal(tmp_path).records(UID)] == ["begin", "key"]
    file_of(tmp_path).write_bytes(whole + b"\0" * 40)
    assert len(Journal(tmp_path).records(UID)) == 2


def test_any_flipped_byte_is_noticed(tmp_path: Path) -> None:
    """In the last line it looks like a torn one; elsewhere, line ends too, nothing is done any more."""
    journal = begun(tmp_path)
    journal.append(UID, "written", counter=1)
    whole = file_of(tmp_path).read_bytes()
    last = len(whole) - len(whole.splitlines(keepends=True)[-1])
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        file_of(tmp_path).write_bytes(damaged)
        if last <= at < len(whole) - 1:
            assert Journal(tmp_path).history(UID).stage == "writing"
            continue
        with pytest.raises(JournalError, match="damaged"):
            Journal(tmp_path).history(UID)
        with pytest.raises(JournalError, match="damaged"):
            Journal(tmp_path).append(UID, "written")


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "7",
        '{"event":"unknown"}',
        '{"event":"begin"}',
        '{"event":"key","number":1}',
        '{"event":"begin","chip":"x","host":"h","gtin":"1","serial":"2","version":1}',
        "[" * 2000,
    ],
    ids=["map", "list", "number", "unknown", "begin", "key", "chip", "deep"],
)
def test_a_line_with_a_right_checksum_and_a_wrong_text_is_not_believed(tmp_path: Path, text: str) -> None:
    line = f"{zlib.crc32(text.encode()):08x} {text}\n"
    begun(tmp_path)
    file_of(tmp_path).write_text(line + file_of(tmp_path).read_text())
    with pytest.raises(JournalError, match="line 1 is damaged"):
        Journal(tmp_path).history(UID)


def test_journal_is_bounded(tmp_path: Path) -> None:
    begun(tmp_path)
    with file_of(tmp_path).open("ab") as file:
        file.truncate(MAX_JOURNAL_BYTES + 1)
    with pytest.raises(JournalError, match="no journal of one tag"):
        Journal(tmp_path).history(UID)


def test_record_is_on_the_disk_before_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bytes] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name.encode())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    Journal(tmp_path / "folder").append(UID, "begin", **BEGIN)
    assert synced == [b"04A1B2C3D4E580.journal", b"folder"]


def test_two_programs_on_one_journal_take_turns(tmp_path: Path) -> None:
    begun(tmp_path)

    def append(number: int) -> None:
        for _ in range(20):
            Journal(tmp_path).append(UID, "key", number=number, old=0, new=3)

    threads = [threading.Thread(target=append, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Journal(tmp_path).records(UID)) == 2 + 4 * 20


def test_failed_append_says_that_nothing_was_done(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="nothing was done"):
        Journal(tmp_path / "file").append(UID, "begin", **BEGIN)


def test_journal_holds_no_key(tmp_path: Path) -> None:
    begun(tmp_path)
    assert file_of(tmp_path).stat().st_mode & 0o077 == 0
    assert set(Journal(tmp_path).records(UID)[1]) == {"event", "number", "old", "new"}


# --- links


@pytest.mark.parametrize("chip", CHIPS)
def test_longest_link_fits_and_one_more_does_not(chip: Chip) -> None:
    limit = tag_link.ROOM_BYTES[chip]
    long = replace(order(chip), item=item("09506000134352", "%" * 20), host="h")  # each % is written as three
    host = "h" * min(64, 1 + limit - len(tag_link.build(long).message))
    longest = tag_link.build(replace(long, host=host))
    assert len(longest.message) <= limit
    if chip == "ntag213":
        assert len(longest.message) == limit
        with pytest.raises(OrderError, match="larger tag"):
            tag_link.build(replace(long, host=host + "h"))


@pytest.mark.parametrize("chip", CHIPS)
def test_what_is_built_is_read_back(chip: Chip) -> None:
    for serial in ("1", "A/B", "%" * 20, 'x"!&\'()*+,-.:;<=>?_'):
        ordered = replace(order(chip), item=item("00012345600012", serial))
        read = tag_link.read_message(tag_link.build(ordered).message)
        assert tag_link.names(read, ordered.host, ordered.item)
        assert (read.p is None) == (chip in TYPE2_CHIPS)
        assert read.mac_input == (b"00&c=" if chip == "ntag424tt" else b"")
    assert not tag_link.names(read, "other.example", ordered.item)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://item.example/",
        "http://item.example/01/09506000134352/21/A?p=&c=",
        "https://item.example/01/0950600013435/21/A?p=&c=",
        "https://item.example/01/09506000134352/21/A",
        "https://item.example/01/09506000134352/21/A?c=&p=",
        "https://item.example/01/09506000134352/21/A?p=zz&c=",
        "https://item.example/01/09506000134352/21/A/B?p=&c=",
        "https://item.example/01/09506000134352/21/A?p=&c=#x",
        "https://item.example/01/09506000134352/21/" + "A" * 1000 + "?p=&c=",
    ],
)
def test_links_that_are_not_ours(url: str) -> None:
    with pytest.raises(TagAnswerError, match="no link of ours"):
        tag_link.parse(url)


@pytest.mark.parametrize("text", ["", "D1", "D101", "D10102550", "D1010255", "D101035504", "D101025500", "91010A5504"])
def test_damaged_messages_are_refused(text: str) -> None:
    with pytest.raises(TagAnswerError):
        tag_link.read_message(bytes.fromhex(text[: len(text) // 2 * 2]))


# --- pages of an NTAG21x


@pytest.mark.parametrize("chip", TYPE2_CHIPS)
def test_layouts_agree_with_the_emulated_models(chip: Chip) -> None:
    """Both were written from the data sheet, apart from each other."""
    layout, model = LAYOUTS[chip], MODELS[chip.upper()]
    assert (layout.dynamic_locks, layout.config, layout.capacity) == (
        model.dynamic_lock_page,
        model.cfg0,
        model.capacity,
    )
    assert layout.first_pages == model.first_pages
    assert ntag21x.layout_of(model.version) == layout
    assert int.from_bytes(layout.lock_bytes[:2], "little") == (1 << model.lock_bits) - 1


@pytest.mark.parametrize("chip", TYPE2_CHIPS)
def test_messages_of_every_length_come_back(chip: Chip) -> None:
    layout = LAYOUTS[chip]
    for length in range(tag_link.ROOM_BYTES[chip] + 1):
        message = bytes(index % 251 for index in range(length))
        pages = ntag21x.data_pages(layout, message)
        data = b"".join(pages)
        assert len(data) <= layout.data_bytes
        assert ntag21x.message_of(layout, data) == message
        start = ntag21x.message_start(layout, message) - 16
        assert data[start : start + length] == message


def test_memory_without_a_message() -> None:
    layout = LAYOUTS["ntag215"]
    for data in (b"", b"\xfe" * 16, b"\x03", b"\x03\x05ab", b"\x03\xff\x01", b"\x00" * 496):
        with pytest.raises(TagAnswerError):
            ntag21x.message_of(layout, data)


def test_unknown_version_has_no_layout() -> None:
    assert ntag21x.layout_of(bytes(8)) is None
    assert ntag21x.layout_of(b"") is None


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

"""The real backends on emulated tags: nfcpy over its udp driver, pyscard through a real pcscd with vpcd behind it."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from patience import PATIENCE_S
from pcsc_daemon import PcscDaemon
from personalise_support import CHIPS, EMULATED, OTHER_UID, UID, JobKeys, make_tag, order

from tallystick_chips import personalise
from tallystick_chips.personalise_desk import Desk
from tallystick_chips.tag_journal import Journal
from tallystick_chips.tag_order import Chip, TagOutcome
from tallystick_emulators.tag_field import Field
from tallystick_emulators.tag_udp import UdpTagServer
from tallystick_emulators.tag_vpcd import VpcdCard
from tallystick_provisioning.errors import ReaderLost, TagLost, TwoTags
from tallystick_provisioning.nfc import Reader
from tallystick_provisioning.nfc_nfcpy import NfcpyReader
from tallystick_provisioning.nfc_open import open_reader
from tallystick_provisioning.nfc_pcsc import PcscReader
from tallystick_provisioning.nfc_steady import SteadyReader


class Air:
    """A field with a real reader over it."""

    def __init__(self, reader: Reader, field: Field, folder: Path) -> None:
        self.reader, self.field = reader, field
        self.journal = Journal(folder)
        self.desk = Desk(reader, JobKeys(), self.journal, wait_s=PATIENCE_S, originality=EMULATED)

    def write(self, chip: Chip) -> TagOutcome:
        return personalise.write(self.desk, order(chip))

    def verify(self) -> TagOutcome:
        return personalise.verify(self.desk)

    def lock(self) -> TagOutcome:
        return personalise.lock(self.desk)

    def recover(self) -> TagOutcome:
        return personalise.recover(self.desk)


@pytest.fixture
def udp(tmp_path: Path) -> Iterator[Air]:
    field = Field()
    with UdpTagServer(field) as server:
        reader = open_reader(server.path)
        assert isinstance(reader, NfcpyReader)
        yield Air(reader, field, tmp_path)
        reader.close()
        reader.close()


@pytest.fixture
def pcsc(pcsc_daemon: PcscDaemon, tmp_path: Path) -> Iterator[Air]:
    field = Field()
    with VpcdCard(field, pcsc_daemon.connect):
        reader = open_reader(f"pcsc:{pcsc_daemon.name}")
        assert isinstance(reader, PcscReader)
        yield Air(reader, field, tmp_path)
        reader.close()
        reader.close()


@pytest.fixture(params=["udp", "pcsc"])
def air(request: pytest.FixtureRequest) -> Air:
    found: Air = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("chip", CHIPS)
def test_a_tag_is_written_verified_and_locked(air: Air, chip: Chip) -> None:
    air.field.put(make_tag(chip))
    outcome = air.write(chip)
    assert (outcome.state, outcome.chip, outcome.uid, outcome.counter) == ("written", chip, UID, 1), outcome
    assert air.verify().state == "written"
    assert air.lock().state == "locked"
    assert air.verify().state == "locked"


def test_nobody_there(air: Air) -> None:
    assert air.reader.sense(0.0) is None


def test_contact_of_an_earlier_activation_is_void(air: Air) -> None:
    air.field.put(make_tag("ntag424"))
    first = air.reader.sense(PATIENCE_S)
    second = air.reader.sense(PATIENCE_S)
    assert first is not None
    assert second is not None
    assert (first.uid, first.family) == (second.uid, second.family) == (UID, "type4")
    with pytest.raises(TagLost):
        first.transceive(bytes.fromhex("9060000000"))
    assert second.transceive(bytes.fromhex("00A4040C07D276000085010100"))[-2:] == b"\x90\x00"


def test_two_tags_are_seen_on_air(udp: Air) -> None:
    for other in (OTHER_UID, bytes.fromhex("04FFEEDDCCBB80")):
        udp.field.remove()
        first, second = make_tag("ntag424"), make_tag("ntag424", other)
        udp.field.put(first)
        udp.field.put(second)
        with pytest.raises(TwoTags):
            udp.reader.sense(0.0)
        assert udp.write("ntag424").code == "two-tags"
        assert (first.to_bytes(), second.to_bytes()) == (
            make_tag("ntag424").to_bytes(),
            make_tag("ntag424", other).to_bytes(),
        )


@pytest.mark.parametrize("chip", ["ntag424", "ntag215"])
def test_tag_that_leaves_in_mid_write_is_recovered(air: Air, chip: Chip) -> None:
    tag = make_tag(chip)
    air.field.put(tag)
    air.field.cut(14, "after", "power")
    outcome = air.write(chip)
    assert (outcome.state, outcome.code) == ("unfinished", "lost"), outcome
    air.field.swap(tag)
    assert air.recover().state == "factory"
    assert air.write(chip).state == "written"


def test_a_reader_that_falls_out_is_opened_again(tmp_path: Path) -> None:
    """The port of the first reader is gone; the steady reader finds the second one on it."""
    said: list[str] = []
    field = Field(make_tag("ntag424"))
    server = UdpTagServer(field)
    port = server.port

    def open_it() -> Reader:
        if server.port != port:
            raise ReaderLost("not plugged in")
        return NfcpyReader(server.path)

    reader = SteadyReader(open_it, said.append)
    air = Air(reader, field, tmp_path)
    assert air.write("ntag424").state == "written"
    reader._reader.close()  # type: ignore[union-attr]  # as when its cable is pulled
    assert air.verify().state == "written"
    assert [line.split(":")[0] for line in said] == ["reader lost", "reader is back"]
    reader.close()
    server.close()


def test_readers_that_are_not_there() -> None:
    for path in ("usb:ffff:ffff", "tty:NOSUCH9:pn532"):
        with pytest.raises(ReaderLost):
            open_reader(path)


def test_pcsc_reader_that_is_not_there(pcsc_daemon: PcscDaemon) -> None:
    with pytest.raises(ReaderLost, match="no PC/SC reader named nobody"):
        open_reader("pcsc:nobody")


def test_sense_waits_for_a_tag(air: Air) -> None:
    began = time.monotonic()
    assert air.reader.sense(0.3) is None
    assert time.monotonic() - began >= 0.3
    air.field.put(make_tag("ntag215"))
    tag = air.reader.sense(PATIENCE_S)
    assert tag is not None
    assert (tag.uid, tag.family) == (UID, "type2")

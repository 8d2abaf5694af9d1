"""Emulated tags through a real pcscd, its virtual reader vpcd, and pyscard: what a PC/SC program sees."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE_S
from pcsc_daemon import VPCD_PORT, PcscDaemon
from smartcard.CardConnection import CardConnection
from smartcard.Exceptions import CardConnectionException, NoCardException
from smartcard.System import readers
from tag_client import APPLICATION, Ev2, ask

from tallystick_emulators.tag_field import Field
from tallystick_emulators.tag_ntag21x import Ntag21x
from tallystick_emulators.tag_ntag424 import Ntag424
from tallystick_emulators.tag_vpcd import VpcdCard

UID = bytes.fromhex("04A1B2C3D4E5F6")


@pytest.fixture
def field(pcsc_daemon: PcscDaemon) -> Iterator[Field]:
    empty = Field()
    with VpcdCard(empty, pcsc_daemon.connect):
        yield empty


class Card:
    """A pyscard connection that speaks like a tag of the tests' support."""

    def __init__(self, daemon: PcscDaemon) -> None:
        self._connection = connected(daemon)

    @property
    def atr(self) -> bytes:
        return bytes(self._connection.getATR())

    def answer(self, command: bytes) -> bytes:
        data, one, two = self._connection.transmit(list(command))
        return bytes([*data, one, two])

    def close(self) -> None:
        self._connection.disconnect()
        self._connection.release()


def connected(daemon: PcscDaemon) -> Any:
    """Once a card is there: pcscd looks for one a few times a second."""
    deadline = time.monotonic() + PATIENCE_S
    reader = next(one for one in readers() if str(one) == daemon.name)
    while True:
        connection = reader.createConnection()
        try:
            connection.connect(CardConnection.T1_protocol)
            return connection
        except (NoCardException, CardConnectionException):
            connection.release()
            assert time.monotonic() < deadline, "no card appeared"
            time.sleep(0.05)


def test_a_424_is_authenticated_and_rekeyed_over_pcsc(pcsc_daemon: PcscDaemon, field: Field) -> None:
    field.put(Ntag424(UID))
    card = Card(pcsc_daemon)
    assert card.atr.hex() == "3b8180018080"
    assert ask(card, "FFCA000000") == UID.hex().upper() + "9000"
    assert ask(card, APPLICATION) == "9000"
    session = Ev2(card)
    assert session.status == "9100"
    assert session.command(0x51)[0] == UID
    assert session.change_key(3, b"k" * 16) == "9100"
    assert Ev2(card, 3).status == "91AE"
    assert Ev2(card, 3, b"k" * 16).status == "9100"
    card.close()


def test_a_215_is_read_and_written_by_pseudo_apdus(pcsc_daemon: PcscDaemon, field: Field) -> None:
    field.put(Ntag21x("NTAG215", UID))
    card = Card(pcsc_daemon)
    assert card.atr[4:12].hex() == "804f0ca000000306"
    assert ask(card, "FFCA000000") == UID.hex().upper() + "9000"
    assert ask(card, "FFB0000304") == "E1103E00" + "9000"
    assert ask(card, "FFD6000404" + "CAFE0001") == "9000"
    assert ask(card, "FFB0000410")[:8] == "CAFE0001"
    assert ask(card, "FF00000003" + "D44260") == "D543" + "00" + "0004040201001103" + "9000"
    assert ask(card, "FF00000004" + "D44001" + "60") == "D541" + "00" + "0004040201001103" + "9000"
    assert ask(card, "FFD6000004" + "00000000") == "6300", "page 0 is the factory's, and the tag is mute now"
    assert ask(card, "FF00000003" + "D44260") == "D543" + "01" + "9000"
    card.close()


def test_a_tag_that_leaves_is_a_card_removed(pcsc_daemon: PcscDaemon, field: Field) -> None:
    tag = Ntag424(UID)
    field.put(tag)
    card = Card(pcsc_daemon)
    assert ask(card, APPLICATION) == "9000"
    field.remove(tag)
    time.sleep(0.2)
    with pytest.raises(CardConnectionException):
        card.answer(bytes.fromhex(APPLICATION))
    card.close()
    field.put(Ntag424(bytes(7)))
    again = Card(pcsc_daemon)
    assert ask(again, "FFCA000000") == "00" * 7 + "9000"
    again.close()


def test_power_that_fails_is_told_and_the_tag_comes_back_without_its_session(
    pcsc_daemon: PcscDaemon, field: Field
) -> None:
    field.put(Ntag424(UID))
    card = Card(pcsc_daemon)
    assert ask(card, APPLICATION) == "9000"
    session = Ev2(card)
    field.cut(1)
    assert session.command(0x51)[1] == "9100"
    with pytest.raises(CardConnectionException):
        session.command(0x51)
    card.close()
    again = Card(pcsc_daemon)
    assert ask(again, "905100000800" + "00" * 7 + "00") == "91AE"
    again.close()


def test_vpcd_is_reached_from_its_own_network_alone(pcsc_daemon: PcscDaemon) -> None:
    """It listens on all addresses, so it has a network in which there is loopback alone, and none of ours."""
    its, ours = Path(f"/proc/{pcsc_daemon.pid}"), Path("/proc/self")
    assert os.readlink(its / "ns/net") != os.readlink(ours / "ns/net")
    listening = f" 00000000:{VPCD_PORT:04X} 00000000:0000 0A "
    assert listening in (its / "net/tcp").read_text()
    interfaces = (its / "net/dev").read_text().splitlines()[2:]
    assert [line.partition(":")[0].strip() for line in interfaces] == ["lo"]
    pcsc_daemon.connect().close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", VPCD_PORT))

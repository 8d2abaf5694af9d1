"""nfcpy's own reader side on the emulated tags, over its udp driver: it must not notice that they are emulated."""

from collections.abc import Callable, Iterator
from typing import Any

import ndef  # type: ignore[import-untyped]
import nfc.tag.tt4  # type: ignore[import-untyped]
import pytest
from tag_client import Ev2, ask

from tallystick_emulators.nfcpy_udp import activate, open_reader
from tallystick_emulators.tag_field import EmulatedTag, Field
from tallystick_emulators.tag_ntag21x import Ntag21x
from tallystick_emulators.tag_ntag424 import Ntag424
from tallystick_emulators.tag_signature import PUBLISHED, sign_21x
from tallystick_emulators.tag_udp import UdpTagServer

UID = bytes.fromhex("04A1B2C3D4E5F6")
LINK = "https://example.com/01/09506000134352/21/A1?p=" + "0" * 32 + "&c=" + "0" * 16
Open = Callable[[Field], Any]
TAGS: dict[str, Callable[[], EmulatedTag]] = {
    "NTAG213": lambda: Ntag21x("NTAG213", UID),
    "NTAG215": lambda: Ntag21x("NTAG215", UID),
    "NTAG216": lambda: Ntag21x("NTAG216", UID),
    "NTAG424": lambda: Ntag424(UID),
}


@pytest.fixture
def reader() -> Iterator[Open]:
    """reader(field): nfcpy, as if `field` was its antenna."""
    opened: list[Any] = []

    def open_on(field: Field) -> Any:
        server = UdpTagServer(field)
        opened.append(server)
        frontend = open_reader(server.path)
        opened.append(frontend)
        return frontend

    yield open_on
    for one in reversed(opened):
        one.close()


@pytest.mark.parametrize("kind", TAGS)
def test_nfcpy_names_each_tag_right_a_hundred_times(reader: Open, kind: str) -> None:
    frontend = reader(Field(TAGS[kind]()))
    names = {activate_name(frontend) for _ in range(100)}
    expected = "Type4ATag MIU=125" if kind == "NTAG424" else f"Type2Tag 'NXP {kind}' ID={UID.hex().upper()}"
    assert len(names) == 1
    assert names.pop().startswith(expected)


def activate_name(frontend: Any) -> str:
    tag = activate(frontend)
    assert tag is not None
    assert bytes(tag.identifier) == UID
    return str(tag)


@pytest.mark.parametrize("kind", TAGS)
def test_nfcpy_writes_ndef_and_reads_it_back_after_a_fresh_activation(reader: Open, kind: str) -> None:
    frontend = reader(Field(TAGS[kind]()))
    tag = activate(frontend)
    assert tag.ndef.capacity == {"NTAG213": 137, "NTAG215": 492, "NTAG216": 868, "NTAG424": 254}[kind]
    assert tag.ndef.is_writeable
    tag.ndef.records = [ndef.UriRecord(LINK)]
    records = activate(frontend).ndef.records
    assert [one.iri for one in records] == [LINK]


def test_nfcpy_protects_a_215_with_a_password_and_is_kept_out_by_it(reader: Open) -> None:
    frontend = reader(Field(Ntag21x("NTAG215", UID)))
    assert activate(frontend).protect(b"abcdef", read_protect=True, protect_from=4)
    tag = activate(frontend)
    assert not tag.authenticate(b"abcdeX"), "right password, wrong PACK"
    assert not activate(frontend).authenticate(b"xxxxef")
    assert activate(frontend).ndef is None, "cannot be read"
    tag = activate(frontend)
    assert tag.authenticate(b"abcdef")
    assert tag.ndef is not None


def test_nfcpy_locks_a_213_for_ever(reader: Open) -> None:
    frontend = reader(Field(Ntag21x("NTAG213", UID)))
    tag = activate(frontend)
    tag.ndef.records = [ndef.UriRecord(LINK[:60])]
    assert tag.protect()
    tag = activate(frontend)
    assert not tag.ndef.is_writeable
    with pytest.raises(nfc.tag.TagCommandError):
        tag.write(4, b"\0\0\0\0")
    assert [one.iri for one in activate(frontend).ndef.records] == [LINK[:60]]


def test_nfcpy_reads_the_published_and_the_emulators_signature(reader: Open) -> None:
    [(published_uid, signature)] = PUBLISHED.items()
    assert activate(reader(Field(Ntag21x("NTAG213", published_uid)))).signature == signature
    assert activate(reader(Field(Ntag21x("NTAG216", UID)))).signature == sign_21x(UID)


def test_a_424_is_rekeyed_over_nfcpy_and_commands_longer_than_a_frame_pass(reader: Open) -> None:
    tag = activate(reader(Field(Ntag424(UID))))
    card = Type4(tag)
    assert ask(card, "00A4040C07D276000085010100") == "9000"
    session = Ev2(card)
    assert session.change_key(1, b"1" * 16) == "9100"
    content = bytes(range(200))
    header = b"\x03" + bytes(3) + b"\x64\0\0"
    assert session.again(3) == "9100"
    assert session.command(0x8D, header, content[:100])[1] == "9100"
    assert session.again(2) == "9100"
    assert session.command(0xAD, header) == (content[:100], "9100")
    assert ask(card, "00A4000C02E10400") == "9000"
    assert ask(card, "00D60000C8" + content.hex()) == "6982", "no plain write while authenticated"
    assert ask(card, "00A4040C07D276000085010100") == "9000"
    assert ask(card, "00A4000C02E10400") == "9000"
    assert ask(card, "00D60000C8" + content.hex()) == "9000"
    assert ask(card, "00B0000000") == content.hex().upper() + "00" * 56 + "9000", "answers of more than one block"


class Type4:
    """nfcpy's tag as a tag of the tests' support."""

    def __init__(self, tag: Any) -> None:
        self._tag = tag

    def answer(self, command: bytes) -> bytes:
        return bytes(self._tag.transceive(bytearray(command)))


def test_nobody_there_and_two_at_once_are_no_tag(reader: Open) -> None:
    first, second = Ntag21x("NTAG215", UID), Ntag424(bytes.fromhex("0411111111AA80"))
    field = Field()
    frontend = reader(field)
    assert activate(frontend) is None
    field.put(first)
    field.put(second)
    assert activate(frontend) is None
    field.remove(first)
    assert isinstance(activate(frontend), nfc.tag.tt4.Type4Tag)


@pytest.mark.parametrize("kind", ["NTAG215", "NTAG424"])
def test_a_tag_swapped_in_mid_session_does_not_answer(reader: Open, kind: str) -> None:
    field = Field(TAGS[kind]())
    frontend = reader(field)
    tag = activate(frontend)
    other = TAGS[kind]()
    field.swap(other)
    before = other.to_bytes()
    with pytest.raises(nfc.tag.TagCommandError):
        tag.write(4, b"abcd") if kind == "NTAG215" else tag.send_apdu(0, 0xA4, 0, 0xC, b"\xe1\x04")
    assert other.to_bytes() == before
    assert activate(frontend) is not None


def test_a_random_id_is_four_bytes_and_new_each_time(reader: Open) -> None:
    tag = Ntag424(UID)
    field = Field(tag)
    tag.activate()
    ask(tag, "00A4040C07D276000085010100")
    assert Ev2(tag).command(0x5C, b"\0", b"\x02")[1] == "9100"
    frontend = reader(field)
    told = {bytes(activate(frontend).identifier) for _ in range(5)}
    assert len(told) > 1
    assert all(len(one) == 4 and one[0] == 0x08 for one in told)

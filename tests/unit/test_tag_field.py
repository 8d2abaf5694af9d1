"""The emulated antenna, its failures, and the seam on top of it."""

import pytest

from tallystick_emulators.errors import FieldCollision, FieldLost, ReaderGone
from tallystick_emulators.tag_field import Field, Moment, Part
from tallystick_emulators.tag_isodep import Blocks
from tallystick_emulators.tag_ntag21x import Ntag21x
from tallystick_emulators.tag_ntag424 import ANSWER_TO_SELECT, Ntag424
from tallystick_emulators.tag_reader import EmulatedReader
from tallystick_provisioning.errors import ReaderLost, TagLost, TagTimeout, TwoTags
from tallystick_provisioning.nfc import Reader, Tag

UID, OTHER_UID = bytes.fromhex("04A1B2C3D4E5F6"), bytes.fromhex("04111111111111")
WRITE = bytes.fromhex("A20401020304")


def page_4(tag: Ntag21x) -> str:
    """What a fresh reader finds there."""
    contact = EmulatedReader(Field(tag)).sense()
    assert contact is not None
    return contact.transceive(b"\x30\x04")[:4].hex()


@pytest.mark.parametrize(
    ("moment", "part", "page"),
    [
        ("before", "power", "0300fe00"),
        ("after", "power", "01020304"),
        ("torn", "power", "00000304"),
        ("before", "reader", "0300fe00"),
        ("after", "reader", "01020304"),
    ],
)
def test_a_cut_hits_the_chosen_command_and_only_once(moment: Moment, part: Part, page: str) -> None:
    tag = Ntag21x("NTAG215", UID)
    field = Field(tag)
    reader: Reader = EmulatedReader(field)
    contact: Tag | None = reader.sense()
    assert contact is not None
    contact.transceive(b"\x60")
    field.cut(2, moment, part)
    contact.transceive(b"\x60")
    contact.transceive(b"\x60")
    with pytest.raises(TagLost if part == "power" else ReaderLost):
        contact.transceive(WRITE)
    assert field.commands == 4
    assert not field.uncut(), "it has happened"
    with pytest.raises(TagLost if part == "power" else ReaderLost):
        contact.transceive(b"\x60")
    if part == "reader":
        with pytest.raises(ReaderLost):
            reader.sense()
        reader = EmulatedReader(field)
    contact = reader.sense()
    assert contact is not None
    assert contact.transceive(b"\x60")
    assert page_4(tag) == page


def test_a_cut_that_was_planned_too_late_is_told() -> None:
    field = Field(Ntag424(UID))
    field.cut(100)
    assert field.uncut()
    assert not field.uncut()


def test_power_that_fails_ends_the_tags_volatile_state() -> None:
    field = Field(Ntag424(UID))
    reader = EmulatedReader(field)
    contact = reader.sense()
    assert contact is not None
    assert contact.transceive(bytes.fromhex("00A4040C07D276000085010100")) == b"\x90\x00"
    field.cut(0)
    with pytest.raises(TagLost):
        contact.transceive(bytes.fromhex("9060000000"))
    contact = reader.sense()
    assert contact is not None
    assert contact.transceive(bytes.fromhex("00A4000C02E10400")) == b"\x6a\x82", "nothing is selected any more"


def test_two_tags_at_once_are_told_and_neither_is_touched() -> None:
    first, second = Ntag21x("NTAG213", UID), Ntag424(OTHER_UID)
    field = Field(first, second)
    with pytest.raises(FieldCollision, match="2 tags"):
        field.activate()
    with pytest.raises(TwoTags):
        EmulatedReader(field).sense()
    field.remove(first)
    contact = EmulatedReader(field).sense()
    assert contact is not None
    assert (contact.uid, contact.family) == (OTHER_UID, "type4")


def test_nothing_there_is_none_and_a_tag_that_leaves_is_lost() -> None:
    field = Field()
    reader = EmulatedReader(field)
    assert reader.sense() is None
    tag = Ntag21x("NTAG213", UID)
    field.put(tag)
    contact = reader.sense()
    assert contact is not None
    field.remove(tag)
    with pytest.raises(TagLost):
        contact.transceive(b"\x60")
    assert field.tags == ()


def test_a_tag_swapped_in_is_not_activated_and_an_old_contact_is_void() -> None:
    field = Field(Ntag21x("NTAG213", UID))
    reader = EmulatedReader(field)
    contact = reader.sense()
    assert contact is not None
    other = Ntag21x("NTAG213", OTHER_UID)
    field.swap(other)
    with pytest.raises(TagLost):
        contact.transceive(WRITE)
    again = reader.sense()
    assert again is not None
    assert again.uid == OTHER_UID
    with pytest.raises(TagLost, match="sensed again"):
        contact.transceive(WRITE)
    reader.close()
    with pytest.raises(TagLost):
        again.transceive(WRITE)
    assert page_4(other) == "0103a00c"


def test_silence_is_a_timeout() -> None:
    contact = EmulatedReader(Field(Ntag21x("NTAG213", UID))).sense()
    assert contact is not None
    with pytest.raises(TagTimeout):
        contact.transceive(b"\x50\x00")


def test_a_field_without_an_activation_says_so() -> None:
    field = Field(Ntag424(UID))
    with pytest.raises(FieldLost):
        field.exchange(b"\x60")
    field.activate()
    field.cut(0, "before", "reader")
    with pytest.raises(ReaderGone):
        field.exchange(b"\x60")
    with pytest.raises(ReaderGone):
        field.activate()


def blocks() -> tuple[Blocks, list[bytes]]:
    """Blocks in front of a card that repeats what it is told, and what it was told."""
    told: list[bytes] = []

    def exchange(command: bytes) -> bytes:
        told.append(command)
        return command * 20

    made = Blocks(ANSWER_TO_SELECT, exchange)
    assert made.frame(b"\x02\xaa") is None, "no RATS yet"
    assert made.frame(b"\xe0\x10") == ANSWER_TO_SELECT  # 24 bytes a frame: 21 of an answer
    return made, told


def test_blocks_are_chained_acknowledged_and_repeated() -> None:
    made, told = blocks()
    assert made.frame(b"\x12ab") == b"\xa2"
    assert made.frame(b"\x03c") == b"\x13" + b"abc" * 7
    assert told == [b"abc"]
    assert made.frame(b"\xb3") == b"\x13" + b"abc" * 7, "R(NAK): the same again, and the card is not asked twice"
    assert made.frame(b"\xa2") == b"\x12" + b"abc" * 7
    assert made.frame(b"\xa3") == b"\x03" + b"abc" * 6
    assert made.frame(b"\xb2") == b"\xa3", "presence check"
    assert told == [b"abc"]


def test_blocks_end_with_a_deselect_and_ignore_what_they_do_not_know() -> None:
    made, _ = blocks()
    assert made.frame(b"\xf2\x01") is None
    assert made.frame(b"") is None
    assert made.frame(b"\xa2") is None, "nothing to go on with"
    assert made.frame(b"\xc2") == b"\xc2"
    assert made.frame(b"\x02\xaa") is None

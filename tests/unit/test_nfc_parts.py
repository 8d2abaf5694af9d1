"""The parts of personalisation that need no tag: links, and the pages of an NTAG21x."""

from dataclasses import replace

import pytest
from personalise_support import CHIPS, order

from tallystick_chips import ntag21x, tag_link
from tallystick_chips.errors import OrderError
from tallystick_chips.ntag21x import LAYOUTS
from tallystick_chips.tag_order import TYPE2_CHIPS, Chip
from tallystick_emulators.tag_ntag21x_memory import MODELS
from tallystick_provisioning.errors import TagAnswerError
from tallystick_provisioning.item import item

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
    for serial in ("1", "A/B", "%" * 20, "x\"!&'()*+,-.:;<=>?_"):
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

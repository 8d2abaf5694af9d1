"""The emulated NTAG213, NTAG215 and NTAG216 against their data sheet."""

from pathlib import Path

import pytest
from personalise_support import Desk

from tallystick_chips import personalise
from tallystick_emulators import tag_signature
from tallystick_emulators.errors import BadEeprom
from tallystick_emulators.tag_ntag21x import Ntag21x
from tallystick_emulators.tag_ntag21x_memory import MODELS

UID = bytes.fromhex("04A1B2C3D4E5F6")
ACK, NAK, NAK_TOO_MANY = b"\x0a", b"\x00", b"\x04"
CFG0 = {"NTAG213": 0x29, "NTAG215": 0x83, "NTAG216": 0xE3}
READ_ONLY_LOCKS = {"NTAG213": "FF0F3FBD", "NTAG215": "FF000FBD", "NTAG216": "FF3F7FBD"}
models = pytest.mark.parametrize("model", MODELS)


def on(model: str = "NTAG215", signature: bytes | None = None) -> Ntag21x:
    return again(Ntag21x(model, UID, signature))


def again(tag: Ntag21x) -> Ntag21x:
    """A fresh activation."""
    tag.power_off()
    tag.activate()
    return tag


def read(tag: Ntag21x, page: int) -> bytes:
    answer = tag.answer(bytes([0x30, page]))
    assert answer is not None
    return answer


def write(tag: Ntag21x, page: int, data: str) -> bytes | None:
    return tag.answer(bytes([0xA2, page]) + bytes.fromhex(data))


def config(tag: Ntag21x, mirror: str = "04", page: int = 0, auth0: int = 0xFF, access: int = 0) -> None:
    """CFG0 and CFG1; in force from the activation that follows here."""
    cfg0 = CFG0[tag.model]
    assert write(tag, cfg0, f"{mirror}00{page:02X}{auth0:02X}") == ACK
    assert write(tag, cfg0 + 1, f"{access:02X}050000") == ACK
    again(tag)


@models
def test_as_delivered(model: str) -> None:
    tag = on(model)
    size = {"NTAG213": "0F", "NTAG215": "11", "NTAG216": "13"}[model]
    assert tag.answer(b"\x60") == bytes.fromhex(f"000404020100{size}03")
    first = read(tag, 0)
    assert first[:9] == bytes.fromhex("04A1B2") + bytes([0x88 ^ 0x04 ^ 0xA1 ^ 0xB2]) + bytes.fromhex(
        "C3D4E5F6"
    ) + bytes([0xC3 ^ 0xD4 ^ 0xE5 ^ 0xF6])
    assert first[9:12] == bytes.fromhex("480000")
    assert first[12:] == bytes.fromhex({"NTAG213": "E1101200", "NTAG215": "E1103E00", "NTAG216": "E1106D00"}[model])
    cfg0 = CFG0[model]
    assert read(tag, cfg0 - 1) == bytes.fromhex("000000BD" + "040000FF" + "00050000" + "00000000")
    assert tag.answer(b"\x3a\x00" + bytes([cfg0 + 3])) is not None
    assert tag.answer(b"\x3a\x00" + bytes([cfg0 + 4])) == NAK, "one page too many"


@models
def test_reading_goes_on_at_page_0_behind_the_last_page(model: str) -> None:
    tag = on(model)
    last = CFG0[model] + 3
    assert read(tag, last)[4:] == read(tag, 0)[:12]
    assert read(tag, last + 1) == NAK


@models
def test_password_and_pack_are_never_readable(model: str) -> None:
    tag = on(model)
    cfg0 = CFG0[model]
    assert write(tag, cfg0 + 2, "C0FFEE00") == ACK
    assert write(tag, cfg0 + 3, "BEEF0000") == ACK
    assert tag.answer(bytes.fromhex("1BC0FFEE00")) == bytes.fromhex("BEEF"), "at once, without a new activation"
    assert read(tag, cfg0 + 2)[:8] == bytes(8)
    whole = tag.answer(bytes([0x3A, 0, cfg0 + 3]))
    assert whole is not None
    assert b"\xc0\xff\xee" not in whole
    assert b"\xbe\xef" not in whole


@pytest.mark.parametrize(
    "command", ["", "00", "61", "6000", "30", "3000FF", "A204", "A20400000000FF", "1B00", "3C01", "C2FF"]
)
def test_what_it_does_not_know_is_answered_no_and_then_it_is_mute(command: str) -> None:
    tag = on()
    assert tag.answer(bytes.fromhex(command)) == NAK
    assert tag.answer(b"\x60") is None
    assert again(tag).answer(b"\x60") is not None


def test_halt_is_silent_and_lasts_until_the_next_activation() -> None:
    tag = on()
    assert tag.answer(b"\x50\x00") is None
    assert tag.answer(b"\x60") is None
    assert again(tag).answer(b"\x60") is not None


def test_without_an_activation_it_says_nothing() -> None:
    assert Ntag21x("NTAG213", UID).answer(b"\x60") is None


def test_the_factorys_pages_cannot_be_written() -> None:
    tag = on()
    for page in (0, 1):
        assert write(again(tag), page, "00000000") == NAK
    assert write(again(tag), 2, "FFFF0000") == ACK, "lock bytes: the rest of page 2 is ignored"
    assert read(tag, 2)[:4] == read(on(), 2)[:4]


def test_container_bits_are_set_once_and_never_cleared() -> None:
    tag = on()
    assert write(tag, 3, "0000000F") == ACK
    assert write(tag, 3, "00000000") == ACK
    assert read(tag, 3)[:4].hex() == "e1103e0f"


def test_static_lock_bits_lock_their_page_and_freeze() -> None:
    tag = on()
    assert write(tag, 2, "00001000") == ACK  # page 4
    assert write(tag, 4, "01020304") == NAK
    assert write(again(tag), 5, "01020304") == ACK
    assert write(tag, 2, "00000280") == ACK  # freezes 4 to 9, locks 15
    assert write(tag, 15, "01020304") == NAK
    assert write(again(tag), 2, "00002000") == ACK
    assert write(tag, 5, "05060708") == ACK, "the bit of page 5 was frozen open"
    assert write(tag, 2, "00000800") == ACK
    assert write(tag, 3, "00000001") == NAK


@models
def test_dynamic_lock_bits_lock_up_to_the_last_user_page(model: str) -> None:
    tag = on(model)
    lock = CFG0[model] - 1
    assert write(tag, lock, "FFFFFF00") == ACK
    assert read(tag, lock)[:4].hex().upper() == READ_ONLY_LOCKS[model]
    for page in (16, lock - 1):
        assert write(again(tag), page, "01020304") == NAK
    assert write(again(tag), 15, "01020304") == ACK


def test_frozen_dynamic_lock_bits_stay_open() -> None:
    tag = on("NTAG213")
    assert write(tag, 0x28, "00000100") == ACK  # freezes pages 16 to 19
    assert write(tag, 0x28, "07000000") == ACK
    assert write(tag, 16, "01020304") == ACK
    assert write(tag, 20, "01020304") == NAK


def test_protection_is_what_the_configuration_said_at_activation() -> None:
    tag = on()
    cfg0 = CFG0["NTAG215"]
    assert write(tag, cfg0, "04000004") == ACK
    assert write(tag, cfg0 + 1, "80050000") == ACK
    assert write(tag, 4, "01020304") == ACK, "nfcpy writes AUTH0 before password and PACK"
    assert read(tag, 4) != NAK
    again(tag)
    assert write(tag, 4, "01020304") == NAK
    assert read(again(tag), 4) == NAK
    again(tag)
    assert read(tag, 2)[8:] == read(tag, 0)[:8], "it goes on at page 0 just before the protected pages"
    assert tag.answer(b"\x3a\x00\x04") == NAK
    again(tag)
    assert tag.answer(bytes.fromhex("1BFFFFFFFF")) == b"\0\0"
    assert write(tag, 4, "01020304") == ACK
    assert read(tag, 4)[:4].hex() == "01020304"


def test_a_chip_that_protects_at_once_refuses_the_very_next_write() -> None:
    tag = again(Ntag21x("NTAG215", UID, protects_at_once=True))
    assert write(tag, CFG0["NTAG215"], "04000004") == ACK
    assert write(tag, CFG0["NTAG215"] + 1, "80050000") == NAK
    assert read(again(tag), 4) != NAK, "reading was not protected yet"


def test_identities_are_given_whenever_protection_begins(tmp_path: Path) -> None:
    for at_once in (False, True):
        desk = Desk(tmp_path / str(at_once), "ntag215")
        desk.air.swap(Ntag21x("NTAG215", UID, protects_at_once=at_once))
        assert desk.write().good
        assert desk.run(personalise.reset).state == "factory"


def test_write_protection_alone_leaves_it_readable() -> None:
    tag = on()
    config(tag, auth0=4)
    assert read(tag, 4) != NAK
    assert write(tag, 4, "01020304") == NAK


def test_wrong_passwords_are_counted_without_power_and_then_refused_for_ever() -> None:
    tag = on()
    config(tag, access=0x02)
    for _ in range(2):
        assert again(tag).answer(bytes.fromhex("1B00000000")) == NAK
    tag = Ntag21x.from_bytes(tag.to_bytes())
    assert again(tag).answer(bytes.fromhex("1BFFFFFFFF")) == NAK_TOO_MANY, "the right one, too late"


def test_a_right_password_forgives_the_wrong_ones() -> None:
    tag = on()
    config(tag, access=0x02)
    for _ in range(3):
        assert again(tag).answer(bytes.fromhex("1B00000000")) == NAK
        assert again(tag).answer(bytes.fromhex("1BFFFFFFFF")) == b"\0\0"


def test_configuration_lock_holds_from_the_next_activation_but_not_for_the_password() -> None:
    tag = on()
    cfg0 = CFG0["NTAG215"]
    assert write(tag, cfg0 + 1, "40050000") == ACK
    assert write(tag, cfg0, "440000FF") == ACK, "not in force yet"
    assert write(again(tag), cfg0, "040000FF") == NAK
    assert write(again(tag), cfg0 + 2, "01020304") == ACK


def test_read_counter_counts_the_first_read_of_an_activation() -> None:
    tag = on()
    assert tag.answer(b"\x39\x02") == NAK, "switched off"
    again(tag)
    config(tag, access=0x10)
    assert tag.answer(b"\x39\x02") == b"\0\0\0"
    read(tag, 4), read(tag, 4)
    assert tag.answer(b"\x39\x02") == b"\x01\0\0"
    assert again(tag).answer(b"\x3a\x04\x05") is not None
    assert tag.answer(b"\x39\x02") == b"\x02\0\0"


def test_read_counter_may_ask_for_the_password() -> None:
    tag = on()
    config(tag, access=0x18)
    assert tag.answer(b"\x39\x02") == NAK
    again(tag).answer(bytes.fromhex("1BFFFFFFFF"))
    assert tag.answer(b"\x39\x02") == b"\0\0\0"


@pytest.mark.parametrize(
    ("mirror", "access", "expected"),
    [
        ("64", 0x00, b"??04A1B2C3D4E5F6??"),
        ("A4", 0x10, b"??000001??"),
        ("E4", 0x10, b"??04A1B2C3D4E5F6x000001??"),
        ("A4", 0x00, b"????????"),
    ],
    ids=["uid", "counter", "both", "counter switched off"],
)
def test_mirrors_lie_over_the_memory_as_ascii(mirror: str, access: int, expected: bytes) -> None:
    tag = on()
    for page in range(4, 12):
        assert write(tag, page, b"????".hex()) == ACK
    config(tag, mirror=mirror, page=5, access=access)
    shown = tag.answer(bytes([0x3A, 4, 12]))
    assert shown is not None
    assert shown[4 : 4 + len(expected)] == expected
    config(tag)
    assert tag.answer(bytes([0x3A, 5, 5])) == b"????", "the memory itself is as it was"


def test_compatibility_write_takes_the_first_four_of_sixteen_bytes() -> None:
    tag = on()
    assert tag.answer(b"\xa0\x04") == ACK
    assert tag.answer(bytes(range(16))) == ACK
    assert read(tag, 4)[:8] == bytes([0, 1, 2, 3, 0, 0, 0, 0])
    assert tag.answer(b"\xa0\x04") == ACK
    assert tag.answer(bytes(15)) == NAK
    assert again(tag).answer(b"\xa0\x01") == NAK


def test_signature_is_nxps_where_it_was_published_else_our_own_or_the_given_one() -> None:
    [(published_uid, signature)] = tag_signature.PUBLISHED.items()
    tag = again(Ntag21x("NTAG213", published_uid))
    assert tag.answer(b"\x3c\x00") == signature
    assert on().answer(b"\x3c\x00") == tag_signature.sign_21x(UID) != signature
    assert on(signature=b"s" * 32).answer(b"\x3c\x00") == b"s" * 32


def test_torn_writes_damage_a_user_page_and_spare_locks_and_container() -> None:
    tag = on()
    write(tag, 4, "11223344")
    tag.answer_torn(bytes.fromhex("A204AABBCCDD"))
    assert read(again(tag), 4)[:4].hex() == "0000ccdd"
    for command, page in (("A2020000FFFF", 2), ("A203000000FF", 3), ("A282FFFFFF00", 0x82)):
        before = read(again(tag), page)[:4]
        tag.answer_torn(bytes.fromhex(command))
        assert read(again(tag), page)[:4] == before
    tag.answer_torn(bytes.fromhex("A200FFFFFFFF"))
    tag.answer_torn(b"")


def test_state_survives_being_saved() -> None:
    tag = on("NTAG216")
    write(tag, 4, "CAFE0001")
    config(tag, mirror="E4", page=6, access=0x10)
    read(tag, 4)
    same = Ntag21x.from_bytes(tag.to_bytes())
    assert same.to_bytes() == tag.to_bytes()
    assert (same.model, same.uid) == ("NTAG216", UID)
    assert read(again(same), 4)[:4].hex() == "cafe0001"


@pytest.mark.parametrize("data", [b"", b"NTAG21x\x01NTAG214" + bytes(100), Ntag21x("NTAG213", UID).to_bytes()[:-1]])
def test_no_eeprom(data: bytes) -> None:
    with pytest.raises(BadEeprom):
        Ntag21x.from_bytes(data)

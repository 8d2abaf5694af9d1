"""The emulated NTAG 424: mirroring and its counter, configuration, TagTamper, EEPROM."""

import pytest
from ntag424_support import SELECT_NDEF, SETTINGS, UID, again, configure, on, settings, three
from tag_client import APPLICATION, PLAIN, Ev2, ask, read_ndef, write_ndef

from tallystick_emulators.errors import BadEeprom
from tallystick_emulators.tag_ntag424 import Ntag424
from tallystick_emulators.tag_signature import sign_424

# --- mirroring and its counter


def mirrored() -> Ntag424:
    """u= UID, c= counter, m= MAC in a file of 46 bytes."""
    tag = on()
    write_ndef(tag, (44).to_bytes(2) + b"u=" + b"." * 14 + b"c=" + b"." * 6 + b"m=" + b"." * 16)
    assert settings(tag, bytes.fromhex(SETTINGS) + three(4, 20, 28, 28)) == "9100"
    return again(tag)


def test_counter_counts_taps_not_pieces_and_starts_anew_when_mirroring_is_enabled() -> None:
    tag = mirrored()
    for counter in (1, 2):
        assert read_ndef(again(tag))[20:26] == f"{counter:06X}".encode()
    assert settings(tag, bytes.fromhex(SETTINGS) + three(4, 20, 28, 28)) == "9100"
    assert read_ndef(again(tag))[20:26] == b"000003", "it was on already: it goes on"
    assert settings(tag, "00E0EE") == "9100"
    assert read_ndef(again(tag))[20:26] == b"......"
    assert settings(tag, bytes.fromhex(SETTINGS) + three(4, 20, 28, 28)) == "9100"
    assert read_ndef(again(tag))[20:26] == b"000001", "off and on: from the start"


def test_any_other_command_between_two_reads_makes_a_new_tap_of_it() -> None:
    tag = mirrored()
    ask(tag, SELECT_NDEF)
    assert bytes.fromhex(ask(tag, "00B0001406")[:-4]) == b"000001"
    assert bytes.fromhex(ask(tag, "00B0001406")[:-4]) == b"000001"
    assert bytes.fromhex(ask(tag, "90AD00000702" + "140000" + "060000" + "00")[:-4]) == b"000002"
    ask(tag, SELECT_NDEF)
    assert bytes.fromhex(ask(tag, "00B0001406")[:-4]) == b"000003"


def test_authenticated_reads_see_the_file_itself_and_do_not_count() -> None:
    tag = mirrored()
    session = Ev2(tag)
    assert session.command(0xAD, b"\x02" + three(20, 6), mode=PLAIN) == (b"......", "9100")
    assert read_ndef(again(tag))[20:26] == b"000001"


def test_file_counters_by_right() -> None:
    tag = mirrored()
    read_ndef(tag)
    assert settings(tag, bytes.fromhex("4000E0" + "C1F3E0") + three(4, 20, 28, 28)) == "9100"
    assert Ev2(again(tag), 3).command(0xF6, b"\x02") == (b"\x01\0\0\0\0", "9100")
    assert Ev2(again(tag), 2).command(0xF6, b"\x02")[1] == "91AE"
    assert ask(again(tag), "90F60000010200") == "91AE"
    assert settings(tag, bytes.fromhex("4000E0" + "C1FEE0") + three(4, 20, 28, 28)) == "9100"
    assert ask(again(tag), "90F60000010200") == "0100000000" + "9100"
    assert settings(tag, bytes.fromhex("4000E0" + "C1FFE0") + three(4, 20, 28, 28)) == "9100"
    assert ask(again(tag), "90F60000010200") == "919D"


def test_a_counter_limit_ends_unauthenticated_reading() -> None:
    tag = mirrored()
    assert settings(tag, bytes.fromhex("4000E0" + "E1F1E0") + three(4, 20, 28, 28, 2)) == "9100"
    read_ndef(again(tag)), read_ndef(again(tag))
    again(tag)
    ask(tag, SELECT_NDEF)
    assert ask(tag, "00B0000002") == "6982"
    assert ask(tag, "90AD00000702" + "000000" + "020000" + "00") == "919D"
    assert Ev2(again(tag)).command(0xAD, b"\x02" + three(0, 2), mode=PLAIN)[1] == "9100"
    assert settings(tag, bytes.fromhex("4000E0" + "E1F1E0") + three(4, 20, 28, 28, 2)) == "919E"


def test_a_file_that_only_mirrors_can_be_read_by_anybody() -> None:
    """SDMFileRead with a key is free reading, whatever the file's own rights say."""
    tag = mirrored()
    assert settings(tag, bytes.fromhex("430000" + "C1F1E0") + three(4, 20, 28, 28)) == "9100"
    assert read_ndef(again(tag))[20:26] == b"000001"
    assert ask(again(tag), "90AD00000702" + "140000" + "060000" + "00")[-4:] == "9100"
    ask(tag, SELECT_NDEF)
    assert ask(tag, "00D6000001AA") == "6982"


# --- configuration


def test_random_id_hides_the_uid_from_all_but_the_authenticated() -> None:
    tag = on()
    assert configure(tag, 0x00, "02") == "9100"
    assert configure(tag, 0x00, "00") == "9100", "0 is no change: random ID is for ever"
    assert configure(tag, 0x00, "01") == "919E"
    again(tag)
    assert tag.presented_uid[0] == 0x08
    assert len(tag.presented_uid) == 4
    assert tag.uid == UID
    ask(tag, "9060000000"), ask(tag, "90AF000000")
    assert ask(tag, "90AF000000")[:14] == "00" * 7
    assert ask(tag, "903C0000010000") == "91AE"
    session = Ev2(again(tag))
    assert session.command(0x51) == (UID, "9100")
    assert session.command(0x3C, b"\0") == (sign_424(UID), "9190")


def test_signature_is_free_on_a_tag_that_tells_its_uid() -> None:
    assert ask(on(), "903C0000010000") == sign_424(UID).hex().upper() + "9190"


def test_lrp_is_for_ever_switches_mirroring_off_and_refuses_aes() -> None:
    tag = mirrored()
    assert configure(tag, 0x05, "00000000020000000000") == "9100"
    again(tag)
    assert ask(tag, "9071000002000000") == "919D"
    assert ask(tag, "90710000030001" + "02" + "00").startswith("01")
    assert len(ask(again(tag), "90710000030001" + "02" + "00")) == 2 * 17 + 4
    assert ask(again(tag), "90F50000010200") == "00" + "00" + "00E0" + "000100" + "9100"
    assert len(ask(on(), "90710000030001" + "02" + "00")) == 2 * 16 + 4, "a tag in AES mode answers with AES"


def test_configuration_needs_key_0() -> None:
    tag = on()
    assert Ev2(tag, 1).command(0x5C, b"\0", b"\x02")[1] == "91AE"
    assert configure(tag, 0x0A, "0100000000") == "919E"
    assert configure(tag, 0x0B, "00") == "9100"
    assert ask(again(tag), "9060000000") == "04048230001105" + "91AF"
    assert configure(tag, 0x04, "0400") == "9100"
    assert configure(tag, 0x07, "0100") == "919E", "only TagTamper has this"


# --- TagTamper


def tamper_status(tag: Ntag424) -> bytes:
    return Ev2(again(tag)).command(0xF7)[0]


def test_tamper_status_is_off_then_closed_then_open_for_ever() -> None:
    tag = on(tag_tamper=True)
    tag.loop_open = True
    assert tamper_status(tag) == b"II", "not enabled yet: nothing is remembered"
    tag.loop_open = False
    assert configure(tag, 0x07, "0102") == "9100"
    assert Ev2(again(tag), 2).command(0xF7) == (b"CC", "9100")
    assert Ev2(again(tag), 0).command(0xF7)[1] == "91AE"
    tag.loop_open = True
    assert Ev2(again(tag), 2).command(0xF7) == (b"OO", "9100")
    tag.loop_open = False
    tag = Ntag424.from_bytes(tag.to_bytes())
    assert Ev2(again(tag), 2).command(0xF7) == (b"OC", "9100"), "closed again, but it was open"
    assert configure(tag, 0x07, "000E") == "9100"
    assert ask(again(tag), "90F7000000") == b"OC".hex().upper() + "9100"
    assert configure(tag, 0x07, "000F") == "9100"
    assert ask(again(tag), "90F7000000") == "919D"


def test_tamper_detection_begins_with_the_activation_after_it_was_enabled() -> None:
    tag = on(tag_tamper=True)
    tag.loop_open = True
    session = Ev2(tag)
    assert session.command(0x5C, b"\x07", b"\x01\x0e")[1] == "9100"
    assert session.command(0xF7) == (b"II", "9100")
    tag.loop_open = False
    assert ask(again(tag), "90F7000000") == b"CC".hex().upper() + "9100"


def test_the_first_command_of_an_activation_measures_whatever_it_is() -> None:
    tag = on(tag_tamper=True)
    assert configure(tag, 0x07, "010E") == "9100"
    tag.loop_open = True
    again(tag)
    tag.loop_open = False
    assert ask(tag, "90F7000000") == b"OC".hex().upper() + "9100"


def test_a_loop_that_opens_unseen_is_not_known() -> None:
    tag = on(tag_tamper=True)
    assert configure(tag, 0x07, "010E") == "9100"
    tag.loop_open = True
    tag.loop_open = False
    assert ask(again(tag), "90F7000000") == b"CC".hex().upper() + "9100"


def test_tamper_status_is_mirrored_plain_and_inside_the_encrypted_part() -> None:
    tag = on(tag_tamper=True)
    write_ndef(tag, (120).to_bytes(2) + b"." * 120)
    assert configure(tag, 0x07, "010E") == "9100"
    assert settings(tag, bytes.fromhex("4000E0" + "C9FFEF") + three(2, 20, 30)) == "9100"
    assert read_ndef(again(tag))[30:32] == b"CC"
    tag.loop_open = True
    assert read_ndef(again(tag))[30:32] == b"OO"
    inside = bytes.fromhex("4000E0" + "D9FF00") + three(2, 40, 40, 40, 32, 80)
    assert settings(tag, inside) == "9100"
    assert b"OO" not in read_ndef(again(tag))[40:72]
    cut = bytes.fromhex("4000E0" + "D9FF00") + three(2, 55, 40, 40, 32, 80)
    assert settings(tag, cut) == "919E", "half in the plaintext, half behind it"
    assert settings(tag, bytes.fromhex("4000E0" + "C9FFEF") + three(2, 20, 15)) == "919E"


# --- EEPROM


def test_torn_writes_are_whole_or_not_at_all_but_beyond_the_first_frame() -> None:
    tag = on()
    ask(tag, SELECT_NDEF)
    before = tag.to_bytes()
    tag.answer_torn(bytes.fromhex("00D6000004AABBCCDD"))
    assert tag.to_bytes() == before
    tag.answer_torn(bytes.fromhex("00D60010C8") + b"\xaa" * 200)
    tag = again(tag)
    ask(tag, SELECT_NDEF)
    written = bytes.fromhex(ask(tag, "00B0000000")[:-4])
    assert written == bytes(16) + b"\xaa" * 120 + bytes(120)
    session = Ev2(again(tag))
    tag.answer_torn(session.apdu(0xC4, b"\x01", b"n" * 16 + b"\x01" + bytes(4)))
    assert Ev2(again(tag), 1).status == "9100"


def test_state_survives_being_saved() -> None:
    tag = mirrored()
    session = Ev2(tag)
    assert session.change_key(4, b"4" * 16, version=7) == "9100"
    read_ndef(again(tag))
    same = Ntag424.from_bytes(tag.to_bytes())
    assert same.to_bytes() == tag.to_bytes()
    assert same.answer(bytes.fromhex(APPLICATION)) is None, "without power"
    assert read_ndef(again(same))[20:26] == b"000002"
    assert Ev2(again(same), 4, b"4" * 16).status == "9100"


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 40, Ntag424(UID).to_bytes()[:-1]])
def test_no_eeprom(data: bytes) -> None:
    with pytest.raises(BadEeprom):
        Ntag424.from_bytes(data)

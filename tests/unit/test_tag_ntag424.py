"""The emulated NTAG 424: selecting, authentication, keys, files and rights."""

import pytest
from ntag424_support import SELECT_NDEF, UID, again, configure, on, settings, three
from tag_client import APPLICATION, FULL, MAC, PLAIN, Ev2, ask

from tallystick_emulators.tag_ntag424 import Ntag424

# --- selecting, ISO commands


def test_before_the_application_is_selected_there_are_no_files_and_no_keys() -> None:
    tag = Ntag424(UID)
    assert tag.answer(bytes.fromhex(APPLICATION)) is None, "no field"
    tag.activate()
    assert ask(tag, "9071000002000000") == "9140"
    assert ask(tag, "90F50000010200") == "919D"
    assert ask(tag, SELECT_NDEF) == "6A82"
    assert ask(tag, "00B0000010") == "6985"
    assert ask(tag, "9060000000").endswith("91AF"), "its version it tells at once"


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("00A4040C07D276000085010100", "9000"),
        ("00A4040007D276000085010000", "9000"),
        ("00A4040C07D276000085010200", "6A82"),
        ("00A4000C023F0000", "9000"),
        ("00A4000C00", "9000"),
        ("00A4010C02E11000", "9000"),
        ("00A4020C02E10300", "9000"),
        ("00A4020C02E10900", "6A82"),
        ("00A4050C02E10300", "6A86"),
        ("00A4000102E10300", "6A86"),
        ("00A4000C01E100", "6A87"),
        ("00C0000000", "6D00"),
        ("80A4000C02E10300", "6E00"),
        ("00A4", "6700"),
        ("00A4000C05E103", "6700"),
        ("9060010000", "919E"),
        ("90FF000000", "911C"),
        ("90F7000000", "911C"),
        ("90AF000000", "911C"),
    ],
)
def test_selecting_and_what_is_no_command(command: str, status: str) -> None:
    assert ask(on(), command)[-4:] == status


def test_container_and_files_as_delivered() -> None:
    tag = on()
    ask(tag, "00A4000C02E10300")
    assert ask(tag, "00B0000017") == "001720010000FF0406E104010000000506E10500808283" + "9000"
    assert ask(tag, "90F50000010100") == "00" + "00" + "00E0" + "200000" + "9100"
    assert ask(tag, "90F50000010200") == "00" + "00" + "E0EE" + "000100" + "9100"
    assert ask(tag, "90F50000010300") == "00" + "03" + "3023" + "800000" + "9100"
    assert ask(tag, "90F50000010400") == "91F0"


def test_short_file_identifiers_and_ends_of_a_file() -> None:
    tag = on()
    assert ask(tag, "00B0830007") == "001720010000FF" + "9000"
    assert ask(tag, "00B08400FF")[-4:] == "9000"
    assert len(ask(tag, "00B000F020")) == 2 * 16 + 4, "what is left of the file"
    assert ask(tag, "00B0010001") == "6A86"
    assert ask(tag, "00B0890001") == "6A82"
    assert ask(tag, "00B0C40001") == "6A86"
    assert ask(tag, "00B00000") == "6700", "no Le"
    assert ask(tag, "00D600FF020102") == "6700"
    assert ask(tag, "00B0850001") == "6982", "the proprietary file wants a key"
    assert ask(tag, "00D6000001AA") == "6982"


# --- authentication and secure messaging


def test_wrong_key_is_91ae_and_counted_until_the_key_is_blocked() -> None:
    tag = on()
    assert configure(tag, 0x0A, "0102000100") == "9100"  # two failures, one is forgiven by a success
    assert Ev2(again(tag), 1, b"x" * 16).status == "91AE"
    assert Ev2(again(tag), 1).status == "9100"
    for _ in range(2):
        assert Ev2(again(tag), 1, b"x" * 16).status == "91AE"
    tag = again(Ntag424.from_bytes(tag.to_bytes()))
    assert Ev2(tag, 1).status == "919D", "blocked, and saved so"
    assert Ev2(again(tag)).change_key(1, b"n" * 16) == "9100"
    assert Ev2(again(tag), 1, b"n" * 16).status == "9100", "a new key is not blocked"


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("9071000002050000", "9140"),
        ("90710000010000", "917E"),
        ("9071000003000000" + "00", "917E"),
        ("90770000010000", "919D"),
        ("90AD000007020000000000000000", "6700"),
        ("90C400002900" + "00" * 40 + "00", "91AE"),
        ("90C400002905" + "00" * 40 + "00", "9140"),
        ("905C00002900" + "00" * 40 + "00", "91AE"),
        ("905100000800" + "00" * 7 + "00", "91AE"),
        ("905F00000402000000" + "00", "91AE"),
        ("90F60000010200", "919D"),
        ("90640000010500", "9140"),
        ("9064000000", "917E"),
        ("90AD00000703000000000000" + "00", "91AE"),
        ("90AD00000709000000000000" + "00", "91F0"),
        ("90AD00000702000100000000" + "00", "91BE"),
        ("90AD00000702000000010100" + "00", "91BE"),
        ("908D00000702000000000000" + "00", "917E"),
        ("908D00000802FF0000020000AA" + "00", "917E"),
        ("908D00000902FF0000020000AABB" + "00", "91BE"),
        ("903C0000010100", "919E"),
    ],
)
def test_refusals_without_authentication(command: str, status: str) -> None:
    assert ask(on(), command)[-4:] == status


def test_authentication_ends_with_any_refusal() -> None:
    for code, header, data, mode, status in (
        (0x64, b"\x05", b"", MAC, "9140"),
        (0xF5, b"\x09", b"", MAC, "91F0"),
        (0x5C, b"\x0c", b"\0", FULL, "919E"),
        (0x5C, b"\x00", b"\0\0", FULL, "917E"),
        (0x5F, b"\x02", b"\x40\0\0", FULL, "917E"),
        (0xAD, b"\x03" + bytes(6), b"", FULL, "91AE"),
    ):
        tag = on()
        session = Ev2(tag)
        assert session.command(code, header, data, mode)[1] == status
        assert session.command(0x51)[1] == "91AE"


def test_wrong_mac_wrong_counter_and_wrong_padding_are_911e() -> None:
    tag = on()
    session = Ev2(tag)
    apdu = bytearray(session.apdu(0x51))
    apdu[-2] ^= 1
    assert ask(tag, bytes(apdu)) == "911E"
    session = Ev2(again(tag))
    session.counter = 1
    assert session.command(0x51)[1] == "911E"
    session = Ev2(again(tag))
    session.ti = bytes(4)
    assert session.command(0x51)[1] == "911E"
    session = Ev2(again(tag))
    assert session.command(0x5C, b"\x00", bytes(16), MAC)[1] == "911E", "sixteen bytes that decrypt to no padding"
    session = Ev2(again(tag))
    assert ask(tag, "9051000000") == "917E", "no MAC at all"


def test_a_command_between_two_parts_aborts_them() -> None:
    tag = on()
    assert ask(tag, "9071000002000000").endswith("91AF")
    assert ask(tag, "9060000000") == "91CA"
    assert ask(tag, "9060000000").endswith("91AF")
    assert ask(tag, SELECT_NDEF) == "6985"
    assert ask(tag, SELECT_NDEF) == "9000"
    assert ask(tag, "9071000002000000").endswith("91AF")
    assert ask(tag, "90AF00000100" + "00") == "917E"


def test_version_in_three_frames_plain_and_with_one_mac() -> None:
    tag = on()
    assert ask(tag, "9060000000") == "04040230001105" + "91AF"
    assert ask(tag, "90AF000000") == "04040201021105" + "91AF"
    assert ask(tag, "90AF000000")[:14] == UID.hex().upper()
    session = Ev2(again(tag))
    first = bytes.fromhex(ask(tag, session.apdu(0x60, mode=MAC))[:-4])
    second = bytes.fromhex(ask(tag, "90AF000000")[:-4])
    third = bytes.fromhex(ask(tag, "90AF000000")[:-4])
    session.counter += 1
    assert third[-8:] == session._mac(0, first + second + third[:-8])
    assert session.command(0x51) == (UID, "9100"), "counted once"
    assert ask(on(tag_tamper=True), "9060000000") == "04040830001105" + "91AF"


def test_non_first_authentication_keeps_transaction_and_counter() -> None:
    tag = on()
    session = Ev2(tag)
    ti = session.ti
    assert session.command(0x51)[1] == "9100"
    assert session.again(3) == "9100"
    assert (session.ti, session.counter) == (ti, 1)
    header = b"\x03" + three(0, 4)
    assert session.command(0x8D, header, b"abcd")[1] == "9100"
    assert session.again(4, b"x" * 16) == "91AE"
    assert session.command(0x51)[1] == "91AE"


def test_selecting_the_application_ends_an_authentication_and_a_file_does_not() -> None:
    tag = on()
    session = Ev2(tag)
    assert ask(tag, SELECT_NDEF) == "9000"
    assert session.command(0x51)[1] == "9100"
    assert ask(tag, "00B0000002") == "6982", "ISO reading is plain: not while authenticated"
    assert ask(tag, APPLICATION) == "9000"
    assert session.command(0x51)[1] == "91AE"
    assert ask(tag, "00A4000C02E10400") == "9000"
    assert ask(tag, "00B0000002") == "0000" + "9000"


# --- keys


def test_change_key_both_forms_versions_and_the_end_of_key_0s_session() -> None:
    tag = on()
    session = Ev2(tag)
    for number in (1, 2, 3, 4):
        assert session.change_key(number, bytes([number]) * 16, version=number + 0x10) == "9100"
    assert session.change_key(1, b"n" * 16, version=0x20, old=b"\x01" * 16) == "9100"
    assert session.command(0x64, b"\x02", mode=MAC) == (b"\x12", "9100")
    assert session.change_key(0, b"0" * 16, version=9) == "9100"
    assert session.command(0x51)[1] == "91AE"
    assert Ev2(again(tag), 0, b"0" * 16).status == "9100"
    assert Ev2(again(tag), 1, b"n" * 16).status == "9100"
    assert ask(again(tag), "90640000010000") == "09" + "9100"


def test_change_key_with_the_wrong_old_key_or_the_wrong_form_changes_nothing() -> None:
    tag = on()
    before = tag.to_bytes()
    assert Ev2(again(tag)).change_key(1, b"n" * 16, old=b"o" * 16) == "911E"
    assert Ev2(again(tag)).command(0xC4, b"\x01", b"n" * 16 + b"\x01")[1] == "911E", "the form of key 0"
    assert Ev2(again(tag)).command(0xC4, b"\x00", b"n" * 16 + b"\x01" + bytes(4))[1] == "911E"
    assert Ev2(again(tag)).command(0xC4, b"\x01", b"n" * 48)[1] == "917E"
    assert Ev2(again(tag), 1).change_key(1, b"n" * 16) == "91AE", "only key 0 changes keys"
    assert tag.to_bytes() == before


# --- files and rights


def test_read_and_write_in_each_communication_mode() -> None:
    for mode, option in ((PLAIN, "00"), (MAC, "01"), (FULL, "03")):
        tag = on()
        assert settings(tag, option + "0012", file=3) == "9100"  # read key 1, write key 2
        header = b"\x03" + three(2, 20)
        writer = Ev2(again(tag), 2)
        assert writer.command(0x8D, header, bytes(range(20)), mode)[1] == "9100"
        reader = Ev2(again(tag), 1)
        assert reader.command(0xAD, header, mode=mode) == (bytes(range(20)), "9100")
        assert Ev2(again(tag), 2).command(0xAD, header, mode=mode)[1] == "91AE"
        assert Ev2(again(tag), 0).command(0xAD, header, mode=mode)[1] == "9100", "read and write: key 0"


def test_free_access_is_plain_even_when_authenticated() -> None:
    tag = on()
    session = Ev2(tag)
    assert session.command(0x8D, b"\x02" + three(0, 2), b"\0\x01", PLAIN)[1] == "9100"
    assert session.command(0xAD, b"\x02" + three(0, 2), mode=PLAIN) == (b"\0\x01", "9100")
    assert session.command(0x51)[1] == "9100", "the plain ones were counted"


def test_an_answer_that_does_not_fit_into_256_bytes_is_917e() -> None:
    tag = on()
    assert len(ask(tag, "90AD00000702000000000000" + "00")) == 2 * 256 + 4
    assert settings(tag, "030000") == "9100"
    assert Ev2(again(tag)).command(0xAD, b"\x02" + three(0, 0))[1] == "917E"
    assert len(Ev2(again(tag)).command(0xAD, b"\x02" + three(0, 231))[0]) == 231


def test_a_right_of_never_is_919d_and_of_another_key_91ae() -> None:
    tag = on()
    assert settings(tag, "00F0FF", file=3) == "9100"
    assert Ev2(again(tag)).command(0xAD, b"\x03" + three(0, 1), mode=PLAIN)[1] == "919D"
    assert settings(tag, "000F00", file=3) == "9100"
    assert settings(tag, "000000", file=3) == "919D", "its settings are for ever"
    assert settings(tag, "000001", file=2) == "9100"
    assert Ev2(again(tag), 1).command(0x5F, b"\x02", b"\0\0\0")[1] == "91AE"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        ("000055", "919E"),
        ("800000", "919E"),
        ("0000", "917E"),
        ("00000000", "917E"),
        ("4000E0" + "00" + "FFFF", "919E"),
        ("4000E0" + "07" + "FFFF", "919E"),
        ("4000E0" + "09" + "FFFF" + "000000", "919E"),
        ("4000E0" + "01" + "0FFF", "919E"),
        ("4000E0" + "01" + "FFEF", "919E"),
        ("4000E0" + "81" + "FFFF", "919E"),
        ("4000E0" + "01" + "F0FF", "919E"),
        ("4000E0" + "81" + "FFEF" + "F30000", "919E"),
        ("4000E0" + "C1" + "FFEF" + "100000" + "1D0000", "919E"),
        ("4000E0" + "C1" + "FFEF" + "100000" + "1E0000", "9100"),
        ("4000E0" + "C1" + "FFEF" + "100000" + "FFFFFF", "9100"),
        ("4000E0" + "C1" + "FF0F" + "E10000", "919E"),
        ("4000E0" + "C1" + "FF0F" + "E00000", "9100"),
        ("4000E0" + "C1" + "FF00" + "100000" + "310000" + "300000", "919E"),
        ("4000E0" + "C1" + "FF00" + "100000" + "200000" + "200000", "919E"),
        ("4000E0" + "C1" + "FF00" + "100000" + "000000" + "F10000", "919E"),
        ("4000E0" + "C1" + "FF00" + "100000" + "000000" + "F00000", "9100"),
        ("4000E0" + "D1" + "FF00" + "100000" + "400000" + "400000" + "1F0000" + "600000", "919E"),
        ("4000E0" + "D1" + "FF00" + "100000" + "410000" + "400000" + "200000" + "600000", "919E"),
        ("4000E0" + "D1" + "FF00" + "100000" + "400000" + "400000" + "200000" + "5F0000", "919E"),
        ("4000E0" + "D1" + "FF00" + "100000" + "100000" + "200000" + "200000" + "600000", "919E"),
        ("4000E0" + "D1" + "FF00" + "100000" + "400000" + "400000" + "200000" + "600000", "9100"),
        ("4000E0" + "D1" + "FF0F" + "100000", "919E"),
        ("4000E0" + "91" + "FF00" + "100000" + "400000" + "400000" + "200000" + "600000", "919E"),
        ("4000E0" + "A1" + "FFEF" + "100000" + "010000", "919E"),
        ("4000E0" + "E1" + "FFEF" + "100000" + "200000" + "000000", "919E"),
        ("4000E0" + "E1" + "FFEF" + "100000" + "200000" + "010000", "9100"),
        ("4000E0" + "C1" + "FFEF" + "100000", "917E"),
    ],
)
def test_change_file_settings_refuses_what_the_chip_refuses(data: str, status: str) -> None:
    assert settings(on(), data) == status


def test_only_the_ndef_file_mirrors() -> None:
    assert settings(on(), "4000E0" + "C1FFEF" + "000000" + "0E0000", file=1) == "919D"

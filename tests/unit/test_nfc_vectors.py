"""Numbers that NXP and open projects published, byte for byte, against our side of the tags.

The emulated tags are held to the same numbers elsewhere, by other code: two wrongs must not agree.
"""

import pytest

from tallystick_chips import aes, an10922, sun
from tallystick_chips.lrp import Lrp
from tallystick_chips.ntag424 import Ntag424, sdm_settings
from tallystick_chips.ntag424_crypto import Challenge, Session, change_key_data, truncated
from tallystick_chips.tag_originality import NXP
from tallystick_provisioning.nfc import Family

ZERO = bytes(16)


def unhex(text: str) -> bytes:
    return bytes.fromhex(text)


class Script:
    """A tag that expects commands word for word."""

    uid = unhex("04DE5F1EACC040")
    family: Family = "type4"

    def __init__(self, *exchanges: tuple[str, str]) -> None:
        self.exchanges = list(exchanges)

    def transceive(self, command: bytes, timeout_s: float = 0.5) -> bytes:
        expected, answer = self.exchanges.pop(0)
        assert command.hex().upper() == expected
        return unhex(answer)


# --- SUN, AES


def test_sun_an12196() -> None:
    tap = sun.verify("EF963FF7828658A599F3041510671E88", "94EED9EE65337086", ZERO, ZERO)
    assert (tap.uid.hex().upper(), tap.counter, tap.mode) == ("04DE5F1EACC040", 61, "aes")


def test_sun_with_file_an12196() -> None:
    enc = "CEE9A53E3E463EF1F459635736738962"
    tap = sun.verify(
        "FD91EC264309878BE6345CBE53BADF40",
        "ECC1E7F6C6C73BF6",
        ZERO,
        ZERO,
        enc=enc,
        mac_input=f"{enc}&cmac=".encode(),
    )
    assert (tap.uid.hex().upper(), tap.counter, tap.file_data) == ("04958CAA5C5E80", 8, b"x" * 16)


def test_sun_plain_mirror() -> None:
    tap = sun.verify_plain("041E3C8A2D6B80", "000006", "4B00064004B0B3D3", ZERO)
    assert (tap.uid.hex().upper(), tap.counter) == ("041E3C8A2D6B80", 6)


def test_sun_with_other_keys() -> None:
    """Vectors of a card with keys of its own: the counter is LSB first in p."""
    meta, file_key = unhex("55DA174C9608993DC27BB3F30A4A7314"), unhex("2AB74ABC1273FB43CAE97553A36D4D08")
    for p, c, counter in (
        ("E61CB056F52D34F9368F079D1814D2CF", "FCC9A22201EA2298", 0),
        ("D798D011FA0BF5BD5ECE6F42265B02D5", "B49D12860DA69E54", 1),
    ):
        tap = sun.verify(p, c, meta, file_key)
        assert (tap.uid.hex().upper(), tap.counter) == ("0425607A8F6980", counter)


def test_sun_session_keys_an12196() -> None:
    key = unhex("5ACE7E50AB65D5D51FD5BF5A16B8205B")
    assert aes.cmac(key, unhex("C33C0001008004C767F2066180010000")).hex() == "66da61797e23deca5d8eca13bbadf7a9"
    assert aes.cmac(key, unhex("3CC30001008004C767F2066180010000")).hex() == "3a3e8110e05311f7a3fcf0d969bf2b48"
    assert truncated(unhex("90FC61C953A2C922E50129EAE4221998")).hex() == "fcc9a22201ea2298"


# --- SUN, LRP


def test_sun_lrp_with_file() -> None:
    enc = "D6E921C47DB4C17C56F979F81559BB83"
    tap = sun.verify(
        "07D9CA2545881D4BFDD920BE1603268C0714420DD893A497",
        "F9481AC7D855BDB6",
        ZERO,
        ZERO,
        enc=enc,
        mac_input=f"{enc}&cmac=".encode(),
    )
    assert (tap.uid.hex().upper(), tap.counter, tap.mode) == ("049B112A2F7080", 4, "lrp")
    assert tap.file_data == b"NTXXb7dz3PsYYBlU"


def test_sun_lrp_without_file() -> None:
    tap = sun.verify("1FCBE61B3E4CAD980CBFDD333E7A4AC4A579569BAFD22C5F", "4231608BA7B02BA9", ZERO, ZERO)
    assert (tap.uid.hex().upper(), tap.counter, tap.mode) == ("04940E2A2F7080", 3, "lrp")


def test_lrp_plaintexts_differ_and_nibbles_choose() -> None:
    primitive = Lrp(unhex("567826B8DA8E768432A9548DBE4AA3A0"))
    assert len(set(primitive.plaintexts)) == 16
    key = primitive.updated_key(0)
    assert primitive.evaluate(key, [1, 2]) != primitive.evaluate(key, [2, 1])


# --- diversified keys


def test_an10922() -> None:
    master = unhex("00112233445566778899AABBCCDDEEFF")
    key = an10922.diversify(master, unhex("04782E21801D803042F54E585020416275"))
    assert key.hex().upper() == "A8DD63A3B89D54B37CA802473FDA9175"


def test_an10922_pads_to_two_blocks() -> None:
    """For a bare UID, CMAC(01 || UID) is another key than AN10922's; from 16 bytes on they are one."""
    master, uid = unhex("00112233445566778899AABBCCDDEEFF"), unhex("04782E21801D80")
    assert an10922.diversify(master, uid) != aes.cmac(master, b"\x01" + uid)
    for length in (16, 30, 31):
        long = bytes(range(length))
        assert an10922.diversify(master, long) == aes.cmac(master, an10922.cmac_input(long))


@pytest.mark.parametrize("length", [0, 32])
def test_an10922_lengths(length: int) -> None:
    with pytest.raises(ValueError, match="1 to 31"):
        an10922.diversify(ZERO, bytes(length))
    with pytest.raises(ValueError, match="16 to 31"):
        an10922.cmac_input(bytes(length))


def test_every_key_of_every_tag_is_another_one() -> None:
    uids = [unhex("04A1B2C3D4E580"), unhex("04A1B2C3D4E581")]
    inputs = {an10922.tag_input(uid, system, number) for uid in uids for system in (b"a", b"b") for number in range(6)}
    assert len({an10922.diversify(ZERO, one) for one in inputs}) == 24


# --- secure messaging

RND_A = unhex("13C5DB8A5930439FC3DEF9A4C675360F")
SELECT = ("00A4040C07D276000085010100", "9000")
AUTHENTICATE = (
    ("9071000002000000", "A04C124213C186F22399D33AC2A3021591AF"),
    (
        "90AF00002035C3E05A752E0144BAC0DE51C1F22C56B34408A23D8AEA266CAB947EA8E0118D00",
        "3FA64DB5446D1F34CD6EA311167F5E4985B89690C04A05F17FA7AB2F081206639100",
    ),
)


def test_authenticate_ev2_first_an12196() -> None:
    challenge = Challenge.of(ZERO, RND_A, unhex("A04C124213C186F22399D33AC2A30215"))
    assert challenge.rnd_b.hex().upper() == "B9E2FC789B64BF237CCCAA20EC7E6E48"
    session = challenge.session(unhex("3FA64DB5446D1F34CD6EA311167F5E4985B89690C04A05F17FA7AB2F08120663"))
    assert session.transaction.hex().upper() == "9D00C4DF"
    assert session.enc_key.hex().upper() == "1309C877509E5A215007FF0ED19CA564"
    assert session.mac_key.hex().upper() == "4C6626F5E72EA694202139295C7A7FC7"


def test_change_file_settings_an12196() -> None:
    """The whole conversation: a plain write counts as command 0, so the settings are command 1."""
    tag = Script(
        SELECT,
        *AUTHENTICATE,
        ("908D000009020000000200000000" + "00", "9100"),
        ("905F0000190261B6D97903566E84C3AE5274467E89EAD799B7C1A0EF7A0400", "57BFF87B1241E93D9100"),
    )
    chip = Ntag424(tag, lambda count: RND_A[:count])
    chip.select()
    chip.authenticate(0, ZERO)
    chip.write(2, 0, b"\0\0")
    chip.change_settings(2, unhex("4000E0C1F121200000430000430000"))
    assert not tag.exchanges


def test_get_file_settings_an12196() -> None:
    session = Session(ZERO, unhex("8248134A386E86EB7FAF54A52E536CB6"), unhex("7A21085E"))
    assert session.mac_command(0xF5, b"\x02").hex().upper() == "6597A457C8CD442C"
    data = "0040EEEE000100D1FE001F00004400004400002000006A0000"
    assert session.open_answer(0x9100, unhex(data + "2A474282E7A47986"), encrypted=False) == unhex(data)


CHANGE_KEY_SESSION = (
    unhex("4CF3CB41A22583A61E89B158D252FC53"),
    unhex("5529860B2FC5FB6154B7F28361D30BF9"),
    unhex("7614281A"),
)


@pytest.mark.parametrize(
    ("counter", "number", "new", "data", "expected"),
    [
        (
            2,
            2,
            "F3847D627727ED3BC9C4CC050489B966",
            "F3847D627727ED3BC9C4CC050489B96601789DFADC",
            "022CF362B7BF4311FF3BE1DAA295E8C68DE09050560D19B9E16C2393AE9CD1FAC75D0CE20BCD1D06E6",
        ),
        (
            3,
            0,
            "5004BF991F408672B1EF00F08F9E8647",
            "5004BF991F408672B1EF00F08F9E864701",
            "00C0EB4DEEFEDDF0B513A03A95A75491818580503190D4D05053FF75668A01D6FDA6610234BDED6432",
        ),
    ],
    ids=["key 2", "key 0"],
)
def test_change_key_an12196(counter: int, number: int, new: str, data: str, expected: str) -> None:
    plain = change_key_data(number, unhex(new), 1, ZERO)
    assert plain.hex().upper() == data
    session = Session(*CHANGE_KEY_SESSION, counter=counter)
    header, sealed = bytes([number]), session.encrypt_command(plain)
    assert (header + sealed + session.mac_command(0xC4, header, sealed)).hex().upper() == expected


def test_change_key_xors_the_old_key() -> None:
    new, old = bytes(range(16)), bytes([0xFF] * 16)
    assert change_key_data(1, new, 1, old)[:16] == bytes(255 - byte for byte in new)
    assert change_key_data(1, new, 1, old)[16:] == change_key_data(1, new, 1, ZERO)[16:]


def test_answer_after_change_key_an12196() -> None:
    session = Session(*CHANGE_KEY_SESSION, counter=2)
    assert session.open_answer(0x9100, unhex("203BB55D1089D587"), encrypted=True) == b""


def test_write_data_full_an12196() -> None:
    session = Session(
        unhex("7A93D6571E4B180FCA6AC90C9A7488D4"), unhex("FC4AF159B62E549B5812394CAB1918CC"), unhex("7614281A")
    )
    header, sealed = unhex("030000000A0000"), session.encrypt_command(unhex("0102030405060708090A"))
    whole = header + sealed + session.mac_command(0x8D, header, sealed)
    assert whole.hex().upper() == "030000000A00006B5E6804909962FC4E3FF5522CF0F8436C0C53315B9C73AA"
    assert session.open_answer(0x9100, unhex("C26D236E4A7C046D"), encrypted=True) == b""


def test_set_configuration_an12196() -> None:
    """Random UID on: option 00, data 02; we never send it, and the tag's MAC behind the answer holds."""
    session = Session(
        unhex("7951A705F47F3C29B596454DC1490383"), unhex("FE4EDBF46536557E304682F33E63A84F"), unhex("D779B1D0")
    )
    sealed = session.encrypt_command(b"\x02")
    whole = b"\x00" + sealed + session.mac_command(0x5C, b"\x00", sealed)
    assert whole.hex().upper() == "008EA0138A7AF6FC8E99DF2A3A305602C43A7A3C9228C3134A"
    assert session.open_answer(0x9100, unhex("86044208CAD1676A"), encrypted=True) == b""


def test_our_settings_differ_from_an12196_in_keys_only() -> None:
    """AN12196: meta key 2, file key 1, counter readable with key 1. Ours: meta key 1, file key 2, nobody."""
    ours = sdm_settings(0x20, None, 0x43, 0x43).hex().upper()
    assert ours == "4000E0C1FF12" + "200000430000430000"
    assert sdm_settings(0x20, 0x43, 0x43, 0x48).hex().upper() == "4000E0C9FF12" + "200000430000430000480000"


# --- originality


def test_originality_ntag21x() -> None:
    signature = unhex("8B76052EE42F5567BEB53238B3E3F9950707C0DCC956B5C5EFCFDB709B2D82B3")
    assert NXP.signed_21x(unhex("04E10CDA993C80"), signature)
    assert not NXP.signed_21x(unhex("04E10CDA993C81"), signature)
    second = unhex("6048EFD9417CD10F6B7F1818D471A7FE5B46868D2EABDC6307A1E0AAE139D8D0")
    assert NXP.signed_21x(unhex("04DB0BDA993C80"), second)
    assert not NXP.signed_21x(unhex("04E10CDA993C80"), second)


def test_originality_ntag424() -> None:
    signature = unhex(
        "27E9A50E6CA4BA9037C02F7D20A80D0284D0C1D83C67F5A5AC1D8A4EF86C9508417E4E9C6F85AA7920F0ABDED984CAF2"
        "0467D66EA54BBF08"
    )
    assert NXP.signed_424(unhex("0463474AA26A80"), signature)
    assert not NXP.signed_424(unhex("04C46C222A6380"), signature)
    for bad in (b"", signature[:-1], bytes(56), b"\xff" * 56, signature + b"\0"):
        assert not NXP.signed_424(unhex("0463474AA26A80"), bad)


# --- a recorded session with a real chip (TagTamper, factory keys), published in the tests of a free library


def test_recorded_session_of_a_real_chip() -> None:
    """Challenge and proof give the session; then each MAC that we make and check is the recorded one."""
    rnd_b, proof = unhex("7858A0B9DBC468F0FF1B2F773D6DF9FC"), unhex(
        "973A3FCE138BAF3AE755BE492EF9C677913E4C5AF1A9D48B7149BF6C7E2804CC"
    )
    returned = aes.decrypt(ZERO, proof)[4:20]
    rnd_a = returned[-1:] + returned[:-1]
    challenge = Challenge.of(ZERO, rnd_a, rnd_b)
    assert challenge.response.hex().upper() == "3017D88B23577ECA67A58D82E1AA4CFC1F89142CE070FFBF4593D09DAEFEE96F"
    session = challenge.session(proof)
    assert session.transaction.hex().upper() == "085BC941"
    session.counter = 2  # GetVersion and Read_Sig went before
    tag = Script(
        ("9064000009003C1E2F00B5C1C19D00", "00148F7591612FD6889100"),
        ("906400000901FDED11F2EF1B6FAA00", "00B86EA49F47BA32B99100"),
        ("906400000902088D4D4ED349435000", "00076FCC0E2C1FDAC39100"),
        ("9064000009031235FF1B57B7C8B100", "00167A4B7A3AF984C99100"),
        ("90640000090493A9A0FD1274C6E500", "002D70A596A7B0465D9100"),
        ("90F500000902E707ACA86C933B6C00", "0040E0EE000100C1F00016000012000039000012C5522302E3D8249100"),
    )
    chip = Ntag424(tag)
    chip._session = session
    assert [chip.key_version(number) for number in range(5)] == [0] * 5
    assert chip.settings(2).hex().upper() == "40E0EEC1F000160000120000390000"
    assert not tag.exchanges


def test_recorded_version_of_a_real_chip() -> None:
    tag = Script(
        ("9060000000", "0404083000110591AF"),
        ("90AF000000", "0404020102110591AF"),
        ("90AF000000", "04A9707A0B1090CF5D90451046219100"),
    )
    version = Ntag424(tag).version()
    assert version.is_ntag424
    assert version.has_seal
    assert version.uid.hex().upper() == "04A9707A0B1090"

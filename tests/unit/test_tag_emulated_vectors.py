"""The emulated NTAG 424 alone against published numbers: no code of the product's reader's side has a part here.

Sources: NXP AN12196 (EV2, ChangeFileSettings, WriteData, ChangeKey, SUN), sdm-backend's examples (file data, plain
mirror, LRP), and two exchanges of others with real TagTamper chips in LRP mode.
"""

import zlib
from collections.abc import Callable
from typing import Any

import pytest
from tag_client import APPLICATION, ZERO_KEY, Ev2, ask, cbc, read_ndef, write_ndef

from tallystick_emulators import tag_ntag424_crypto as crypto
from tallystick_emulators import tag_ntag424_lrp as lrp
from tallystick_emulators import tag_ntag424_native as chip_native
from tallystick_emulators.tag_ntag424 import Ntag424
from tallystick_emulators.tag_ntag424_chip import Authentication
from tallystick_emulators.tag_ntag424_lrp import LrpSession

RND_B = bytes.fromhex("B9E2FC789B64BF237CCCAA20EC7E6E48")
RND_A = bytes.fromhex("13C5DB8A5930439FC3DEF9A4C675360F")
TI = bytes.fromhex("9D00C4DF")


class Numbers:
    """Random numbers that were planned; zeros afterwards."""

    def __init__(self, *planned: str) -> None:
        self.planned = [bytes.fromhex(one) for one in planned]

    def __call__(self, size: int) -> bytes:
        number = self.planned.pop(0) if self.planned else bytes(size)
        assert len(number) == size
        return number


def in_application(uid: str, numbers: Numbers, tag_tamper: bool = False) -> Ntag424:
    tag = Ntag424(bytes.fromhex(uid), tag_tamper, numbers)
    tag.activate()
    assert ask(tag, APPLICATION) == "9000"
    return tag


def authenticated() -> tuple[Ntag424, Ev2]:
    """With key 0 and the random numbers of AN12196."""
    tag = in_application("04DE5F1EACC040", Numbers(RND_B.hex(), TI.hex()))
    return tag, Ev2(tag, random_a=RND_A)


def test_ev2_first_answers_as_an12196_shows() -> None:
    tag = in_application("04DE5F1EACC040", Numbers(RND_B.hex(), TI.hex()))
    assert ask(tag, "9071000005000300000000") == "A04C124213C186F22399D33AC2A3021591AF"
    second = "35C3E05A752E0144BAC0DE51C1F22C56B34408A23D8AEA266CAB947EA8E0118D"
    answer = "3FA64DB5446D1F34CD6EA311167F5E4985B89690C04A05F17FA7AB2F08120663"
    assert ask(tag, f"90AF000020{second}00") == answer + "9100"
    session = tag._chip.session
    assert isinstance(session, crypto.AesSession)
    assert session.encryption_key.hex().upper() == "1309C877509E5A215007FF0ED19CA564"
    assert session.mac_key.hex().upper() == "4C6626F5E72EA694202139295C7A7FC7"
    assert session.ti.hex().upper() == "9D00C4DF"


def test_change_file_settings_of_an12196_is_understood_and_answered() -> None:
    apdu = "905F0000190261B6D97903566E84C3AE5274467E89EAD799B7C1A0EF7A0400"
    tag, _ = authenticated()
    assert ask(tag, apdu) == "911E", "with command counter 0 the MAC is another one"
    tag, _ = authenticated()
    assert ask(tag, "90AD0000070200000001000000") == "009100", "a plain command is counted, too"
    assert ask(tag, apdu) == "57BFF87B1241E93D" + "9100"
    tag.activate()
    ask(tag, APPLICATION)
    assert ask(tag, "90F50000010200") == "00" + "40" + "00E0" + "000100" + "C1F121200000430000430000" + "9100"


def session_of(tag: Ntag424, encryption_key: str, mac_key: str, ti: str, counter: int) -> None:
    """Put the chip into the middle of a session whose random numbers AN12196 does not show together."""
    session = crypto.AesSession(ZERO_KEY, bytes(16), bytes(16), bytes.fromhex(ti))
    session.encryption_key, session.mac_key = bytes.fromhex(encryption_key), bytes.fromhex(mac_key)
    tag._chip.session, tag._chip.key_number, tag._chip.counter = session, 0, counter


def test_change_key_of_an12196_both_forms() -> None:
    tag = in_application("04DE5F1EACC040", Numbers())
    session_of(tag, "4CF3CB41A22583A61E89B158D252FC53", "5529860B2FC5FB6154B7F28361D30BF9", "7614281A", 2)
    key_2 = "2CF362B7BF4311FF3BE1DAA295E8C68DE09050560D19B9E16C2393AE9CD1FAC75D0CE20BCD1D06E6"
    assert ask(tag, f"90C400002902{key_2}00") == "203BB55D1089D587" + "9100"
    key_0 = "C0EB4DEEFEDDF0B513A03A95A75491818580503190D4D05053FF75668A01D6FDA6610234BDED6432"
    assert ask(tag, f"90C400002900{key_0}00") == "9100", "the session ends with its key: no MAC"
    eeprom = tag._chip.eeprom
    assert eeprom.keys[2].hex().upper() == "F3847D627727ED3BC9C4CC050489B966"
    assert eeprom.keys[0].hex().upper() == "5004BF991F408672B1EF00F08F9E8647"
    assert eeprom.versions == [1, 0, 1, 0, 0]


def test_write_data_of_an12196_in_full_mode() -> None:
    tag = in_application("04DE5F1EACC040", Numbers())
    session_of(tag, "7A93D6571E4B180FCA6AC90C9A7488D4", "FC4AF159B62E549B5812394CAB1918CC", "7614281A", 0)
    tag._chip.key_number = 3
    apdu = "908D00001F030000000A00006B5E6804909962FC4E3FF5522CF0F8436C0C53315B9C73AA00"
    assert ask(tag, apdu) == "C26D236E4A7C046D" + "9100"
    file = tag._chip.file(3)
    assert file is not None
    assert file.data[:10].hex() == "0102030405060708090a"


def test_set_configuration_and_get_card_uid_of_an12196() -> None:
    tag = in_application("04958CAA5C5E80", Numbers())
    session_of(tag, "7951A705F47F3C29B596454DC1490383", "FE4EDBF46536557E304682F33E63A84F", "D779B1D0", 0)
    apdu = "905C000019008EA0138A7AF6FC8E99DF2A3A305602C43A7A3C9228C3134A00"
    assert ask(tag, apdu) == "86044208CAD1676A" + "9100"
    assert tag._chip.eeprom.random_id
    session_of(tag, "2B4D963C014DC36F24F69A50A394F875", "379D32130CE61705DD5FD8C36B95D764", "DF055522", 0)
    assert ask(tag, "90510000088E2C155ADDA99BE300") == "70756055688505B52A5E26E59E329CD6595F672298EA41B7" + "9100"


def test_key_check_value_is_the_one_of_an12196() -> None:
    key = bytes.fromhex("F3847D627727ED3BC9C4CC050489B966")
    assert crypto.crc32_of_key(key).hex().upper() == "789DFADC"
    assert crypto.crc32_of_key(key) != zlib.crc32(key).to_bytes(4, "little")


def mirroring(uid: str, template: bytes, settings: str, padding: str = "", taps: int = 1, lrp: bool = False) -> bytes:
    """What the tap with number `taps` reads of a file with such settings. `padding`: the chip's random numbers."""
    tag = in_application(uid, Numbers())
    if lrp:
        assert Ev2(tag).command(0x5C, b"\x05", bytes.fromhex("00000000020000000000"))[1] == "9100"
        ask(tag, APPLICATION)
    write_ndef(tag, template)
    change_settings(tag, settings, lrp)
    for _ in range(taps - 1):
        read_ndef(tag)
    tag._chip.random = Numbers(padding) if padding else Numbers()
    return read_ndef(tag)


def change_settings(tag: Ntag424, settings: str, lrp: bool) -> None:
    """As a personaliser does; in LRP mode only through the file's free change right."""
    ask(tag, APPLICATION)
    if not lrp:
        assert Ev2(tag).command(0x5F, b"\x02", bytes.fromhex(settings))[1] == "9100"
        return
    file = tag._chip.file(2)
    assert file is not None
    file.settings.change = 0xE
    apdu = bytes.fromhex(settings)
    assert ask(tag, bytes([0x90, 0x5F, 0, 0, 1 + len(apdu), 2]) + apdu + b"\0") == "9100"


def ndef(*parts: bytes) -> tuple[bytes, list[int]]:
    """A file with its length in front, and where each part begins."""
    content, starts = b"\0\0", []
    for part in parts:
        starts.append(len(content))
        content += part
    return (len(content) - 2).to_bytes(2) + content[2:], starts


def three(*numbers: int) -> str:
    return b"".join(one.to_bytes(3, "little") for one in numbers).hex()


def test_sun_with_zero_keys_is_the_published_link() -> None:
    template, at = ndef(b"?e=", bytes(32), b"&c=", bytes(16))
    padding = cbc(ZERO_KEY).decrypt(bytes.fromhex("EF963FF7828658A599F3041510671E88"))[11:]
    read = mirroring(
        "04DE5F1EACC040",
        template,
        "4000E0" + "C1F100" + three(at[1], at[3], at[3]),
        padding=(padding + bytes(19)).hex(),
        taps=61,
    )
    assert read[2:] == b"?e=EF963FF7828658A599F3041510671E88&c=94EED9EE65337086"


def test_sun_with_file_data_is_the_published_link() -> None:
    template, at = ndef(b"?p=", bytes(32), b"&enc=", b"x" * 16 + bytes(16), b"&cmac=", bytes(16))
    padding = cbc(ZERO_KEY).decrypt(bytes.fromhex("FD91EC264309878BE6345CBE53BADF40"))[11:]
    read = mirroring(
        "04958CAA5C5E80",
        template,
        "4000E0" + "D1F100" + three(at[1], at[3], at[3], 32, at[5]),
        padding=(padding + bytes(19)).hex(),
        taps=8,
    )
    assert read[2:] == (
        b"?p=FD91EC264309878BE6345CBE53BADF40&enc=CEE9A53E3E463EF1F459635736738962&cmac=ECC1E7F6C6C73BF6"
    )


def test_plain_mirror_is_the_published_one() -> None:
    template, at = ndef(b"?u=", bytes(14), b"x", bytes(6), b"&c=", bytes(16))
    settings = "4000E0" + "C1F1E0" + three(at[1], at[3], at[5], at[5])
    read = mirroring("041E3C8A2D6B80", template, settings, taps=6)
    assert read[2:] == b"?u=041E3C8A2D6B80x000006&c=4B00064004B0B3D3"


def test_lrp_link_is_the_published_one() -> None:
    template, at = ndef(b"?p=", bytes(48), b"&enc=", b"NTXXb7dz3PsYYBlU" + bytes(16), b"&cmac=", bytes(16))
    read = mirroring(
        "049B112A2F7080",
        template,
        "4000E0" + "D1F100" + three(at[1], at[3], at[3], 32, at[5]),
        padding="07D9CA2545881D4B" + "08B336E25D" + "00" * 11,
        taps=4,
        lrp=True,
    )
    picc_data, enc, mac = read[5:53], read[58:90], read[96:]
    assert picc_data[:16] == b"07D9CA2545881D4B"
    assert enc == b"D6E921C47DB4C17C56F979F81559BB83"
    assert mac == b"F9481AC7D855BDB6"
    assert picc_data == b"07D9CA2545881D4BFDD920BE1603268C0714420DD893A497"


LRP_CAPTURES = [
    pytest.param(
        "E8185D2C4F7CFFD5196EA8F54FF648F3",
        "A2CC8C9721DFB09E3050DD5FA8A52549",
        "F9E461A3182B78D8FBFBFA6FA4C2DF93",
        0,
        True,
        "EA53D318617A367B",
        "95B6CD54B7B7096940B330CDB927AD608C8A41613A7F3984",
        id="open",
    ),
    pytest.param(
        "D96924CE20BDD49713436E07E96F7F0D",
        "06C285B7F8FCDEFF1FCE64E96158B3DE",
        "BDCE7A3114E5664D6411BF0B2E64C319",
        1,
        False,
        "79A807E94C968F33",
        "FD4225A32043321FFA19EB4AC0F2E2A4A9E6D6A89FB6D686",
        id="off",
    ),
]


@pytest.mark.parametrize(("random_a", "random_b", "sealed", "counter", "opened", "mac", "answer"), LRP_CAPTURES)
def test_lrp_tamper_status_answers_as_a_real_chip(
    random_a: str, random_b: str, sealed: str, counter: int, opened: bool, mac: str, answer: str
) -> None:
    tag = in_application("04010203040506", Numbers(), tag_tamper=True)
    tag._chip.eeprom.lrp, tag._chip.eeprom.tamper_enabled, tag.loop_open = True, opened, True
    tag.activate()
    assert ask(tag, APPLICATION) == "9000"
    tag._chip.authentication = Authentication(
        0, True, bytes.fromhex(random_b), ti_of(random_a, random_b, sealed), 0, bytes.fromhex("020000000000")
    )
    second = bytes.fromhex(random_a) + lrp_mac(random_a, random_b, random_a + random_b)
    answered = ask(tag, b"\x90\xaf\0\0\x20" + second + b"\0")
    assert answered[:32] == sealed
    assert answered[-4:] == "9100"
    tag._chip.counter = counter
    assert ask(tag, f"90F7000008{mac}00") == answer + "9100"


def ti_of(random_a: str, random_b: str, sealed: str) -> bytes:
    return lrp_session(random_a, random_b)._encryption_key.decrypt(bytes(4), bytes.fromhex(sealed))[:4]


def lrp_mac(random_a: str, random_b: str, data: str) -> bytes:
    return lrp_session(random_a, random_b).whole_mac(bytes.fromhex(data))


def lrp_session(random_a: str, random_b: str) -> LrpSession:
    return LrpSession(ZERO_KEY, bytes.fromhex(random_a), bytes.fromhex(random_b), b"")


WRONG_STEPS = [
    pytest.param(crypto, "truncated", lambda mac: mac[::2], test_sun_with_zero_keys_is_the_published_link, id="MAC"),
    pytest.param(crypto, "unpadded", lambda data: data[:-1], test_change_key_of_an12196_both_forms, id="padding"),
    pytest.param(chip_native, "crc32_of_key", lambda key: b"\0" * 4, test_change_key_of_an12196_both_forms, id="CRC"),
    pytest.param(
        crypto, "session_context", lambda a, b: a + b[:10], test_ev2_first_answers_as_an12196_shows, id="session keys"
    ),
    pytest.param(lrp, "_doubled", lambda block: block, test_lrp_link_is_the_published_one, id="LRP subkeys"),
    pytest.param(
        crypto.AesMirror,
        "encrypted",
        lambda self, data: crypto.encrypt(self._encryption_key, bytes(16), data),
        test_sun_with_file_data_is_the_published_link,
        id="IV of file data",
    ),
]


@pytest.mark.parametrize(("where", "name", "wrong", "held_by"), WRONG_STEPS)
def test_a_wrong_step_anywhere_is_noticed(
    where: Any, name: str, wrong: Callable[..., Any], held_by: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Controls: with one step of the emulator's cryptography wrong, the test of its published numbers must fail."""
    held_by()
    monkeypatch.setattr(where, name, wrong)
    with pytest.raises(AssertionError):
        held_by()

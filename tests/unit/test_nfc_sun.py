"""What a link says and what it does not: every way to be wrong has a state of its own."""

from pathlib import Path

import pytest
from personalise_support import OTHER_UID, UID, Desk, JobKeys

from tallystick_chips import sun, tag_link
from tallystick_chips.errors import SunError
from tallystick_chips.ntag424 import Ntag424, sdm_settings
from tallystick_chips.sun import (
    SunCounterError,
    SunFormatError,
    SunKeyError,
    SunMacError,
    SunSwappedError,
    SunTagError,
)
from tallystick_chips.tag_order import FILE_KEY, META_KEY

ZERO = bytes(16)
WRONG = bytes(15) + b"\1"
P, C = "EF963FF7828658A599F3041510671E88", "94EED9EE65337086"  # AN12196: counter 61
LRP_P, LRP_C = "1FCBE61B3E4CAD980CBFDD333E7A4AC4A579569BAFD22C5F", "4231608BA7B02BA9"  # counter 3
ENC = "CEE9A53E3E463EF1F459635736738962"
ENC_P, ENC_C = "FD91EC264309878BE6345CBE53BADF40", "ECC1E7F6C6C73BF6"
TAG_UID = bytes.fromhex("04DE5F1EACC040")


def refused(error: type[SunError], p: str, c: str, meta: bytes = ZERO, file_key: bytes = ZERO, **more: object) -> str:
    with pytest.raises(SunError) as caught:
        sun.verify(p, c, meta, file_key, **more)  # type: ignore[arg-type]
    assert type(caught.value) is error, caught.value
    return str(caught.value)


def test_each_way_to_be_wrong_has_its_own_state() -> None:
    refused(SunKeyError, P, C, meta=WRONG)
    refused(SunMacError, P, C, file_key=WRONG)
    refused(SunMacError, P, "94EED9EE65337087")
    refused(SunMacError, P, C, mac_input=b"CC&c=")
    refused(SunCounterError, P, C, last_counter=61)
    refused(SunTagError, P, C, uid=OTHER_UID)
    refused(SunSwappedError, C, P)
    refused(SunFormatError, P[:-2], C)


@pytest.mark.parametrize(("p", "c"), [(P, C), (LRP_P, LRP_C)], ids=["aes", "lrp"])
def test_every_flipped_bit_of_a_link_is_refused(p: str, c: str) -> None:
    for name, text in (("p", p), ("c", c)):
        for bit in range(len(text) * 4):
            flipped = f"{int(text, 16) ^ 1 << bit:0{len(text)}X}"
            parts = {"p": p, "c": c, name: flipped}
            with pytest.raises(SunError) as caught:
                sun.verify(parts["p"], parts["c"], ZERO, ZERO)
            assert type(caught.value) in (SunKeyError, SunMacError)


@pytest.mark.parametrize(("p", "c"), [(P, C), (LRP_P, LRP_C)], ids=["aes", "lrp"])
def test_every_truncation_of_a_link_is_refused(p: str, c: str) -> None:
    for length in range(len(p)):
        # An LRP link cut to 32 digits has the length of an AES link, and does not decrypt as one.
        refused(SunKeyError if length == 32 else SunFormatError, p[:length], c)
    for length in range(len(c)):
        refused(SunFormatError, p, c[:length])


@pytest.mark.parametrize("text", [" " + P[1:], "0x" + P[2:], P + "\n", P + "=", "é" * 32, "１" * 32, P + P])
def test_no_other_spelling_of_hex_is_taken(text: str) -> None:
    assert "p has" in refused(SunFormatError, text, C)


def test_case_of_hex_does_not_matter() -> None:
    assert sun.verify(P.lower(), C.lower(), ZERO, ZERO) == sun.verify(P, C, ZERO, ZERO)


def test_counter_must_rise() -> None:
    """The last counter is the caller's; equal is not above."""
    assert sun.verify(P, C, ZERO, ZERO, last_counter=60).counter == 61
    for last in (61, 62, sun.MAX_COUNTER):
        assert "tap again" in refused(SunCounterError, P, C, last_counter=last)
    with pytest.raises(SunCounterError):
        sun.verify_plain("041E3C8A2D6B80", "000006", "4B00064004B0B3D3", ZERO, last_counter=6)


def test_a_genuine_link_on_another_items_url_is_refused() -> None:
    assert sun.verify(P, C, ZERO, ZERO, uid=TAG_UID).uid == TAG_UID
    assert TAG_UID.hex().upper() in refused(SunTagError, P, C, uid=UID)
    with pytest.raises(SunTagError):
        sun.verify_plain("041E3C8A2D6B80", "000006", "4B00064004B0B3D3", ZERO, uid=UID)


def test_parts_of_two_links_do_not_fit() -> None:
    refused(SunMacError, P, LRP_C)
    refused(SunMacError, P, ENC_C)
    refused(SunMacError, LRP_P, C)


def test_file_data_is_bound_by_the_mac() -> None:
    held = {"enc": ENC, "mac_input": f"{ENC}&cmac=".encode()}
    assert sun.verify(ENC_P, ENC_C, ZERO, ZERO, **held).file_data == b"x" * 16  # type: ignore[arg-type]
    other = ENC[:-1] + "3"
    refused(SunMacError, ENC_P, ENC_C, enc=other, mac_input=f"{other}&cmac=".encode())
    refused(SunFormatError, ENC_P, ENC_C, enc=ENC[:-2], mac_input=held["mac_input"])


def test_plain_mirror_states() -> None:
    uid, counter, c = "041E3C8A2D6B80", "000006", "4B00064004B0B3D3"
    for parts, error in [
        ((uid, counter, c[:-1] + "4"), SunMacError),
        ((uid, "000007", c), SunMacError),
        (("041E3C8A2D6B81", counter, c), SunMacError),
        ((uid[:-2], counter, c), SunFormatError),
        ((uid, "0006", c), SunFormatError),
        ((uid, counter, c + "00"), SunFormatError),
    ]:
        with pytest.raises(SunError) as caught:
            sun.verify_plain(*parts, ZERO)
        assert type(caught.value) is error
    with pytest.raises(SunMacError):
        sun.verify_plain(uid, counter, c, ZERO, mode="lrp")


def test_the_file_key_is_asked_for_by_uid() -> None:
    asked = []

    def key(uid: bytes) -> bytes:
        asked.append(uid)
        return ZERO

    sun.verify(P, C, ZERO, key)
    assert asked == [TAG_UID]


def test_taps_of_an_emulated_tag_verify_and_rise(tmp_path: Path) -> None:
    """Written by us, tapped like a phone, verified: the counter goes up by one a tap, and no tap verifies twice."""
    desk, keys = Desk(tmp_path, "ntag424"), JobKeys()
    assert desk.write().good
    last = None
    seen = set()
    for _ in range(5):
        tag = desk.reader.sense()
        assert tag is not None
        chip = Ntag424(tag)
        chip.select()
        read = tag_link.read_message(chip.read_ndef())
        assert read.p is not None
        assert read.c is not None
        tap = sun.verify(
            read.p, read.c, keys.key(UID, META_KEY), lambda uid: keys.key(uid, FILE_KEY), uid=UID, last_counter=last
        )
        assert last is None or tap.counter == last + 1
        last = tap.counter
        refused(SunCounterError, read.p, read.c, keys.key(UID, META_KEY), keys.key(UID, FILE_KEY), last_counter=last)
        seen.add((read.p, read.c))
    assert len(seen) == 5


def in_lrp_mode(desk: Desk, message: bytes, settings: bytes) -> None:
    """Write and configure in AES mode, then switch LRP on inside: by command, the chip would forget its mirrors."""
    tag = desk.reader.sense()
    assert tag is not None
    chip = Ntag424(tag)
    chip.select()
    chip.authenticate(0, ZERO)
    chip.write(2, 0, len(message).to_bytes(2, "big") + message)
    chip.change_settings(2, settings)
    desk.tag._chip.eeprom.lrp = True  # type: ignore[attr-defined]
    desk.reader.violations.clear()


def test_taps_of_an_emulated_tag_in_lrp_mode_verify(tmp_path: Path) -> None:
    """The emulator's LRP was written apart from ours: p of 48 digits, another session key, the same rule."""
    desk = Desk(tmp_path, "ntag424")
    head = b"\xd1\x01\x56U\x04item.example/?p="
    message = head + b"0" * 48 + b"&c=" + b"0" * 16
    message = message[:2] + bytes([len(message) - 4]) + message[3:]
    at, mac = 2 + len(head), 2 + len(head) + 48 + 3
    in_lrp_mode(desk, message, sdm_settings(at, None, mac, mac))
    counters = []
    for _ in range(3):
        tag = desk.reader.sense()
        assert tag is not None
        chip = Ntag424(tag)
        chip.select()
        text = chip.read_ndef()[len(head) :].decode()
        tap = sun.verify(text[:48], text[51:], ZERO, ZERO, uid=UID)
        assert tap.mode == "lrp"
        counters.append(tap.counter)
        refused(SunMacError, text[:48], text[51:], file_key=WRONG)
        refused(SunKeyError, text[:48], text[51:], meta=WRONG)
    assert counters == [1, 2, 3]


def test_a_tag_in_lrp_mode_is_not_written(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ntag424")
    in_lrp_mode(desk, b"", bytes.fromhex("00E0EE"))
    outcome = desk.write()
    assert (outcome.state, outcome.code) == ("refused", "lrp")


def test_another_jobs_keys_read_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ntag424")
    outcome = desk.write()
    read = tag_link.parse(outcome.url or "")
    other = JobKeys(master=bytes(16))
    assert read.p is not None
    assert read.c is not None
    refused(SunKeyError, read.p, read.c, other.key(UID, META_KEY), other.key(UID, FILE_KEY))
    ours = JobKeys()
    refused(SunMacError, read.p, read.c, ours.key(UID, META_KEY), ours.key(OTHER_UID, FILE_KEY))

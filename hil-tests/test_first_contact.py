"""A node out of the box: it says who it is, asks to be enrolled, and its first reading can be verified."""

import hashlib
import json
import time
from collections.abc import Callable

import nacl.exceptions
import nacl.signing
import pytest
from patience import until, whole_lines

from tallystick_emulators.unix_node import UnixNode
from tallystick_proof import keys
from tallystick_tools.rig import Cable
from tallystick_wire import cbor, cose, message, reading

ORIGIN, PEN, LINK_KEY = "ledger.example/log", 32473, bytes(range(32))


def link(cable: Cable) -> bytes:
    return message.open_linked(cable.ask(message.build_link(LINK_KEY, ORIGIN, PEN), "linked"))


def test_a_new_node_says_who_it_is_and_nothing_else(cable: Cable) -> None:
    told = cable.hello()
    assert (told.state, told.origin) == (message.STATE_NEW, None)
    keys.check_public_key(told.public_key)
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        cable.listen()
    assert cable.readings == []


def test_it_asks_to_be_enrolled(cable: Cable) -> None:
    told = cable.hello()
    nonce = bytes(range(16))
    asked = cose.split(cable.ask(message.build_enrol(ORIGIN, PEN, nonce), "enrol-request"))
    nacl.signing.VerifyKey(told.public_key).verify(asked.to_be_signed, asked.signature)
    body = cbor.decode(asked.payload)
    assert asked.protected_map[cose.LABEL_KID] == keys.kid(told.public_key)
    assert (body["aud"], body["exp"], body["key"]) == (ORIGIN, None, told.public_key)
    assert (body["kind"], body["nonce"], len(body["jti"])) == ("node", nonce, 16)


def test_its_first_reading_verifies(cable: Cable) -> None:
    told = cable.hello()
    assert link(cable) == keys.kid(told.public_key)
    first, second = cable.wait(lambda readings: len(readings) >= 2)[:2]
    for one in (first, second):
        nacl.signing.VerifyKey(told.public_key).verify(one.sign1.to_be_signed, one.sign1.signature)
        with pytest.raises(nacl.exceptions.BadSignatureError):
            nacl.signing.VerifyKey(told.public_key).verify(one.sign1.to_be_signed + b"x", one.sign1.signature)
        assert one.kid == keys.kid(told.public_key)
    assert (first.chain.boot, first.chain.seq) == (1, 1)
    assert first.chain.previous == reading.genesis(ORIGIN, told.public_key)
    assert second.chain.previous == first.link
    assert first.boot_record is not None
    assert (first.boot_record.last_persisted, first.boot_record.reserved_bound) == (0, 0)
    assert first.boot_record.firmware_hash == told.firmware_hash
    assert second.boot_record is None
    assert [record.name for record in second.pack.records] == ["t", "h", "b"]
    assert len(second.data) <= 210
    assert cable.hello().origin == ORIGIN


def test_a_door_is_told_where_there_is_one(make_node: Callable[..., UnixNode]) -> None:
    cable = Cable(make_node(door=1).port)
    link(cable)
    second = cable.wait(lambda readings: len(readings) >= 2)[1]
    assert isinstance(second.pack.get("d"), bool)
    cable.close()


def test_one_key_lives_in_one_log(cable: Cable, node: UnixNode) -> None:
    link(cable)
    for other in (message.build_link(LINK_KEY, "other.example/log", PEN), message.build_enrol("o/l", PEN, bytes(16))):
        assert "another log" in message.open_refused(cable.ask(other, "refused"))
    assert link(cable), "the same log again is welcome"
    assert cable.hello().origin == ORIGIN


def test_what_is_acked_is_written_down_and_forgotten(cable: Cable, node: UnixNode) -> None:
    link(cable)
    acked = cable.wait(lambda readings: len(readings) >= 5)
    log, kept = node.folder / "acks" / f"{acked[0].kid.hex()}.jsonl", node.folder / "flash" / "s"

    def written() -> list[dict[str, object]]:
        return [json.loads(line) for line in whole_lines(log.read_text("utf-8"))] if log.exists() else []

    # One file is left: the newest reading stays, for the next boot record.
    cable.wait_and_ack(LINK_KEY, lambda _: len(written()) >= 5 and len(list(kept.iterdir())) == 1)
    assert written()[:5] == [{"seq": one.chain.seq, "identity": one.identity.hex()} for one in acked[:5]]


def test_forged_acks_and_anchors_change_nothing_and_are_counted(cable: Cable, node: UnixNode) -> None:
    link(cable)
    first = cable.wait(lambda readings: len(readings) >= 3)[0]
    wrong_key = hashlib.sha256(LINK_KEY).digest()
    cable.send(message.build_ack(wrong_key, first.kid, 1, 3, []))
    cable.send(message.build_ack(LINK_KEY, first.kid, 1, 1_000_000, []))  # more than it signed
    cable.send(message.build_anchor(wrong_key, 7, bytes(16)))
    until(lambda: (node.counts().get("acks_refused"), node.counts().get("anchors_refused")) == (2, 1), "not counted")
    cable.listen()
    assert all(one.chain.anchor is None for one in cable.readings)
    assert not list((node.folder / "acks").iterdir())


def test_an_anchor_is_used_once(cable: Cable) -> None:
    link(cable)
    cable.wait(lambda readings: len(readings) >= 1)
    cable.send(message.build_anchor(LINK_KEY, 7, b"sixteen bytes 16"))
    cable.send(message.build_anchor(LINK_KEY, 6, b"an older one, no"))

    def carried_and_more(readings: list[reading.Reading]) -> bool:
        return len(readings) >= 5 + next((at for at, one in enumerate(readings) if one.chain.anchor), len(readings))

    cable.wait_and_ack(LINK_KEY, carried_and_more)
    anchors = [one.chain.anchor for one in cable.readings if one.chain.anchor is not None]
    assert [(size, hash16) for size, hash16, _ in anchors] == [(7, b"sixteen bytes 16")]
    carrier = next(one for one in cable.readings if one.chain.anchor is not None)
    assert anchors[0][2] <= carrier.chain.uptime_ms

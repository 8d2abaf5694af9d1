"""Whole lives of a node on a board in memory: enrolment, readings, acks, anchors, power cuts, troubles."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from node_site import LINK, LINK_KEY, ORIGIN, PEN, Site, boot_record

from tallystick_node import app, ed25519, state
from tallystick_node.batch import FLASH_RETRY_MS, MAX_BATCH_READINGS
from tallystick_node.errors import DamagedFile
from tallystick_node.link import RESEND_AFTER_MS
from tallystick_node.outbox import WINDOW_READINGS, Outbox
from tallystick_node.reserve import SEQUENCE_BLOCK
from tallystick_node.segment import Segment
from tallystick_proof import keys
from tallystick_wire import cbor, cose, message, reading

SEGMENT_READINGS = MAX_BATCH_READINGS


@pytest.fixture
def site() -> Site:
    return Site()


# --- enrolment


def test_a_new_node_makes_no_readings(site: Site) -> None:
    assert site.live(10, message.build_hello()) == []
    told = message.open_node(site.answers[0])
    assert (told.state, told.origin, told.public_key) == ("new", None, site.public_key)
    assert not any(name.startswith(("s/", "reserve")) for name in site.memory.files)


def test_it_starts_at_once_when_it_is_linked(site: Site) -> None:
    found = site.live(5, LINK)
    assert message.open_linked(site.answers[0]) == found[0].kid
    assert [one.chain.seq for one in found] == [1, 2, 3, 4, 5]
    assert [one.chain.uptime_ms for one in found] == [0, 100, 200, 300, 400]
    assert [one.boot_record is not None for one in found] == [True, False, False, False, False]
    site.live(1, message.build_hello())
    assert message.open_node(site.answers[1]).origin == ORIGIN
    before = flash(site)
    site.live(1, LINK)
    assert message.open_linked(site.answers[2]) == found[0].kid, "the same again is welcome"
    assert flash(site)["config.0"] == before["config.0"], "and costs no write"


def test_the_enrol_request(site: Site) -> None:
    site.live(1, message.build_enrol(ORIGIN, PEN, b"n" * 16))
    asked = cose.split(site.answers[0])
    assert keys.verify_signature(site.public_key, asked.to_be_signed, asked.signature)
    assert cbor.decode(asked.payload)["aud"] == ORIGIN
    assert app.wake(site).config is None, "asking is not being enrolled"


def test_kid_is_the_thumbprint_of_rfc_9679() -> None:
    assert state.kid(b"p" * 32) == keys.kid(b"p" * 32)


# --- the chain


def test_every_reading_is_signed_and_names_the_one_before_it(site: Site) -> None:
    found = site.live(SEQUENCE_BLOCK + 20, LINK)
    assert [one.chain.seq for one in found] == list(range(1, SEQUENCE_BLOCK + 21))
    assert found[0].chain.previous == reading.genesis(ORIGIN, site.public_key)
    for earlier, later in pairwise(found):
        assert later.chain.previous == earlier.link
    for one in found:
        assert keys.verify_signature(site.public_key, one.sign1.to_be_signed, one.sign1.signature)


def test_the_chain_goes_on_over_boots(site: Site) -> None:
    """`previous` is the reading with the next lower number that the node made, acked or not."""
    site.live(5, LINK)
    for boot in range(2, 30):
        site.acking = boot % 3 > 0
        site.live(boot)
    chain = [one for _, one in sorted(site.readings.items())]
    assert chain[0].chain.previous == reading.genesis(ORIGIN, site.public_key)
    for earlier, later in pairwise(chain):
        assert later.chain.previous == earlier.link
        if later.boot_record is not None:
            assert later.boot_record.last_persisted == earlier.chain.seq
    assert [one.chain.boot for one in chain if one.boot_record] == sorted({one.chain.boot for one in chain})


def test_boot_records(site: Site) -> None:
    first = site.live(3, LINK)[0]
    assert (boot_record(first).last_persisted, boot_record(first).reserved_bound) == (0, 0)
    site.acking = False
    site.live(SEGMENT_READINGS + 3)
    site.acking = True
    second = next(one for one in site.live(9) if one.boot_record and one.chain.boot == 3)
    kept = SEQUENCE_BLOCK + SEGMENT_READINGS + 3
    assert boot_record(second).last_persisted == kept
    assert boot_record(second).reserved_bound == 2 * SEQUENCE_BLOCK
    assert (second.chain.seq, second.chain.uptime_ms) == (2 * SEQUENCE_BLOCK + 1, 0)
    assert second.chain.previous == site.readings[kept].link
    third = site.live(3)[0]
    assert boot_record(third).last_persisted == third.chain.seq - SEQUENCE_BLOCK + 8, "nine of boot 3"
    assert third.chain.seq == 3 * SEQUENCE_BLOCK + 1
    assert boot_record(first).config_hash == boot_record(third).config_hash


def test_anchors_are_used_once(site: Site) -> None:
    site.live(1, LINK)
    newer, older = (message.build_anchor(LINK_KEY, size, bytes([size]) * 16) for size in (9, 8))
    found = site.live(4, newer, older, newer)
    assert [one.chain.anchor for one in found] == [(9, b"\x09" * 16, 0), None, None, None]


def test_an_older_anchor_replaces_no_newer_one(site: Site) -> None:
    site.live(1, LINK)
    newer, older = (message.build_anchor(LINK_KEY, size, bytes([size]) * 16) for size in (9, 8))
    assert [one.chain.anchor for one in site.live(2, newer, older)] == [(9, b"\x09" * 16, 0), None]


def test_an_unused_anchor_dies_with_the_boot(site: Site) -> None:
    site.live(1, LINK)
    site.segment_limit = 0  # it hears, and makes no reading
    assert site.live(2, message.build_anchor(LINK_KEY, 10, bytes(16))) == []
    site.segment_limit = 1000
    assert site.live(1)[0].chain.anchor is None


# --- until it is acked


def test_a_reading_is_sent_until_it_is_acked(site: Site) -> None:
    site.acking = False
    site.live(3 * RESEND_AFTER_MS // 100 + 1, LINK)
    assert site.arrivals.count(1) == 4
    assert set(site.arrivals) == set(range(1, WINDOW_READINGS + 1)), "nobody acked: no more than the window"


def test_acks_are_written_down_with_identities(site: Site) -> None:
    found = site.live(4, LINK)
    assert site.log == [(one.chain.seq, one.identity) for one in found[:3]], "the last ack came after the last turn"


def test_what_was_kept_is_sent_after_a_boot(site: Site) -> None:
    site.acking = False
    site.live(2 * SEGMENT_READINGS + 5, LINK)
    site.readings.clear()
    site.acking = True
    found = site.live(9)
    kept = [one.chain.seq for one in found if one.chain.boot == 1]
    assert kept == list(range(1, 2 * SEGMENT_READINGS + 6))
    assert boot_record(next(one for one in found if one.chain.boot == 2)).last_persisted == 2 * SEGMENT_READINGS + 5


FORGERIES: dict[str, tuple[Callable[[Site], bytes], str]] = {
    "ack under another key": (lambda site: site.ack(1, key=b"x" * 32), "acks_refused"),
    "ack above what was signed": (lambda site: site.ack(SEQUENCE_BLOCK + 1), "acks_refused"),
    "ack of a later boot": (lambda site: site.ack(1, boot=1000), "acks_refused"),
    "ack for another node": (lambda _: message.build_ack(LINK_KEY, b"other888", 1, 1, []), "acks_refused"),
    "anchor under another key": (lambda _: message.build_anchor(b"x" * 32, 5, bytes(16)), "anchors_refused"),
    "link to another log": (lambda _: message.build_link(LINK_KEY, "other/log", PEN), "enrolments_refused"),
    "link with another pen": (lambda _: message.build_link(LINK_KEY, ORIGIN, PEN + 1), "enrolments_refused"),
    "link with another key": (lambda _: message.build_link(b"x" * 32, ORIGIN, PEN), "enrolments_refused"),
    "link with keys for updates": (
        lambda _: message.build_link(LINK_KEY, ORIGIN, PEN, b"d" * 32),
        "enrolments_refused",
    ),
    "enrol in another log": (lambda _: message.build_enrol("other/log", PEN, bytes(16)), "enrolments_refused"),
    "nonsense": (lambda _: b"\xd2 nonsense", "bad_messages"),
    "what nodes say": (lambda _: message.build_linked(bytes(8)), "unexpected"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_what_is_not_right_changes_nothing(site: Site, name: str) -> None:
    forge, count = FORGERIES[name]
    site.acking = False
    site.live(SEGMENT_READINGS, LINK)
    payload = forge(site)
    before = flash(site)
    assert site.counts(payload) == {count: 1}
    assert flash(site) == before
    assert site.log == []


def flash(site: Site) -> dict[str, bytes]:
    """Every file but the boot counter, which rises whenever the test wakes a node."""
    return {name: data for name, data in site.memory.files.items() if not name.startswith("boot.")}


def test_an_ack_for_readings_before_the_first_of_a_boot(site: Site) -> None:
    """The boot before may have signed all that it reserved, so such an ack is no forgery."""
    site.live(3, LINK)
    assert site.counts(site.ack(SEQUENCE_BLOCK)) == {"acked": 1}


def test_an_unenrolled_node_takes_no_acks(site: Site) -> None:
    anchor = message.build_anchor(LINK_KEY, 5, bytes(16))
    assert site.counts(site.ack(1), anchor) == {"acks_refused": 1, "anchors_refused": 1}


def test_a_slow_signer_is_counted_and_noted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ed25519, "slow_because", "no viper here")
    site.live(1, LINK)
    assert app.wake(site).all_counts()["slow_signer"] == 1
    assert "signing slowly: no viper here" in site.notes[0]


def test_identify_lights_a_lamp(site: Site) -> None:
    assert site.counts(message.build_identify()) == {"identify": 1}
    assert site.lit == 1


# --- troubles


def test_a_full_link_blocks_nothing(site: Site) -> None:
    site.live(1, LINK)
    site.power_cycle(5)
    site.link.full = True
    app.run(site)
    assert site.link.dropped == 5


def test_a_full_store_is_silence_and_not_loss(site: Site) -> None:
    site.segment_limit, site.batch_readings = 2, SEGMENT_READINGS
    site.acking = False
    site.live(5 * SEGMENT_READINGS, LINK)
    assert app.wake(site).store.pending(1000) == list(range(1, 2 * SEGMENT_READINGS + 1)), "the oldest are kept"


def test_a_broken_sensor_is_a_fault_and_no_silence(site: Site) -> None:
    site.sensor_works = False
    found = site.live(5, LINK)
    assert len(found) == 5
    assert {(one.pack.get("t"), one.pack.get("h"), one.pack.get("f")) for one in found} == {(None, 70, "t: no answer")}
    site.sensor_works = True
    assert site.live(1)[0].pack.get("f") is None


def test_flash_that_refuses_stops_readings_and_not_the_node(site: Site) -> None:
    site.live(1, LINK)
    site.power_cycle()
    node = app.wake(site)
    site.memory.full = True
    node.take_reading(0)
    assert node.counts == {"flash_refused": 1}
    site.memory.full = False
    node.take_reading(100)
    assert node.counts["readings"] == 1


def test_a_reservation_never_calls_kept_what_is_only_in_ram(site: Site) -> None:
    """A block is reserved while a batch waits; a power cut takes the batch; the boot record names what is stored."""
    site.batch_readings = SEGMENT_READINGS
    site.live(SEQUENCE_BLOCK + 2, LINK)
    stored = SEQUENCE_BLOCK - SEQUENCE_BLOCK % SEGMENT_READINGS
    first = next(one for one in site.live(SEGMENT_READINGS + 3) if one.boot_record)
    assert boot_record(first).last_persisted == stored
    assert boot_record(first).reserved_bound == 2 * SEQUENCE_BLOCK
    assert first.chain.previous == site.readings[stored].link
    assert not any(stored < seq <= SEQUENCE_BLOCK + 2 for seq in site.readings), "nobody heard of what was lost"


def test_a_batch_that_the_flash_refuses_waits_and_is_never_sent_from_ram(site: Site) -> None:
    site.batch_readings = 3
    site.live(1, LINK)
    site.power_cycle()
    node = app.wake(site)
    for now_ms in range(3):
        node.take_reading(now_ms)
    site.memory.full = True
    assert not node.store_batch(2)
    node.take_reading(3)
    assert (node.counts["readings"], node.counts["flash_refused"], node.counts["no_room"]) == (3, 1, 1)
    assert node.batch.due_in_ms(2) == FLASH_RETRY_MS
    node.send_pending(3)
    assert not site.link.sent
    site.memory.full = False
    assert node.store_batch(3)
    node.send_pending(3)
    assert [reading.parse(payload).chain.seq for payload in site.link.sent] == [257, 258, 259]


def test_lost_state_retires_the_key(site: Site) -> None:
    site.live(3, LINK)
    old = site.public_key
    site.memory.files["reserve.0"] = site.memory.files["reserve.1"] = b"torn"
    assert site.live(3, message.build_hello()) == []
    told = message.open_node(site.answers[-1])
    assert told.state == "new"
    assert told.public_key != old
    bad = {name for name in site.memory.files if name.endswith(".bad")}
    assert {"key.0.bad", "key.1.bad", "reserve.0.bad", "config.0.bad"} <= bad
    site.readings.clear()
    found = site.live(2, LINK)
    assert found[0].chain.seq == 1, "another key, other numbers"
    assert found[0].chain.previous == reading.genesis(ORIGIN, told.public_key)
    assert found[0].pack.get("bf") == len(bad)


def segment_name(number: int) -> str:
    first = number * SEGMENT_READINGS + 1
    return Segment(first, first + SEGMENT_READINGS - 1).name


@pytest.mark.parametrize("damaged", [0, 1, 2])
def test_a_damaged_segment_is_declared_lost(site: Site, damaged: int) -> None:
    """What lies behind the damage cannot link, so the boot record calls nothing of it persisted."""
    site.acking = False
    site.batch_readings = SEGMENT_READINGS
    site.live(4 * SEGMENT_READINGS, LINK)
    site.batch_readings = 1
    name = segment_name(damaged)
    site.memory.files[name] = site.memory.files[name][:-9]
    site.readings.clear()
    site.acking = True
    found = site.live(9)
    kept = damaged * SEGMENT_READINGS
    assert [one.chain.seq for one in found if one.chain.boot == 1] == list(range(1, kept + 1))
    first = next(one for one in found if one.chain.boot == 2)
    assert boot_record(first).last_persisted == kept
    genesis = reading.genesis(ORIGIN, site.public_key)
    assert first.chain.previous == (site.readings[kept].link if kept else genesis)
    assert first.pack.get("bf") == 4 - damaged


def test_a_segment_that_rots_in_use_starts_the_node_again(site: Site) -> None:
    """Nothing more is signed on top of the damage; the next boot declares what is lost."""
    site.acking = False
    site.batch_readings = SEGMENT_READINGS
    site.live(4 * SEGMENT_READINGS, LINK)
    site.acking = True
    site.power_cycle(30)
    site.rots = segment_name(1)
    app.main(site)
    assert [type(error) for error in site.restarts] == [DamagedFile]
    first = next(one for one in site.readings.values() if one.chain.boot == 3)
    assert boot_record(first).last_persisted == SEGMENT_READINGS, "the segment before the damage is whole"
    assert first.pack.get("bf") == 3, "the damaged one and two behind it"
    assert first.chain.seq == 2 * SEQUENCE_BLOCK + 1


# --- the outbox


def test_the_window() -> None:
    box = Outbox(RESEND_AFTER_MS)
    pending = list(range(1, WINDOW_READINGS + 1))
    assert box.due(pending, 0) == pending
    for seq in pending:
        box.sent(seq, 0)
    assert box.due(pending, RESEND_AFTER_MS - 1) == []
    assert box.wait_ms(pending, RESEND_AFTER_MS - 300, 1000) == 300
    assert box.wait_ms(pending, 0, 1000) == 1000
    assert box.due(pending, RESEND_AFTER_MS) == pending
    assert box.due([3, 99], 10) == [99]
    assert box.due([4], 10) == [4], "what left the window is forgotten"

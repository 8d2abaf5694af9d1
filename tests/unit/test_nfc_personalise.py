"""A tag gets its identity: what a finished tag is, and what becomes of it afterwards."""

from dataclasses import replace
from pathlib import Path

import pytest
from personalise_support import CHIPS, HOST, UID, Desk, make_tag, opened, order, sensed

from tallystick_chips import personalise, tag_link
from tallystick_chips.ntag424 import CONTAINER_FILE, FACTORY_KEY, NDEF_FILE, Ntag424
from tallystick_chips.tag_journal import Journal
from tallystick_chips.tag_order import TYPE2_CHIPS, Chip, TagOrder
from tallystick_emulators.tag_ntag21x import Ntag21x
from tallystick_provisioning.item import item

every_chip = pytest.mark.parametrize("chip", CHIPS)


@every_chip
def test_written_tag_says_what_was_ordered(tmp_path: Path, chip: Chip) -> None:
    desk = Desk(tmp_path, chip)
    steps: list[str] = []
    outcome = desk.write(tell=steps.append)
    assert (outcome.state, outcome.good, outcome.uid, outcome.chip) == ("written", True, UID, chip)
    assert (outcome.key_version, outcome.epoch, outcome.counter) == (7, 1, 1)
    assert outcome.copyable == (chip in TYPE2_CHIPS)
    assert outcome.seal == ("closed" if chip == "ntag424tt" else None)
    read = tag_link.parse(outcome.url or "")
    assert (read.host, read.path) == (HOST, "/01/09506000134352/21/AB-1")
    assert [step for step in personalise.STEPS if step in steps] == list(dict.fromkeys(steps))
    assert steps[0] == "identify"
    assert steps[-1] == "verify"


@every_chip
def test_uri_comes_first_and_offsets_are_those_of_the_encoded_bytes(chip: Chip) -> None:
    for serial in ("1", "A" * 20, "%/?&=", "a.b-c_d"):
        link = tag_link.build(TagOrder(chip, HOST, item("09506000134352", serial)))
        assert link.message[3] == ord("U")
        if chip in TYPE2_CHIPS:
            assert link.message[link.mirror - 2 :].startswith(b"m=" + b"0" * 21)
            continue
        assert link.message[link.mirror - 2 :].startswith(b"p=" + b"0" * 32)
        assert link.mac is not None
        assert link.message[link.mac - 2 :] == b"c=" + b"0" * 16
        assert link.mac_input == (link.seal if chip == "ntag424tt" else link.mac)


def test_all_five_keys_are_changed(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ntag424")
    assert desk.write().good
    for number in range(5):
        chip = Ntag424(sensed(desk))
        chip.select()
        chip.authenticate(number, desk.keys.key(UID, number))
    chip = opened(desk, desk.keys.key(UID, 0))
    assert [chip.key_version(number) for number in range(5)] == [7] * 5


def test_container_says_read_only(tmp_path: Path) -> None:
    """Until then nfcpy, and phones, believe that they may write."""
    desk = Desk(tmp_path, "ntag424")
    assert desk.write().good
    assert opened(desk, desk.keys.key(UID, 0)).read(CONTAINER_FILE, 14, 1) == b"\xff"


def test_link_of_a_sealed_tag_tells_when_it_was_opened(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ntag424tt")
    assert desk.write().seal == "closed"
    desk.tag.loop_open = True  # type: ignore[attr-defined]
    outcome = desk.run(personalise.verify)
    assert (outcome.state, outcome.seal) == ("written", "open")
    desk.tag.loop_open = False  # type: ignore[attr-defined]
    assert desk.run(personalise.verify).seal == "open", "once opened, opened for ever"


def test_a_tag_whose_loop_is_open_is_not_finished(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ntag424tt")
    desk.tag.loop_open = True  # type: ignore[attr-defined]
    outcome = desk.write()
    assert (outcome.state, outcome.code) == ("unfinished", "seal")


@every_chip
def test_counter_starts_anew_and_the_epoch_says_so(tmp_path: Path, chip: Chip) -> None:
    desk = Desk(tmp_path, chip)
    assert desk.write().epoch == 1
    assert desk.run(personalise.reset).state == "factory"
    outcome = desk.write()
    assert outcome.epoch == 2
    if chip not in TYPE2_CHIPS:
        assert outcome.counter == 1, "SDM's counter begins again; a server tells the taps apart by the epoch"


@every_chip
def test_dry_run_changes_nothing(tmp_path: Path, chip: Chip) -> None:
    desk = Desk(tmp_path, chip)
    before = desk.tag.to_bytes()
    outcome = desk.write(dry_run=True)
    assert outcome.state == "planned"
    assert desk.tag.to_bytes() == before
    assert not desk.journal.uids()
    assert desk.write().state == "written"


@every_chip
def test_reset_gives_back_what_the_factory_made(tmp_path: Path, chip: Chip) -> None:
    desk, fresh = Desk(tmp_path, chip), make_tag(chip)
    assert desk.write().good
    assert desk.run(personalise.reset).state == "factory"
    if isinstance(desk.tag, Ntag21x) and isinstance(fresh, Ntag21x):
        assert desk.tag._memory.data == fresh._memory.data
    else:
        chip_side = opened(desk)
        assert chip_side.read(NDEF_FILE, 0, 128) == bytes(128)
        assert [chip_side.key_version(number) for number in range(5)] == [0] * 5
        for number in range(1, 5):
            opened(desk).authenticate(number, FACTORY_KEY)


@every_chip
def test_locked_is_locked_for_us_too(tmp_path: Path, chip: Chip) -> None:
    desk = Desk(tmp_path, chip)
    assert desk.run(personalise.lock).code == "not-written"
    assert desk.write().good
    assert desk.run(personalise.lock).state == "locked"
    locked = desk.tag.to_bytes()
    assert desk.run(personalise.reset).code == "not-written"
    desk.journal.append(UID, "reset")  # somebody who lies to the journal does not get further
    assert desk.run(personalise.resume).code == "locked"
    if isinstance(desk.tag, Ntag21x):
        assert desk.tag.to_bytes()[19:] == locked[19:], "not a page has changed"


@every_chip
def test_retired_tag_never_verifies_again(tmp_path: Path, chip: Chip) -> None:
    desk = Desk(tmp_path, chip)
    assert desk.write().good
    assert desk.run(personalise.retire).state == "retired"
    assert not desk.run(personalise.verify).good
    assert desk.run(personalise.reset).code == "not-written"
    outcome = desk.write()
    assert (outcome.state, outcome.code) == ("refused", "retired")


def test_scan_label_tap_tag_must_match(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ntag424")
    assert desk.write().good
    assert desk.run(personalise.verify, order=order("ntag424")).state == "written"
    other = replace(order("ntag424"), item=item("09506000134352", "AB-2"))
    outcome = desk.run(personalise.verify, order=other)
    assert outcome.code == "other-item"
    assert "AB-1" in outcome.reason
    assert "AB-2" in outcome.reason


def test_keys_of_another_version_are_not_tried(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ntag424")
    assert desk.write().good
    desk.keys = replace(desk.keys, version=8)
    outcome = desk.run(personalise.reset)
    assert (outcome.state, outcome.code) == ("refused", "other-keys")
    assert "version 7" in outcome.reason


def test_nothing_to_resume(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ntag424")
    assert desk.run(personalise.resume).code == "unknown"
    assert desk.write().good
    assert desk.run(personalise.resume).code == "nothing-begun"
    assert desk.run(personalise.recover).state == "written"


def test_a_tag_that_was_altered_behind_our_back_does_not_verify(tmp_path: Path) -> None:
    """Somebody with key 0 changes settings, keys or container: the full check says what is wrong."""
    for what in ("settings", "container", "key"):
        desk = Desk(tmp_path / what, "ntag424")
        assert desk.write().good
        chip = opened(desk, desk.keys.key(UID, 0))
        if what == "settings":
            settings = chip.settings(NDEF_FILE)
            chip.change_settings(NDEF_FILE, settings[:1] + b"\xe0\xee" + settings[3:])
        elif what == "container":
            chip.write(CONTAINER_FILE, 14, b"\0")
        else:
            chip.change_key(4, FACTORY_KEY, 0, desk.keys.key(UID, 4))
        outcome = desk.run(personalise.verify)
        assert (outcome.state, outcome.code) == ("refused", "verify"), what
        assert desk.run(personalise.recover).state == "factory"


def test_journal_that_cannot_be_written_stops_before_the_tag(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    desk = Desk(tmp_path / "fine", "ntag424")
    desk.journal.folder = blocked / "journal"
    desk.reader.journal = Journal(tmp_path / "fine")
    outcome = desk.write()
    assert outcome.code == "journal"
    assert opened(desk).key_version(1) == 0

"""A tag that is not taken is refused with the reason and the next action, and nothing on it is changed."""

from dataclasses import replace
from pathlib import Path

import pytest
from personalise_support import (
    CHIPS,
    HOST,
    ITEM,
    OTHER_UID,
    UID,
    Desk,
    JobKeys,
    make_tag,
    opened,
    order,
    reloaded,
    sensed,
)

from tallystick_chips import personalise
from tallystick_chips.ntag424 import CONTAINER_FILE, FACTORY_KEY
from tallystick_chips.tag_order import Chip, TagOrder
from tallystick_chips.tag_originality import NXP
from tallystick_emulators.tag_ntag21x import Ntag21x
from tallystick_provisioning.item import item

every_chip = pytest.mark.parametrize("chip", CHIPS)


def refused(desk: Desk, code: str, **more: object) -> None:
    before = desk.tag.to_bytes()
    outcome = desk.write(**more)
    assert (outcome.state, outcome.code) == ("refused", code), outcome
    assert outcome.reason
    assert outcome.next_action
    assert not outcome.good
    if isinstance(desk.tag, Ntag21x):
        assert desk.tag.to_bytes()[19:] == before[19:], "a page has changed"
    assert desk.journal.history(UID).stage in ("new", "factory", "written", "locked", "retired")


@every_chip
def test_foreign_chip_is_refused(tmp_path: Path, chip: Chip) -> None:
    """The emulator's own signature is not NXP's, so against NXP's key every emulated tag is a foreign chip."""
    desk = Desk(tmp_path, chip)
    outcome = desk.write(originality=NXP)
    assert (outcome.state, outcome.code) == ("refused", "signature")
    assert not desk.journal.uids()


def test_signature_of_another_tag_is_refused(tmp_path: Path) -> None:
    """A copy that carries the genuine signature of another UID."""
    signature = Ntag21x("NTAG215", OTHER_UID)
    signature.activate()
    stolen = signature.answer(b"\x3c\x00")
    desk = Desk(tmp_path, "ntag215")
    desk.air.swap(Ntag21x("NTAG215", UID, stolen))
    outcome = desk.write()
    assert outcome.code == "signature"


def test_the_published_genuine_tag_passes_against_nxps_key(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ntag213")
    desk.air.swap(Ntag21x("NTAG213", bytes.fromhex("04E10CDA993C80")))
    assert desk.write(originality=NXP).state == "written"


@every_chip
def test_tag_of_another_job_is_refused(tmp_path: Path, chip: Chip) -> None:
    """Keys that we do not have: written by others, or by us on another laptop."""
    theirs = Desk(tmp_path / "theirs", chip, JobKeys(master=bytes([9] * 16)))
    assert theirs.write().good
    ours = Desk(tmp_path / "ours", chip)
    ours.tag = reloaded(theirs.tag)
    ours.air.swap(ours.tag)
    refused(ours, "foreign-keys")
    assert ours.run(personalise.recover).code == "foreign-keys"


def test_tag_with_one_foreign_key_is_refused_before_anything_changes(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ntag424")
    opened(desk).change_key(3, bytes([5] * 16), 99, FACTORY_KEY)
    desk.reader.violations.clear()
    refused(desk, "foreign-keys")
    assert desk.reader.violations == []


def test_a_container_that_others_closed_is_refused_before_anything_changes(tmp_path: Path) -> None:
    """Found later it could neither be finished nor taken back."""
    desk = Desk(tmp_path, "ntag424")
    opened(desk).change_settings(CONTAINER_FILE, bytes.fromhex("00FFEF"))
    desk.reader.violations.clear()
    refused(desk, "container")
    assert desk.reader.violations == []


def test_a_foreign_key_that_says_version_0_is_never_called_factory(tmp_path: Path) -> None:
    """Many tools leave the version byte at 0: only ChangeKey itself tells."""
    desk = Desk(tmp_path, "ntag424")
    opened(desk).change_key(3, bytes([5] * 16), 0, FACTORY_KEY)
    for command in (None, personalise.recover, personalise.resume, personalise.recover):
        outcome = desk.write() if command is None else desk.run(command)
        assert (outcome.state, outcome.code) == ("unfinished", "foreign-keys")
        assert "set it aside" in outcome.next_action


@every_chip
def test_a_blank_copy_of_a_finished_tag_gives_no_row_free(tmp_path: Path, chip: Chip) -> None:
    """A chip on which any UID can be set: recover must not take the item from the genuine tag."""
    desk = Desk(tmp_path, chip)
    assert desk.write().good
    genuine = desk.tag
    desk.air.swap(make_tag(chip))
    outcome = desk.run(personalise.recover)
    assert (outcome.state, outcome.code) == ("refused", "copy")
    desk.air.swap(genuine)
    assert desk.run(personalise.verify).good


def test_half_written_tag_with_a_foreign_key_is_left_alone(tmp_path: Path) -> None:
    """Somebody else wrote a key into it meanwhile: ChangeKey would need their key, so nothing is tried."""
    desk = Desk(tmp_path, "ntag424")
    desk.air.cut(13, "before")
    assert desk.write().state == "unfinished"
    opened(desk).change_key(4, bytes([5] * 16), 99, FACTORY_KEY)
    before = desk.tag.to_bytes()
    for command in (personalise.resume, personalise.recover, personalise.reset):
        outcome = desk.run(command)
        assert (outcome.state, outcome.code) == ("unfinished", "foreign-keys")
        assert desk.tag.to_bytes() == before, command


@every_chip
def test_locked_tag_is_refused(tmp_path: Path, chip: Chip) -> None:
    theirs = Desk(tmp_path / "theirs", chip)
    assert theirs.write().good
    assert theirs.run(personalise.lock).good
    ours = Desk(tmp_path / "ours", chip)
    ours.tag = reloaded(theirs.tag)
    ours.air.swap(ours.tag)
    refused(ours, "locked")


def test_one_lock_bit_is_enough(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ntag215")
    tag = sensed(desk)
    assert tag.transceive(bytes.fromhex("A20200000080")) == b"\x0a"  # page 15
    desk.reader.violations.clear()
    refused(desk, "locked")


@every_chip
def test_known_tag_is_refused(tmp_path: Path, chip: Chip) -> None:
    desk = Desk(tmp_path, chip)
    assert desk.write().good
    outcome = desk.write()
    assert (outcome.state, outcome.code) == ("refused", "duplicate")
    assert "09506000134352 AB-1" in outcome.reason


def test_duplicate_of_the_caller_is_refused_with_its_sentence(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ntag424")
    asked: list[bytes] = []

    def duplicate(uid: bytes) -> str | None:
        asked.append(uid)
        return "this UID is row 12 of job 4"

    outcome = desk.write(duplicate=duplicate)
    assert (outcome.state, outcome.code, outcome.reason) == ("refused", "duplicate", "this UID is row 12 of job 4")
    assert asked == [UID]


@pytest.mark.parametrize(("chip", "other"), [("ntag424", "ntag424tt"), ("ntag215", "ntag216"), ("ntag424", "ntag213")])
def test_wrong_chip_is_refused(tmp_path: Path, chip: Chip, other: Chip) -> None:
    desk = Desk(tmp_path, other)
    outcome = desk.run(personalise.write, order=order(chip))
    assert (outcome.state, outcome.code) == ("refused", "wrong-chip")


def test_two_tags_are_refused(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ntag424")
    second = make_tag("ntag424", OTHER_UID)
    desk.air.put(second)
    before = desk.tag.to_bytes(), second.to_bytes()
    outcome = desk.write()
    assert (outcome.state, outcome.code) == ("refused", "two-tags")
    assert (desk.tag.to_bytes(), second.to_bytes()) == before


def test_no_tag(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ntag424")
    desk.air.remove()
    assert desk.write().code == "no-tag"


@every_chip
def test_url_too_long_for_the_tag_is_refused_before_anything_is_asked(tmp_path: Path, chip: Chip) -> None:
    """An NTAG213 with a long host and a serial whose every character is written as three."""
    desk = Desk(tmp_path, chip)
    long = TagOrder(chip, f"{'a' * 60}.com", item("09506000134352", "%" * 20))
    outcome = desk.run(personalise.write, order=long)
    if chip == "ntag213":
        assert (outcome.state, outcome.code) == ("refused", "too-long")
        assert "137" in outcome.reason
        assert desk.air.commands == 0
    else:
        assert outcome.state == "written"


def test_order_with_a_wrong_check_digit_or_serial_is_refused(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ntag424")
    for wrong in (
        TagOrder("ntag424", HOST, replace(ITEM, gtin="09506000134353")),
        TagOrder("ntag424", HOST, replace(ITEM, serial="A B")),
        TagOrder("ntag424", "https://item.example", ITEM),
    ):
        outcome = desk.run(personalise.write, order=wrong)
        assert (outcome.state, outcome.code) == ("refused", "order")
    assert desk.air.commands == 0

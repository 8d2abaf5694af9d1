"""A tag gets its identity, or it is refused with the reason and the next action: one test for each reason."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from personalise_support import CHIPS, HOST, ITEM, OTHER_UID, UID, Desk, JobKeys, make_tag, order, reloaded

from tallystick_provisioning import aes, personalise, tag_link
from tallystick_provisioning.errors import TagAnswerError
from tallystick_provisioning.item import item
from tallystick_provisioning.nfc import Tag
from tallystick_provisioning.ntag424 import CONTAINER_FILE, FACTORY_KEY, NDEF_FILE, Ntag424
from tallystick_provisioning.ntag424_crypto import Challenge, rotate
from tallystick_provisioning.tag_journal import Journal
from tallystick_provisioning.tag_order import TYPE2_CHIPS, Chip, TagOrder, TagOutcome
from tallystick_provisioning.tag_originality import NXP
from tallystick_tools.tag_ntag21x import Ntag21x

every_chip = pytest.mark.parametrize("chip", CHIPS)


def sensed(desk: Desk) -> Tag:
    tag = desk.reader.sense()
    assert tag is not None
    return tag


def opened(desk: Desk, key: bytes = FACTORY_KEY) -> Ntag424:
    chip = Ntag424(sensed(desk))
    chip.select()
    chip.authenticate(0, key)
    return chip


# --- what a finished tag is


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


# --- refusals: nothing is changed, and the person knows what to do


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
    assert desk.tag.to_bytes() == before


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


# --- swaps and mixtures


@every_chip
def test_tag_swapped_in_mid_write(tmp_path: Path, chip: Chip) -> None:
    """At every command: the half-written tag is reported, and the other one is not touched."""
    total = 0
    for at in range(100):
        desk = Desk(tmp_path / str(at), chip)
        other = make_tag(chip, OTHER_UID)
        before = other.to_bytes()
        _swap_at(desk, at, lambda desk=desk, other=other: desk.air.swap(other))  # type: ignore[misc]
        outcome = desk.write()
        if outcome.state == "written":
            break
        total += 1
        begun = desk.journal.history(UID).stage == "writing"
        assert outcome.state == ("unfinished" if begun else "refused"), (at, outcome)
        if begun:
            assert outcome.code == "swapped", (at, outcome)
            assert UID.hex().upper() in outcome.next_action
        assert other.to_bytes() == before
        desk.air.swap(desk.tag)
        assert desk.run(personalise.recover).state in ("written", "factory")
    assert total > 20


def test_second_tag_put_beside_in_mid_write(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ntag424")
    other = make_tag("ntag424", OTHER_UID)

    def second() -> None:
        desk.air.swap(desk.tag)
        desk.air.put(other)

    _swap_at(desk, 15, second)
    outcome = desk.write()
    assert (outcome.state, outcome.code) == ("unfinished", "two-tags")


class Between:
    """A reader whose tags answer through `pass_on(command, exchange)`."""

    name = "between"

    def __init__(self, desk: Desk, pass_on: Callable[[bytes, Callable[[bytes], bytes]], bytes]) -> None:
        self._desk, self.pass_on = desk, pass_on

    def sense(self, timeout_s: float = 0.0) -> Tag | None:
        tag = self._desk.reader.sense(timeout_s)
        return None if tag is None else _Through(tag, self)

    def close(self) -> None:
        self._desk.reader.close()


class _Through:
    def __init__(self, tag: Tag, between: Between) -> None:
        self._tag, self._between = tag, between
        self.uid, self.family = tag.uid, tag.family

    def transceive(self, command: bytes, timeout_s: float = 0.5) -> bytes:
        return self._between.pass_on(command, self._tag.transceive)


def written_through(desk: Desk, pass_on: Callable[[bytes, Callable[[bytes], bytes]], bytes]) -> TagOutcome:
    between = Between(desk, pass_on)
    return desk.write(reader=between)


def test_a_wrong_mac_of_an_answer_is_refused(tmp_path: Path) -> None:
    """One bit of one MACed answer is altered on its way: the run stops there, whatever the tag has done."""
    macs = 0
    for at in range(60):
        desk = Desk(tmp_path / str(at), "ntag424")
        altered: list[bytes] = []

        def flip(
            command: bytes,
            exchange: Callable[[bytes], bytes],
            desk: Desk = desk,
            at: int = at,
            altered: list[bytes] = altered,
        ) -> bytes:
            number = desk.air.commands
            answer = exchange(command)
            if number == at and command[0] == 0x90 and command[1] in (0x64, 0xC4, 0x5F, 0xF5) and len(answer) >= 10:
                altered.append(command)
                return answer[:-3] + bytes([answer[-3] ^ 1]) + answer[-2:]
            return answer

        outcome = written_through(desk, flip)
        if not altered:
            continue
        if altered[0][:2] == b"\x90\xf5" and len(altered[0]) < 9:
            continue  # asked before the authentication: nothing MACs that
        macs += 1
        assert not outcome.good, (at, altered)
        assert (outcome.code, "MAC" in outcome.reason) == ("answer", True)
        assert desk.run(personalise.recover).good
    assert macs >= 9, "four versions, four keys, settings"


def test_a_chip_that_cannot_prove_its_key_is_refused() -> None:
    """Whoever only repeats a challenge has no key: RndA must come back."""
    challenge = Challenge.of(FACTORY_KEY, bytes(range(16)), bytes(16))
    good = aes.encrypt(FACTORY_KEY, bytes(4) + rotate(bytes(range(16))) + bytes(12))
    assert challenge.session(good).transaction == bytes(4)
    for wrong in (aes.encrypt(FACTORY_KEY, bytes(4) + bytes(range(16)) + bytes(12)), bytes(32), challenge.response):
        with pytest.raises(TagAnswerError, match="did not prove"):
            challenge.session(wrong)


def test_a_tag_that_forgets_its_link_is_not_written(tmp_path: Path) -> None:
    """It says yes to every page and keeps one of them as it was: only reading it again shows that."""
    for page in range(4, 16):  # those behind it are mirrored over
        desk = Desk(tmp_path / str(page), "ntag215")

        def forget(command: bytes, exchange: Callable[[bytes], bytes], page: int = page) -> bytes:
            return b"\x0a" if command[:2] == bytes([0xA2, page]) else exchange(command)

        outcome = written_through(desk, forget)
        assert outcome.state == "unfinished", (page, outcome)
        assert desk.journal.history(UID).stage == "writing"


def _swap_at(desk: Desk, at: int, act: Callable[[], object]) -> None:
    """`act` once `at` commands have passed."""
    sense = desk.reader._reader.sense
    planned = [act]

    class Hand:
        def __init__(self, tag: Tag) -> None:
            self._tag = tag
            self.uid, self.family = tag.uid, tag.family

        def transceive(self, command: bytes, timeout_s: float = 0.5) -> bytes:
            if desk.air.commands == at and planned:
                planned.pop()()
            return self._tag.transceive(command, timeout_s)

    def with_hand(timeout_s: float = 0.0) -> Tag | None:
        tag = sense(timeout_s)
        return None if tag is None else Hand(tag)

    desk.reader._reader.sense = with_hand  # type: ignore[assignment,method-assign]


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


@every_chip
def test_one_damaged_answer_does_not_cost_a_finished_tag_its_identity(tmp_path: Path, chip: Chip) -> None:
    """`recover` on a written tag while one answer is damaged, at every command: it stays ours."""
    whole = Desk(tmp_path / "whole", chip)
    assert whole.write().good
    before = whole.air.commands
    assert whole.run(personalise.recover).state == "written"
    for at in range(whole.air.commands - before):
        desk = Desk(tmp_path / str(at), chip)
        assert desk.write().good
        start = desk.air.commands

        def damage(
            command: bytes, exchange: Callable[[bytes], bytes], desk: Desk = desk, at: int = start + at
        ) -> bytes:
            number = desk.air.commands
            answer = exchange(command)
            return answer[:-3] + b"\xee" + answer[-2:] if number == at else answer

        outcome = desk.run(personalise.recover, reader=Between(desk, damage))
        assert outcome.state in ("written", "refused"), (at, outcome)
        assert desk.run(personalise.verify).state == "written", at


def test_journal_that_cannot_be_written_stops_before_the_tag(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    desk = Desk(tmp_path / "fine", "ntag424")
    desk.journal.folder = blocked / "journal"
    desk.reader.journal = Journal(tmp_path / "fine")
    outcome = desk.write()
    assert outcome.code == "journal"
    assert opened(desk).key_version(1) == 0

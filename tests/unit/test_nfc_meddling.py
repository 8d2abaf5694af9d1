"""Tags are swapped, put beside, damaged on the air, or lie: each is noticed, and nothing half-written goes unsaid."""

from collections.abc import Callable
from pathlib import Path

import pytest
from personalise_support import (
    CHIPS,
    OTHER_UID,
    UID,
    Desk,
    make_tag,
)

from tallystick_chips import aes, personalise
from tallystick_chips.ntag424 import FACTORY_KEY
from tallystick_chips.ntag424_crypto import Challenge, rotate
from tallystick_chips.tag_order import Chip, TagOutcome
from tallystick_provisioning.errors import TagAnswerError
from tallystick_provisioning.nfc import Tag

every_chip = pytest.mark.parametrize("chip", CHIPS)


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

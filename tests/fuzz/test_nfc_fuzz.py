"""Hostile tags: whatever they answer, a run ends and says why; decoders raise their own errors and nothing else."""

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from personalise_support import CHIPS, EMULATED, UID, Desk, JobKeys, order

from tallystick_chips import personalise, personalise_desk, sun, tag_link
from tallystick_chips.errors import SunError
from tallystick_chips.ntag21x import LAYOUTS, layout_of, message_of
from tallystick_chips.ntag424 import Ntag424
from tallystick_chips.ntag424_crypto import Challenge, Session
from tallystick_chips.tag_journal import Journal
from tallystick_chips.tag_order import TYPE2_CHIPS, Chip, TagOutcome
from tallystick_provisioning.errors import NfcError, TagTimeout
from tallystick_provisioning.nfc import COMMAND_TIMEOUT_S, SENSE_TIMEOUT_S, Family, Tag

MAX_COMMANDS = 400  # of one run: ten times what a good tag takes
COMMANDS = (
    personalise.resume,
    personalise.recover,
    personalise.verify,
    personalise.lock,
    personalise.reset,
    personalise.retire,
)
answers = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.binary(max_size=18).map(lambda data: data + b"\x91\x00"),
        st.binary(max_size=18).map(lambda data: data + b"\x91\xaf"),
        st.binary(max_size=258).map(lambda data: data + b"\x90\x00"),
        st.none(),
    ),
    min_size=1,
    max_size=12,
)


class Hostile:
    """A tag and reader that answer from a list, over and over; None is silence."""

    name = "hostile"

    def __init__(self, family: Family, script: list[bytes | None]) -> None:
        self.uid, self.family = UID, family
        self._script = script
        self.commands = 0

    def sense(self, timeout_s: float = SENSE_TIMEOUT_S) -> Tag:
        return self

    def close(self) -> None:
        return None

    def transceive(self, command: bytes, timeout_s: float = COMMAND_TIMEOUT_S) -> bytes:
        self.commands += 1
        assert self.commands < MAX_COMMANDS, "the run does not end"
        answer = self._script[self.commands % len(self._script)]
        if answer is None:
            raise TagTimeout("silent")
        return answer


def journal_in(folder: str, begun: bool) -> Journal:
    journal = Journal(Path(folder))
    if begun:
        journal.append(UID, "begin", chip="ntag424", host="h", gtin="09506000134352", serial="1", version=7)
    return journal


@settings(max_examples=200, deadline=None)
@given(script=answers, family=st.sampled_from(["type2", "type4"]), chip=st.sampled_from(CHIPS), begun=st.booleans())
def test_random_answers(script: list[bytes | None], family: Family, chip: Chip, begun: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="nfc-fuzz-") as name:
        all_commands_on(Hostile(family, script), chip, journal_in(name, begun))


def all_commands_on(tag: Hostile, chip: Chip, journal: Journal) -> None:
    at = personalise_desk.Desk(tag, JobKeys(), journal, wait_s=0.0, originality=EMULATED)
    outcome = personalise.write(at, order(chip))
    assert outcome.state in ("refused", "unfinished")
    for command in COMMANDS:
        tag.commands = 0
        outcome = command(at)
        assert isinstance(outcome, TagOutcome)
        assert outcome.state in ("refused", "unfinished"), (command, outcome)


class Meddler:
    """Between us and a good tag: answers are altered from command `at` on."""

    def __init__(self, desk: Desk, at: int, seed: str) -> None:
        self._desk, self._at = desk, at
        self._random = random.Random(seed)
        self.name = "meddler"

    def sense(self, timeout_s: float = SENSE_TIMEOUT_S) -> Tag | None:
        tag = self._desk.reader.sense(timeout_s)
        return None if tag is None else _Altered(tag, self)

    def close(self) -> None:
        self._desk.reader.close()

    def alter(self, answer: bytes) -> bytes:
        if self._desk.air.commands <= self._at:
            return answer
        kind = self._random.randrange(5)
        if kind == 0:
            return answer[: self._random.randrange(len(answer) + 1)]
        if kind == 1:
            return self._random.randbytes(self._random.randrange(64))
        if kind == 2 and len(answer) > 2:  # the right status word behind a wrong MAC
            at = self._random.randrange(len(answer) - 2)
            return answer[:at] + bytes([answer[at] ^ 1 << self._random.randrange(8)]) + answer[at + 1 :]
        if kind == 3:
            return answer + answer
        return answer


class _Altered:
    def __init__(self, tag: Tag, meddler: Meddler) -> None:
        self._tag, self._meddler = tag, meddler
        self.uid, self.family = tag.uid, tag.family

    def transceive(self, command: bytes, timeout_s: float = COMMAND_TIMEOUT_S) -> bytes:
        return self._meddler.alter(self._tag.transceive(command, timeout_s))


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="nfc-fuzz-") as name:
        yield Path(name)


@pytest.mark.parametrize("chip", CHIPS)
def test_altered_answers_never_make_a_wrong_tag_pass(folder: Path, chip: Chip) -> None:
    """From each command on: the run ends, and once nobody meddles any more, recover mends what it left."""
    for at in range(44):
        desk = Desk(folder / str(at), chip)
        meddler = Meddler(desk, at, f"{chip} {at}")
        outcome = desk.write(reader=meddler)
        stage = desk.journal.history(UID).stage
        if outcome.good:
            assert desk.run(personalise.verify).state == "written"
            continue
        assert (outcome.state == "unfinished") == (stage == "writing")
        assert desk.run(personalise.recover).state in ("written", "factory"), (at, outcome)


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=64))
def test_decoders_raise_their_own_errors_only(data: bytes) -> None:
    def tried(call: object, *arguments: object) -> None:
        try:
            call(*arguments)  # type: ignore[operator]
        except (NfcError, SunError):
            return

    tried(tag_link.read_message, data)
    tried(tag_link.parse, data.decode("latin-1"))
    tried(Challenge.of, bytes(16), bytes(16), data)
    tried(Challenge(bytes(16), bytes(16), bytes(16)).session, data)
    for encrypted in (False, True):
        tried(Session(bytes(16), bytes(16), bytes(4)).open_answer, 0x9100, data, encrypted)
    for chip in TYPE2_CHIPS:
        tried(message_of, LAYOUTS[chip], data)
    assert layout_of(data) is None or len(data) == 8
    tried(Ntag424(Hostile("type4", [data])).version)
    for text in (data.hex(), data.decode("latin-1")):
        tried(sun.verify, text, text, bytes(16), bytes(16))
        tried(sun.verify, text, "00" * 8, bytes(16), bytes(16))
        tried(sun.verify_plain, text, text, text, bytes(16))

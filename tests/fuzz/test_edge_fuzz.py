"""Hostile bytes against the gateway, from links, ledger and disk: nothing raises, nothing false is acknowledged."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallystick_edge import config, intake, ledger_answer, recovery
from tallystick_edge.clock import Clock
from tallystick_edge.entries import EntryMaker
from tallystick_edge.errors import ConfigError
from tallystick_edge.journal import Journal
from tallystick_edge.known import Known
from tallystick_edge.log import Epoch, Log
from tallystick_proof import entry
from tallystick_proof.entry import GatewayEntry
from tallystick_wire import frame
from tallystick_wire.frame import Decoder

EXAMPLES = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def world(make_world: Callable[..., Any]) -> Any:
    return make_world("fuzz")


@pytest.fixture(scope="module")
def known(world: Any) -> Known:
    made = Known(world.trust)
    made.add_statement(world.statements[world.enrolments["node-a"]][0], None)
    return made


@pytest.fixture(scope="module")
def readings(world: Any) -> list[bytes]:
    """One of an enrolled node and one of a node that is not."""
    return [world.nodes[name].measure().data for name in ("node-a", "node-b")]


def judge(known: Known, payload: bytes) -> intake.Verdict:
    return intake.judge(known, payload, lambda _: False, lambda _: True)


@EXAMPLES
@given(payload=st.binary(max_size=1300))
def test_any_payload_gets_a_verdict(known: Known, payload: bytes) -> None:
    verdict = judge(known, payload)
    assert verdict.store is None
    assert verdict.ack is None


@EXAMPLES
@given(data=st.data())
def test_no_damaged_reading_is_acknowledged(known: Known, readings: list[bytes], data: st.DataObject) -> None:
    genuine = data.draw(st.sampled_from(readings))
    damaged = bytearray(genuine)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at] ^= data.draw(st.integers(1, 255))
    cut = bytes(damaged[: data.draw(st.integers(0, len(damaged)))]) if data.draw(st.booleans()) else bytes(damaged)
    verdict = judge(known, cut)
    if verdict.ack is not None:
        # Only an unprotected header may differ: it is neither signed nor kept.
        assert verdict.store == readings[0]
    if verdict.reason == intake.UNKNOWN:
        assert verdict.reading is not None
        assert known.node(verdict.reading.kid) is None


@EXAMPLES
@given(noise=st.lists(st.binary(max_size=400), max_size=6), count=st.integers(1, 3), cut=st.integers(1, 64))
def test_frames_come_out_of_any_noise(noise: list[bytes], count: int, cut: int) -> None:
    """What was framed after a 00 comes out, whatever stood before it and however the bytes are cut."""
    stream = b"\0".join(noise) + b"\0" + b"".join(frame.encode(bytes([number]) * 50) for number in range(count))
    decoder, heard = Decoder(), []
    for start in range(0, len(stream), cut):
        heard += decoder.feed(stream[start : start + cut])
    assert heard[len(heard) - count :] == [bytes([number]) * 50 for number in range(count)]


@EXAMPLES
@given(data=st.binary(max_size=600))
def test_any_row_is_read_or_called_bad(data: bytes) -> None:
    try:
        boot, _ = recovery.read_row(data)
    except ValueError:
        return
    assert isinstance(boot, int)


@EXAMPLES
@given(data=st.data())
def test_no_damaged_row_refuses_the_start(world: Any, readings: list[bytes], data: st.DataObject) -> None:
    """Three damaged rows between good ones: the start reads on, and the next boot's number is still a number."""
    good = GatewayEntry(entry.READING, 1, 5, None, 0, None, "serial:x", readings[0]).encode()
    rows = [good]
    for _ in range(3):
        row = bytearray(good)
        for _ in range(data.draw(st.integers(1, 3))):
            row[data.draw(st.integers(0, len(row) - 1))] ^= data.draw(st.integers(1, 255))
        rows += [bytes(row), good]
    known = Known(world.trust)
    known.add_statement(world.statements[world.enrolments["node-a"]][0], None)
    found = recovery.survey(cast(Log, Rows(rows)), known, Journal(io.StringIO()))
    assert found.rows == len(rows)
    assert EntryMaker(found.boot + 1, Clock()).note(entry.NOTE_BOOT, {})
    assert known.state(world.signers["node-a"].kid).seen.ack() == (1, []), "only what the node signed counts"


class Rows:
    """A log that only reads, and of which nothing was signed yet."""

    def __init__(self, rows: list[bytes]) -> None:
        self._rows = rows

    def rows(self) -> Iterator[tuple[int, bytes]]:
        return iter(enumerate(self._rows))

    def downlink(self, first: int) -> list[tuple[bytes, int | None]]:
        return []

    def epochs(self) -> list[Epoch]:
        return []

    def unknown_rows(self) -> set[int]:
        return set()


@EXAMPLES
@given(status=st.integers(100, 599), body=st.binary(max_size=300), retry=st.none() | st.text(max_size=20))
def test_any_answer_means_something(status: int, body: bytes, retry: str | None) -> None:
    outcome = ledger_answer.read(status, body, retry)
    if isinstance(outcome, ledger_answer.Later) and outcome.wait_s is not None:
        assert 0 <= outcome.wait_s <= ledger_answer.MAX_WAIT_S


@EXAMPLES
@given(data=st.binary(max_size=400))
def test_any_statement_is_applied_or_refused(known: Known, world: Any, data: bytes) -> None:
    assert Known(world.trust).add_statement(data, None)


NAMES = st.sampled_from([*config.REQUIRED, *config.NUMBERS, "x"])


@EXAMPLES
@given(text=st.text(max_size=300), names=st.lists(NAMES, max_size=9))
def test_any_configuration_is_taken_or_refused(text: str, names: list[str]) -> None:
    for candidate in (text, "".join(f"{name} = {text}\n" for name in names)):
        with pytest.raises(ConfigError):
            config.parse(candidate, Path("/gw"))

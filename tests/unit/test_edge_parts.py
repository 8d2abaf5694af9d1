"""The gateway's small parts: clock, entries, journal, answers of the ledger, metrics, heartbeat."""

import io
import random
import socket
from pathlib import Path

import httpx
import pytest
from free_port import free_port

from tallystick_edge import clock, heartbeat, ledger_answer
from tallystick_edge.clock import Clock, ClockReading
from tallystick_edge.entries import EntryMaker
from tallystick_edge.journal import Journal
from tallystick_edge.ledger_answer import Accepted, KnownSize, Later, OtherHistory, Outcome, Refused
from tallystick_edge.metrics import Metrics
from tallystick_proof import entry
from tallystick_proof.entry import GatewayEntry
from tallystick_proof.sync import SyncAnswer
from tallystick_wire.frame import Decoder


@pytest.mark.parametrize(
    ("wall_ms", "error_us", "expected"),
    [
        (1000, 5, ClockReading(None, entry.CLOCK_UNSYNCED, None)),
        (1_800_000_000_000, None, ClockReading(1_800_000_000_000, entry.CLOCK_UNSYNCED, None)),
        (1_800_000_000_000, 1001, ClockReading(1_800_000_000_000, entry.CLOCK_NTP, 2)),
        (1_800_000_000_000, 0, ClockReading(1_800_000_000_000, entry.CLOCK_NTP, 0)),
    ],
)
def test_clock(wall_ms: int, error_us: int | None, expected: ClockReading) -> None:
    assert clock.judge(wall_ms, error_us) == expected


def test_the_machines_clock_fits_an_entry() -> None:
    ours = Clock()
    assert ours.mono_ms() >= 0
    data = EntryMaker(1, ours).note(entry.NOTE_BOOT, {"rows": 0})
    made = GatewayEntry.decode(data)
    assert made.received_ms is not None
    assert made.clock_state in (entry.CLOCK_UNSYNCED, entry.CLOCK_NTP)
    assert (made.error_ms is None) == (made.clock_state == entry.CLOCK_UNSYNCED)


def test_entries_are_bounded() -> None:
    maker = EntryMaker(3, Clock())
    note = GatewayEntry.decode(maker.note(entry.NOTE_LINK, {"why": "x" * 10_000, "none": None, "number": 5}))
    assert dict(note.body[1].pairs) == {"why": "x" * 200, "none": None, "number": 5}  # type: ignore[union-attr]
    reading = GatewayEntry.decode(maker.reading(b"reading", "serial:" + "x" * 500))
    assert (reading.boot, reading.body, len(reading.source)) == (3, b"reading", 128)


def test_journal_lines_stay_lines() -> None:
    stream = io.StringIO()
    journal = Journal(stream)
    journal.warning("link", why='two\nlines "and" quotes', kid=b"\x01\xff", long="x" * 1000, number=5, empty="")
    (line,) = stream.getvalue().splitlines()
    assert ' level=warning event=link why="two\\nlines \\"and\\" quotes" kid=01ff long=' in line
    assert line.endswith(' number=5 empty=""')
    assert len(line) < 500


ANSWER = SyncAnswer(5, 1, b"note", 4, [b"statement"])


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, ANSWER.encode(), Accepted(ANSWER)),
        (200, b"<html>hello", Later("an answer that is none: ")),
        (200, b"", Later("an answer that is none: ")),
        (409, b"120\n", KnownSize(120)),
        (409, b"0", KnownSize(0)),
        (409, b"12x", Later("409 without a known size: 12x")),
        (409, b"-1", Later("409 without a known size: -1")),
        (409, b"9" * 40, Later("409 without a known size: " + "9" * 40)),
        (410, b"frozen", OtherHistory(True, "frozen")),
        (422, b"root", OtherHistory(False, "root")),
        (400, b"bad", Refused("400: bad")),
        (401, b"", Refused("401: ")),
        (403, b"no\n\x1b[31m", Refused("403: no  [31m")),
        (404, b"", Refused("404: ")),
        (413, b"", Refused("413: ")),
        (500, b"oops", Later("500: oops")),
        (503, b"", Later("503: ")),
        (302, b"", Later("302: ")),
        (429, b"x" * 5000, Later("429: " + "x" * 200)),
    ],
)
def test_answers(status: int, body: bytes, expected: Outcome) -> None:
    found = ledger_answer.read(status, body)
    if isinstance(expected, Later) and isinstance(found, Later):
        assert found.why.startswith(expected.why)
    else:
        assert found == expected


@pytest.mark.parametrize(("given", "wait_s"), [("7", 7.0), ("100000", 300.0), ("soon", None), ("-5", None)])
def test_retry_after(given: str | None, wait_s: float | None) -> None:
    assert ledger_answer.read(503, b"", given) == Later("503: ", wait_s)


def test_backoff() -> None:
    jitter = random.Random(1)
    waits = [[ledger_answer.backoff_s(failures, jitter) for _ in range(50)] for failures in (1, 2, 5, 1000)]
    for longest, some in zip((0.5, 1.0, 8.0, 60.0), waits, strict=True):
        assert longest / 2 <= min(some) < max(some) <= longest


def test_metrics_answer_on_loopback_only() -> None:
    metrics = Metrics()
    port = free_port()
    metrics.serve(port)
    metrics.rejected.labels("malformed").inc()
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    assert 'tallystick_gateway_rejected_total{reason="malformed"} 1.0' in text
    with pytest.raises(httpx.ConnectError):  # another address of this machine
        httpx.get(f"http://127.0.0.2:{port}/metrics", trust_env=False)
    metrics.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False)


def test_damaged_frames_are_taken_over_once() -> None:
    metrics, decoder = Metrics(), Decoder()

    def count(reason: str) -> float | None:
        labels = {"link": "serial:x", "reason": reason}
        return metrics.registry.get_sample_value("tallystick_gateway_frames_damaged_total", labels)

    decoder.junk, decoder.bad_crc = 2, 1
    metrics.damaged("serial:x", decoder)
    metrics.damaged("serial:x", decoder)
    assert (count("junk"), count("bad-crc"), count("oversize")) == (2, 1, None)
    reopened = Decoder()
    reopened.junk = 1
    metrics.damaged("serial:x", reopened)
    assert count("junk") == 3


def test_heartbeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    heartbeat.notify(heartbeat.READY)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        heartbeat.notify(heartbeat.READY)
        assert systemd.recv(100) == b"READY=1"
    heartbeat.notify(heartbeat.ALIVE)

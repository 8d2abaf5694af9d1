"""The start: what is read back from the log, and that no bad row refuses it."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tallystick_edge import gateway, recovery, state_folder
from tallystick_edge.clock import ClockReading
from tallystick_edge.entries import EntryMaker
from tallystick_edge.errors import StateError
from tallystick_edge.files import Files
from tallystick_edge.journal import Journal
from tallystick_edge.known import Known
from tallystick_edge.log import Head, Log
from tallystick_proof import checkpoint, entry, merkle, note
from tallystick_proof.entry import GatewayEntry
from tallystick_wire.reading import Reading, parse


class FixedClock:
    def read(self) -> ClockReading:
        return ClockReading(1_760_000_000_000, entry.CLOCK_NTP, 20)

    def mono_ms(self) -> int:
        return 5


@pytest.fixture
def world(make_world: Callable[..., Any]) -> Any:
    return make_world("recovery")


@pytest.fixture
def log(tmp_path: Path, world: Any) -> Iterator[Log]:
    """A log of a gateway that was told about node-a."""
    opened = Log.open(tmp_path / "log.db")
    opened.confirm(1, 0, None, [world.statements[world.enrolments["node-a"]][0]], Head(None, 0, None))
    yield opened
    opened.close()


@pytest.fixture
def journal() -> Journal:
    return Journal(io.StringIO())


def keep(log: Log, *readings: Reading, boot: int = 1, unknown: bool = False) -> None:
    maker = EntryMaker(boot, FixedClock())
    log.commit([maker.reading(one.data, "serial:x") for one in readings], range(len(readings)) if unknown else ())


def sign(epoch: int, size: int, root: bytes) -> bytes:
    return f"{epoch} {size} {root.hex()}".encode()


def test_what_is_acknowledged_is_derived_from_the_log(log: Log, world: Any, journal: Journal) -> None:
    node = world.nodes["node-a"]
    made = [node.measure() for _ in range(6)]
    node.restart(lost=2)
    after = node.measure()
    keep(log, *made[:2], made[3])
    keep(log, after, boot=3)
    live, recovered = Known(world.trust), Known(world.trust)
    recovery.take_downlink(log, live, journal)
    for one in (*made[:2], made[3], after):
        live.learn(one, 1_760_000_000_000)
    found = recovery.recover(log, recovered, journal)
    assert (found.boot, found.rows, found.bad_rows) == (3, 4, ())
    ours, theirs = recovered.state(node.signer.kid), live.state(node.signer.kid)
    assert ours.seen.ack() == theirs.seen.ack() == (after.chain.seq, [(3, 3)])
    assert (ours.recent, ours.boot, ours.shown_anchor, ours.received_ms) == (
        theirs.recent,
        theirs.boot,
        theirs.shown_anchor,
        theirs.received_ms,
    )


def test_what_a_node_gave_up_is_found_again(log: Log, world: Any, journal: Journal) -> None:
    node = world.nodes["node-a"]
    made = [node.measure() for _ in range(4)]
    node.gap = (2, 3)
    declared = node.measure()
    keep(log, made[0], declared)
    known = Known(world.trust)
    recovery.recover(log, known, journal)
    assert known.state(node.signer.kid).seen.ack() == (5, [(4, 4)])
    assert known.state(node.signer.kid).given_up == (2, 3)


def test_forks_are_found_again(log: Log, world: Any, make_world: Callable[..., Any], journal: Journal) -> None:
    honest, forked = world.nodes["node-a"].measure(450), make_world("recovery").nodes["node-a"].measure(900)
    keep(log, honest, forked, honest)
    known = Known(world.trust)
    recovery.recover(log, known, journal)
    assert known.state(honest.kid).forks == 1


def test_unknown_readings_stay_unknown_until_verified(log: Log, world: Any, journal: Journal) -> None:
    node, other = world.nodes["node-a"], world.nodes["node-b"]
    genuine = node.measure()
    forged = parse(node.measure().data[:-64] + genuine.data[-64:])
    stranger = other.measure()
    keep(log, genuine, forged, stranger, unknown=True)
    known = Known(world.trust)
    found = recovery.recover(log, known, journal)
    assert found.verified_rows == (0,)
    assert log.unknown_rows() == {1, 2}
    assert known.state(node.signer.kid).seen.ack() == (1, [])
    assert set(known.unknown) == {node.signer.kid, other.signer.kid}


BAD = [b"", b"\x00", b"\xff" * 30, b"\x80", b"\x86\x01\x02\x03\x04\x05\x06", b"\x86\x01\x81\x01\xf6\x80\x60\x40"]


@pytest.mark.parametrize("bad", BAD, ids=lambda data: data.hex()[:16] or "empty")
def test_a_bad_row_is_set_aside(log: Log, world: Any, journal: Journal, bad: bytes) -> None:
    made = [world.nodes["node-a"].measure() for _ in range(2)]
    keep(log, made[0])
    log.commit([bad or b"\x00"])
    keep(log, made[1])
    known = Known(world.trust)
    found = recovery.recover(log, known, journal)
    assert found.bad_rows == (1,)
    recovery.repair(log, found, journal, EntryMaker(2, FixedClock()))
    rows = [GatewayEntry.decode(data) for _, data in log.rows()]
    assert rows[1].kind == entry.NOTE
    assert rows[1].body[0] == entry.NOTE_GAP
    assert [rows[0].body, rows[2].body] == [one.data for one in made]
    assert recovery.recover(log, Known(world.trust), journal).bad_rows == ()


def test_a_bad_row_that_the_ledger_has_is_left(log: Log, world: Any, journal: Journal) -> None:
    log.commit([b"\x00"])
    log.sign_checkpoints(sign)
    log.confirm(1, 1, None, [], Head(None, 0, None))
    found = recovery.recover(log, Known(world.trust), journal)
    recovery.repair(log, found, journal, EntryMaker(2, FixedClock()))
    assert list(log.rows()) == [(0, b"\x00")]


def test_a_reading_row_that_lies_about_its_form_is_bad() -> None:
    for body in (b"", b"\x00", b"\xd2\x80", b"\xd2\x84\x40\xa0\x40\x40", b"\xd2\x84\x41\xa0\xa0\x40\x40"):
        data = GatewayEntry(entry.READING, 1, 1, None, 0, None, "s", body).encode()
        with pytest.raises(ValueError, match="not an entry"):
            recovery.read_row(data)


def test_a_log_that_sqlite_cannot_read_is_set_aside_and_salvaged(tmp_path: Path, world: Any, journal: Journal) -> None:
    path = tmp_path / "log.db"
    log = Log.open(path)
    log.confirm(1, 0, None, [world.statements[world.enrolments["node-a"]][0]], Head(None, 0, None))
    made = [world.nodes["node-a"].measure() for _ in range(200)]
    keep(log, *made)
    log.close()
    data = bytearray(path.read_bytes())
    page = data.index(made[100].data) // 4096 * 4096
    data[page : page + 64] = bytes(64)
    path.write_bytes(data)

    files = Files(world.signers["gateway"], "", bytes(32), world.trust)
    again, known, found = gateway.recover(path, files, journal)
    assert path.with_name("log.db.bad-1").exists()
    assert 100 < found.rows < 200
    # The downlink is gone with the old file: readings wait as unknown until the ledger told about node-a again.
    assert sum(map(len, known.unknown.values())) == min(found.rows, 256)
    again.close()


def test_quarantined_bytes_do_not_change_an_older_tree(log: Log, world: Any, journal: Journal) -> None:
    """A row under a signed checkpoint went bad: the note takes its place, and only then the roots differ."""
    log.commit([b"\x00", b"\x01"])
    log.sign_checkpoints(sign)
    before = log.batch(0)
    assert before is not None
    assert merkle.root([merkle.leaf_hash(data) for data in before.entries]).hex().encode() in before.note
    found = recovery.recover(log, Known(world.trust), journal)
    recovery.repair(log, found, journal, EntryMaker(2, FixedClock()))
    after = log.batch(0)
    assert after is not None
    assert (after.note, after.entries == before.entries) == (before.note, False)


def signed(world: Any) -> Callable[[int, int, bytes], bytes]:
    def make(epoch: int, size: int, root: bytes) -> bytes:
        origin = checkpoint.gateway_origin(world.origin, world.signers["gateway"].thumbprint, epoch)
        text = checkpoint.Checkpoint(origin, size, root).text
        return note.format(note.Note(text, [note.sign_note(world.signers["gateway"], origin, text)]))

    return make


def flip(log: Log, row: int) -> None:
    """One bit of a stored reading's sequence number, on the disk: the row still looks like a reading."""
    (data,) = log._one("SELECT data FROM entry WHERE row = ?", row)
    stored = recovery.read_row(data)[1]
    assert stored is not None
    other = data.replace(bytes([0x85, 1, stored.chain.seq]), bytes([0x85, 1, stored.chain.seq ^ 8]))
    assert other != data
    log._all("UPDATE entry SET data = ? WHERE row = ?", other, row)


def test_rows_prove_themselves_by_the_signed_roots(log: Log, world: Any) -> None:
    keep(log, *[world.nodes["node-a"].measure() for _ in range(2)])
    assert recovery.first_doubtful_row(log) == 0
    log.sign_checkpoints(signed(world))
    keep(log, *[world.nodes["node-a"].measure() for _ in range(2)])
    log.sign_checkpoints(signed(world))
    keep(log, world.nodes["node-a"].measure())
    assert recovery.first_doubtful_row(log) == 4
    log.confirm(1, 2, None, [], Head(None, 0, None))
    log.next_epoch(b"note")
    log.sign_checkpoints(signed(world))
    assert recovery.first_doubtful_row(log) == 6
    flip(log, 3)
    assert recovery.first_doubtful_row(log) == 2
    log._all("UPDATE checkpoint SET note = ? WHERE size = 2", b"junk")
    assert recovery.first_doubtful_row(log) == 0


@pytest.mark.parametrize("under_a_checkpoint", [True, False])
def test_a_flipped_bit_is_never_acknowledged(log: Log, world: Any, journal: Journal, under_a_checkpoint: bool) -> None:
    made = [world.nodes["node-a"].measure() for _ in range(4)]
    keep(log, *made)
    if under_a_checkpoint:
        log.sign_checkpoints(signed(world))
    flip(log, 2)  # reading 3 now claims to be reading 11
    known = Known(world.trust)
    found = recovery.recover(log, known, journal)
    assert found.bad_rows == (2,)
    assert known.state(made[0].kid).seen.ack() == (4, [(3, 3)])


def test_one_gateway_at_a_time(tmp_path: Path) -> None:
    with (
        state_folder.locked(tmp_path / "new" / "state") as path,
        pytest.raises(StateError, match="another gateway"),
        state_folder.locked(path.parent),
    ):
        pass
    with state_folder.locked(tmp_path / "new" / "state") as path:
        assert path.name == "log.db"
    (tmp_path / "file").write_text("x")
    with pytest.raises(StateError), state_folder.locked(tmp_path / "file" / "state"):
        pass


def test_set_aside_takes_the_wal_along(tmp_path: Path) -> None:
    for name in ("log.db", "log.db-wal", "log.db.bad-1"):
        (tmp_path / name).write_text(name)
    aside = state_folder.set_aside(tmp_path / "log.db")
    assert aside.name == "log.db.bad-2"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.db.bad-1", "log.db.bad-2", "log.db.bad-2-wal"]

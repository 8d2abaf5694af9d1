"""fsck: clean when it is, and it finds a changed byte wherever one can lie."""

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ledger_support import LiveLedger, TestGateway, fsck_findings

from tallystick_ledger.blobs import Blobs
from tallystick_ledger.db import Database
from tallystick_ledger.directory import Keys
from tallystick_ledger.errors import EpochClosed, LedgerError
from tallystick_ledger.fsck import fsck
from tallystick_ledger.fsck_gateways import Stores
from tallystick_proof.errors import ProofError

# A hint (witness) and a record of what was run (migration): neither can be derived, neither is ever relied on alone.
UNCHECKED = {"witness", "migration"}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, make_world: Callable[..., Any]) -> Iterator[LiveLedger]:
    """A ledger with one of everything: all verdicts but two, a frozen epoch, something pending."""
    found = LiveLedger(tmp_path_factory.mktemp("fsck"), make_world("fsck"))
    found.enrol("gateway", "gateway-2", "node-a")
    found.settle()
    nodes = found.world.nodes
    gateway, other, liar = TestGateway(found.world), TestGateway(found.world, "gateway-2"), TestGateway(found.world)
    heard = [nodes["node-a"].measure(450, 10).data for _ in range(3)]
    bad = bytearray(nodes["node-a"].measure(450, 10).data)
    bad[-1] ^= 1
    gateway.take(*heard, bytes(bad), nodes["node-b"].measure(450, 10).data)
    gateway.take_raw(b"junk")
    gateway.sync(found.ledger)
    other.take(heard[1])
    other.sync(found.ledger)
    found.settle()
    found.enrol("node-b")
    found.admit(found.world.statements[found.world.revoke("node-a")][0])
    gateway.take(nodes["node-a"].measure(450, 10).data)
    gateway.sync(found.ledger)
    liar.take(heard[1])
    with pytest.raises(EpochClosed):
        liar.sync(found.ledger)
    found.settle()
    other.take(nodes["node-b"].measure(450, 10).data)
    other.sync(found.ledger)
    found.enrol("lender")
    yield found
    found.close()


def copied(live: LiveLedger, folder: Path) -> Path:
    """A copy of the files as they would be after a stop."""
    with live.ledger.db.read():
        pass
    target = folder / "copy"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    with closing(sqlite3.connect(f"file:{live.folder / 'ledger.db'}?mode=ro", uri=True)) as source:
        source.execute("VACUUM INTO ?", [str(target / "ledger.db")])
    shutil.copytree(live.folder / "blobs", target / "blobs")
    return target


def findings(live: LiveLedger, folder: Path) -> list[str]:
    """What fsck says about the files in a folder; an error that says it cannot even look is a finding too."""
    try:
        db, view = Database(folder / "ledger.db"), Database(folder / "ledger.db")
    except LedgerError as error:
        return [str(error)]
    try:
        keys = Keys(db, live.world.trust, live.clock)
        with view.read() as tx:
            return fsck(Stores(tx, Blobs(folder / "blobs"), live.world.trust, keys), lambda _: None)
    except (LedgerError, ProofError) as error:
        return [str(error)]
    finally:
        db.close()
        view.close()


def test_clean(live: LiveLedger, tmp_path: Path) -> None:
    assert fsck_findings(live) == []
    assert findings(live, copied(live, tmp_path)) == []


def changed(value: object, chance: random.Random) -> object:
    """The smallest change of a column's value."""
    if isinstance(value, bytes):
        if not value:
            return b"\x01"
        at = chance.randrange(len(value))
        return value[:at] + bytes([value[at] ^ 1 << chance.randrange(8)]) + value[at + 1 :]
    if isinstance(value, str):
        return value[:-1] + chr(ord(value[-1]) ^ 1)
    if isinstance(value, int):
        return value + 1
    return 1


def test_finds_a_change_in_every_column_of_every_row(live: LiveLedger, tmp_path: Path) -> None:
    """One change at a time. Foreign keys are off while tampering: the tamperer has no manners."""
    folder = copied(live, tmp_path)
    chance = random.Random(7)
    missed, tried = [], 0
    with closing(sqlite3.connect(folder / "ledger.db", isolation_level=None)) as db:
        for table, keys, values in samples(db, chance):
            for name in values:
                moved = values | {name: changed(values[name], chance)}
                try:
                    update(db, table, keys, values, moved, name)
                except sqlite3.IntegrityError:
                    continue  # the schema itself refuses this one
                tried += 1
                if not findings(live, folder):
                    missed.append((table, name, values[name], moved[name]))
                update(db, table, keys, moved, values, name)
    assert not missed
    assert tried > 100
    assert findings(live, folder) == []


def samples(db: sqlite3.Connection, chance: random.Random) -> list[tuple[str, list[str], dict[str, object]]]:
    """(table, primary key columns, row) of up to four rows of every table."""
    found = []
    for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall():
        columns = [(row[1], row[5]) for row in db.execute(f"PRAGMA table_info({table})")]
        rows = [] if table in UNCHECKED else db.execute(f"SELECT * FROM {table}").fetchall()
        for row in chance.sample(rows, min(len(rows), 4)):
            values = dict(zip([name for name, _ in columns], row, strict=True))
            found.append((table, [name for name, primary in columns if primary], values))
    return found


def update(
    db: sqlite3.Connection, table: str, keys: list[str], old: dict[str, Any], new: dict[str, Any], name: str
) -> None:
    where = " AND ".join(f"{key} IS ?" for key in keys)
    db.execute(f"UPDATE {table} SET {name} = ? WHERE {where}", [new[name], *(old[key] for key in keys)])


@pytest.mark.parametrize("table", ["segment", "tile", "tally", "statement", "publication", "batch", "epoch"])
def test_finds_a_missing_row(live: LiveLedger, tmp_path: Path, table: str) -> None:
    folder = copied(live, tmp_path)
    with closing(sqlite3.connect(folder / "ledger.db", isolation_level=None)) as db:
        key = {"segment": "batch", "tile": "number", "tally": "kid", "statement": "entry"}.get(table, "id")
        if table == "publication":
            return  # the newest publication missing is a backup, which only witnesses can tell
        db.execute(f"DELETE FROM {table} WHERE {key} = (SELECT max({key}) FROM {table})")
    assert findings(live, folder)


def test_finds_a_flipped_byte_in_any_blob(live: LiveLedger, tmp_path: Path) -> None:
    folder = copied(live, tmp_path)
    chance = random.Random(11)
    blobs = sorted(path for path in (folder / "blobs").rglob("*") if path.is_file())
    assert len(blobs) >= 3
    for path in blobs:
        data = bytearray(path.read_bytes())
        for _ in range(3):
            at = chance.randrange(len(data))
            data[at] ^= 1 << chance.randrange(8)
            path.write_bytes(data)
            assert findings(live, folder), f"{path.name} byte {at}"
            data = bytearray(live.folder.joinpath(path.relative_to(folder)).read_bytes())
        path.unlink()
        assert findings(live, folder), f"{path.name} missing"
        path.write_bytes(data)
    assert findings(live, folder) == []


def dump(path: Path) -> list[str] | None:
    """The database's content in SQL, None when it cannot be read."""
    try:
        with closing(sqlite3.connect(path)) as db:
            return list(db.iterdump())
    except (sqlite3.Error, UnicodeDecodeError, OverflowError, MemoryError):
        return None


def test_finds_a_flipped_bit_of_the_database_file(live: LiveLedger, tmp_path: Path) -> None:
    """Bits anywhere in the file: either fsck finds it, or the content is what it was (free space, hints)."""
    folder = copied(live, tmp_path)
    path = folder / "ledger.db"
    good = path.read_bytes()
    content = dump(path)
    assert content is not None
    chance = random.Random(13)
    found = 0
    used = [at for at in range(100, len(good)) if good[at]]  # most of a small database is empty pages
    for at in chance.sample(used, 150):
        data = bytearray(good)
        data[at] ^= 1 << chance.randrange(8)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        path.write_bytes(data)
        if findings(live, folder):
            found += 1
        else:
            same = [line for line in dump(path) or [] if '"witness"' not in line]
            assert same == [line for line in content if '"witness"' not in line], f"byte {at}"
    assert found > 100

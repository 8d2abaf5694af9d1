"""Database, blobs, the way in (submit) and the statement door."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ledger_support import LiveLedger

from tallystick_ledger.admit import admit
from tallystick_ledger.blobs import Blobs
from tallystick_ledger.db import Database
from tallystick_ledger.errors import Conflict, Forbidden, Malformed, StoreError
from tallystick_ledger.submit import submit
from tallystick_proof import entry, statement
from tallystick_wire import cbor, cose


@pytest.fixture
def live(tmp_path: Path, make_world: Callable[..., Any]) -> Iterator[LiveLedger]:
    found = LiveLedger(tmp_path, make_world("store"))
    yield found
    found.close()


def association(live: LiveLedger, jti: int = 1, **changes: Any) -> bytes:
    body = {"aud": live.world.origin, "jti": jti.to_bytes(16, "big"), "exp": None}
    body |= {"place": "cold room", "lot": "L7", "nodes": [bytes(32)], "since_ms": 1}
    return statement.build(live.world.signers["installer"], "association", body | changes)


class TestDatabase:
    def test_rolls_back_whole(self, tmp_path: Path) -> None:
        db = Database(tmp_path / "x.db")
        with pytest.raises(ZeroDivisionError), db.transaction() as tx:
            raise ZeroDivisionError(tx.execute("INSERT INTO witness VALUES ('w', 1)"))
        with db.read() as tx:
            assert tx.execute("SELECT * FROM witness") == []

    def test_never_nests(self, tmp_path: Path) -> None:
        db = Database(tmp_path / "x.db")
        with db.transaction(), pytest.raises(StoreError, match="inside"), db.read():
            pass

    def test_database_errors_are_ours(self, tmp_path: Path) -> None:
        db = Database(tmp_path / "x.db")
        with pytest.raises(StoreError, match="no such table"), db.read() as tx:
            tx.execute("SELECT * FROM nowhere")
        (tmp_path / "junk.db").write_bytes(b"not a database" * 100)
        with pytest.raises(StoreError):
            Database(tmp_path / "junk.db")

    def test_migrations_run_once(self, tmp_path: Path) -> None:
        for _ in range(2):
            db = Database(tmp_path / "x.db")
            db.migrate("more", "CREATE TABLE more (a INTEGER) STRICT; INSERT INTO more VALUES (1);")
            db.close()
        db = Database(tmp_path / "x.db")
        with db.read() as tx:
            assert tx.execute("SELECT count(*) FROM more") == [(1,)]

    def test_a_migration_that_fails_is_not_recorded(self, tmp_path: Path) -> None:
        db = Database(tmp_path / "x.db")
        with pytest.raises(StoreError):
            db.migrate("bad", "CREATE TABLE half (a INTEGER) STRICT; CREATE TABLE half (a INTEGER) STRICT;")
        with db.read() as tx:
            assert tx.one("SELECT 1 FROM sqlite_schema WHERE name = 'half'") is None
            assert tx.one("SELECT 1 FROM migration WHERE name = 'bad'") is None

    def test_durable_settings(self, tmp_path: Path) -> None:
        with Database(tmp_path / "x.db").read() as tx:
            assert tx.one("PRAGMA journal_mode") == ("wal",)
            assert tx.one("PRAGMA synchronous") == (2,), "FULL: NORMAL loses commits at a power cut"

    def test_threads_take_turns(self, tmp_path: Path) -> None:
        db = Database(tmp_path / "x.db")
        with db.transaction() as tx:
            tx.execute("INSERT INTO witness VALUES ('w', 0)")

        def count() -> None:
            for _ in range(50):
                with db.transaction() as tx:
                    row = tx.one("SELECT size FROM witness")
                    tx.execute("UPDATE witness SET size = ?", [row[0] + 1 if row else 0])

        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with db.read() as tx:
            assert tx.one("SELECT size FROM witness") == (200,)


class TestBlobs:
    def test_same_data_same_name(self, tmp_path: Path) -> None:
        blobs = Blobs(tmp_path / "blobs")
        name = blobs.put_if_absent(b"data")
        assert blobs.put_if_absent(b"data") == name
        assert blobs.get(name) == b"data"
        assert [path.name for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == [name.hex()[2:]]

    def test_altered_and_missing(self, tmp_path: Path) -> None:
        blobs = Blobs(tmp_path / "blobs")
        name = blobs.put_if_absent(b"data")
        (path,) = [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
        path.write_bytes(b"dato")
        with pytest.raises(StoreError, match="altered"):
            blobs.get(name)
        with pytest.raises(StoreError):
            blobs.get(bytes(32))

    def test_a_torn_write_is_never_taken_for_the_blob(self, tmp_path: Path) -> None:
        blobs = Blobs(tmp_path / "blobs")
        name = Blobs(tmp_path / "other").put_if_absent(b"data")
        part = tmp_path / "blobs" / name.hex()[:2] / f"{name.hex()[2:]}.1.part"
        part.parent.mkdir()
        part.write_bytes(b"da")
        with pytest.raises(StoreError):
            blobs.get(name)
        assert blobs.get(blobs.put_if_absent(b"data")) == b"data"


class TestSubmit:
    def test_same_leaf_same_id(self, live: LiveLedger) -> None:
        data = association(live)
        with live.ledger.db.transaction() as tx:
            first = submit(tx, entry.STATEMENT, data)
            assert submit(tx, entry.STATEMENT, data) == first
            assert submit(tx, entry.STATEMENT, association(live, 2)) == first + 1

    def test_a_jti_is_spent_once_a_key(self, live: LiveLedger) -> None:
        with live.ledger.db.transaction() as tx:
            submit(tx, entry.STATEMENT, association(live))
            with pytest.raises(Conflict, match="jti"):
                submit(tx, entry.STATEMENT, association(live, lot="L8"))

    def test_junk(self, live: LiveLedger) -> None:
        with live.ledger.db.transaction() as tx:
            for kind, data in ((entry.STATEMENT, b"junk"), (3, b"x"), (entry.CHECKPOINT, b""), (1, bytes(70_000))):
                with pytest.raises(Malformed):
                    submit(tx, kind, data)

    def test_goes_with_its_transaction(self, live: LiveLedger) -> None:
        with pytest.raises(ZeroDivisionError), live.ledger.db.transaction() as tx:
            raise ZeroDivisionError(submit(tx, entry.STATEMENT, association(live)))
        with live.ledger.db.read() as tx:
            assert tx.execute("SELECT count(*) FROM entry") == [(0,)]
            assert tx.execute("SELECT count(*) FROM statement") == [(0,)]


class TestAdmit:
    def test_signer_must_be_enrolled_before(self, live: LiveLedger) -> None:
        with pytest.raises(Forbidden, match="unknown key"):
            admit(live.ledger, association(live))
        live.enrol("installer")
        identity, index = admit(live.ledger, association(live))
        assert index is None, "its enrolment is pending, but before it in the log"
        live.settle()
        assert admit(live.ledger, association(live)) == (identity, 1)

    def test_receipts_in_the_unprotected_header_are_dropped(self, live: LiveLedger) -> None:
        live.enrol("installer")
        data = association(live)
        parts = cbor.decode(data).value
        parts[1] = cbor.Map([(394, [b"a receipt"])])
        identity, _ = admit(live.ledger, cbor.encode(cbor.Tag(18, parts)))
        assert admit(live.ledger, data)[0] == identity
        with live.ledger.db.read() as tx:
            assert tx.execute("SELECT data FROM entry WHERE id = 2") == [(data,)]

    def test_forged_role_and_stranger(self, live: LiveLedger) -> None:
        live.enrol("installer", "lender")
        data = association(live)
        forged = data[:-1] + bytes([data[-1] ^ 1])
        with pytest.raises(Forbidden, match="signature"):
            admit(live.ledger, forged)
        parsed = cose.split(data)
        labels = [(1, -8), (4, live.world.signers["lender"].kid), (16, statement.typ("association"))]
        other_kid = cose.assemble(cbor.encode(cbor.Map(labels)), parsed.payload, parsed.signature)
        with pytest.raises(Forbidden, match="may not sign"):
            admit(live.ledger, other_kid)

    def test_wrong_audience_and_expired(self, live: LiveLedger) -> None:
        live.enrol("installer")
        with pytest.raises(Forbidden, match=r"other\.example"):
            admit(live.ledger, association(live, aud="other.example/log"))
        with pytest.raises(Forbidden, match="expired"):
            admit(live.ledger, association(live, exp=live.clock.now_ms - 1))
        admit(live.ledger, association(live, exp=live.clock.now_ms))

    def test_enrolment_by_the_wrong_authority(self, live: LiveLedger) -> None:
        world = live.world
        good = statement.parse(world.statements[world.enrolments["node-a"]][0])
        data = statement.build(world.signers["authority-gateway"], "enrolment", good.body)
        with pytest.raises(Forbidden, match="no authority"):
            admit(live.ledger, data)

    def test_revoked_signer(self, live: LiveLedger) -> None:
        live.enrol("installer")
        admit(live.ledger, association(live))
        admit(live.ledger, live.world.statements[live.world.revoke("installer")][0])
        with pytest.raises(Forbidden, match="not valid"):
            admit(live.ledger, association(live, 2))
        assert admit(live.ledger, association(live))[1] is None, "what is in the log stays"

    def test_revocation_between_check_and_commit(self, live: LiveLedger, monkeypatch: pytest.MonkeyPatch) -> None:
        live.enrol("installer")
        revocation = live.world.statements[live.world.revoke("installer")][0]
        check = live.ledger.keys.check

        def checked_just_before(parsed: Any) -> None:
            check(parsed)
            monkeypatch.undo()
            admit(live.ledger, revocation)

        monkeypatch.setattr(live.ledger.keys, "check", checked_just_before)
        with pytest.raises(Forbidden, match="not valid"):
            admit(live.ledger, association(live))

    def test_second_enrolment_of_a_key(self, live: LiveLedger) -> None:
        live.enrol("node-a")
        world = live.world
        other = world.statements[world.enrol("node-a", commitment=bytes(32))][0]
        with pytest.raises(Forbidden, match="already enrolled"):
            admit(live.ledger, other)

    def test_what_does_not_come_from_outside(self, live: LiveLedger) -> None:
        world = live.world
        enrolment = statement.parse(world.statements[world.enrolments["lender"]][0])
        with pytest.raises(Forbidden, match="enrol-request"):
            admit(live.ledger, enrolment.body["request"])
        live.enrol("decider")
        body: dict[str, Any] = {"aud": world.origin, "jti": bytes(16), "exp": None, "subject": bytes(32), "n": 0}
        body |= {"previous": None, "state_before": bytes(32), "event": cbor.Map([]), "rules": bytes(32)}
        body |= {"as_of": [1, 1], "effects": [], "state_after": bytes(32)}
        with pytest.raises(Forbidden, match="decision"):
            admit(live.ledger, statement.build(world.signers["decider"], "decision", body))

    def test_junk(self, live: LiveLedger) -> None:
        for data in (b"", b"junk", bytes(100_000)):
            with pytest.raises(Malformed):
                admit(live.ledger, data)


def test_keys_of_a_ledger_opened_anew(live: LiveLedger) -> None:
    """Also what is still pending counts, and at the index that it is going to get."""
    live.enrol("gateway", "node-a")
    live.settle()
    live.enrol("node-b")
    live.admit(live.world.statements[live.world.revoke("node-a")][0])
    again = live.open()
    found = [(key.enrolled_index, key.revoked_index) for key in again.keys.everyone()]
    live.ledger.keys.follow()
    assert found == [(key.enrolled_index, key.revoked_index) for key in live.ledger.keys.everyone()]
    assert found == [(0, None), (1, 3), (2, None)]
    assert [index for index, _ in again.keys.revocations(live.world.signers["node-a"].thumbprint)] == [3]
    again.db.close()


def test_of_two_rivals_for_one_kid_the_first_in_the_log_wins(
    live: LiveLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can make two keys of one kid in a test, so the clash is acted out: the same key, enrolled twice."""
    world = live.world
    other = world.statements[world.enrol("node-a", commitment=bytes(32))][0]
    with live.ledger.db.transaction() as tx:  # past the door, as from another process at the same moment
        submit(tx, entry.STATEMENT, world.statements[world.enrolments["node-a"]][0])
        submit(tx, entry.STATEMENT, other)
    live.settle()
    key = live.ledger.keys.by_thumbprint(world.signers["node-a"].thumbprint)
    assert key is not None
    assert (key.enrolled_index, key.commitment) == (0, None)
    assert live.ledger.keys.enrolled_at(1) is None



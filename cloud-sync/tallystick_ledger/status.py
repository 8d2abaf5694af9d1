"""What the ledger says about itself: sizes, nodes, gateways. Numbers only; proofs are bundles."""

from typing import Any

from tallystick_ledger import publications, tree
from tallystick_ledger.db import Tx
from tallystick_ledger.ledger import Ledger
from tallystick_proof import keys
from tallystick_proof.enrolment import EnrolledKey


def status(ledger: Ledger) -> dict[str, Any]:
    """Plain values, ready for JSON."""
    ledger.keys.follow()
    with ledger.db.read() as tx:
        published = publications.latest(tx)
        (pending,) = tx.execute("SELECT count(*) FROM entry WHERE idx IS NULL")[0]
        return {
            "origin": ledger.origin,
            "size": tree.head(tx).size,
            "pending": pending,
            "published_size": published.size if published else 0,
            "published_latest_ms": published.latest_ms if published else None,
            "unknown_nodes": _unknown_nodes(tx, ledger),
            "nodes": [_node(tx, key) for key in ledger.keys.everyone() if key.kind == keys.NODE],
            "gateways": [_gateway(tx, key) for key in ledger.keys.everyone() if key.kind == keys.GATEWAY],
        }


def _node(tx: Tx, key: EnrolledKey) -> dict[str, Any]:
    (last_seq,) = tx.execute("SELECT max(last_seq) FROM segment WHERE kid = ?", [key.kid])[0]
    tally = tx.execute("SELECT verdict, count FROM tally WHERE kid = ? AND count > 0 ORDER BY verdict", [key.kid])
    return {
        "thumbprint": key.thumbprint.hex(),
        "kid": key.kid.hex(),
        "public_key": key.public_key.hex(),
        "model": key.instrument["model"] if key.instrument else None,
        "serial": key.instrument["serial"] if key.instrument else None,
        "enrolled_index": key.enrolled_index,
        "revoked": key.revoked_reason,
        "last_seq": last_seq,
        "readings": dict(tally),
    }


def _gateway(tx: Tx, key: EnrolledKey) -> dict[str, Any]:
    epochs = tx.execute(
        "SELECT number, size, frozen FROM epoch WHERE gateway = ? ORDER BY number DESC LIMIT 16", [key.thumbprint]
    )
    return {
        "thumbprint": key.thumbprint.hex(),
        "revoked": key.revoked_reason,
        "epochs": [{"number": number, "size": size, "frozen": bool(frozen)} for number, size, frozen in epochs],
    }


def _unknown_nodes(tx: Tx, ledger: Ledger) -> list[str]:
    """Kids that readings name and nobody enrolled; at most 100, an attacker can name many."""
    rows = tx.execute("SELECT kid FROM tally WHERE verdict = 'unknown key' AND count > 0 ORDER BY kid LIMIT 100")
    return [kid.hex() for (kid,) in rows if ledger.keys.by_kid(kid) is None]

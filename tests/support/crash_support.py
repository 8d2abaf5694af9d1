"""What must hold after any crash: how the crash tests ask the parts' own files for it."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from gateway_support import SITE_KEY

from tallystick_edge.log import Log
from tallystick_edge.recovery import StoredReading, read_row
from tallystick_ledger.db import Database
from tallystick_node import state
from tallystick_node.files import Directory, Files
from tallystick_node.segment import FOLDER
from tallystick_node.twin import Twin
from tallystick_proof.keys import Signer
from tallystick_proof.merkle import Frontier, leaf_hash
from tallystick_wire import cbor, message, reading
from tallystick_wire.reading import Reading

Place = tuple[bytes, int]  # (kid, sequence number)
Identities = dict[Place, bytes]


def one_of_each(found: Iterable[tuple[Place, bytes]]) -> Identities:
    """The identity at each place; fails when a place has two: a sequence number was used twice."""
    identities: Identities = {}
    for place, identity in found:
        known = identities.setdefault(place, identity)
        assert known == identity, f"{place[0].hex()} used number {place[1]} twice"
    return identities


def acked(folder: Path) -> Identities:
    """What the nodes whose acknowledge logs lie in `folder` saw acknowledged. Torn last lines were never seen whole."""
    found = []
    for path in folder.glob("*.jsonl"):
        for line in path.read_text("ascii").splitlines(keepends=True):
            if line.endswith("\n"):
                one = json.loads(line)
                found.append(((bytes.fromhex(path.stem), one["seq"]), bytes.fromhex(one["identity"])))
    return one_of_each(found)


def count_acked(folder: Path) -> int:
    """How many lines the acknowledge logs have."""
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("*.jsonl"))


def rows(log_file: Path) -> list[bytes]:
    """Every row of a gateway's log."""
    log = Log.read_only(log_file)
    try:
        return [data for _, data in log.rows()]
    finally:
        log.close()


def backlog(log_file: Path) -> int:
    log = Log.read_only(log_file)
    try:
        return log.backlog()
    finally:
        log.close()


def logged(entries: Iterable[bytes]) -> Identities:
    """The readings among a gateway's rows; fails when a row cannot be read."""
    found = [stored for _, stored in map(read_row, entries) if stored is not None]
    return one_of_each(map(_place, found))


def _place(stored: StoredReading) -> tuple[Place, bytes]:
    return (stored.kid, stored.chain.seq), stored.identity


def exported(file: Path) -> dict[Place, Reading]:
    """The readings in what `cloud export readings` wrote; fails when one is not valid, or two have one number."""
    found: dict[Place, Reading] = {}
    for _, _, _, verdict, data in cbor.decode_sequence(file.read_bytes()):
        one = reading.parse(data)
        assert verdict == "valid", f"reading {one.chain.seq} of {one.kid.hex()}: {verdict}"
        assert found.setdefault((one.kid, one.chain.seq), one) is one, f"{one.kid.hex()} used {one.chain.seq} twice"
    return found


def missing(acknowledged: Identities, found: Mapping[Place, Reading]) -> list[Place]:
    """What was acknowledged and is not there."""
    identities = {place: one.identity for place, one in found.items()}
    return [place for place, identity in acknowledged.items() if identities.get(place) != identity]


def check_tree(database: Path, gateway: bytes, entries: list[bytes]) -> int:
    """The gateway's one tree at the ledger is the beginning of its log; returns how many leaves the ledger has."""
    db = Database(database)
    try:
        with db.read() as tx:
            epochs = tx.execute("SELECT number, size, root, frozen FROM epoch WHERE gateway = ?", [gateway])
    finally:
        db.close()
    if not epochs:
        return 0
    [(number, size, root, frozen)] = epochs
    frontier = Frontier()
    for data in entries[:size]:
        frontier.append(leaf_hash(data))
    assert (number, frozen) == (1, 0)
    assert (frontier.size, frontier.root()) == (size, root)
    return int(size)


def enrolled_flash(folder: Path, signer: Signer, seed: bytes, origin: str, pen: int) -> None:
    """Flash of a node that has this key and was told where it belongs, written by the node's own code."""
    files = Files(Directory(str(folder), [FOLDER]))
    Twin(files, "key").save(seed)
    state.save_config(files, state.Config(origin, pen, message.link_key(SITE_KEY, signer.thumbprint)))

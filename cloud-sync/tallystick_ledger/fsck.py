"""`cloud fsck`: derive everything that can be derived anew, and compare. Reads only; says all that it finds.

    entries       leaf hashes, statement index, order of indexes
    tree          every tile, head
    publications  signatures and policy, times, roots
    gateways      each epoch from its blobs: frontiers, roots, signed checkpoints, conflicts
    verdicts      every reading judged again, in log order; counts

It looks at one consistent view, so it may run beside a service. It holds 16 bytes a reading in memory.
"""

from collections.abc import Callable, Generator, Iterator

from tallystick_ledger import tree
from tallystick_ledger.db import Database, Tx
from tallystick_ledger.fsck_gateways import Stores, check_gateways
from tallystick_proof import checkpoint, entry, merkle, policy, statement, tiles
from tallystick_proof.errors import ProofError
from tallystick_proof.merkle import Frontier
from tallystick_proof.trust import Trust

_PAGE = 1000

Progress = Callable[[str], None]


def fsck(stores: Stores, progress: Progress) -> list[str]:
    """Every finding, in words; an empty list is a clean bill."""
    findings: list[str] = []
    steps: list[tuple[str, Callable[[Stores], Iterator[str]]]] = [
        ("database file", _check_file),
        ("entries", _check_entries),
        ("tree", _check_tree),
        ("publications", _check_publications),
        ("gateways and verdicts", check_gateways),
    ]
    for name, step in steps:
        progress(name)
        findings += [f"{name}: {finding}" for finding in step(stores)]
    return findings


def _check_file(stores: Stores) -> Iterator[str]:
    for (finding,) in stores.tx.execute("PRAGMA integrity_check"):
        if finding != "ok":
            yield str(finding)
    for table, row, parent, _ in stores.tx.execute("PRAGMA foreign_key_check"):
        yield f"{table} row {row} names a row of {parent} that is not there"
    fresh = Database(":memory:")
    with fresh.read() as tx:
        wanted = tx.execute("SELECT name, sql FROM sqlite_schema")
    fresh.close()
    stored: dict[str, str] = dict(stores.tx.execute("SELECT name, sql FROM sqlite_schema"))
    for name, sql in wanted:
        if stored.get(name) != sql:
            yield f"{name} is not defined as this version defines it"


def _check_entries(stores: Stores) -> Iterator[str]:
    size, pending = tree.head(stores.tx).size, False
    expected = 0
    indexed = 0
    for entry_id, index, kind, data, leaf in _entries(stores.tx):
        try:
            if entry.LedgerEntry(kind, data).leaf != leaf:
                yield f"entry {entry_id} does not hash to its leaf"
            indexed += yield from _check_statement(stores.tx, entry_id, kind, data)
        except ProofError as error:
            yield f"entry {entry_id}: {error}"
        if index is None:
            pending = True
        elif pending or index != expected:
            yield f"entry {entry_id} has index {index}, {expected} follows"
        else:
            expected += 1
    if expected != size:
        yield f"{expected} entries have an index, the head counts {size}"
    (rows,) = stores.tx.execute("SELECT count(*) FROM statement")[0]
    if rows != indexed:
        yield f"the statement index has {rows} rows for {indexed} statements"


def _check_statement(tx: Tx, entry_id: int, kind: int, data: bytes) -> Generator[str, None, int]:
    """Findings; returns 1 when the entry is a statement."""
    if kind != entry.STATEMENT:
        return 0
    parsed = statement.parse(data)
    row = tx.one("SELECT identity, kind, kid, jti FROM statement WHERE entry = ?", [entry_id])
    if row != (parsed.identity, parsed.kind, parsed.kid, parsed.body["jti"]):
        yield f"statement {parsed.identity.hex()} of entry {entry_id} is indexed wrongly"
    return 1


def _entries(tx: Tx) -> Iterator[tuple[int, int | None, int, bytes, bytes]]:
    last_id = -1
    while page := tx.execute(
        "SELECT id, idx, kind, data, leaf FROM entry WHERE id > ? ORDER BY id LIMIT ?", [last_id, _PAGE]
    ):
        yield from page
        last_id = page[-1][0]


def _check_tree(stores: Stores) -> Iterator[str]:
    head = tree.head(stores.tx)
    leaves = [leaf for (leaf,) in stores.tx.execute("SELECT leaf FROM entry WHERE idx IS NOT NULL ORDER BY idx")]
    fresh: dict[tuple[int, int], bytes] = {}

    def save(level: int, number: int, hashes: bytes) -> None:
        fresh[level, number] = hashes

    tiles.append(lambda level, number: fresh.get((level, number)), save, 0, leaves)
    stored = {(level, number): hashes for level, number, hashes in stores.tx.execute("SELECT * FROM tile")}
    for level, number in sorted(fresh.keys() | stored.keys()):
        if fresh.get((level, number)) != stored.get((level, number)):
            yield f"tile {level}/{number} is not what its leaves give"
    if head.root != merkle.root(leaves):
        yield "the head's root is not that of its leaves"


def _check_publications(stores: Stores) -> Iterator[str]:
    leaves = stores.tx.execute("SELECT leaf FROM entry WHERE idx IS NOT NULL ORDER BY idx")
    grown = Frontier()
    for row in stores.tx.execute("SELECT id, size, hash, earliest_ms, latest_ms, note FROM publication ORDER BY id"):
        size = row[1]
        if not grown.size <= size <= len(leaves):
            yield f"publication {row[0]} has size {size} after {grown.size}, of {len(leaves)} entries"
            continue
        for (leaf,) in leaves[grown.size : size]:
            grown.append(leaf)
        finding = _publication_finding(stores.trust, row[1:], grown.root())
        if finding:
            yield f"publication {row[0]}: {finding}"


def _publication_finding(
    trust: Trust, row: tuple[int, bytes, int | None, int | None, bytes], root: bytes
) -> str | None:
    size, hash16, earliest_ms, latest_ms, signed = row
    try:
        proved = trust.policy.check(signed, trust.origin)
    except ProofError as error:
        return str(error)
    if not proved.witnessed and trust.policy.quorum != policy.NO_QUORUM:
        return "published without the quorum that trust.toml asks for"
    if (proved.checkpoint.size, proved.earliest_ms, proved.quorum_ms) != (size, earliest_ms, latest_ms):
        return "its columns are not what its note says"
    if checkpoint.anchor_hash(proved.text) != hash16:
        return "its hash is not that of its note"
    if proved.checkpoint.root != root:
        return "it was signed for another root"
    return None

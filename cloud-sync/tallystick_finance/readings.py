"""Readings that wait until a loan may fold them: the rows, and what links next.

A reading waits for the one before it, or, where its node gave readings up, for one that declares so. Which readings a
loan folds depends on nothing but what was published by then.
"""

from collections import deque
from collections.abc import Iterator, Sequence

from tallystick_finance.decide import Node, Observation, decode_observation, encode, links
from tallystick_ledger.db import Row, Tx
from tallystick_proof.chain import NOTHING_DECLARED, Declared, to_declare

_PAGE = 512  # held readings decoded at a time


def add(tx: Tx, node: bytes, seen: Observation) -> None:
    """Keep a valid reading for every loan that folds this node. The same one again changes nothing."""
    starts = seen.last_persisted is not None or seen.previous is None
    tx.execute(
        "INSERT INTO finance_reading VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [node, seen.seq, int(starts), seen.latest_ms, encode(seen)],
    )
    if seen.gap is not None:
        sql = "INSERT INTO finance_declared VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
        tx.execute(sql, [node, seen.seq, *seen.gap])


def mark_due(tx: Tx, node: bytes) -> None:
    """There is something new for the loans that this node watches."""
    tx.execute("UPDATE finance_loan SET due = 1 WHERE id IN (SELECT loan FROM finance_watch WHERE node = ?)", [node])


def count(tx: Tx, node: bytes, since_ms: int) -> int:
    """How many readings a loan that begins at `since_ms` would have to fold."""
    sql = "SELECT count(*) FROM finance_reading WHERE node = ? AND latest_ms > ?"
    return int(tx.execute(sql, [node, since_ms])[0][0])


def linked(tx: Tx, node: Node, since_ms: int) -> list[Observation]:
    """The readings that may be folded next, in order and in one window; what does not link yet is held."""
    path = list(_path(tx, node, since_ms, _declared(tx, node)))
    found = path[: _settled(node, path, since_ms)]
    if len(found) < len(path):
        # What follows waits for a declaration. A later boot may know nothing of it, and go on without one.
        last = node._replace(last=found[-1]) if found else node
        found += _path(tx, last, since_ms, NOTHING_DECLARED)
    return found


def _declared(tx: Tx, node: Node) -> Declared:
    """What the readings behind the last folded one declare."""
    after = 0 if node.last is None else node.last.seq
    sql = "SELECT first_seq, last_seq, seq FROM finance_declared WHERE node = ? AND seq > ? ORDER BY seq"
    return Declared((first, last, seq) for first, last, seq in tx.execute(sql, [node.thumbprint, after]))


def _path(tx: Tx, node: Node, since_ms: int, declared: Declared) -> Iterator[Observation]:
    """What links under these declarations, whether or not the readings that declare stand in it."""
    if node.last is None:
        for seen in _before(tx, node, since_ms):
            yield seen
            node = node._replace(last=seen)
    while True:
        for seen in _run(tx, node, since_ms, declared):
            yield seen
            node = node._replace(last=seen)
        start = _restart(tx, node, since_ms)
        if start is None:
            return
        yield start
        node = node._replace(last=start)


def _settled(node: Node, path: Sequence[Observation], since_ms: int) -> int:
    """How much of the path needs no declaration from behind it: a window holds what accounts for its own gaps."""
    declared = Declared()
    waiting: deque[tuple[int, int]] = deque()  # numbers that are to be declared: first, end
    settled = 0
    for at, seen in enumerate(path, 1):
        if seen.gap is not None:
            declared.add(*seen.gap, seen.seq)
        if node.last is not None and not links(node, seen, since_ms):
            missing = to_declare(node.last, seen)
            waiting.append((missing.start, missing.stop))
        while waiting:
            number, end = declared.first_undeclared(waiting[0][0]), waiting[0][1]
            if number < end:
                waiting[0] = number, end  # so that no declaration is looked at twice
                break
            waiting.popleft()
        if not waiting:
            settled = at
        node = node._replace(last=seen)
    return settled


def _before(tx: Tx, node: Node, since_ms: int) -> list[Observation]:
    """The last reading that was published before the association began, if there is one."""
    sql = "SELECT observation FROM finance_reading WHERE node = ? AND latest_ms <= ? ORDER BY seq DESC LIMIT 1"
    return _observations(tx.execute(sql, [node.thumbprint, since_ms]))


def _run(tx: Tx, node: Node, since_ms: int, declared: Declared) -> Iterator[Observation]:
    """Readings that follow the last one; none that arrived is passed over."""
    while node.last is not None:
        sql = "SELECT observation FROM finance_reading WHERE node = ? AND seq > ? ORDER BY seq LIMIT ?"
        found = _observations(tx.execute(sql, [node.thumbprint, node.last.seq, _PAGE]))
        for seen in found:
            if not links(node, seen, since_ms, declared):
                return
            yield seen
            node = node._replace(last=seen)
        if len(found) < _PAGE:
            return


def _restart(tx: Tx, node: Node, since_ms: int) -> Observation | None:
    """The next start of a boot (or of the chain) that links although something before it may be missing."""
    after = 0 if node.last is None else node.last.seq
    while True:
        sql = "SELECT observation FROM finance_reading WHERE node = ? AND starts = 1 AND seq > ? ORDER BY seq LIMIT ?"
        found = _observations(tx.execute(sql, [node.thumbprint, after, _PAGE]))
        for seen in found:
            if links(node, seen, since_ms):
                return seen
            after = seen.seq
        if len(found) < _PAGE:
            return None


def _observations(rows: list[Row]) -> list[Observation]:
    return [decode_observation(data) for (data,) in rows]

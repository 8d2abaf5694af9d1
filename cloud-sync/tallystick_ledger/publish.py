"""Publishing: sign the head, have it cosigned, and only then show it.

    1 read the head        only what is stored is ever signed
    2 sign                 the log's own line
    3 ask the witnesses    with a consistency proof from what each saw last
    4 hold it against the policy of trust.toml
    5 insert the row       from here on it is public

A crash before step 5 leaves a cosigned head that nobody saw; the next round publishes that one or a later one. A
database that was restored from a backup is found out in step 3: a witness knows more, and nothing is published.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from tallystick_ledger import publications, tree
from tallystick_ledger.errors import PublishError, RolledBack
from tallystick_ledger.ledger import Ledger
from tallystick_ledger.publications import Publication
from tallystick_ledger.tree import Head
from tallystick_ledger.witness_client import WitnessClient, request_body
from tallystick_proof import checkpoint, note, policy
from tallystick_proof.checkpoint import Checkpoint
from tallystick_proof.errors import PolicyError
from tallystick_proof.keys import Signer
from tallystick_proof.note import SignatureLine
from tallystick_proof.policy import Witnessed


class Publisher:
    """Publishes checkpoints of one ledger. One thread calls it; `monotonic_ms` counts the age of the newest one."""

    def __init__(
        self,
        ledger: Ledger,
        signer: Signer,
        witnesses: Sequence[WitnessClient],
        refresh_ms: int,
        monotonic_ms: Callable[[], int],
    ) -> None:
        self._ledger = ledger
        self._signer = signer
        self._witnesses = witnesses
        self._refresh_ms = refresh_ms
        self._monotonic_ms = monotonic_ms
        self._published_at_ms: int | None = None
        self._pool = ThreadPoolExecutor(max(1, len(witnesses)), "witness")

    def publish_once(self) -> Publication | None:
        """Publish the head when it is new, or when the newest checkpoint gets old; None when nothing was due.

        PublishError when the policy is not met: nothing was published, the next round tries again.
        """
        with self._ledger.db.read() as tx:
            head = tree.head(tx)
            latest = publications.latest(tx)
        if not self._is_due(head, latest):
            return None
        text = Checkpoint(self._ledger.origin, head.size, head.root).text
        own = note.sign_note(self._signer, self._ledger.origin, text)
        cosignatures, failures = self._ask_all(head, text, own)
        lines = self._ledger.trust.policy.in_order([own, *cosignatures])
        signed = note.format(note.Note(text, lines))
        published = self._insert(signed, text, self._check(signed, failures))
        self._published_at_ms = self._monotonic_ms()
        return published

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _is_due(self, head: Head, latest: Publication | None) -> bool:
        if head.size == 0:
            return False  # there is nothing to prove yet, and an anchor on nothing proves no time
        if latest is None or latest.size < head.size or self._published_at_ms is None:
            return True
        return self._monotonic_ms() - self._published_at_ms >= self._refresh_ms

    def _ask_all(self, head: Head, text: str, own: SignatureLine) -> tuple[list[SignatureLine], list[str]]:
        """(cosignatures in the order of the configuration, one a key; why the others are missing)."""
        asked = [self._pool.submit(self._ask, witness, head, text, own) for witness in self._witnesses]
        lines: dict[bytes, SignatureLine] = {}
        failures = []
        for answer in asked:
            try:
                line = answer.result()
                lines.setdefault(line.key_id, line)
            except RolledBack:
                raise
            except PublishError as error:
                failures.append(str(error))
        return list(lines.values()), failures

    def _ask(self, witness: WitnessClient, head: Head, text: str, own: SignatureLine) -> SignatureLine:
        """One witness's line; the size that it knows is learned from its 409 when ours is out of date."""
        known = self._known_size(witness)
        for _ in range(2):
            answer = witness.add_checkpoint(self._request(known, head, text, own), text)
            if isinstance(answer, SignatureLine):
                self._remember(witness, head.size)
                return answer
            self._check_history(witness, head, known, answer)
            known = answer
        raise PublishError(f"witness {witness.url} changes its mind about what it knows")

    def _check_history(self, witness: WitnessClient, head: Head, known: int, answer: int) -> None:
        """What a 409 says about us: nothing, or that another process publishes too, or that our history is gone."""
        with self._ledger.db.read() as tx:
            now = tree.head(tx)
        if answer > now.size or answer == known:
            raise RolledBack(
                f"witness {witness.url} has cosigned another tree of {answer} entries, this database holds {now.size}:"
                " was it restored from a backup? Nothing is published until this is cleared up"
            )
        if answer > head.size:
            raise PublishError("another process publishes from this database, and was faster")

    def _request(self, known: int, head: Head, text: str, own: SignatureLine) -> bytes:
        with self._ledger.db.read() as tx:
            proof = tree.tree(tx, head.size).consistency_proof(known, head.size) if 0 < known < head.size else []
        return request_body(known, proof, note.format(note.Note(text, [own])))

    def _check(self, signed: bytes, failures: list[str]) -> Witnessed:
        """What the note proves. A policy without a quorum is met by the log's own signature."""
        trusted = self._ledger.trust.policy
        try:
            witnessed = trusted.check(signed, self._ledger.origin)
        except PolicyError as error:
            raise PublishError(f"our own checkpoint does not pass our policy: {error}") from None
        if not witnessed.witnessed and trusted.quorum != policy.NO_QUORUM:
            raise PublishError(f"the witness policy is not met: {'; '.join(failures) or 'no witness is configured'}")
        return witnessed

    def _insert(self, signed: bytes, text: str, witnessed: Witnessed) -> Publication | None:
        """Never below a size that is public: which checkpoint is the first that covers a leaf must not change."""
        size = witnessed.checkpoint.size
        hash16 = checkpoint.anchor_hash(text)
        earliest_ms, latest_ms = witnessed.earliest_ms, witnessed.quorum_ms
        with self._ledger.db.transaction() as tx:
            inserted = tx.changed(
                "INSERT INTO publication (size, hash, earliest_ms, latest_ms, note) SELECT ?, ?, ?, ?, ?"
                " WHERE NOT EXISTS (SELECT 1 FROM publication WHERE size > ?)",
                [size, hash16, earliest_ms, latest_ms, signed, size],
            )
        return Publication(size, hash16, earliest_ms, latest_ms, signed) if inserted else None

    def _known_size(self, witness: WitnessClient) -> int:
        with self._ledger.db.read() as tx:
            row = tx.one("SELECT size FROM witness WHERE url = ?", [witness.url])
        return 0 if row is None else int(row[0])

    def _remember(self, witness: WitnessClient, size: int) -> None:
        with self._ledger.db.transaction() as tx:
            tx.execute("INSERT OR REPLACE INTO witness VALUES (?, ?)", [witness.url, size])

"""A bank on a real ledger in a temporary folder: statements, readings and publications of the test's own making."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ledger_support import LiveLedger, TestGateway

from tallystick_finance import project, records
from tallystick_finance.finance import Finance
from tallystick_finance.opening import open_loan
from tallystick_finance.records import Decision, Event, Loan
from tallystick_ledger import publications
from tallystick_proof import keys
from tallystick_wire import cbor

MINUTE_MS = 60_000
RULES: dict[str, Any] = {
    "warm_limit": cbor.Tag(4, [-1, 80]),
    "warm_for_ms": 10 * MINUTE_MS,
    "silence_for_ms": 60 * MINUTE_MS,
    "advance_bps": 8_000,
    "haircut_warm_bps": 2_000,
    "haircut_silence_bps": 5_000,
    "cure_ms": 1440 * MINUTE_MS,
}
FACILITY: dict[str, Any] = {"currency": "CNY", "limit_minor": 200_000_000}
PLEDGE: dict[str, Any] = {"lot": "L7", "value_minor": 125_000_000, "principal_minor": 90_000_000, "currency": "CNY"}


class Bank:
    """Everybody who takes part in a loan. `nodes` watch the lot; `strangers` are nodes that nobody enrolled yet."""

    def __init__(
        self,
        folder: Path,
        make_world: Callable[..., Any],
        nodes: Sequence[str] = ("node-a",),
        strangers: Sequence[str] = (),
    ) -> None:
        self.world = make_world("bank", nodes=(*nodes, *strangers))
        self.live = LiveLedger(folder, self.world)
        self.names = list(nodes)
        self.live.enrol(*(name for name in self.world.enrolments if name not in strangers))
        self.live.settle()
        self.random = iter(range(1, 1 << 30))
        self.finance = self.open_finance()
        self.gateway = TestGateway(self.world)

    def open_finance(self) -> Finance:
        def random_bytes(size: int) -> bytes:
            return next(self.random).to_bytes(size, "big")

        return Finance(self.live.ledger, self.world.signers["decider"], random_bytes)

    def close(self) -> None:
        self.live.close()

    def thumbprint(self, who: str) -> bytes:
        found: bytes = self.world.signers[who].thumbprint
        return found

    # --- statements

    def sign(self, who: str, kind: str, **body: Any) -> bytes:
        """Sign a statement and hand it in; its identity."""
        identity: bytes = self.world.log(who, kind, body)
        self.live.admit(self.world.statements[identity][0])
        return identity

    def facility(self, rules: dict[str, Any] | None = None, signer: str = "lender", **changes: Any) -> bytes:
        people = {role: self.thumbprint(role) for role in ("lender", "borrower")}
        body = {**people, "decision_key": self.thumbprint("decider"), **FACILITY, **changes}
        return self.sign(signer, keys.FACILITY, rules=cbor.Map(list((RULES | (rules or {})).items())), **body)

    def association(self, lot: str = "L7", nodes: Sequence[str] | None = None) -> bytes:
        watched = [self.thumbprint(name) for name in (self.names if nodes is None else nodes)]
        return self.sign("installer", keys.ASSOCIATION, place="room 3", lot=lot, nodes=watched, since_ms=self.now_ms)

    def pledge(self, facility: bytes, association: bytes, signer: str = "borrower", **changes: Any) -> bytes:
        return self.sign(signer, keys.PLEDGE, facility=facility, association=association, **(PLEDGE | changes))

    def lend(self, rules: dict[str, Any] | None = None) -> Loan:
        """A loan of 900,000.00 CNY against goods of 1,250,000.00 CNY."""
        facility, association = self.facility(rules), self.association()
        pledge = self.pledge(facility, association)
        self.live.settle()
        return open_loan(self.finance, facility, pledge, f"key-{pledge.hex()[:16]}")

    # --- time and readings

    @property
    def now_ms(self) -> int:
        return self.live.clock.now_ms

    def wait(self, minutes: float) -> None:
        self.live.clock.now_ms += int(minutes * MINUTE_MS)

    def measure(self, celsius_cents: int = 450, name: str | None = None, *, deliver: bool = True) -> bytes:
        """A node measures; the gateway gets it unless it is lost on the way."""
        made = self.world.nodes[name or self.names[0]].measure(celsius_cents, MINUTE_MS)
        if deliver:
            self.gateway.take(made.data)
        data: bytes = made.data
        return data

    def minute(self, *celsius_cents: int) -> None:
        """For every temperature a minute passes and every node measures it."""
        for cents in celsius_cents:
            self.wait(1)
            for name in self.names:
                self.measure(cents, name)

    def anchor(self) -> None:
        """The newest checkpoint reaches every node."""
        with self.live.ledger.db.read() as tx:
            published = publications.latest(tx)
        if published is not None:
            for node in self.world.nodes.values():
                node.hold(published.note)

    def publish(self) -> None:
        """The gateway syncs what it has, and a checkpoint is published; nothing is decided."""
        if len(self.gateway.entries) > self.gateway.sent:
            self.gateway.sync(self.live.ledger)
        # A quiet log is refreshed at the latest after this long, so that silence has a time.
        self.live.clock.now_ms += MINUTE_MS
        self.live.settle()

    def sync(self) -> int:
        """Publish, and decide; how many steps it took."""
        self.publish()
        return project.run(self.finance)

    # --- what the books say

    def loan(self, loan_id: bytes) -> Loan:
        with self.live.ledger.db.read() as tx:
            found = records.loan(tx, loan_id)
        assert found is not None
        return found

    def decisions(self, loan_id: bytes) -> list[Decision]:
        with self.live.ledger.db.read() as tx:
            return records.decisions(tx, loan_id, -1, 1000)

    def events(self) -> list[Event]:
        with self.live.ledger.db.read() as tx:
            return records.events(tx, 0, 1000)

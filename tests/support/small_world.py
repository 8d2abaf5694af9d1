"""A small world in memory for tests: real keys, formats and modules; only clocks and random bytes are given."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from small_world_parts import MINUTE_MS, PEN, Gateway, Ledger, Node

from tallystick_finance import decide as core
from tallystick_proof import bundle, entry, keys, note, statement
from tallystick_proof.keys import Signer
from tallystick_proof.loan_rules import Rules
from tallystick_proof.time import AnchorTime
from tallystick_proof.trust import Trust
from tallystick_wire.cbor import Map, Tag
from tallystick_wire.reading import Reading

START_MS = 1_760_000_000_000
RULES = Map(
    [
        ("warm_limit", Tag(4, [-1, 80])),
        ("warm_for_ms", 10 * MINUTE_MS),
        ("silence_for_ms", 240 * MINUTE_MS),
        ("advance_bps", 7_000),
        ("haircut_warm_bps", 2_000),
        ("haircut_silence_bps", 5_000),
        ("cure_ms", 86_400_000),
    ]
)
CHANNELS = Map([("t", ["temperature", "Cel"]), ("h", ["humidity", "%RH"]), ("b", ["battery", "V"])])


@dataclass
class Decided:
    """One decision of the world's loan."""

    identity: bytes
    windows: Mapping[bytes, tuple[int, int]]
    asof_note: bytes
    effects: list[Any]


@dataclass
class Loan:
    facility: bytes
    pledge: bytes
    association: bytes
    nodes: list[str]
    state: core.State
    rules: Rules
    decisions: list[Decided] = field(default_factory=list)
    folded: dict[bytes, int] = field(default_factory=dict)


class World:
    """Everybody, and what they did. `name` makes all keys and the origin different."""

    def __init__(
        self, name: str = "north", *, quorum: str = "all", nodes: Sequence[str] = ("node-a", "node-b")
    ) -> None:
        self.name = name
        self.origin = f"ledger.example/{name}"
        self.now_ms = START_MS
        self.witnesses = ("w1", "w2")
        roles = {
            **{f"authority-{kind}": f"authority-{kind}" for kind in keys.ENROLLED_KINDS},
            "ledger": "ledger", "w1": "witness", "w2": "witness", "gateway": "gateway", "gateway-2": "gateway",
            "lender": "organisation", "borrower": "organisation", "installer": "installer", "decider": "decision",
            **dict.fromkeys(nodes, "node"),
        }
        self.signers = {who: Signer(role, self.secret(who)) for who, role in roles.items()}
        self.trust = Trust.parse(self.trust_text(quorum))
        self.ledger = Ledger(self)
        self.statements: dict[bytes, tuple[bytes, int]] = {}  # identity -> (bytes, ledger index)
        self.enrolments: dict[str, bytes] = {}  # who -> identity
        for who, signer in self.signers.items():
            if signer.role in keys.ENROLLED_KINDS:
                self.enrolments[who] = self.enrol(who)
        self.publish()
        self.gateways = {name: Gateway(self, name) for name in ("gateway", "gateway-2")}
        self.nodes = {name: Node(self, name) for name in nodes}
        self.where: dict[tuple[str, int], tuple[str, int]] = {}  # (node, seq) -> (gateway, entry index)

    def secret(self, purpose: str) -> bytes:
        return hashlib.sha256(f"{self.name}/{purpose}".encode()).digest()

    def trust_text(self, quorum: str = "all") -> str:
        def vkey(who: str, name: str, key_type: int) -> str:
            return note.VerifierKey(name, key_type, self.signers[who].public_key).vkey

        lines = [f"log {vkey('ledger', self.origin, note.TYPE_ED25519)}"]
        lines += [
            f"witness {who} {vkey(who, f'{who}.example/{self.name}', note.TYPE_COSIGNATURE)}" for who in self.witnesses
        ]
        lines += ["quorum none"] if quorum == "none" else [f"group both {quorum} w1 w2", "quorum both"]
        policy = "\n".join(lines) + "\n"
        authorities = [
            f'\n[[authority]]\nkind = "{kind}"\nkeys = ["{self.signers[f"authority-{kind}"].public_key.hex()}"]\n'
            "threshold = 1\n"
            for kind in keys.ENROLLED_KINDS
        ]
        head = f'version = 1\norigin = "{self.origin}"\npen = {PEN}\nmax_head_age_s = 604800\n'
        return head + f'policy = """\n{policy}"""\n' + "".join(authorities)

    # --- statements

    def log(self, who: str, kind: str, body: dict[str, Any]) -> bytes:
        """Sign and log a statement; answers its identity."""
        common = {"aud": self.origin, "jti": self.secret(f"jti {len(self.statements)}")[:16], "exp": None}
        data = statement.build(self.signers[who], kind, {**common, **body})
        index = self.ledger.log(entry.STATEMENT, data)
        identity = statement.parse(data).identity
        self.statements[identity] = (data, index)
        return identity

    def enrol(self, who: str, **changes: Any) -> bytes:
        signer = self.signers[who]
        kind = signer.role
        bearer = self.secret(f"token {who}").hex().encode()  # what stands in the gateway's token file
        token = {"token_hash": hashlib.sha256(bearer).digest()} if kind == keys.GATEWAY else {}
        common = {"aud": self.origin, "jti": self.secret(f"request {who}")[:16], "exp": None}
        asked = {"key": signer.public_key, "kind": kind, "nonce": self.secret(f"nonce {who}")[:16], **token}
        request = statement.build(signer, keys.ENROL_REQUEST, {**common, **asked})
        instrument: dict[str, Any] = {"model": "TS-1", "serial": f"{who}-0001", "channels": CHANNELS}
        instrument |= dict.fromkeys(("calibration", "due_ms", "firmware"))
        body: dict[str, Any] = {
            "request": request,
            "kind": kind,
            "key": signer.public_key,
            "not_before": None,
            "not_after": None,
            "commitment": None,
            "instrument": Map(list(instrument.items())) if kind == keys.NODE else None,
            "token_hash": token.get("token_hash"),
        }
        return self.log(f"authority-{kind}", keys.ENROLMENT, body | changes)

    def revoke(self, who: str, reason: str = "retired") -> bytes:
        signer = self.signers[who]
        body = {"thumbprint": signer.thumbprint, "reason": reason}
        return self.log(f"authority-{signer.role}", keys.REVOCATION, body)

    # --- time and readings

    def publish(self, after_ms: int = 1000, lags_s: Sequence[int] = (0, 1)) -> bytes:
        self.now_ms += after_ms
        data = self.ledger.publish(lags_s)
        self.now_ms += 2000
        return data

    def anchor(self) -> None:
        """The newest checkpoint reaches every node."""
        for node in self.nodes.values():
            node.hold(self.ledger.published[-1][1])

    def measure(self, name: str, celsius_cents: int = 450, minutes: int = 1, gateway: str = "gateway") -> Reading:
        """A node measures so many minutes after its last reading, and the gateway logs it."""
        made = self.nodes[name].measure(celsius_cents, minutes * MINUTE_MS)
        index = self.gateways[gateway].take(entry.READING, made.data)
        self.where[name, made.chain.seq] = (gateway, index)
        return made

    def lose(self, name: str, count: int, celsius_cents: int = 450, minutes: int = 1) -> tuple[int, int]:
        """A node measures so many times and nobody hears of it: (first, last)."""
        node = self.nodes[name]
        for _ in range(count):
            node.made.pop(node.measure(celsius_cents, minutes * MINUTE_MS).chain.seq)
        self.now_ms += count * minutes * MINUTE_MS
        return node.seq + 1 - count, node.seq

    def minute(self, celsius_cents: int = 450, minutes: int = 1) -> None:
        """Time passes, then every node measures once."""
        self.now_ms += minutes * MINUTE_MS
        for name in self.nodes:
            self.measure(name, celsius_cents, minutes)

    def sync(self) -> bytes:
        """Every gateway with something new syncs, and the ledger publishes."""
        for gateway in self.gateways.values():
            if gateway.tree.size > (gateway.batches[-1][0] if gateway.batches else 0):
                gateway.sync()
        return self.publish()

    # --- a loan

    def lend(self, nodes: Sequence[str] = ("node-a", "node-b"), **pledged: Any) -> Loan:
        who = {name: self.signers[name].thumbprint for name in ("lender", "borrower", "decider")}
        facility = {"lender": who["lender"], "borrower": who["borrower"], "decision_key": who["decider"]}
        facility_id = self.log(
            "lender", keys.FACILITY, {**facility, "currency": "CNY", "limit_minor": 100_000_000, "rules": RULES}
        )
        watched = [self.signers[name].thumbprint for name in nodes]
        body = {"place": "cold room 1", "lot": "L7", "nodes": watched, "since_ms": self.now_ms}
        association_id = self.log("installer", keys.ASSOCIATION, body)
        pledge = {"facility": facility_id, "association": association_id, "lot": "L7", "currency": "CNY"}
        pledge_id = self.log(
            "borrower", keys.PLEDGE, {**pledge, "value_minor": 100_000_000, "principal_minor": 65_000_000, **pledged}
        )
        self.publish()
        facility_, pledge_, association_ = (
            statement.parse(self.statements[one][0]) for one in (facility_id, pledge_id, association_id)
        )
        since_ms = self.ledger.check(self.ledger.first_note(self.statements[association_id][1])).earliest_ms
        assert since_ms is not None
        state = core.initial_state(facility_, pledge_, association_, since_ms)
        rules = Rules.parse(facility_.body["rules"])
        return Loan(facility_id, pledge_id, association_id, list(nodes), state, rules)

    def decide(self, loan: Loan, checkpoint_note: bytes, **changes: Any) -> Decided:
        """Fold what is published by now and log the decision, whatever it is."""
        as_of = self.ledger.check(checkpoint_note)
        assert as_of.quorum_ms is not None
        windows = {}
        for name in loan.nodes:
            thumbprint = self.signers[name].thumbprint
            fresh = [
                self.observation(name, seq)
                for seq in sorted(self.nodes[name].made)
                if seq > loan.folded.get(thumbprint, 0) and self.ledger_index(name, seq) < as_of.checkpoint.size
            ]
            if fresh:
                windows[thumbprint] = fresh
                loan.folded[thumbprint] = fresh[-1].seq
        event = core.Event(as_of.checkpoint.size, as_of.quorum_ms, windows)
        after, effects = core.decide(loan.state, event, loan.rules)
        body = {
            "subject": loan.pledge,
            "n": len(loan.decisions),
            "previous": loan.decisions[-1].identity if loan.decisions else None,
            "state_before": core.state_hash(loan.state),
            "event": event.value(),
            "rules": loan.rules.hash,
            "as_of": [event.as_of_size, event.as_of_ms],
            "effects": effects,
            "state_after": core.state_hash(after),
        }
        identity = self.log("decider", keys.DECISION, body | changes)
        spans = {node: (seen[0].seq, seen[-1].seq) for node, seen in windows.items()}
        loan.state = after
        loan.decisions.append(Decided(identity, spans, checkpoint_note, effects))
        return loan.decisions[-1]

    def observation(self, name: str, seq: int) -> core.Observation:
        made = self.nodes[name].made[seq]
        anchor = None
        if made.chain.anchor is not None:
            size, _, uptime_ms = made.chain.anchor
            earliest_ms = self.ledger.check(self.ledger.note_of(size)).earliest_ms
            assert earliest_ms is not None
            anchor = AnchorTime(made.chain.boot, uptime_ms, earliest_ms)
        latest_ms = self.ledger.check(self.ledger.first_note(self.ledger_index(name, seq))).quorum_ms
        assert latest_ms is not None
        return core.observe(made, self.signers[name].public_key, self.origin, anchor, latest_ms)

    def ledger_index(self, name: str, seq: int) -> int:
        gateway, index = self.where[name, seq]
        return next((at for size, _, at in self.gateways[gateway].batches if size > index), 1 << 62)

    # --- bundles

    def reading_bundle(self, name: str, seq: int) -> bytes:
        node = self.nodes[name]
        first = bundle.lead(node.made[at] for at in range(seq, 0, -1) if at in node.made)
        builder = bundle.Builder("reading", [node.signer.thumbprint, seq], self.origin)
        self._add_readings(builder, {name: (first, seq)})
        return builder.to_bytes()

    def window_bundle(self, name: str, first: int, last: int) -> bytes:
        """`first` is taken as it is."""
        builder = bundle.Builder("window", [self.signers[name].thumbprint, first, last], self.origin)
        self._add_readings(builder, {name: (first, last)})
        return builder.to_bytes()

    def windows_bundle(self, spans: Mapping[str, tuple[int, int]]) -> bytes:
        """Windows of several nodes; the subject is the first one."""
        name, (first, last) = next(iter(spans.items()))
        builder = bundle.Builder("window", [self.signers[name].thumbprint, first, last], self.origin)
        self._add_readings(builder, spans)
        return builder.to_bytes()

    def decision_bundle(self, loan: Loan, number: int) -> bytes:
        builder = bundle.Builder("decision", [loan.pledge, number], self.origin)
        told = loan.decisions[: number + 1]
        for identity in (loan.facility, loan.pledge, loan.association, *(one.identity for one in told)):
            self._add_statement(builder, identity)
        for who in ("lender", "borrower", "installer", "decider"):
            self._add_key(builder, who)
        spans: dict[str, tuple[int, int]] = {}
        for at, one in enumerate(told):
            builder.add_asof(at, one.asof_note)
            for name in loan.nodes:
                span = one.windows.get(self.signers[name].thumbprint)
                if span:
                    spans[name] = (spans.get(name, span)[0], span[1])
        self._add_readings(builder, spans)
        return builder.to_bytes()

    def add_revocation(self, builder: bundle.Builder, identity: bytes) -> None:
        self._add_statement(builder, identity)

    def _add_statement(self, builder: bundle.Builder, identity: bytes) -> None:
        data, index = self.statements[identity]
        builder.add_statement(data, self.ledger.proof(index))

    def _add_key(self, builder: bundle.Builder, who: str) -> None:
        data, index = self.statements[self.enrolments[who]]
        builder.add_key(data, self.ledger.proof(index))

    def _add_readings(self, builder: bundle.Builder, spans: Mapping[str, tuple[int, int]]) -> None:
        needed: dict[tuple[str, int], dict[int, bytes]] = {}  # (gateway, batch) -> leaf index -> entry
        for name, (first, last) in spans.items():
            self._add_key(builder, name)
            for seq, made in self.nodes[name].made.items():
                if first <= seq <= last:
                    where, index = self.where[name, seq]
                    number = next(at for at, batch in enumerate(self.gateways[where].batches) if batch[0] > index)
                    needed.setdefault((where, number), {})[index] = self.gateways[where].entries[index]
                    if made.chain.anchor is not None:
                        builder.add_anchor(made.chain.anchor[0], self.ledger.note_of(made.chain.anchor[0]))
        for (name, number), entries in needed.items():
            self._add_key(builder, name)
            gateway = self.gateways[name]
            size, data, ledger_index = gateway.batches[number]
            tree = gateway.tree.tree()
            start, items = bundle.reveal(entries, tree.leaf_hash)
            hashes = tree.range_proof(start, start + len(items), size)
            proof = self.ledger.proof(ledger_index)
            builder.add_batch(gateway.signer.thumbprint, 1, size, start, items, hashes, data, proof)


class Story(World):
    """Two nodes in a cold room, a warm stretch, a silence, two decisions. Small on purpose: tests flip every byte."""

    def __init__(self, name: str = "north", **options: Any) -> None:
        super().__init__(name, **options)
        self.loan = self.lend()
        self.anchor()
        for celsius_cents in (450, 460):
            self.minute(celsius_cents, 4)
        self.gateways["gateway"].take(entry.NOTE, (entry.NOTE_LINK, Map([("up", True)])))
        self.sync()
        self.anchor()
        for celsius_cents in (900, 950, 1000, 900, 450):
            self.minute(celsius_cents, 4)
        self.decide(self.loan, self.sync())
        self.minute(440, 300)
        self.decide(self.loan, self.sync())
        self.publish()

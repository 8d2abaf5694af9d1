"""What the gateway knows about nodes, in memory: enrolled keys, which readings are durable, which identities they have.

Everything here is derived: from the log (readings) and from the downlink (keys). learn() is called for a reading only
after its commit, and again for every stored reading at start: recovery runs the same function.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from tallystick_proof.enrolment import Directory, EnrolledKey
from tallystick_proof.errors import ProofError
from tallystick_proof.statement import parse as parse_statement
from tallystick_proof.trust import Trust
from tallystick_wire.errors import WireError
from tallystick_wire.reading import BootRecord, Chain, Reading
from tallystick_wire.sequence import Seen

RECENT_PER_NODE = 1024  # identities by sequence number; older resends are looked up in the log. About 150 KB a node
MAX_UNKNOWN_PER_KID = 256  # four hours of a reading a minute: time to enrol a node that was started too early
MAX_UNKNOWN_KIDS = 64  # a stranger who invents kids fills at most 64 * 256 rows
MAX_FORKS_PER_NODE = 1024  # a cloned node proves itself with one fork; more of them prove nothing more

Span = tuple[int, int]  # sequence numbers, inclusive


@dataclass(slots=True)
class NodeState:
    """One enrolled node: what is durable, and what its latest reading said."""

    seen: Seen = field(default_factory=Seen)
    recent: OrderedDict[int, set[bytes]] = field(default_factory=OrderedDict)
    forks: int = 0
    boot: int = 0
    shown_anchor: int | None = None  # tree size of the latest anchor in a reading of this boot
    anchor_sent_ms: int | None = None
    given_up: Span | None = None  # the numbers that the node said last that it gave up, its flash being full
    received_ms: int | None = None

    def learn(self, chain: Chain, identity: bytes, boot_record: BootRecord | None, gap: Span | None) -> None:
        """A reading of this node is durable."""
        if not self.seen.add(chain.seq) and identity not in self.recent.get(chain.seq, ()):
            self.forks += 1
        self.remember(chain.seq, identity)
        if chain.boot > self.boot:
            self.boot, self.shown_anchor, self.anchor_sent_ms = chain.boot, None, None
        if chain.boot == self.boot and chain.anchor is not None:
            self.shown_anchor = max(chain.anchor[0], self.shown_anchor or 0)
        if boot_record is not None:
            # The node says what it lost: nobody waits for these any more.
            self.seen.forget(boot_record.last_persisted + 1, chain.seq - 1)
        if gap is not None:
            # Signed by the node too. Those of them that arrived all the same stay arrived.
            self.given_up = gap
            self.seen.forget(*gap)

    def remember(self, seq: int, identity: bytes) -> None:
        """This identity is in the log: know it without looking there, as long as there is room."""
        self.recent.setdefault(seq, set()).add(identity)
        if len(self.recent) > RECENT_PER_NODE:
            self.recent.popitem(last=False)


class Known:
    """All nodes. Owned by the writer thread."""

    def __init__(self, trust: Trust) -> None:
        self.pen = trust.pen
        self.directory = Directory(trust)
        self.statements = 0  # how far the downlink was read
        self.bad_statements = 0
        self.states: dict[bytes, NodeState] = {}
        self.unknown: dict[bytes, dict[bytes, int]] = {}  # kid -> identity -> row
        self.pending: dict[tuple[bytes, int], set[bytes]] = {}  # in the commit that is being filled

    def add_statement(self, data: bytes, received_ms: int | None) -> str | None:
        """Apply the next downlink statement; returns why it has no effect, or None. The ledger is not believed."""
        position = self.statements
        self.statements += 1
        try:
            # Our own arrival time stands for the time of logging where an authority has dates.
            self.directory.add(parse_statement(data), position, received_ms)
        except (ProofError, WireError) as error:
            self.bad_statements += 1
            return str(error)
        return None

    def node(self, kid: bytes) -> EnrolledKey | None:
        """The enrolled node key with this kid, revoked ones included."""
        key = self.directory.by_kid(kid)
        return key if key is not None and key.kind == "node" else None

    def state(self, kid: bytes) -> NodeState:
        """The state of an enrolled node; made when it is first needed, so at most one per enrolment."""
        return self.states.setdefault(kid, NodeState())

    def learn(self, reading: Reading, received_ms: int | None) -> None:
        """A verified reading of an enrolled node is durable."""
        state = self.state(reading.kid)
        state.learn(reading.chain, reading.identity, reading.boot_record, reading.gap)
        state.received_ms = received_ms or state.received_ms

    def add_pending(self, kid: bytes, seq: int, identity: bytes) -> None:
        """A reading waits in the commit that is being filled."""
        self.pending.setdefault((kid, seq), set()).add(identity)

    def unknown_is_full(self, kid: bytes) -> bool:
        """Whether one more reading of this kid would break a limit; what waits for the commit counts too."""
        pending = [other for other, _ in self.pending if self.node(other) is None]
        if kid in self.unknown or kid in pending:
            return len(self.unknown.get(kid, {})) + pending.count(kid) >= MAX_UNKNOWN_PER_KID
        return len(self.unknown.keys() | set(pending)) >= MAX_UNKNOWN_KIDS

    def learn_unknown(self, kid: bytes, identity: bytes, row: int) -> None:
        """A reading of a kid that is not enrolled is durable, its signature unchecked."""
        self.unknown.setdefault(kid, {})[identity] = row

    def take_unknown(self, kid: bytes, identity: bytes) -> int | None:
        """Forget an unknown reading because it was verified now; returns its row."""
        identities = self.unknown.get(kid, {})
        row = identities.pop(identity, None)
        if not identities:
            self.unknown.pop(kid, None)
        return row

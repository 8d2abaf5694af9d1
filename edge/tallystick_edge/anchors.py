"""Time anchors for nodes: ledger checkpoints that met the witness policy of our own trust.toml, and no others."""

from dataclasses import dataclass

from tallystick_edge.known import NodeState
from tallystick_proof.checkpoint import anchor_hash
from tallystick_proof.errors import PolicyError, ProofError
from tallystick_proof.trust import Trust


@dataclass(frozen=True, slots=True)
class Anchor:
    """A witnessed ledger checkpoint: its tree size and the 16 bytes that a node signs of it."""

    size: int
    hash16: bytes


def from_note(note: bytes, trust: Trust) -> Anchor:
    """The anchor in a ledger's note; PolicyError or another ProofError when the policy is not met."""
    witnessed = trust.policy.check(note, trust.origin)
    if not witnessed.witnessed:
        raise PolicyError("not cosigned as the witness policy demands")
    return Anchor(witnessed.checkpoint.size, anchor_hash(witnessed.text))


def from_stored(note: bytes | None, trust: Trust) -> Anchor | None:
    """The anchor in the note that this gateway kept; None when there is none or trust.toml no longer accepts it."""
    try:
        return None if note is None else from_note(note, trust)
    except ProofError:
        return None


def newer(current: Anchor | None, candidate: Anchor) -> Anchor:
    """The one of the larger tree: a ledger that replays an old checkpoint cannot turn time back."""
    return candidate if current is None or candidate.size > current.size else current


def is_due(anchor: Anchor | None, state: NodeState, now_ms: int, interval_ms: int) -> bool:
    """Whether a node should get this anchor now.

    Not when its readings of this boot show it, or a later one: sent again later, an old checkpoint would only say that
    the reading was made after a long past moment, and would widen the interval.
    """
    if anchor is None or (state.shown_anchor is not None and state.shown_anchor >= anchor.size):
        return False
    return state.anchor_sent_ms is None or now_ms - state.anchor_sent_ms >= interval_ms

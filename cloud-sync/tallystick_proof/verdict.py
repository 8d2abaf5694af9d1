"""What a walk that reached its end says: what is proved, from when until when, with which remarks, and what is not.

`verify` walks bundles about readings. A decision's walk lives where the decision core may be imported.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tallystick_proof.bundle import Subject
from tallystick_proof.enrolment import COMPROMISED, EnrolledKey
from tallystick_proof.errors import CannotTell
from tallystick_proof.evidence import Evidence, VerifiedReading

DAY_S = 86_400

# code -> what no bundle of this version can prove. The codes are stable: reports translate them.
NOT_PROVED = {
    "absence": "that nothing else exists: other readings, a revocation or a rival pledge (the operator's word)",
    "place": "that the sensor hung where the goods lay, or measured them rightly",
    "goods": "that the goods were there, and were what they are called",
    "thief": "that nobody who stole a node's key went on with its chain",
    # A cosignature proves that a checkpoint existed by then, not that it was new; the operator picks the note.
    "anchor-time": "that the operator shows an anchor's first cosignatures: later ones make a lower bound too late",
    "law": "that a pledge, a claim or a sale holds in law",
}
_ABOUT_READINGS = ("absence", "place", "goods", "thief", "anchor-time")
ABOUT_DECISIONS = (*_ABOUT_READINGS, "law")


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that the reader must know beside "verified"."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """One link of the chain that holds."""

    link: str
    text: str


@dataclass(frozen=True, slots=True)
class Verified:
    """The end of a walk. `readings` are in the order of the walk: per node in sequence."""

    kind: str
    subject: Subject
    readings: tuple[VerifiedReading, ...]
    keys: tuple[EnrolledKey, ...]
    steps: tuple[Step, ...]
    remarks: tuple[Remark, ...]
    not_proved: tuple[str, ...]

    @property
    def earliest_ms(self) -> int | None:
        """No reading of the subject was made before; None when the first of them has no lower bound."""
        bounds = [one.interval.earliest_ms for one in self._of_subject()]
        return None if None in bounds else min(filter(None, bounds), default=None)

    @property
    def latest_ms(self) -> int | None:
        """Every reading of the subject existed by then; None when a checkpoint lacks its quorum."""
        bounds = [one.interval.latest_ms for one in self._of_subject()]
        return None if None in bounds else max(filter(None, bounds), default=None)

    def _of_subject(self) -> Sequence[VerifiedReading]:
        """A reading's bundle also shows what leads to it."""
        return self.readings[-1:] if self.kind == "reading" else self.readings


def verify(evidence: Evidence, now_ms: int | None = None) -> Verified:
    """Steps 5 to 8 for a bundle about readings. now_ms is the reader's clock, for the head age (None: not asked).

    NotVerified names the link at which the walk stopped; CannotTell for a kind that is not about readings.
    """
    manifest = evidence.manifest
    thumbprint, *numbers = manifest.subject
    if manifest.kind == "reading":
        readings = evidence.reading(thumbprint, numbers[0])
    elif manifest.kind == "window":
        readings = evidence.window(thumbprint, numbers[0], numbers[1])
    else:
        raise CannotTell(f"a {manifest.kind} has its own walk")
    evidence.finish()
    return Verified(
        kind=manifest.kind,
        subject=manifest.subject,
        readings=tuple(readings),
        keys=tuple(evidence.used_keys.values()),
        steps=tuple(steps(evidence, readings)),
        remarks=tuple(remarks(evidence, readings, now_ms)),
        not_proved=_ABOUT_READINGS,
    )


def counted(number: int, noun: str) -> str:
    """A number and its noun: 1 batch, 2 batches."""
    ending = "es" if noun.endswith("ch") else "s"
    return f"{number} {noun}{'' if number == 1 else ending}"


def steps(evidence: Evidence, readings: Sequence[VerifiedReading]) -> list[Step]:
    """The links that hold, in the order of the walk, after the evidence is finished."""
    kinds = sorted({key.kind for key in evidence.used_keys.values()})
    used = counted(len(evidence.used_keys), "key")
    anchored = sum(one.anchor is not None for one in readings)
    witness = "accepted WITHOUT witnesses, as asked" if evidence.unwitnessed else "cosigned as trust.toml demands"
    return [
        Step("archive", f"{len(evidence.members)} members, every byte in the one form"),
        Step("trust", f"a {evidence.manifest.kind} of {evidence.trust.origin}, the ledger of trust.toml"),
        Step("enrolment", f"{used} ({', '.join(kinds)}), each enrolled by its authority"),
        Step("witness", f"{counted(evidence.checkpoints, 'ledger checkpoint')}, {witness}"),
        Step("root", f"{counted(evidence.batches, 'batch')}: roots that their gateways signed and the ledger holds"),
        Step("signature", f"{counted(len(readings), 'reading')}, each signed by its node"),
        Step("chain", f"{counted(len(readings), 'reading')} in line; {_gaps(readings)}"),
        Step("time", f"{counted(anchored, 'anchor')}; every reading is older than the first checkpoint that covers it"),
        Step("unreachable", "nothing is left over"),
    ]


def remarks(evidence: Evidence, readings: Sequence[VerifiedReading], now_ms: int | None) -> list[Remark]:
    """What the reader must know, most important first. Needs a finished walk."""
    found: list[Remark] = []
    if evidence.unwitnessed:
        found.append(Remark("unwitnessed", "no witness vouches for the ledger: it may show others another history"))
    found += _key_remarks(evidence.used_keys.values())
    found += _reading_remarks(readings)
    age_s = None if now_ms is None or evidence.head_ms is None else (now_ms - evidence.head_ms) // 1000
    if age_s is not None and age_s > evidence.trust.max_head_age_s:
        text = f"the newest checkpoint is {age_s // DAY_S} days old: what was logged since then is unknown"
        found.append(Remark("old-head", text))
    found.append(Remark("absence", "absence: operator's word (this ledger publishes no state root)"))
    return found


def _key_remarks(used: Iterable[EnrolledKey]) -> list[Remark]:
    found = []
    for key in used:
        if key.revoked_index is None:
            continue
        name = f"{key.kind} {key.thumbprint.hex()}"
        if key.revoked_reason == COMPROMISED:
            text = f"disputed: {name} was declared compromised later, at ledger index {key.revoked_index}"
            found.append(Remark("disputed", text))
        else:
            text = f"valid then, revoked later: {name} was retired at ledger index {key.revoked_index}"
            found.append(Remark("revoked-later", text))
    return found


def _reading_remarks(readings: Sequence[VerifiedReading]) -> list[Remark]:
    found = [
        Remark("unclean-restart", f"unclean restart before {one}: up to {one.missing.unknown} unknown")
        for one in readings
        if one.missing.unknown
    ]
    found += [Remark("given-up", _given_up(one)) for one in readings if one.missing.given_up]
    unbounded = [one for one in readings if one.interval.earliest_ms is None]
    if unbounded:
        text = f"{len(unbounded)} readings have no lower bound in time, {unbounded[0]} first: no anchor before them"
        found.append(Remark("no-lower-bound", text))
    contradicting = [one for one in readings if not one.interval.consistent]
    if contradicting:
        text = f"{len(contradicting)} readings contradict themselves in time, {contradicting[0]} first"
        found.append(Remark("time-contradicts", text))
    overdue = [one for one in readings if _calibration_overdue(one)]
    if overdue:
        found.append(Remark("calibration-overdue", f"{len(overdue)} readings after the calibration was due"))
    return found


def _calibration_overdue(one: VerifiedReading) -> bool:
    due_ms = None if one.node.instrument is None else one.node.instrument.get("due_ms")
    return due_ms is not None and one.interval.earliest_ms is not None and one.interval.earliest_ms > due_ms


def _given_up(one: VerifiedReading) -> str:
    """How many readings, which, between which two, and by whose word."""
    number, by, unknown = one.missing.given_up, one.missing.declared_by, one.missing.unknown
    last = one.reading.chain.seq - 1 - unknown
    first = last + 1 - number
    which = f"reading {first} was" if number == 1 else f"{number} readings, {first} to {last}, were"
    who = f"reading {by[0]}" if len(by) == 1 else f"{len(by)} readings, {min(by)} to {max(by)}"
    return f"{which} given up by the node between reading {first - 1} and {one}; declared by {who}"


def _gaps(readings: Sequence[VerifiedReading]) -> str:
    restarts = [one.missing.unknown for one in readings if one.missing.unknown]
    given_up = [one.missing.given_up for one in readings if one.missing.given_up]
    found = []
    if restarts:
        unknown = counted(sum(restarts), "reading")
        found.append(f"{counted(len(restarts), 'unclean restart')}, up to {unknown} unknown")
    if given_up:
        found.append(f"{counted(len(given_up), 'declared gap')}, {counted(sum(given_up), 'reading')} given up")
    return "; ".join(found) or "no gap between the first and the last"

"""What `tallystick verify` found, as a value: a verdict, or the link that broke, or what is missing."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tallystick_proof import verdict
from tallystick_proof.errors import CannotTell, NotVerified, ProofError
from tallystick_proof.evidence import Evidence, Progress, no_progress
from tallystick_proof.trust import Trust
from tallystick_proof.verdict import Verified
from tallystick_tools.verify_decision import LoanVerdict, verify_decision

if TYPE_CHECKING:
    from typing import Self

VERIFIED, NOT_VERIFIED, CANNOT_TELL = 0, 1, 2  # exit codes
_EXPECTATION = re.compile(
    r"item=(?P<item>\S{1,256})|reading=(?P<node>[0-9a-f]{64})/(?P<seq>[1-9][0-9]{0,9})|decision=(?P<decision>[0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a verification. `broken` is (link, detail) for exit code 1, `missing` the reason for exit code 2."""

    verified: Verified | None = None
    loan: LoanVerdict | None = None
    broken: tuple[str, str] | None = None
    missing: str | None = None

    @property
    def code(self) -> int:
        if self.missing is not None:
            return CANNOT_TELL
        return VERIFIED if self.verified is not None else NOT_VERIFIED

    @property
    def headline(self) -> str:
        if self.verified is not None:
            return "verified with remarks" if self.verified.remarks else "verified"
        return "cannot tell" if self.missing is not None else "not verified"


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the reader of a bundle was told that it is about: a valid bundle about something else does not do."""

    text: str
    node: bytes | None = None
    seq: int | None = None
    decision: bytes | None = None

    @classmethod
    def parse(cls, text: str) -> "Self":
        """CannotTell when it is not of a known form."""
        match = _EXPECTATION.fullmatch(text)
        if not match:
            raise CannotTell("--expect is item=NAME, reading=THUMBPRINT/SEQ or decision=IDENTITY (hex in lowercase)")
        node, seq, decision = match["node"], match["seq"], match["decision"]
        return cls(
            text,
            None if node is None else bytes.fromhex(node),
            None if seq is None else int(seq),
            None if decision is None else bytes.fromhex(decision),
        )

    def check(self, verified: Verified, loan: LoanVerdict | None) -> None:
        """NotVerified when the bundle proves something else. A window proves each of its readings."""
        if self.node is not None and verified.kind in ("reading", "window"):
            # What only leads to a reading is shown for its anchor's sake, and is not what the bundle is about.
            subjects = verified.readings[-1:] if verified.kind == "reading" else verified.readings
            if any((one.node.thumbprint, one.reading.chain.seq) == (self.node, self.seq) for one in subjects):
                return
        if self.decision is not None and loan is not None and loan.decisions[-1].identity == self.decision:
            return
        raise NotVerified("manifest", f"a valid bundle about another {verified.kind} than {self.text}")


def walk(
    data: bytes,
    trust: Trust,
    *,
    expect: Expectation | None = None,
    unwitnessed_ok: bool = False,
    now_ms: int | None = None,
    progress: Progress = no_progress,
) -> Outcome:
    """The whole verification of a bundle's bytes. Never raises for what is in them."""
    try:
        evidence = Evidence(data, trust, unwitnessed_ok=unwitnessed_ok, progress=progress)
        loan = verify_decision(evidence, now_ms) if evidence.manifest.kind == "decision" else None
        verified = loan.verified if loan else verdict.verify(evidence, now_ms)
        if expect is not None:
            expect.check(verified, loan)
    except NotVerified as error:
        return Outcome(broken=(error.link, error.detail))
    except CannotTell as error:
        return Outcome(missing=error.what)
    except ProofError as error:
        return Outcome(broken=("archive", str(error)))
    return Outcome(verified, loan)

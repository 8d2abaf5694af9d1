"""What can go wrong in finance.

    Exception
    ├── DecideError            the input is not one that a decision may be computed from (decide.py, which stands alone)
    │   └── NotOpenable        the statements do not open a loan: rule, found, allowed
    ├── FinanceError
    │   ├── MoneyError         not a currency or an amount
    │   ├── ConflictError      another writer changed the loan first; nothing was written
    │   └── SignerError        the decision key may not sign: not enrolled, revoked, or of another role
    └── LedgerError > Refusal  (tallystick_ledger.errors)
        └── Refused            a request that the rules or the books do not allow: problem, title, detail, next action
"""

from tallystick_ledger.errors import Refusal


class FinanceError(Exception):
    """Base of what this package raises, apart from the decision core and refused requests."""


class MoneyError(FinanceError):
    """Not a currency, or not an amount of it."""


class ConflictError(FinanceError):
    """The version of a loan is not the one that was read; the transaction is rolled back and may be tried again."""


class SignerError(FinanceError):
    """The decision key may not sign. An unsigned decision is refused, so nothing is decided until it may."""


class Refused(Refusal):
    """A request that is understood and not done. `problem` is stable; `action` says what to do next."""

    def __init__(self, problem: str, detail: str, action: str | None = None) -> None:
        super().__init__(detail)
        self.problem = problem
        self.status, self.title, usual = PROBLEMS[problem]
        self.action = action or usual

    @property
    def members(self) -> dict[str, str]:
        """What a problem+json answer carries beside status, title and detail."""
        return {"type": f"urn:tallystick:problem:{self.problem}", "next": self.action}


# problem -> (status, title, what to do next)
PROBLEMS = {
    "key-missing": (400, "Idempotency-Key missing", "send a new random Idempotency-Key with every new request"),
    "key-reused": (422, "Idempotency-Key used before", "use a new key for a new loan"),
    "no-loan": (404, "No such loan", "list the loans at /v1/loans"),
    "no-decision": (404, "No such decision", "list the decisions at /v1/loans/{id}/decisions"),
    "no-statement": (404, "No such statement", "POST it to /entries first"),
    "not-published": (409, "Not published yet", "try again in a second"),
    "no-witness": (409, "No witnessed time", "name witnesses and a quorum in the policy of trust.toml"),
    "expired": (409, "The statement has expired", "sign a new one"),
    "decision-key": (422, "Another decision key", "let the lender sign a facility that names our key"),
    "signer": (422, "Not signed by the right key", "let the one whom the facility names sign it"),
    "revoked": (409, "A key is not valid", "enrol a new key and sign again"),
    "rules": (422, "The facility cannot be used", "let the lender sign a facility with other rules"),
    "facility": (422, "Another facility", "name the facility that the pledge was signed for"),
    "association": (422, "Another association", "sign a pledge for this association"),
    "lot": (422, "Another lot", "sign a pledge for the lot that the nodes watch"),
    "currency": (422, "Another currency", "sign a pledge in the facility's currency"),
    "principal": (422, "No principal", "sign a pledge for a positive principal"),
    "limit": (422, "Above the limit", "sign a pledge for less, or a facility with a higher limit"),
    "advance": (422, "Above the advance", "pledge more goods, or borrow less"),
    "already-open": (409, "The loan is already open", "read it at /v1/loans/{id}"),
    "lot-pledged": (409, "The lot is already pledged", "pledge another lot, or wait until this one is released"),
    "facility-exhausted": (409, "The facility is exhausted", "borrow less, or raise the limit"),
    "node": (409, "A node is not valid", "let the installer sign another association"),
    "too-much-evidence": (409, "The association is too old", "let the installer sign a new one"),
}

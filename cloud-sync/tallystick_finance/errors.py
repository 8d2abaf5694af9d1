"""What can go wrong in finance.

    Exception
    ├── DecideError            the input is not one that a decision may be computed from (decide.py, which stands alone)
    │   └── NotOpenable        the statements do not open a loan: rule, found, allowed
    └── FinanceError
        ├── MoneyError         not a currency or an amount
        ├── Refused            a request that the rules or the records do not allow: problem, title, detail, next action
        └── ConflictError      another writer changed the loan first; nothing was written
"""


class FinanceError(Exception):
    """Base of what this package raises, apart from the decision core."""


class MoneyError(FinanceError):
    """Not a currency, or not an amount of it."""


class ConflictError(FinanceError):
    """The version of a loan is not the one that was read; the transaction is rolled back and may be tried again."""


class Refused(FinanceError):
    """A request that is understood and not done. `problem` is the stable last part of the problem's type."""

    def __init__(self, status: int, problem: str, title: str, detail: str, action: str) -> None:
        super().__init__(f"{title}: {detail}")
        self.status = status
        self.problem = problem
        self.title = title
        self.detail = detail
        self.action = action

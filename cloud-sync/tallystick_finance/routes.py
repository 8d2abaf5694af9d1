"""The bank's API under /v1, and the evidence of decisions. Handlers read a request and call one function.

Lists answer {"items": [...], "next": cursor | null}; ask again with ?after=<next>.
"""

import asyncio
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.concurrency import sync_to_thread
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath, QueryParameter

from tallystick_finance import records, views
from tallystick_finance.errors import Refused
from tallystick_finance.evidence import decision_bundle
from tallystick_finance.finance import Finance
from tallystick_finance.opening import find, open_loan
from tallystick_finance.records import Loan
from tallystick_finance.views import DecisionView, EventView, LoanView
from tallystick_ledger.context import Context
from tallystick_ledger.errors import Malformed, NotFound
from tallystick_ledger.routes import bundle_response, identity_of
from tallystick_proof import statement

AnyRequest = Request[Any, Any, Any]

PAGE = 50
MAX_PAGE = 200  # a page of loans with 64 nodes each stays below a megabyte or two
MAX_CURSOR = (1 << 63) - 1
# A statement that was just logged is published within about a second: wait for it instead of sending the client away.
PUBLISH_WAIT_S = 10.0
PUBLISH_LOOK_S = 0.2

After = Annotated[int, QueryParameter(ge=-1, le=MAX_CURSOR)]
Limit = Annotated[int, QueryParameter(ge=1, le=MAX_PAGE)]


class OpenLoan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Identities (64 hex digits) of the facility that the lender signed and the pledge that the borrower signed."""

    facility: str
    pledge: str


class LoanPage(msgspec.Struct, frozen=True):
    items: list[LoanView]
    next: int | None


class DecisionPage(msgspec.Struct, frozen=True):
    items: list[DecisionView]
    next: int | None


class EventPage(msgspec.Struct, frozen=True):
    items: list[EventView]
    next: int | None


def routes(context: Context, finance: Finance) -> list[BaseRouteHandler]:
    """Every handler of finance."""
    return [*_loans(context, finance), *_reports(context, finance)]


def _loans(context: Context, finance: Finance) -> list[BaseRouteHandler]:
    db = finance.ledger.db

    @post("/v1/loans", status_code=201)
    async def post_loan(request: AnyRequest) -> LoanView:
        """Open a loan."""
        context.require_api_token(request)
        key = request.headers.get("idempotency-key", "")
        wanted = _body(await request.body())
        facility, pledge = _identity("facility", wanted.facility), _identity("pledge", wanted.pledge)
        return views.loan(await _open_when_published(finance, facility, pledge, key))

    @get("/v1/loans", sync_to_thread=True)
    def get_loans(request: AnyRequest, after: After = 0, limit: Limit = PAGE) -> LoanPage:
        """All loans, in the order in which they were opened."""
        context.require_api_token(request)
        with db.read() as tx:
            found = records.loans(tx, after, limit)
        return LoanPage([views.loan(loan) for loan in found], found[-1].number if len(found) == limit else None)

    @get("/v1/loans/{loan:str}", sync_to_thread=True)
    def get_loan(request: AnyRequest, loan: FromPath[str]) -> LoanView:
        """One loan as it stands."""
        context.require_api_token(request)
        with db.read() as tx:
            return views.loan(find(tx, identity_of(loan)))

    return [post_loan, get_loans, get_loan]


def _reports(context: Context, finance: Finance) -> list[BaseRouteHandler]:
    db = finance.ledger.db

    @get("/v1/loans/{loan:str}/decisions", sync_to_thread=True)
    def get_decisions(request: AnyRequest, loan: FromPath[str], after: After = -1, limit: Limit = PAGE) -> DecisionPage:
        """A loan's decisions, the first one (n = 0) first."""
        context.require_api_token(request)
        with db.read() as tx:
            found = records.decisions(tx, find(tx, identity_of(loan)).id, after, limit)
        items = [views.decision(statement.parse(item.data)) for item in found]
        return DecisionPage(items, found[-1].n if len(found) == limit else None)

    @get("/v1/events", sync_to_thread=True)
    def get_events(request: AnyRequest, after: After = 0, limit: Limit = PAGE) -> EventPage:
        """What happened since: the same events as the webhook's."""
        context.require_api_token(request)
        with db.read() as tx:
            found = records.events(tx, after, limit)
        return EventPage([views.event(item) for item in found], found[-1].id if len(found) == limit else None)

    @get("/evidence/decisions/{identity:str}", sync_to_thread=True)
    def get_evidence(request: AnyRequest, identity: FromPath[str]) -> Response[bytes]:
        """The bundle from which anyone computes the decision again."""
        context.require_api_token(request)
        content = decision_bundle(finance, identity_of(identity))
        return bundle_response(content, f"decision-{identity[:16]}")

    return [get_decisions, get_events, get_evidence]


def _body(data: bytes) -> OpenLoan:
    try:
        return msgspec.json.decode(data, type=OpenLoan)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Malformed(f"the body is {{\"facility\": hex, \"pledge\": hex}}: {error}") from None


def _identity(name: str, text: str) -> bytes:
    try:
        return identity_of(text)
    except NotFound as error:
        raise Malformed(f"{name}: {error}") from None


async def _open_when_published(finance: Finance, facility: bytes, pledge: bytes, key: str) -> Loan:
    deadline = asyncio.get_running_loop().time() + PUBLISH_WAIT_S
    while True:
        try:
            return await sync_to_thread(open_loan, finance, facility, pledge, key)
        except Refused as refused:
            if refused.problem != "not-published" or asyncio.get_running_loop().time() > deadline:
                raise
        await asyncio.sleep(PUBLISH_LOOK_S)

"""The one app: the routes of ledger and finance, errors as problem+json, limits on requests."""

from litestar import Litestar
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler

from tallystick_finance import routes as finance_routes
from tallystick_finance.finance import Finance
from tallystick_ledger import routes as ledger_routes
from tallystick_ledger.context import Context
from tallystick_ledger.errors import Refusal
from tallystick_proof.errors import ProofError
from tallystick_web import problems
from tallystick_wire.errors import WireError

MAX_JSON_BYTES = 64 * 1024  # of a body that is parsed for a handler; doors that take more read it themselves


def build(context: Context, finance: Finance | None = None) -> Litestar:
    """The app, not yet serving. Without finance it is a ledger and no bank."""
    handlers: list[BaseRouteHandler] = [*ledger_routes.routes(context)]
    if finance is not None:
        handlers += finance_routes.routes(context, finance)
    return Litestar(
        route_handlers=handlers,
        exception_handlers={
            Refusal: problems.refusal,
            HTTPException: problems.http_error,
            ProofError: problems.malformed,
            WireError: problems.malformed,
            Exception: problems.unexpected,
        },
        request_max_body_size=MAX_JSON_BYTES,
        openapi_config=None,
        logging_config=None,
    )

"""Errors as application/problem+json (RFC 9457). The one place where an exception becomes an answer."""

import http
import json
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler

from tallystick_ledger.errors import Refusal
from tallystick_proof.errors import ProofError
from tallystick_web import journal
from tallystick_wire.errors import WireError

PROBLEM = "application/problem+json"
MAX_DETAIL_CHARACTERS = 500  # an error text may quote what a stranger sent

AnyRequest = Request[Any, Any, Any]


def problem(status: int, title: str, detail: str, **more: object) -> Response[bytes]:
    """An answer that says what is wrong; `more` are the members of its own type."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail[:MAX_DETAIL_CHARACTERS], **more}
    headers = {"www-authenticate": "Bearer"} if status == http.HTTPStatus.UNAUTHORIZED else {}
    return Response(json.dumps(body).encode(), status_code=status, media_type=PROBLEM, headers=headers)


def refusal(_: AnyRequest, error: Refusal) -> Response[bytes]:
    return problem(error.status, error.title, str(error), **error.members)


def http_error(request: AnyRequest, error: HTTPException) -> Response[bytes]:
    """Litestar's own: no such route, a query parameter that is none."""
    phrase = http.HTTPStatus(error.status_code).phrase
    answer = problem(error.status_code, phrase, _detail(request, error) or phrase)
    answer.headers.update(error.headers or {})
    return answer


def _detail(request: AnyRequest, error: HTTPException) -> str:
    """What does not fit, and what would."""
    match error.status_code:
        case http.HTTPStatus.NOT_FOUND:
            return f"there is nothing at {request.url.path}"
        case http.HTTPStatus.METHOD_NOT_ALLOWED:
            return f"{request.url.path} takes {(error.headers or {}).get('allow', 'no such method')}"
        case http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE if isinstance(request.route_handler, HTTPRouteHandler):
            return f"a body here has at most {request.route_handler.resolve_request_max_body_size()} bytes"
        case http.HTTPStatus.BAD_REQUEST if isinstance(error.extra, list) and error.extra:
            return "; ".join(_fault(item) for item in error.extra)
    return error.detail


def _fault(item: Any) -> str:
    """One parameter that does not fit, as Litestar tells it."""
    return f"{item.get('key')}: {item.get('message')}" if isinstance(item, dict) else str(item)


def malformed(_: AnyRequest, error: ProofError | WireError) -> Response[bytes]:
    return problem(400, "Malformed", str(error))


def unexpected(request: AnyRequest, error: Exception) -> Response[bytes]:
    """A fault of ours: the answer says nothing about it, the log everything."""
    journal.fault("request-failed", error, method=request.method, path=request.url.path)
    return problem(500, "Internal error", "the request failed; the service's log says why")

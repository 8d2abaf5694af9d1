"""What HTTP handlers are made from. Routes of every package get the same context."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

from litestar import Request

from tallystick_ledger.errors import Unauthorized
from tallystick_ledger.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Context:
    """A ledger, and the SHA-256 of the token that opens everything that is not public."""

    ledger: Ledger
    api_token_hash: bytes

    def require_api_token(self, request: Request[Any, Any, Any]) -> None:
        """Unauthorized unless the request carries the API token."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        given = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        if not hmac.compare_digest(given, self.api_token_hash) or scheme.lower() != "bearer":
            raise Unauthorized("this needs the API token")

"""One HTTP request that ends: in a bounded time and with an answer of bounded size, whatever the other side does.

httpx bounds each read, and a server that sends a byte now and then never lets one run out. So a watch shuts the socket
when time is up, wherever the request stands then: name, handshake, headers or body.
"""

import contextlib
import json
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

from tallystick_provisioning import address
from tallystick_provisioning.errors import RequestError

TIMEOUT_S = 10.0  # connect, write and read each; an installer stands beside it
MAX_REQUEST_S = 30.0  # all of it: the slowest honest one waits TIMEOUT_S for a connection and again for an answer
MAX_ANSWER_BYTES = 64 * 1024  # a ledger answers with some hundred bytes; a login page that is longer is none
_OPENED = ("connect_tcp.complete", "connect_unix_socket.complete", "start_tls.complete")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whoever sent it."""

    status: int
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def as_object(self) -> dict[str, Any] | None:
        """The JSON object in it; None when there is none."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None


def post(
    service: str, path: str, data: bytes, content_type: str, transport: httpx.BaseTransport | None = None
) -> Answer:
    """Post `data` to a path of a service; RequestError when no whole answer comes. `transport` replaces the network."""
    # A small answer must not unpack to a huge one: none may be packed.
    headers = {"content-type": content_type, "accept-encoding": "identity"}
    with _Watch(MAX_REQUEST_S) as watch:
        watched = {"trace": watch.trace}
        try:
            with (
                httpx.Client(transport=transport, timeout=TIMEOUT_S) as client,
                client.stream("POST", service + path, content=data, headers=headers, extensions=watched) as response,
            ):
                answer = Answer(response.status_code, _body(service, response))
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:  # OSError: certificates that are not there
            if not watch.is_over:
                raise RequestError(address.no_answer(service, error)) from None
        if watch.is_over:  # a body that says no length seems whole where it was cut
            raise RequestError(f"{service}: no whole answer within {MAX_REQUEST_S:.0f} s")
    return answer


def _body(service: str, response: httpx.Response) -> bytes:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise RequestError(f"{service}: a packed answer, although none was asked for")
    body = b""
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise RequestError(f"{service}: an answer of more than {MAX_ANSWER_BYTES} bytes")
    return body


class _Watch:
    """Shuts the connection of one request when its time is up: whoever waits for a byte then reads the end."""

    def __init__(self, within_s: float) -> None:
        self.is_over = False
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(within_s, self._expire)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """httpx tells of each step here; only those that open a connection, or wrap one, matter."""
        if event.endswith(_OPENED):
            self._socket = info["return_value"].get_extra_info("socket")
            if self.is_over:
                self._shut()

    def _expire(self) -> None:
        self.is_over = True
        self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it is closed already
                self._socket.shutdown(socket.SHUT_RDWR)

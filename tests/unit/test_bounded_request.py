"""A ledger that drips, talks without end or packs its answer holds nobody: a real server on a loopback port."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from patience import until

from tallystick_proof import keys, statement
from tallystick_proof.keys import Signer
from tallystick_provisioning import bounded_request
from tallystick_provisioning.errors import LedgerUnreachable, RequestError
from tallystick_provisioning.ledger_client import LedgerClient
from tallystick_provisioning.outbox import Outbox

AT_MOST_S = 20.0  # a test whose promise is broken ends nevertheless
HEAD = b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\n"
Talk = Callable[[Callable[[bytes], None]], None]


@contextmanager
def server(talk: Talk) -> Iterator[str]:
    """One connection after the other: reads what comes, then `talk` gets what sends. The address."""
    over = threading.Event()

    def serve(listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.recv(65_536)
                talk(partial(_send, connection, over))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=[listening], daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            over.set()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(AT_MOST_S)


def _send(connection: socket.socket, over: threading.Event, data: bytes) -> None:
    if over.is_set():
        raise OSError
    connection.sendall(data)


def drips(first: bytes, drop: bytes) -> Talk:
    """`first`, then a drop again and again: each read of ours gets a byte in time."""

    def talk(send: Callable[[bytes], None]) -> None:
        send(first)
        for _ in range(int(AT_MOST_S / 0.05)):
            send(drop)
            threading.Event().wait(0.05)

    return talk


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_request, "MAX_REQUEST_S", 0.5)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("first", "drop"),
    [
        (b"", b"H"),  # never a status line
        (HEAD, b"x-y: z\r\n"),  # never the end of the headers
        (HEAD + b"content-length: 1000\r\n\r\n", b" "),
        (HEAD + b'connection: close\r\n\r\n{"index": null}', b" "),  # no length: it seems whole wherever it is cut
    ],
    ids=["status", "headers", "body", "body-without-length"],
)
def test_a_dripping_ledger_ends_in_time(first: bytes, drop: bytes) -> None:
    with server(drips(first, drop)) as url, pytest.raises(RequestError, match="no whole answer within"):
        bounded_request.post(url, "/entries", b"x", "application/cose")


@pytest.mark.parametrize("head", [HEAD + b"\r\n", HEAD + b"content-length: 1000000000\r\n\r\n"], ids=["open", "told"])
def test_an_answer_without_end_is_left(head: bytes) -> None:
    def talk(send: Callable[[bytes], None]) -> None:
        send(head)
        for _ in range(10_000):
            send(b"x" * 65_536)

    with server(talk) as url, pytest.raises(RequestError, match=r"an answer of more than 65536 bytes"):
        bounded_request.post(url, "/entries", b"x", "application/cose")


def test_a_packed_answer_is_not_unpacked() -> None:
    answer = HEAD + b"content-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc"
    with server(lambda send: send(answer)) as url, pytest.raises(RequestError, match="packed"):
        bounded_request.post(url, "/entries", b"x", "application/cose")


def test_an_honest_answer_arrives_whole() -> None:
    body = b'{"index": 7}' + b" " * 1000
    answer = HEAD + f"content-length: {len(body)}\r\n\r\n".encode() + body
    with server(lambda send: send(answer)) as url:
        found = bounded_request.post(url, "/entries", b"x", "application/cose")
    assert (found.status, found.as_object(), len(found.body)) == (201, {"index": 7}, len(body))


@pytest.mark.usefixtures("hasty")
def test_what_a_dripping_ledger_got_waits_and_the_rest_is_not_tried(tmp_path: Path) -> None:
    """`tag sync` ends after one such answer, however many statements there are."""
    outbox, signer = Outbox(tmp_path), Signer("installer", bytes(32))
    connections: list[int] = []

    def talk(send: Callable[[bytes], None]) -> None:
        connections.append(1)
        drips(HEAD, b"x-y: z\r\n")(send)

    for number in range(3):
        outbox.keep(_statement(signer, number))
    with server(talk) as url:
        deliveries = LedgerClient(url).deliver(outbox)
        with pytest.raises(LedgerUnreachable, match="no whole answer within"):
            LedgerClient(url).post(_statement(signer, 1))
        until(lambda: len(connections) == 2, "the server notices late that the one before has ended")
    assert [bool(delivery.waits) for delivery in deliveries] == [True] * 3
    assert len(outbox.waiting()) == 3
    assert len(connections) == 2


def _statement(signer: Signer, number: int) -> bytes:
    body = {
        "aud": "ledger.example/log", "jti": bytes([number] * 16), "exp": None, "item": "/01/09506000134352/21/S1",
        "chip": "ntag424", "copyable": False, "uid": bytes(32), "epoch": 1, "key_set": "k", "key_version": 1,
        "since_ms": 1_700_000_000_000,
    }  # fmt: skip
    return statement.build(signer, keys.TAG, body)

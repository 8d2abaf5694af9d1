"""What staff ask of a running gateway on its own machine: datagrams to a socket in the state folder, its owner's only.

One JSON object there and one back. Nothing here waits for anybody: who asks and does not listen gets no answer.
"""

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tallystick_edge.errors import StateError

NAME = "control"
MAX_REQUEST_BYTES = 256  # a word and a name
MAX_ANSWER_BYTES = 4096
MAX_REQUESTS_A_TURN = 16  # readings come first
TIMEOUT_S = 5.0  # a gateway looks here several times a second, unless its disk is slow
_OWNER_ONLY = 0o077

Answer = tuple[bool, str]  # whether it was done, and a sentence about it


class Control:
    """The gateway's end. The caller holds the lock of the folder, so what lies there is of a gateway that is dead."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / NAME
        self._path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        before = os.umask(_OWNER_ONLY)
        try:
            with _address(state_dir) as address:
                self._socket.bind(address)
        except OSError as error:
            self._socket.close()
            raise StateError(f"{self._path}: {error.strerror}") from None
        finally:
            os.umask(before)

    def step(self, do: Callable[[str, str], Answer]) -> None:
        """Answer what has been asked: `do(word, about)` for each request."""
        for _ in range(MAX_REQUESTS_A_TURN):
            try:
                data, sender = self._socket.recvfrom(MAX_REQUEST_BYTES + 1)
            except OSError:
                return  # nothing there
            done, text = _do(data, do)
            with suppress(OSError):  # nobody listens any more
                self._socket.sendto(json.dumps({"done": done, "text": text}).encode(), sender)

    def close(self) -> None:
        self._socket.close()
        self._path.unlink(missing_ok=True)


def ask(state_dir: Path, word: str, about: str) -> Answer:
    """Ask the gateway that runs on this folder; StateError when none answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.bind("")  # Linux gives it a name of its own, so that it can be answered
        try:
            with _address(state_dir) as address:
                connection.connect(address)
            connection.send(json.dumps([word, about]).encode())
            answer = json.loads(connection.recv(MAX_ANSWER_BYTES))
            return bool(answer["done"]), str(answer["text"])
        except TimeoutError:
            raise StateError(f"{state_dir}: the gateway did not answer within {TIMEOUT_S:.0f} s") from None
        except OSError:
            raise StateError(f"{state_dir}: no gateway runs on this folder") from None


def is_there(state_dir: Path) -> bool:
    """Whether a gateway runs on this folder."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
        try:
            with _address(state_dir) as address:
                connection.connect(address)
        except OSError:
            return False
        return True


def _do(data: bytes, do: Callable[[str, str], Answer]) -> Answer:
    try:
        word, about = json.loads(data)
    except ValueError:
        return False, "not a request"
    if not isinstance(word, str) or not isinstance(about, str):
        return False, "not a request"
    return do(word, about)


@contextmanager
def _address(folder: Path) -> Iterator[str]:
    """The socket's address, however long the folder's path is (an address holds 108 bytes)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{NAME}"
    finally:
        os.close(descriptor)

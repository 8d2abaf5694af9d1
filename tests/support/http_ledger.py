"""A real ledger behind a real HTTP server on a loopback port, in this process; a test decides when it publishes."""

import socket
import threading
from pathlib import Path
from typing import Any

import uvicorn
from ledger_support import LiveLedger
from patience import PATIENCE_S, until

from tallystick_ledger.context import Context
from tallystick_web import app


class HttpLedger(LiveLedger):
    """`url` answers until close()."""

    def __init__(self, folder: Path, world: Any) -> None:
        super().__init__(folder, world)
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        application = app.build(Context(self.ledger, bytes(32)))
        self._server = uvicorn.Server(uvicorn.Config(application, log_config=None, access_log=False, lifespan="off"))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self._thread.start()
        until(lambda: self._server.started, "the server does not start")

    def epochs(self, thumbprint: bytes) -> dict[int, tuple[int, bool]]:
        """epoch -> (size, frozen), as the ledger holds them of one gateway."""
        with self.ledger.db.read() as tx:
            rows = tx.execute("SELECT number, size, frozen FROM epoch WHERE gateway = ?", [thumbprint])
        return {number: (size, bool(frozen)) for number, size, frozen in rows}

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the server does not end"
        self._socket.close()
        super().close()

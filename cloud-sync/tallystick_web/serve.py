"""`tallystick cloud serve`: the HTTP server and the loops beside it, in one process."""

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from tallystick_provisioning import lock_file
from tallystick_provisioning.errors import FileError
from tallystick_web import app, journal
from tallystick_web.config import CloudConfig
from tallystick_web.errors import ConfigError
from tallystick_web.service import Service, check_fault

MAX_CONNECTIONS = 1024  # a gateway keeps one open; the bodies that are read at once have a limit of their own
GRACEFUL_S = 10  # what a running request gets at the end
KEEP_ALIVE_S = 30  # longer than the pause between two syncs of a busy gateway


def serve(config: CloudConfig) -> None:
    """Serve until SIGTERM or SIGINT; ConfigError or ServiceError when it cannot start or go on."""
    journal.set_up()
    ended = threading.Event()
    # uvicorn puts its own handlers in their place while it runs, and raises the signal once more when it is done: then
    # these make that harmless, so that a service that was told to stop ends with 0. Before, they end the start-up.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    server: uvicorn.Server | None = None

    def stop() -> None:
        ended.set()
        if server is not None:
            server.should_exit = True

    with _alone(config), _listener(config) as listener:
        service = Service(config, stop)
        try:
            server = _server(service)
            service.start()
            journal.say("serving", host=config.host, port=listener.getsockname()[1], origin=config.origin)
            if not ended.is_set():
                server.run(sockets=[listener])
        finally:
            service.close()
    check_fault(service)


@contextmanager
def _alone(config: CloudConfig) -> Iterator[None]:
    """Two services on one database would stay right, and tell everything twice: almost always it is a mistake."""
    lock = config.database.with_name(config.database.name + ".lock")
    try:
        with lock_file.held(lock, f"{config.database} is served by another process"):
            yield
    except FileError as error:
        raise ConfigError(f"database: {error}") from None


def _listener(config: CloudConfig) -> socket.socket:
    """Bound here and not by uvicorn, which ends the process without a word when the port is taken."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        return socket.create_server((config.host, config.port), family=family)
    except OSError as error:
        raise ConfigError(f"host, port: {config.host}:{config.port}: {error.strerror}") from None


def _server(service: Service) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app.build(service.context, service.finance),
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACEFUL_S,
        )
    )

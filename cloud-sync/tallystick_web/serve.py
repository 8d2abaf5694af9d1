"""`tallystick cloud serve`: the HTTP server and the loops beside it, in one process."""

import signal

import uvicorn

from tallystick_web import app, journal
from tallystick_web.config import CloudConfig
from tallystick_web.service import Service, check_fault

MAX_CONCURRENT_REQUESTS = 64  # with a body of 4 MiB and its copies about 1 GiB at most; then 503
GRACEFUL_S = 10  # what a running request gets at the end
KEEP_ALIVE_S = 30  # longer than the pause between two syncs of a busy gateway


def serve(config: CloudConfig) -> None:
    """Serve until SIGTERM or SIGINT; ConfigError or ServiceError when it cannot start or go on."""
    journal.set_up()
    holder: list[uvicorn.Server] = []

    def stop() -> None:
        for running in holder:
            running.should_exit = True

    # uvicorn raises the signal again when it is done; with these handlers that means nothing, and we end with 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    service = Service(config, stop)
    holder.append(_server(config, service))
    service.start()
    try:
        journal.say("serving", host=config.host, port=config.port, origin=config.origin)
        holder[0].run()
    finally:
        service.close()
    check_fault(service)


def _server(config: CloudConfig, service: Service) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app.build(service.context, service.finance),
            host=config.host,
            port=config.port,
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=MAX_CONCURRENT_REQUESTS,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACEFUL_S,
        )
    )

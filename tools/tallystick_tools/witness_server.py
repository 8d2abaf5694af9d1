"""The witness's HTTP face: one route, from the standard library, so that a witness needs no web framework."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tallystick_tools.witness import MAX_REQUEST_BYTES, Answer, Witness

PATH = "/add-checkpoint"
SOCKET_TIMEOUT_S = 30.0  # a client that sends nothing for so long is gone
MAX_CONNECTIONS = 64  # threads; logs and their retries need a handful


class WitnessServer(ThreadingHTTPServer):
    """Serves one witness; a thread a connection, at most MAX_CONNECTIONS."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], witness: Witness) -> None:
        super().__init__(address, Handler)
        self.witness = witness
        self.places = threading.BoundedSemaphore(MAX_CONNECTIONS)

    def process_request(self, request: object, client_address: object) -> None:
        if not self.places.acquire(blocking=False):
            self.shutdown_request(request)  # type: ignore[arg-type]
            return
        super().process_request(request, client_address)  # type: ignore[arg-type]

    def process_request_thread(self, request: object, client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]
        finally:
            self.places.release()


class Handler(BaseHTTPRequestHandler):
    """POST /add-checkpoint. Anything else is 404."""

    protocol_version = "HTTP/1.1"
    server_version = "tallystick-witness"
    sys_version = ""
    timeout = SOCKET_TIMEOUT_S
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(message)s\n"
    server: WitnessServer

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if self.path != PATH:
            self._answer(Answer(404, b"no such page\n"), close=True)
        elif not length.isdecimal():
            self._answer(Answer(411, b"content-length is missing\n"), close=True)
        elif int(length) > MAX_REQUEST_BYTES:
            self._answer(Answer(413, b"the request is too large\n"), close=True)
        else:
            self._answer(self.server.witness.add_checkpoint(self.rfile.read(int(length))))

    def do_GET(self) -> None:
        self._answer(Answer(404, b"a witness answers POST /add-checkpoint\n"))

    def log_message(self, format: str, *arguments: object) -> None:
        """Only errors are worth a line: see log_error."""

    def log_error(self, format: str, *arguments: object) -> None:
        super().log_message(format, *arguments)

    def _answer(self, answer: Answer, close: bool = False) -> None:
        self.send_response(answer.status)
        self.send_header("content-type", answer.media_type)
        self.send_header("content-length", str(len(answer.body)))
        if close:
            self.send_header("connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(answer.body)

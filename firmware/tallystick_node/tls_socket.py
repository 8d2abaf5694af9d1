"""One TLS connection through MicroPython's sockets, which never waits but for the look-up of a name.

Traps that this module knows: `ssl` is a frozen module that a search path may hide, `tls` is always there; `verify_mode`
is CERT_NONE until it is set; certificates must be DER; one that does not fit is a ValueError; a write that could not go
out must be repeated with the same bytes; and only the socket below TLS can be waited for without spinning.
"""

import binascii
import errno
import select
import socket

from tallystick_node.errors import LinkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

READ_LIMIT_BYTES = 2048  # a turn of the loop takes no more: a talkative broker cannot stop the measuring
_PEM_BEGIN, _PEM_END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"


class TlsSocket:
    """A connection that is being made, to one of the addresses that look_up found. Every method may raise LinkError:
    then close it.
    """

    def __init__(self, host: str, address: "Any", ca_path: str) -> None:
        self._host = host
        self._ca_path = ca_path
        self._tls: "Any" = None
        self._out = b""
        self._is_safe = False  # the handshake is over
        self._has_more = False
        self._socket = _begin(host, address)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLOUT)

    def write(self, data: bytes) -> None:
        """Take `data` and send it in one piece, now or as soon as it goes. Only when not is_busy()."""
        self._out = data
        self.step()

    def is_busy(self) -> bool:
        """Whether something that was taken has not gone out yet."""
        return bool(self._out)

    def step(self) -> None:
        """Go on with the connection, the handshake, or what waits to go out."""
        if self._tls is None:
            ready = self._poll.poll(0)
            if not ready:
                return
            if ready[0][1] & (select.POLLERR | select.POLLHUP):
                raise LinkError("mqtt_tcp", "%s: nobody answers" % self._host)
            self._tls = _wrap(self._socket, self._host, self._ca_path)
        if self._out:
            written = self._try(self._tls.write, self._out)
            if written:  # None: not now. (The first write makes the handshake.)
                self._is_safe = True
                self._out = self._out[written:]
        self._poll.modify(self._socket, select.POLLIN | (select.POLLOUT if self._is_safe and self._out else 0))

    def read(self) -> bytes:
        """What has arrived, at most READ_LIMIT_BYTES."""
        if not self._is_safe:
            return b""
        data = self._try(self._tls.read, READ_LIMIT_BYTES)
        if data == b"":
            raise LinkError("mqtt_lost", "%s closed the connection" % self._host)
        self._has_more = data is not None and len(data) == READ_LIMIT_BYTES
        return data or b""

    def wait(self, wait_ms: int, others: "list[Any]") -> None:
        """Until something arrives here or at one of `others`, at most `wait_ms`."""
        for other in others:
            self._poll.register(other, select.POLLIN)
        self._poll.poll(0 if self._has_more else wait_ms)
        for other in others:
            self._poll.unregister(other)

    def close(self) -> None:
        try:
            (self._tls or self._socket).close()
        except OSError:
            pass  # it is gone all the same

    def _try(self, call: "Any", argument: "Any") -> "Any":
        try:
            return call(argument)
        except (OSError, ValueError) as error:
            count = "mqtt_lost" if self._is_safe else "mqtt_tls"
            raise LinkError(count, "%s: %s" % (self._host, _words(error))) from None


def look_up(host: str, port: int) -> "list[Any]":
    """The addresses of a host. This may wait for seconds: nothing else here does."""
    try:
        return list(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM))
    except OSError as error:
        raise LinkError("mqtt_dns", "%s: no address: %s" % (host, _words(error))) from None


def _begin(host: str, found: "Any") -> "Any":
    """A socket that connects."""
    family, kind, protocol, _, address = found
    connection = socket.socket(family, kind, protocol)
    connection.setblocking(False)
    try:
        connection.connect(address)
    except OSError as error:
        if error.errno != errno.EINPROGRESS:
            connection.close()
            raise LinkError("mqtt_tcp", "%s: %s" % (host, _words(error))) from None
    return connection


def _wrap(connection: "Any", host: str, ca_path: str) -> "Any":
    """TLS over it: only with a certificate for `host` that this authority signed."""
    import tls  # type: ignore[import-not-found]

    try:
        with open(ca_path, "rb") as file:
            authority = _der(file.read())
        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        context.verify_mode = tls.CERT_REQUIRED
        context.load_verify_locations(authority)
        return context.wrap_socket(connection, server_hostname=host, do_handshake_on_connect=False)
    except (OSError, ValueError) as error:
        raise LinkError("mqtt_ca", "%s: %s" % (ca_path, _words(error))) from None


def _der(data: bytes) -> bytes:
    """A certificate as MicroPython reads it."""
    start = data.find(_PEM_BEGIN)
    if start < 0:
        return data
    end = data.find(_PEM_END, start)
    if end < 0:
        raise ValueError("a certificate without an end")
    return binascii.a2b_base64(data[start + len(_PEM_BEGIN) : end])


def _words(error: Exception) -> str:
    return " ".join(str(error).split())

"""SLIP as Espressif's loaders speak it: a frame begins and ends with C0, which never stands inside."""

_END, _ESCAPE = b"\xc0", b"\xdb"


def encode(payload: bytes) -> bytes:
    return _END + payload.replace(_ESCAPE, b"\xdb\xdd").replace(_END, b"\xdb\xdc") + _END


class Decoder:
    """Bytes in, payloads out. What lies between frames is dropped."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        *frames, self._rest = (self._rest + data).split(_END)
        return [frame.replace(b"\xdb\xdc", _END).replace(b"\xdb\xdd", _ESCAPE) for frame in frames if frame]

"""The ledger's side of C2SP tlog-witness: ask for a cosignature."""

from collections.abc import Sequence

import httpx

from tallystick_ledger.errors import PublishError
from tallystick_proof import note
from tallystick_proof.errors import NoteError
from tallystick_proof.note import SignatureLine, VerifierKey

TIMEOUT_S = 2.0  # a witness does one fsync; a dead one must not stop the others for long
MAX_ANSWER_BYTES = 8 * 1024  # a few signature lines


def request_body(old_size: int, proof: list[bytes], signed: bytes) -> bytes:
    """old N, the consistency proof, an empty line, the checkpoint."""
    lines = "".join(f"{note.encode_base64(item)}\n" for item in proof)
    return f"old {old_size}\n{lines}\n".encode() + signed


class WitnessClient:
    """One witness by its address; whose line counts is for the keys of trust.toml to say.

    `transport` replaces the network. Foreign errors are translated here only.
    """

    def __init__(self, url: str, vkeys: Sequence[VerifierKey], transport: httpx.BaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        self._vkeys = vkeys
        self._client = httpx.Client(transport=transport, timeout=TIMEOUT_S, trust_env=False)

    def add_checkpoint(self, body: bytes, text: str) -> SignatureLine | int:
        """Its cosignature on `text`, or the size that it knows instead; PublishError for anything else."""
        try:
            answer = self._client.post(f"{self.url}/add-checkpoint", content=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise PublishError(f"witness {self.url}: {error or type(error).__name__}") from None
        if len(answer.content) > MAX_ANSWER_BYTES:
            raise PublishError(f"witness {self.url} answers more than {MAX_ANSWER_BYTES} bytes")
        if answer.status_code == httpx.codes.OK:
            return self._trusted_line(answer.content, text)
        if answer.status_code == httpx.codes.CONFLICT:
            return self._size(answer.content)
        raise PublishError(f"witness {self.url} answers {answer.status_code}")

    def close(self) -> None:
        self._client.close()

    def _trusted_line(self, content: bytes, text: str) -> SignatureLine:
        """The first line of a key that we trust; other lines are ignored, as the protocol says."""
        for line in content.decode("utf-8", "replace").splitlines():
            try:
                parsed = note.parse_line(line)
            except NoteError:
                continue
            if any(note.verify_line(text, parsed, vkey) for vkey in self._vkeys):
                return parsed
        raise PublishError(f"witness {self.url} answers without a cosignature of a witness in trust.toml")

    def _size(self, content: bytes) -> int:
        digits = content.decode("ascii", "replace").strip()
        if not digits.isdecimal() or len(digits) > 19:
            raise PublishError(f"witness {self.url} answers 409 without a size")
        return int(digits)

"""The API as the commands use it. Foreign errors are translated here only."""

from pathlib import Path
from typing import Any

import httpx

from tallystick_provisioning import address, secret_file
from tallystick_web.errors import ServiceError, ServiceRefused

TIMEOUT_S = 30.0  # a large bundle takes seconds to build
MAX_DETAIL_CHARACTERS = 300  # of a foreign error text in our message


class Client:
    """A ledger's API with its token. `transport` replaces the network."""

    def __init__(self, url: str, token_file: Path, transport: httpx.BaseTransport | None = None) -> None:
        self._url = address.check(url)
        token = secret_file.read(token_file).strip()
        self._client = httpx.Client(
            transport=transport, timeout=TIMEOUT_S, headers={"authorization": f"Bearer {token}"}, trust_env=False
        )

    def json(self, path: str, **query: int) -> dict[str, Any]:
        """A JSON object."""
        answer = self._get(path, query)
        try:
            value = answer.json()
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise ServiceError(f"{self._url}{path}: the answer is not that of a ledger")
        return value

    def bundle(self, path: str, **query: int) -> bytes:
        """The bytes of a bundle."""
        answer = self._get(path, query)
        if answer.headers.get("content-type") != "application/zip":
            raise ServiceError(f"{self._url}{path}: the answer is no bundle")
        return answer.content

    def _get(self, path: str, query: dict[str, int]) -> httpx.Response:
        try:
            answer = self._client.get(f"{self._url}{path}", params=query)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ServiceError(address.no_answer(self._url, error)) from None
        if not answer.is_success:
            reason = f"{self._url} says {answer.status_code}: {_detail(answer)}"
            kind = ServiceRefused if answer.is_client_error else ServiceError
            raise kind(reason, answer.status_code)
        return answer


def _detail(answer: httpx.Response) -> str:
    try:
        text = str(answer.json().get("detail"))
    except (ValueError, AttributeError):
        text = answer.text
    return "".join(letter if letter.isprintable() else " " for letter in text)[:MAX_DETAIL_CHARACTERS]

"""The API as the commands use it. Foreign errors are translated here only."""

from pathlib import Path
from typing import Any

import httpx

from tallystick_provisioning import secret_file
from tallystick_web.errors import ServiceError

TIMEOUT_S = 30.0  # a large bundle takes seconds to build
MAX_DETAIL_CHARACTERS = 300  # of a foreign error text in our message


class Client:
    """A ledger's API with its token."""

    def __init__(self, url: str, token_file: Path, transport: httpx.BaseTransport | None = None) -> None:
        token = secret_file.read(token_file).strip()
        self._url = url.rstrip("/")
        self._client = httpx.Client(
            transport=transport, timeout=TIMEOUT_S, headers={"authorization": f"Bearer {token}"}, trust_env=False
        )

    def json(self, path: str, **query: int) -> Any:
        return self._get(path, query).json()

    def content(self, path: str, **query: int) -> bytes:
        return self._get(path, query).content

    def _get(self, path: str, query: dict[str, int]) -> httpx.Response:
        try:
            answer = self._client.get(f"{self._url}{path}", params=query)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ServiceError(f"{self._url}: {error or type(error).__name__}") from None
        if not answer.is_success:
            reason = f"{self._url}{path} says {answer.status_code}: {_detail(answer)}"
            raise ServiceError(reason, answer.status_code)
        return answer


def _detail(answer: httpx.Response) -> str:
    try:
        text = str(answer.json().get("detail"))
    except (ValueError, AttributeError):
        text = answer.text
    return "".join(letter if letter.isprintable() else " " for letter in text)[:MAX_DETAIL_CHARACTERS]

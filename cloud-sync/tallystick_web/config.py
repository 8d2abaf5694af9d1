"""cloud.toml: what one ledger service needs. Unknown keys are refused; paths are relative to the file's folder."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tallystick_proof import checkpoint
from tallystick_proof.errors import CheckpointError
from tallystick_provisioning import address, text_file
from tallystick_provisioning.errors import AddressError, FileError
from tallystick_web.errors import ConfigError

DEFAULT_PORT = 8088
SEQUENCE_MS = 100  # an index comes within a tenth of a second
PUBLISH_MS = 1_000  # one checkpoint a second: what witnesses are used to
REFRESH_MS = 60_000  # a quiet log still shows within a minute that it is alive
MAX_WITNESSES = 32  # as many as a policy may name
MAX_CONFIG_BYTES = 64 * 1024  # a page of settings; more is some other file
_MAX_MS = 86_400_000
_MIN_MS = 10

_REQUIRED = ("origin", "key", "trust", "database", "blobs", "host", "port", "api_token")
_OPTIONAL = ("sequence_ms", "publish_ms", "refresh_ms", "witnesses", "finance")
_FINANCE = ("decision_key", "webhook_url", "webhook_secret")


@dataclass(frozen=True, slots=True)
class FinanceConfig:
    """[finance]: who signs decisions, and whom to tell. A webhook has both a URL and a secret, or neither."""

    decision_key: Path
    webhook_url: str | None
    webhook_secret: Path | None


@dataclass(frozen=True, slots=True)
class CloudConfig:
    """cloud.toml, checked. Witnesses are addresses only: their keys stand in trust.toml's policy and nowhere else."""

    origin: str
    key: Path
    trust: Path
    database: Path
    blobs: Path
    host: str
    port: int
    api_token: Path
    sequence_ms: int
    publish_ms: int
    refresh_ms: int
    witnesses: tuple[str, ...]
    finance: FinanceConfig | None


def load(path: Path) -> CloudConfig:
    """The configuration in `path`; ConfigError names what is wrong."""
    try:
        text = text_file.read(path, MAX_CONFIG_BYTES)
    except FileError as error:
        raise ConfigError(str(error)) from None
    try:
        return parse(text, path.parent)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def parse(text: str, folder: Path) -> CloudConfig:
    """The configuration in a cloud.toml's text; paths are relative to `folder`."""
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"not TOML: {error}") from None
    _only(table, _REQUIRED, _OPTIONAL, "")
    finance = table.get("finance")
    return CloudConfig(
        origin=_origin(_text(table, "origin")),
        key=folder / _text(table, "key"),
        trust=folder / _text(table, "trust"),
        database=folder / _text(table, "database"),
        blobs=folder / _text(table, "blobs"),
        host=_text(table, "host"),
        port=_integer(table, "port", 0, 65_535),
        api_token=folder / _text(table, "api_token"),
        sequence_ms=_integer({"sequence_ms": SEQUENCE_MS} | table, "sequence_ms", _MIN_MS, _MAX_MS),
        publish_ms=_integer({"publish_ms": PUBLISH_MS} | table, "publish_ms", _MIN_MS, _MAX_MS),
        refresh_ms=_integer({"refresh_ms": REFRESH_MS} | table, "refresh_ms", _MIN_MS, _MAX_MS),
        witnesses=_witnesses(table.get("witnesses", [])),
        finance=None if finance is None else _finance(finance, folder),
    )


def _finance(table: object, folder: Path) -> FinanceConfig:
    if not isinstance(table, dict):
        raise ConfigError("finance must be a table")
    _only(table, ("decision_key",), _FINANCE, "finance.")
    url = _text(table, "webhook_url") if "webhook_url" in table else None
    if url is not None:
        _address("finance.webhook_url", url.partition("?")[0])  # a receiver may want a query
    secret = folder / _text(table, "webhook_secret") if "webhook_secret" in table else None
    if (url is None) != (secret is None):
        raise ConfigError("finance: webhook_url and webhook_secret (a file) belong together")
    return FinanceConfig(folder / _text(table, "decision_key"), url, secret)


def _witnesses(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_WITNESSES:
        raise ConfigError(f"witnesses must be a list of at most {MAX_WITNESSES} addresses")
    return tuple(_address("witnesses", item) for item in value)


def _address(name: str, value: object) -> str:
    try:
        return address.check(value if isinstance(value, str) else repr(value))
    except AddressError as error:
        raise ConfigError(f"{name}: {error}") from None


def _origin(value: str) -> str:
    try:
        checkpoint.check_ledger_origin(value)
    except CheckpointError as error:
        raise ConfigError(str(error)) from None
    return value


def _only(table: dict[str, Any], required: tuple[str, ...], optional: tuple[str, ...], where: str) -> None:
    for name in table:
        if name not in required and name not in optional:
            known = ", ".join(dict.fromkeys((*required, *optional)))
            raise ConfigError(f"unknown key '{where}{name}'; known are {known}")
    for name in required:
        if name not in table:
            raise ConfigError(f"the key '{where}{name}' is missing")


def _text(table: dict[str, Any], name: str) -> str:
    value = table[name]
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{name} must be text")
    return value


def _integer(table: dict[str, Any], name: str, lowest: int, highest: int) -> int:
    value = table[name]
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise ConfigError(f"{name} must be an integer from {lowest} to {highest}")
    return value

"""gateway.toml. Unknown keys are refused; every complaint names the key and its line, and all are made at once.

Paths are relative to the file. Times are milliseconds.
"""

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tallystick_edge import link_config
from tallystick_edge.errors import ConfigError
from tallystick_edge.link_config import LinkConfig, MqttConfig, SerialConfig
from tallystick_provisioning import address, text_file, toml_text
from tallystick_provisioning.errors import AddressError, FileError

MAX_CONFIG_BYTES = 64 * 1024  # a page of settings; more is some other file
MAX_COMMIT_ROWS = 1000  # one commit of 1000 rows takes about 12 ms; beyond, acks wait for nothing gained
MAX_INTERVAL_MS = 24 * 3600 * 1000  # a gateway that speaks less than daily looks dead


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of one gateway; the defaults are right for a Pi on a slow network."""

    state_dir: Path
    trust: Path
    ledger: str
    key: Path
    token: Path
    site_key: Path
    links: tuple[LinkConfig, ...]
    checkpoint_interval_ms: int = 60_000
    commit_rows: int = 200
    commit_ms: int = 50
    anchor_interval_ms: int = 600_000
    metrics_port: int = 0


PATHS = ("state_dir", "trust", "key", "token", "site_key")
# key -> (lowest, highest)
NUMBERS = {
    "checkpoint_interval_ms": (100, MAX_INTERVAL_MS),
    "commit_rows": (1, MAX_COMMIT_ROWS),
    "commit_ms": (1, 10_000),
    "anchor_interval_ms": (100, MAX_INTERVAL_MS),
    "metrics_port": (0, 65535),
}
REQUIRED = (*PATHS, "ledger", "links")
EXAMPLE_PORT = "/dev/ttyUSB0"
DEFAULTS = {field.name: field.default for field in fields(Config) if field.name in NUMBERS}


def load(path: Path) -> Config:
    """The settings in `path`; ConfigError otherwise."""
    text = read(path)
    try:
        return parse(text, path.parent)
    except ConfigError as error:
        raise ConfigError(*(f"{path}: {complaint}" for complaint in error.complaints)) from None


def read(path: Path) -> str:
    """The text of a gateway.toml."""
    try:
        return text_file.read(path, MAX_CONFIG_BYTES)
    except FileError as error:
        raise ConfigError(str(error)) from None


def parse(text: str, folder: Path) -> Config:
    """The settings in TOML `text`; paths are relative to `folder`. ConfigError has all that is wrong."""
    values, complaints = examine(text, folder)
    if complaints:
        raise ConfigError(*complaints)
    return Config(**values)


def examine(text: str, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """The values that are right, and every complaint about the others."""
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        return {}, [str(error)]
    complaints = [
        f"{_line(text, key)}: unknown key {key!r}; known are {', '.join(sorted(_READERS))}"
        for key in table
        if key not in _READERS
    ]
    complaints += [f"the key {key!r} is missing" for key in REQUIRED if key not in table]
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key in _READERS:
            try:
                values[key] = _READERS[key](value, key)
            except ConfigError as error:
                complaints += [f"{_line(text, key)}: {complaint}" for complaint in error.complaints]
    values |= {key: folder / values[key] for key in PATHS if key in values}
    if "links" in values:
        values["links"] = tuple(link_config.under(folder, link) for link in values["links"])
    return values, complaints


def _links(links: Any, _: str) -> tuple[LinkConfig, ...]:
    return link_config.parse(links)


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{key} must be text")
    return value


def _number(value: Any, key: str) -> int:
    lowest, highest = NUMBERS[key]
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise ConfigError(f"{key} must be an integer from {lowest} to {highest}, not {value!r}")
    return value


def _url(value: Any, key: str) -> str:
    try:
        return address.check(_text(value, key))
    except AddressError as error:
        raise ConfigError(f"{key}: {error}") from None


_READERS: dict[str, Callable[[Any, str], Any]] = {
    **dict.fromkeys(PATHS, _text),
    **dict.fromkeys(NUMBERS, _number),
    "ledger": _url,
    "links": _links,
}


def _line(text: str, key: str) -> str:
    """Where `key` stands first, for the reader; tomllib does not say."""
    pattern = re.compile(rf"""^\s*(\[+\s*)?["']?{re.escape(key)}["']?\s*[=.\]]""")
    for number, line in enumerate(text.splitlines(), start=1):
        if pattern.match(line):
            return f"line {number}"
    return "somewhere"


def template(
    trust: str,
    ledger: str,
    site_key: str,
    ports: Sequence[str],
    numbers: Mapping[str, int],
    brokers: Sequence[MqttConfig] = (),
) -> str:
    """A gateway.toml to start from; `numbers` are those that differ from the defaults."""
    tables = [SerialConfig(port).table() for port in ports] + [broker.table() for broker in brokers]
    lines = [f"{name} = {numbers[name]}" if name in numbers else f"# {name} = {DEFAULTS[name]}" for name in NUMBERS]
    return f"""# One gateway. Check it with `tallystick gateway config check`. Paths are relative to this file.
state_dir = "state"
trust = {toml_text.quoted(trust)}
ledger = {toml_text.quoted(ledger)}
key = "gateway.key"
token = "token"
site_key = {toml_text.quoted(site_key)}
links = [{', '.join(tables)}]

# checkpoint_interval_ms: how often the log is signed and sent. anchor_interval_ms: how often nodes get a ledger
# checkpoint. One fsync is for at most commit_rows readings, or for those of commit_ms. metrics_port 0: none.
{chr(10).join(lines)}
"""

"""gateway.toml. Unknown keys are refused, and every complaint names the key and its line.

Paths are relative to the file. Times are milliseconds.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tallystick_edge.errors import ConfigError

MAX_CONFIG_BYTES = 64 * 1024  # a page of settings; more is some other file
MAX_LINKS = 16  # one thread each; a Pi with a hub has fewer ports
MAX_COMMIT_ROWS = 1000  # one commit of 1000 rows takes about 12 ms; beyond, acks wait for nothing gained
MAX_INTERVAL_MS = 24 * 3600 * 1000  # a gateway that speaks less than daily looks dead


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """One way to nodes: a serial port."""

    kind: str
    port: str


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
LINK_KEYS = ("kind", "port")
EXAMPLE_PORT = "/dev/ttyUSB0"
DEFAULTS = {field.name: field.default for field in fields(Config) if field.name in NUMBERS}


def load(path: Path) -> Config:
    """The settings in `path`; ConfigError otherwise."""
    try:
        data = path.read_bytes()
        if len(data) > MAX_CONFIG_BYTES:
            raise ConfigError(f"{path}: more than {MAX_CONFIG_BYTES} bytes")
        text = data.decode("utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8") from None
    try:
        return parse(text, path.parent)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def parse(text: str, folder: Path) -> Config:
    """The settings in TOML `text`; paths are relative to `folder`."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(error)) from None
    known = {*REQUIRED, *NUMBERS}
    for key in table:
        if key not in known:
            raise ConfigError(f"{_line(text, key)}: unknown key {key!r}; known are {', '.join(sorted(known))}")
    for key in REQUIRED:
        if key not in table:
            raise ConfigError(f"the key {key!r} is missing")
    values: dict[str, Any] = {key: folder / _text(text, table, key) for key in PATHS}
    values |= {key: _number(text, table[key], key, *limits) for key, limits in NUMBERS.items() if key in table}
    return Config(**values, ledger=_url(text, table), links=_links(text, table["links"]))


def _links(text: str, links: Any) -> tuple[LinkConfig, ...]:
    if not isinstance(links, list) or not 0 < len(links) <= MAX_LINKS:
        raise ConfigError(f"{_line(text, 'links')}: links must be an array of 1 to {MAX_LINKS} tables")
    return tuple(_link(text, number, link) for number, link in enumerate(links, start=1))


def _link(text: str, number: int, link: Any) -> LinkConfig:
    place = f"{_line(text, 'links')}: link {number}"
    if not isinstance(link, dict):
        raise ConfigError(f'{place}: must be a table like {{ kind = "serial", port = "/dev/ttyUSB0" }}')
    for key in link:
        if key not in LINK_KEYS:
            raise ConfigError(f"{place}: unknown key {key!r}; known are {', '.join(LINK_KEYS)}")
    kind, port = link.get("kind"), link.get("port")
    if kind != "serial":
        raise ConfigError(f"{place}: kind must be 'serial', not {kind!r}")
    if not isinstance(port, str) or not port:
        raise ConfigError(f"{place}: port must be the path of a serial port")
    return LinkConfig(kind, port)


def _text(text: str, table: dict[str, Any], key: str) -> str:
    value = table[key]
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{_line(text, key)}: {key} must be text")
    return value


def _number(text: str, value: Any, key: str, lowest: int, highest: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise ConfigError(f"{_line(text, key)}: {key} must be an integer from {lowest} to {highest}, not {value!r}")
    return value


def _url(text: str, table: dict[str, Any]) -> str:
    value = _text(text, table, "ledger")
    try:
        parts = urlsplit(value)
        well_formed = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query
    except ValueError:
        well_formed = False
    if not well_formed:
        raise ConfigError(f"{_line(text, 'ledger')}: ledger must be an http or https address, not {value!r}")
    return value.rstrip("/")


def _line(text: str, key: str) -> str:
    """Where `key` stands first, for the reader; tomllib does not say."""
    pattern = re.compile(rf"""^\s*(\[+\s*)?["']?{re.escape(key)}["']?\s*[=.\]]""")
    for number, line in enumerate(text.splitlines(), start=1):
        if pattern.match(line):
            return f"line {number}"
    return "somewhere"


def template(trust: str, ledger: str, site_key: str, ports: Sequence[str], numbers: Mapping[str, int]) -> str:
    """A gateway.toml to start from; `numbers` are those that differ from the defaults."""
    links = ", ".join(f'{{ kind = "serial", port = {_quoted(port)} }}' for port in ports)
    lines = [f"{name} = {numbers[name]}" if name in numbers else f"# {name} = {DEFAULTS[name]}" for name in NUMBERS]
    return f"""# One gateway. Check it with `tallystick gateway config check`. Paths are relative to this file.
state_dir = "state"
trust = {_quoted(trust)}
ledger = {_quoted(ledger)}
key = "gateway.key"
token = "token"
site_key = {_quoted(site_key)}
links = [{links}]

# checkpoint_interval_ms: how often the log is signed and sent. anchor_interval_ms: how often nodes get a ledger
# checkpoint. One fsync is for at most commit_rows readings, or for those of commit_ms. metrics_port 0: none.
{chr(10).join(lines)}
"""


def _quoted(text: str) -> str:
    """A TOML basic string."""
    escaped = "".join(
        f"\\U{ord(character):08x}" if character in '"\\' or not character.isprintable() else character
        for character in text
    )
    return f'"{escaped}"'

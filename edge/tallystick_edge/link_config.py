"""The tables of `links` in gateway.toml: one way to nodes each. Every complaint about a table is made at once."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tallystick_edge.errors import ConfigError
from tallystick_provisioning import toml_text

MAX_LINKS = 16  # one thread each; a Pi with a hub has fewer ports
MAX_MQTT_NAME_CHARACTERS = 64  # a user or host that a person can read in a log line
DEFAULT_MQTT_PORT = 8883
_HOST = re.compile(r"[A-Za-z0-9._:-]+")


@dataclass(frozen=True, slots=True)
class SerialConfig:
    """A serial port with one node."""

    port: str

    @property
    def name(self) -> str:
        """What logs, metrics and entries call the link."""
        return f"serial:{self.port}"

    def table(self) -> str:
        """As TOML."""
        return f'{{ kind = "serial", port = {toml_text.quoted(self.port)} }}'


@dataclass(frozen=True, slots=True)
class MqttConfig:
    """A broker that nodes publish to, over TLS with a certificate that `ca` signed."""

    host: str
    ca: Path
    username: str
    password_file: Path
    port: int = DEFAULT_MQTT_PORT

    @property
    def name(self) -> str:
        """What logs, metrics and entries call the link."""
        return f"mqtt:{self.host}:{self.port}"

    def table(self) -> str:
        """As TOML."""
        texts = {"host": self.host, "ca": str(self.ca), "username": self.username}
        texts["password_file"] = str(self.password_file)
        words = [f"{key} = {toml_text.quoted(text)}" for key, text in texts.items()]
        return f'{{ kind = "mqtt", port = {self.port}, {", ".join(words)} }}'


LinkConfig = SerialConfig | MqttConfig


def parse(links: Any) -> tuple[LinkConfig, ...]:
    """The links of a parsed gateway.toml; ConfigError has all that is wrong with them."""
    if not isinstance(links, list) or not 0 < len(links) <= MAX_LINKS:
        raise ConfigError(f"links must be an array of 1 to {MAX_LINKS} tables")
    found: list[LinkConfig] = []
    complaints: list[str] = []
    for number, table in enumerate(links, start=1):
        try:
            link = _link(table)
        except ConfigError as error:
            complaints += [f"link {number}: {complaint}" for complaint in error.complaints]
            continue
        if link.name in (one.name for one in found):
            complaints.append(f"link {number}: {link.name} occurs twice")
        found.append(link)
    if complaints:
        raise ConfigError(*complaints)
    return tuple(found)


def under(folder: Path, link: LinkConfig) -> LinkConfig:
    """The link with its files named from `folder`."""
    if isinstance(link, SerialConfig):
        return link
    return replace(link, ca=folder / link.ca, password_file=folder / link.password_file)


def _link(table: Any) -> LinkConfig:
    if not isinstance(table, dict):
        raise ConfigError('must be a table like { kind = "serial", port = "/dev/ttyUSB0" }')
    kind = table.get("kind")
    if kind not in _KINDS:
        raise ConfigError(f"kind must be {' or '.join(map(repr, _KINDS))}, not {kind!r}")
    make, readers, optional = _KINDS[kind]
    known = ("kind", *readers)
    complaints = [f"unknown key {key!r}; known are {', '.join(known)}" for key in table if key not in known]
    complaints += [f"the key {key!r} is missing" for key in readers if key not in table and key not in optional]
    values: dict[str, Any] = {}
    for key, read in readers.items():
        if key in table:
            try:
                values[key] = read(table[key], key)
            except ConfigError as error:
                complaints += error.complaints
    if complaints:
        raise ConfigError(*complaints)
    made: LinkConfig = make(**values)
    return made


def _device(value: Any, key: str) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{key} must be the path of a serial port")
    return value


def _path(value: Any, key: str) -> Path:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{key} must be the path of a file")
    return Path(value)


def _host(value: Any, key: str) -> str:
    if not isinstance(value, str) or len(value) > MAX_MQTT_NAME_CHARACTERS or not _HOST.fullmatch(value):
        raise ConfigError(f"{key} must be a host name or address of at most {MAX_MQTT_NAME_CHARACTERS} characters")
    return value


def _user(value: Any, key: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_MQTT_NAME_CHARACTERS or not value.isprintable():
        raise ConfigError(f"{key} must be text of 1 to {MAX_MQTT_NAME_CHARACTERS} characters")
    return value


def _tcp_port(value: Any, key: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= 65535:
        raise ConfigError(f"{key} must be an integer from 1 to 65535, not {value!r}")
    return value


_Readers = Mapping[str, Callable[[Any, str], Any]]
# kind -> (what it makes, its keys, which of them may be left out)
_KINDS: dict[str, tuple[Callable[..., Any], _Readers, tuple[str, ...]]] = {
    "serial": (SerialConfig, {"port": _device}, ()),
    "mqtt": (
        MqttConfig,
        {"host": _host, "port": _tcp_port, "ca": _path, "username": _user, "password_file": _path},
        ("port",),
    ),
}

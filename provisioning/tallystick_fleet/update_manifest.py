"""Makes what a site sends to its nodes: a configuration from TOML, a firmware manifest from an image. No I/O.

interval_ms = 60000              every setting of spec 13.4; what is left out is the board's own
name = "cold room 2"
[offsets]
t = -0.25                        in the channel's unit
[alarms]
t = { lowest = 0, highest = 8 }  either may be left out
"""

import hashlib
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tallystick_proof import keys, statement
from tallystick_proof.errors import StatementError
from tallystick_provisioning.errors import StatementFileError
from tallystick_wire import cbor, image, manifest, senml, settings
from tallystick_wire.errors import WireError

CHUNK_BYTES = manifest.CHUNK_BYTES[-1]
MAX_SETTINGS_BYTES = 16 * 1024  # a page of text
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Order:
    """What both kinds say. `target`: the kid of one node, or None for every node of that log."""

    origin: str
    version: int
    expires_ms: int
    target: bytes | None = None


def config(signer: keys.Signer, order: Order, toml_text: str, random_bytes: Callable[[int], bytes]) -> bytes:
    """A signed configuration; StatementFileError names the setting that is wrong."""
    return _sign(signer, keys.CONFIG, order, {"settings": settings_of(toml_text)}, random_bytes)


def firmware(
    signer: keys.Signer,
    order: Order,
    content: bytes,
    random_bytes: Callable[[int], bytes],
    board: str | None = None,
) -> bytes:
    """A signed manifest of an image; `board` is needed only where the image does not say it."""
    told = image.board_of(content)
    if board is None and told is None:
        raise StatementFileError("the image does not say for which board it is: name the board")
    if told is not None and board not in (None, told):
        raise StatementFileError(f"the image is for the board {told}, not {board}")
    fields = {
        "board": told or board,
        "size": len(content),
        "chunk_bytes": CHUNK_BYTES,
        "image": hashlib.sha256(content).digest(),
        "chunks": hashlib.sha256(manifest.chunk_hashes(content, CHUNK_BYTES)).digest(),
    }
    return _sign(signer, keys.FIRMWARE_IMAGE, order, fields, random_bytes)


def settings_of(toml_text: str) -> cbor.Map:
    """The settings in TOML text, as a node gets them."""
    try:
        table = tomllib.loads(toml_text, parse_float=Decimal)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise StatementFileError(f"not TOML: {error}") from None
    pairs: list[tuple[str, Any]] = []
    for name, value in table.items():
        if name == "offsets":
            value = _channels(name, value, _number)
        elif name == "alarms":
            value = _channels(name, value, _alarm)
        pairs.append((name, value))
    found = cbor.Map(pairs)
    try:
        settings.check(found)
    except WireError as error:
        raise StatementFileError(str(error)) from None
    return found


def _channels(setting: str, value: object, convert: Callable[[str, str, object], object]) -> cbor.Map:
    if not isinstance(value, dict):
        raise StatementFileError(f"{setting}: must be a table of channels")
    unknown = [channel for channel in value if not settings.measured(channel)]
    if unknown:
        raise StatementFileError(f"{setting}: no channel {unknown[0]!r} gives numbers")
    return cbor.Map([(channel, convert(setting, channel, item)) for channel, item in value.items()])


def _number(setting: str, channel: str, value: object) -> int:
    """A whole number in the channel's finest unit."""
    unit, exponent = senml.CHANNELS[channel]
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise StatementFileError(f"{setting}.{channel}: must be a number in {unit}")
    scaled = Decimal(value).scaleb(-(exponent or 0))
    if not scaled.is_finite() or scaled != scaled.to_integral_value():
        raise StatementFileError(f"{setting}.{channel}: {value} {unit} is finer than the channel tells")
    return int(scaled)


def _alarm(setting: str, channel: str, value: object) -> list[int | None]:
    if not isinstance(value, dict) or not value or set(value) - {"lowest", "highest"}:
        raise StatementFileError(f"{setting}.{channel}: must be a table with lowest, highest or both")
    return [_number(setting, channel, value[end]) if end in value else None for end in ("lowest", "highest")]


def _sign(
    signer: keys.Signer, kind: str, order: Order, fields: dict[str, Any], random_bytes: Callable[[int], bytes]
) -> bytes:
    body = {
        "aud": order.origin,
        "jti": random_bytes(manifest.JTI_BYTES),
        "exp": order.expires_ms,
        "target": order.target,
        "version": order.version,
        **fields,
    }
    try:
        data = statement.build(signer, kind, body)
        manifest.parse(data)
    except (StatementError, WireError) as error:
        raise StatementFileError(str(error)) from None
    return data

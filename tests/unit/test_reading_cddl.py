"""docs/reading.cddl says what the code does: it accepts our vectors and entries, and refuses what the code refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
from cddl_verifier import validate  # type: ignore[import-untyped]

from tallystick_proof.entry import GatewayEntry
from tallystick_wire import cbor, cose

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = (ROOT / "docs" / "reading.cddl").read_text("utf-8")
VECTORS: dict[str, Any] = json.loads((ROOT / "tests" / "vectors" / "wire.json").read_text("utf-8"))
READINGS = [bytes.fromhex(vector["hex"]) for vector in VECTORS["reading"]["readings"]]
MESSAGES = [(vector["kind"], bytes.fromhex(vector["hex"])) for vector in VECTORS["messages"]]


def fits(rule: str, data: bytes) -> bool:
    return bool(validate(SCHEMA, data, root_type=rule, require_deterministic=True).valid)


def rule(kind: str) -> str:
    return "anchor-message" if kind == "anchor" else kind


@pytest.mark.parametrize("data", READINGS)
def test_readings(data: bytes) -> None:
    assert fits("reading", data)
    assert fits("message", data)
    assert fits("pack", cose.split(data).payload)


def test_messages() -> None:
    for kind, data in MESSAGES:
        assert fits(rule(kind), data), kind
        assert fits("message", data), kind
        others = {rule(other) for other, _ in MESSAGES} - {rule(kind)}
        assert not [other for other in sorted(others) if fits(other, data)], kind


def entry(kind: int, body: Any) -> bytes:
    return GatewayEntry(kind, 1, 5, None, 2, 7, "serial 1", body).encode()


def test_gateway_entries() -> None:
    assert fits("gateway-entry", entry(1, READINGS[0]))
    assert fits("gateway-entry", entry(2, (1, b"event")))
    assert fits("gateway-entry", entry(3, (4, cbor.Map([(1, 2)]))))
    assert not fits("gateway-entry", entry(1, b"junk"))


@pytest.mark.parametrize(
    ("label", "value"),
    [
        (1, -7),
        (3, 110),
        (4, bytes(7)),
        (5, 0),
        (-65537, [0, 1, 0, bytes(16), None]),
        (-65537, [1, 0, 0, bytes(16), None]),
        (-65537, [1, 1 << 32, 0, bytes(16), None]),
        (-65537, [1, 1, -1, bytes(16), None]),
        (-65537, [1, 1, 0, bytes(15), None]),
        (-65537, [1, 1, 0, bytes(16)]),
        (-65537, [1, 1, 0, bytes(16), [1, bytes(16)]]),
    ],
)
def test_wrong_headers(label: int, value: Any) -> None:
    parts = cose.split(READINGS[1])
    header = {**dict(parts.protected_map.pairs), label: value}
    assert not fits("reading", cose.assemble(cbor.encode(header), parts.payload, parts.signature))


@pytest.mark.parametrize(
    "record",
    [
        {0: "abc", 2: 1},
        {0: "t"},
        {0: "t", 2: 1.5},
        {0: "t", 2: 1, 4: True},
        {0: "t", 2: 1, 6: 0},
        {0: "t", 2: cbor.Tag(4, [13, 1])},
        {0: "t", 1: "", 2: 1},
    ],
)
def test_wrong_records(record: dict[int, Any]) -> None:
    first = {-2: f"urn:dev:os:32473-{VECTORS['kid']}_"}
    assert fits("pack", cbor.encode([{**first, 0: "t", 2: 1}]))
    assert not fits("pack", cbor.encode([{**first, **record}]))
    assert not fits("pack", cbor.encode([{**first, 0: "x", 2: 1}, record]))

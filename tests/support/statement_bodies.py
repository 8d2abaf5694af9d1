"""A good body of every kind of statement."""

from typing import Any

from tallystick_proof import keys
from tallystick_wire import cbor

COMMON = {"aud": "ledger.example/log", "jti": bytes(16), "exp": None}
HASH = bytes(range(32))
CHANNELS = cbor.Map([("t", ["temperature", "Cel"]), ("d", ["door open", None])])
INSTRUMENT = cbor.Map(
    [
        ("model", "cold-room node"),
        ("serial", "17"),
        ("calibration", HASH),
        ("due_ms", 1),
        ("firmware", b"\1"),
        ("channels", CHANNELS),
    ]
)
BODIES: dict[str, dict[str, Any]] = {
    keys.ENROL_REQUEST: {"key": HASH, "kind": "gateway", "nonce": bytes(16), "token_hash": HASH},
    keys.ENROLMENT: {
        "request": b"\xd2",
        "kind": "node",
        "key": HASH,
        "not_before": None,
        "not_after": 5,
        "commitment": HASH,
        "instrument": INSTRUMENT,
        "token_hash": None,
    },
    keys.REVOCATION: {"thumbprint": HASH, "reason": "retired"},
    keys.ASSOCIATION: {"place": "cold room 2", "lot": "L-1", "nodes": [HASH, bytes(32)], "since_ms": 9},
    keys.TAG: {
        "item": "/01/09506000134352/21/AB-1%2F2",
        "chip": "ntag424",
        "copyable": False,
        "uid": HASH,
        "epoch": 1,
        "key_set": "2026-07",
        "key_version": 1,
        "since_ms": 9,
    },
    keys.TAG_JOB: {
        "installer": None,
        "job": bytes(16),
        "key_set": "2026-07",
        "key_version": 254,
        "count": 300,
        "sealed": HASH,
    },
    keys.SHEET: {"document": HASH, "key": HASH, "made_ms": 9},
    keys.CONFIG: {
        "exp": 2**40,
        "target": bytes(8),
        "version": 7,
        "settings": cbor.Map([("interval_ms", 60_000), ("offsets", cbor.Map([("t", -25)]))]),
    },
    keys.FIRMWARE_IMAGE: {
        "exp": 2**40,
        "target": None,
        "version": 7,
        "board": "mpy6.3-armv6m",
        "size": 70_000,
        "chunk_bytes": 1024,
        "image": HASH,
        "chunks": HASH,
    },
    keys.FACILITY: {
        "lender": HASH,
        "borrower": HASH,
        "decision_key": HASH,
        "currency": "EUR",
        "limit_minor": 10**12,
        "rules": cbor.Map([("warm_for_ms", 1)]),
    },
    keys.PLEDGE: {
        "facility": HASH,
        "association": HASH,
        "lot": "L-1",
        "value_minor": 1,
        "principal_minor": 1,
        "currency": "EUR",
    },
    keys.DECISION: {
        "subject": HASH,
        "n": 0,
        "previous": None,
        "state_before": HASH,
        "event": cbor.Map([]),
        "rules": HASH,
        "as_of": [7, 8],
        "effects": [],
        "state_after": HASH,
    },
}

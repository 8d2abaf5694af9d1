"""Enrolment statements: what an authority says about a key that asked for it. No I/O."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tallystick_proof import keys, statement
from tallystick_proof.errors import ProofError
from tallystick_proof.trust import Trust
from tallystick_provisioning.errors import NodeRefused, SetupError
from tallystick_wire import cbor, message, senml

RandomBytes = Callable[[int], bytes]

# The full names of senml.CHANNELS, which a node saves its radio; at most 16 fit an instrument.
CHANNEL_NAMES = {
    "t": "temperature",
    "h": "relative humidity",
    "b": "battery voltage",
    "d": "door open",
    "o": "node's case opened",
    "p": "probe temperature",
    "pb": "second probe temperature",
    "pc": "third probe temperature",
    "pd": "fourth probe temperature",
    "rs": "radio signal received",
    "f": "faults",
}


@dataclass(frozen=True, slots=True)
class NodeExtra:
    """What an installer knows of a node beside model and serial number.

    `calibration`: SHA-256 of the calibration certificate; `due_ms`: when the next one is due; `commitment`: to name and
    place, which stay private (node_plan.commitment).
    """

    calibration: bytes | None = None
    due_ms: int | None = None
    commitment: bytes | None = None


NO_EXTRA = NodeExtra()


def check_request(data: bytes, origin: str, public_key: bytes, nonce: bytes) -> statement.Statement:
    """A node's enrol request: signed by its key, for this ledger, fresh by our nonce; NodeRefused otherwise."""
    try:
        request = statement.parse(data)
        statement.verify(request, public_key)
    except ProofError as error:
        raise NodeRefused(f"the node's enrol request does not hold: {error}") from None
    expected = {"aud": origin, "key": public_key, "kind": "node", "nonce": nonce}
    for field, value in expected.items():
        if request.body[field] != value:
            raise NodeRefused(f"the node's enrol request names another {field}")
    return request


def own_request(signer: keys.Signer, origin: str, random_bytes: RandomBytes, token_hash: bytes | None = None) -> bytes:
    """The enrol request of a key that lies in a file on this machine."""
    body: dict[str, Any] = {
        "aud": origin,
        "jti": random_bytes(message.JTI_BYTES),
        "exp": None,
        "key": signer.public_key,
        "kind": signer.role,
        "nonce": random_bytes(message.NONCE_BYTES),
    }
    if token_hash is not None:
        body["token_hash"] = token_hash
    return statement.build(signer, "enrol-request", body)


def enrolment(
    authority: keys.Signer,
    trust: Trust,
    request: bytes,
    random_bytes: RandomBytes,
    instrument: cbor.Map | None = None,
    commitment: bytes | None = None,
) -> bytes:
    """The enrolment of the key that signed `request`; SetupError when trust.toml does not know this authority."""
    asked = statement.parse(request).body
    check_authority(authority, trust, asked["kind"])
    body = {
        "aud": trust.origin,
        "jti": random_bytes(message.JTI_BYTES),
        "exp": None,
        "request": request,
        "kind": asked["kind"],
        "key": asked["key"],
        "not_before": None,
        "not_after": None,
        "commitment": commitment,
        "instrument": instrument,
        "token_hash": asked.get("token_hash"),
    }
    return statement.build(authority, "enrolment", body)


def node_instrument(model: str, serial: str, firmware_hash: bytes, extra: NodeExtra = NO_EXTRA) -> cbor.Map:
    """What an enrolment says about a node: full channel names, so that one letter is enough on the wire."""
    channels = cbor.Map([(letter, [name, senml.CHANNELS[letter][0]]) for letter, name in CHANNEL_NAMES.items()])
    return cbor.Map(
        [
            ("model", model),
            ("serial", serial),
            ("calibration", extra.calibration),
            ("due_ms", extra.due_ms),
            ("firmware", firmware_hash),
            ("channels", channels),
        ]
    )


def check_authority(authority: keys.Signer, trust: Trust, kind: str) -> None:
    """SetupError unless this key may enrol keys of `kind` under this trust.toml; asked before anything is signed."""
    role = f"authority-{kind}"
    if authority.role != role:
        raise SetupError(f"a {kind} is enrolled by a key of role {role}; this one has role {authority.role}")
    if authority.public_key not in [key for _, key in trust.authority_keys(kind)]:
        raise SetupError(
            f"the trust.toml of {trust.origin} does not name this {role} key ({authority.public_key.hex()}): "
            "the wrong key file, or the wrong trust.toml"
        )

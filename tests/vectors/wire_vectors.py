"""Makes the wire format's test vectors (wire.json). MicroPython subset: both interpreters must make the same ones.

    PYTHONPATH=firmware python tests/vectors/wire_vectors.py | python -m json.tool --indent 1 > tests/vectors/wire.json
"""

import hashlib
import json

from tallystick_node.ed25519 import SigningKey
from tallystick_wire import cbor, cose, frame, image, manifest, message, reading, senml, sequence, transfer

SEED = bytes(range(32))
ORIGIN = "ledger.example/log"
PEN = 32473  # the documentation number of RFC 9371
LINK_KEY = bytes(range(64, 96))
NOW_MS = 1_800_000_000_000

# Each line has one defect.
CBOR_REFUSED = (
    ("", "nothing at all"),
    ("0000", "bytes after the end"),
    ("1817", "23 does not need a second byte"),
    ("190018", "24 does not need two bytes"),
    ("1a0000ffff", "65535 does not need four bytes"),
    ("1b00000000ffffffff", "4294967295 does not need eight bytes"),
    ("1c", "reserved additional information"),
    ("5800", "a length that is not in its shortest form"),
    ("43aabb", "a byte string that ends too early"),
    ("9bffffffffffffffff", "an array longer than the data"),
    ("bbffffffffffffffff", "a map longer than the data"),
    ("5f4100ff", "an indefinite byte string"),
    ("9fff", "an indefinite array"),
    ("bfff", "an indefinite map"),
    ("ff", "a break"),
    ("a201000000", "map keys out of order"),
    ("a201000100", "a map key that occurs twice"),
    ("a30a002000186400", "keys in the order of RFC 7049, the short ones first"),
    ("62c328", "text that is not UTF-8"),
    ("62c080", "text with an overlong form"),
    ("63eda080", "text with a surrogate"),
    ("64f4908080", "text above U+10FFFF"),
    ("f807", "a simple value below 32 in two bytes"),
    ("f818", "a simple value that does not exist"),
    ("f8", "a simple value that ends too early"),
    ("fc", "a reserved head of major type 7"),
    ("fa3fc00000", "1.5 does not need a single"),
    ("fb3ff8000000000000", "1.5 does not need a double"),
    ("f97e01", "a NaN with a payload"),
    ("fa7fc00000", "a NaN that is not the half one"),
    ("c2420100", "a big number that is a plain integer"),
    ("c249000000000000000001", "a big number with leading zeros"),
    ("81818181818181818100", "nested nine deep"),
)
CBOR_VALUES = (
    ("null", None),
    ("the largest integer", (1 << 64) - 1),
    ("the smallest integer", -(1 << 64)),
    ("text beyond the basic plane", "\U0001f4cf"),
    ("half, single and double", [1.5, 100000.0, 1.1]),
    ("undefined, and simple values without a meaning yet", [cbor.Simple(23), cbor.Simple(0), cbor.Simple(255)]),
    ("negative zero, the smallest half, infinity", [-0.0, 5.960464477539063e-08, float("inf")]),
    ("not a number", float("nan")),
    ("a decimal fraction, 21.50", cbor.Tag(4, [-2, 2150])),
    ("2^64 as a big number", cbor.Tag(2, b"\x01" + bytes(8))),
    ("keys sort by their bytes", cbor.Map([("aa", 1), (-1, 2), (10, 3), ("z", 4), (False, 5), ([], 6)])),
    ("nested eight deep", [[[[[[[[1]]]]]]]]),
)


def kid_of(public_key: bytes) -> bytes:
    """The first 8 bytes of the RFC 9679 thumbprint."""
    return hashlib.sha256(cbor.encode({1: 1, -1: 6, -2: public_key})).digest()[:8]


def sign(data: bytes) -> bytes:
    return SigningKey(SEED).sign(data)


def cbor_vectors() -> "dict[str, object]":
    return {
        "encoded": [{"what": what, "hex": cbor.encode(value).hex()} for what, value in CBOR_VALUES],
        "refused": [{"why": why, "hex": data} for data, why in CBOR_REFUSED],
    }


def reading_vectors(public_key: bytes) -> "dict[str, object]":
    kid = kid_of(public_key)
    name = senml.base_name(PEN, kid)
    measured = [
        senml.Record("t", "Cel", senml.Decimal(-2, 437)),
        senml.Record("h", "%RH", 61),
        senml.Record("b", "V", senml.Decimal(-3, 3307)),
    ]
    boot = reading.BootRecord("power on", 0, 0, bytes(range(8)), bytes(range(8, 16)))
    first = _reading(kid, reading.Chain(1, 1, 412, reading.genesis(ORIGIN, public_key), None), name, boot.records())
    anchored = reading.Chain(1, 2, 60412, reading.parse(first).link, (19, hashlib.sha256(b"a").digest()[:16], 31007))
    second = _reading(kid, anchored, name, measured)
    after_loss = reading.Chain(1, 23, 1320412, hashlib.sha256(b"22").digest()[:16], None)
    gap = _reading(kid, after_loss, name, measured + reading.GapRecord(3, 22).records())
    largest = reading.Chain(65535, 4294967295, 18446744073709551615, reading.parse(second).link, None)
    return {
        "genesis": reading.genesis(ORIGIN, public_key).hex(),
        "readings": [
            _described("the first of a boot, with a boot record", first),
            _described("with an anchor", second),
            _described("the longest without anchor: 210 bytes", _reading(kid, largest, name, _longest())),
            _described("with a gap record: what of 3 to 22 was not delivered never comes", gap),
        ],
    }


def _longest() -> "list[senml.Record]":
    return [
        senml.Record("t", "Cel", senml.Decimal(-2, -4000)),
        senml.Record("h", "%RH", 100),
        senml.Record("b", "V", senml.Decimal(-3, 65535)),
    ]


def _reading(kid: bytes, chain: reading.Chain, name: str, records: "list[senml.Record]") -> bytes:
    return reading.build(kid, chain, senml.encode_pack(name, records), sign)


def _described(what: str, data: bytes) -> "dict[str, object]":
    parsed = reading.parse(data)
    chain = parsed.chain
    return {
        "what": what,
        "hex": data.hex(),
        "identity": parsed.identity.hex(),
        "boot": chain.boot,
        "seq": chain.seq,
        "uptime_ms": str(chain.uptime_ms),  # as text: not every JSON reader keeps 64 bits
        "previous": chain.previous.hex(),
        "anchor": None if chain.anchor is None else [chain.anchor[0], chain.anchor[1].hex(), chain.anchor[2]],
        "payload": parsed.payload.hex(),
    }


def message_vectors(public_key: bytes) -> "list[dict[str, object]]":
    kid = kid_of(public_key)
    seen = sequence.Seen()
    for seq in (1, 2, 3, 7, 8, 10):
        seen.add(seq)
    high, gaps = seen.ack()
    nonce, jti = bytes(range(16)), bytes(range(16, 32))
    messages = [
        message.build_ack(LINK_KEY, kid, 1, high, gaps),
        message.build_anchor(LINK_KEY, 19, hashlib.sha256(b"a").digest()[:16]),
        message.build_hello(),
        message.build_node("new", public_key, None, bytes(8)),
        message.build_node("enrolled", public_key, ORIGIN, bytes(8)),
        message.build_enrol(ORIGIN, PEN, nonce),
        message.enrol_request(kid, public_key, "node", ORIGIN, nonce, jti, sign),
        message.build_link(LINK_KEY, ORIGIN, PEN),
        message.build_link(LINK_KEY, ORIGIN, PEN, public_key, SigningKey(bytes(reversed(SEED))).public_key),
        message.build_linked(kid),
        message.build_refused("enrolled in ledger.example/log"),
        message.build_identify(),
        transfer.build_offer(LINK_KEY, NOW_MS, config_statement()),
        transfer.build_want(hashlib.sha256(config_statement()).digest()[:16], -1),
        transfer.build_chunk(hashlib.sha256(config_statement()).digest()[:16], 0, b"the first chunk"),
        transfer.build_outcome(hashlib.sha256(config_statement()).digest()[:16], transfer.KEPT),
    ]
    return [{"kind": message.kind(data), "hex": data.hex()} for data in messages]


def statement_for_nodes(kind: str, fields: "list[tuple[str, object]]") -> bytes:
    kid = kid_of(SigningKey(SEED).public_key)
    labels = [(1, cose.ALG_EDDSA), (4, kid), (16, f"application/vnd.tallystick.{kind}+cbor")]
    protected = cbor.encode(cbor.Map(labels))
    common = [("aud", ORIGIN), ("jti", bytes(range(16))), ("exp", NOW_MS + 1), ("target", None), ("version", 7)]
    payload = cbor.encode(cbor.Map(common + fields))
    return cose.assemble(protected, payload, sign(cose.sig_structure(protected, payload)))


def config_statement() -> bytes:
    alarms = cbor.Map([("t", [None, 800])])
    told = [("interval_ms", 60000), ("name", "cold room 2"), ("offsets", cbor.Map([("t", -25)])), ("alarms", alarms)]
    return statement_for_nodes("config", [("settings", cbor.Map(told))])


def update_vectors() -> "dict[str, object]":
    made = image.build("mpy6.3-armv6m", [("tallystick_node/a.py", b"a = 1"), ("tallystick_wire/b.mpy", bytes(300))])
    hashes = manifest.chunk_hashes(made, 256)
    fields = [("board", "mpy6.3-armv6m"), ("size", len(made)), ("chunk_bytes", 256)]
    fields += [("image", hashlib.sha256(made).digest()), ("chunks", hashlib.sha256(hashes).digest())]
    return {
        "config": config_statement().hex(),
        "firmware": statement_for_nodes("firmware", fields).hex(),
        "image": made.hex(),
        "chunk_hashes": hashes.hex(),
    }


def frame_vectors() -> "list[dict[str, object]]":
    payloads = (b"", b"\0", b"\x11\x22\0\x33", bytes(range(1, 251)), bytes(300), bytes([7]) * 1200)
    return [{"payload": payload.hex(), "frame": frame.encode(payload).hex()} for payload in payloads]


def build() -> "dict[str, object]":
    public_key = SigningKey(SEED).public_key
    return {
        "seed": SEED.hex(),
        "public_key": public_key.hex(),
        "kid": kid_of(public_key).hex(),
        "origin": ORIGIN,
        "pen": PEN,
        "link_key": LINK_KEY.hex(),
        "cbor": cbor_vectors(),
        "reading": reading_vectors(public_key),
        "messages": message_vectors(public_key),
        "frames": frame_vectors(),
        "update": update_vectors(),
    }


if __name__ == "__main__":
    print(json.dumps(build()))

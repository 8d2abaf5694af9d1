"""The conformance suites on CPython. Each suite imports what it needs when it is chosen."""

import io
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from tallystick_tools import conform_node
from tallystick_tools.conform_node import CaseError, field, hex_field
from tallystick_wire import cose, reading, senml
from tallystick_wire.errors import CoseError, SenmlError, WireError

Case = dict[str, Any]
Answer = Callable[[Case], Case]
_MAX_INDEX = (1 << 64) - 1  # tree sizes and indexes are 64 bits wide
_LABEL_CRIT = 2


class BadSignature(Exception):
    """The bytes are well formed, and the signature is not that of the key."""


def load(suite: str) -> Answer:
    """What answers the cases of `suite` (a key of SUITES). Bad cases become answers, never exceptions."""
    return SUITES[suite](suite)


def _guarded(answer: Answer, *errors: type[Exception]) -> Answer:
    caught: tuple[type[Exception], ...] = (CaseError, WireError, BadSignature, *errors)

    def guarded(case: Case) -> Case:
        try:
            return {"ok": True, **answer(case)}
        except caught as error:
            return conform_node.refusal(error)

    return guarded


def _node_suite(suite: str) -> Answer:
    """A suite that runs on nodes too; here the host's own signer signs."""
    from tallystick_proof.keys import Signer

    def sign(seed: bytes, message: bytes) -> bytes:
        return Signer("node", seed).sign(_Message(message))

    return lambda case: conform_node.answer(suite, case, sign)


class _Message:
    """Any bytes in the place of a reading: what a node's signer accepts."""

    kind = "reading"

    def __init__(self, to_be_signed: bytes) -> None:
        self.to_be_signed = to_be_signed


def _ed25519_verify(suite: str) -> Answer:
    def answer(case: Case) -> Case:
        _check_signature(hex_field(case, "pk"), hex_field(case, "msg"), hex_field(case, "sig"))
        return {}

    return _guarded(answer)


def _check_signature(public_key: bytes, message: bytes, signature: bytes) -> None:
    from tallystick_proof.keys import verify_signature

    if not verify_signature(public_key, message, signature):
        raise BadSignature("the signature is wrong")


def _cose_verify(suite: str) -> Answer:
    def answer(case: Case) -> Case:
        external_aad = hex_field(case, "external_aad") if case.get("external_aad") is not None else b""
        protected, payload, signature = _foreign_sign1(hex_field(case, "cose"))
        message = cose.sig_structure(protected, payload, external_aad)
        _check_signature(hex_field(case, "pk"), message, signature)
        return {"payload": payload.hex()}

    return _guarded(answer)


def _foreign_sign1(data: bytes) -> tuple[bytes, bytes, bytes]:
    """(protected as signed, payload, signature) of a COSE_Sign1 of others: any CBOR, tag 18 or none (RFC 9052 4.2)."""
    import cbor2

    message = _load_foreign(data)
    if isinstance(message, cbor2.CBORTag):
        if message.tag != cose.TAG_SIGN1:
            raise CoseError("the tag is not 18")
        message = message.value
    if not isinstance(message, (list, tuple)) or len(message) != 4:
        raise CoseError("COSE_Sign1 is an array of 4")
    protected, unprotected, payload, signature = message
    if not all(isinstance(part, bytes) for part in (protected, payload, signature)):
        raise CoseError("protected, payload and signature must be byte strings")
    header = _load_foreign(protected) if protected else {}
    if not isinstance(header, Mapping) or not isinstance(unprotected, Mapping):  # cbor2 freezes maps inside tags
        raise CoseError("the headers must be maps")
    if set(header) & set(unprotected) or _LABEL_CRIT in header or _LABEL_CRIT in unprotected:
        raise CoseError("a label stands in both headers, or something critical is unknown")
    # The key says which algorithm it is, so it does no harm where the label is not protected.
    if {**unprotected, **header}.get(cose.LABEL_ALG) not in (cose.ALG_EDDSA, cose.ALG_ED25519):
        raise CoseError("the algorithm must be -8 or -19")
    # An empty map is signed as an empty string (RFC 9052 section 4.4).
    return protected if header else b"", payload, signature


def _load_foreign(data: bytes) -> Any:
    import cbor2

    stream = io.BytesIO(data)
    try:
        value = cbor2.load(stream, allow_duplicate_keys=False)
    except (cbor2.CBORDecodeError, RecursionError) as error:
        raise CoseError(f"not CBOR: {error}") from None
    if stream.tell() != len(data):
        raise CoseError("bytes after the end")
    return value


def _reading_open(suite: str) -> Answer:
    from tallystick_proof import keys
    from tallystick_proof.errors import KeyFormatError

    def answer(case: Case) -> Case:
        public_key, data = hex_field(case, "pk"), hex_field(case, "reading")
        opened = reading.parse(data)
        keys.check_public_key(public_key)
        if opened.kid != keys.kid(public_key):
            raise BadSignature("the kid is that of another key")
        _check_signature(public_key, opened.sign1.to_be_signed, opened.sign1.signature)
        records = [_resolved(opened.pack.base_name, record) for record in opened.pack.records]
        return {"kid": opened.kid.hex(), "boot": opened.chain.boot, "seq": opened.chain.seq, "records": records}

    return _guarded(answer, KeyFormatError)


def _resolved(base_name: str, record: senml.Record) -> Case:
    """A record in the labels of SenML JSON; data values are hex here, like all bytes of this port."""
    resolved: Case = {"n": base_name + record.name}
    if record.unit is not None:
        resolved["u"] = record.unit
    value = record.value
    if isinstance(value, senml.Decimal):
        resolved["v"] = Decimal(value.mantissa).scaleb(value.exponent)
    elif isinstance(value, bytes):
        resolved["vd"] = value.hex()
    else:
        resolved["vb" if isinstance(value, bool) else "v" if isinstance(value, int) else "vs"] = value
    return resolved


def _senml_decode(suite: str) -> Answer:
    from tallystick_edge import senml_foreign

    def answer(case: Case) -> Case:
        now = case.get("now")
        if isinstance(now, bool) or not isinstance(now, (int, float, type(None))) or abs(now or 0) > _MAX_INDEX:
            raise CaseError("now must be a number of 64 bits")
        records = senml_foreign.decode(hex_field(case, "hex"), now)
        return {"records": [_hex_data(record) for record in records]}

    return _guarded(answer, SenmlError)


def _hex_data(record: Case) -> Case:
    return {label: value.hex() if isinstance(value, bytes) else value for label, value in record.items()}


def _merkle_root(suite: str) -> Answer:
    from tallystick_proof import merkle

    def answer(case: Case) -> Case:
        return {"root": merkle.root([merkle.leaf_hash(entry) for entry in _hex_list(case, "entries")]).hex()}

    return _guarded(answer)


def _merkle_inclusion(suite: str) -> Answer:
    from tallystick_proof import merkle
    from tallystick_proof.errors import MerkleError

    def answer(case: Case) -> Case:
        merkle.verify_inclusion(
            hex_field(case, "leaf_hash"),
            _integer(case, "index"),
            _integer(case, "size"),
            _hex_list(case, "proof"),
            hex_field(case, "root"),
        )
        return {}

    return _guarded(answer, MerkleError)


def _merkle_consistency(suite: str) -> Answer:
    from tallystick_proof import merkle
    from tallystick_proof.errors import MerkleError

    def answer(case: Case) -> Case:
        merkle.verify_consistency(
            _integer(case, "size1"),
            _integer(case, "size2"),
            hex_field(case, "root1"),
            hex_field(case, "root2"),
            _hex_list(case, "proof"),
        )
        return {}

    return _guarded(answer, MerkleError)


def _hex_list(case: Case, name: str) -> list[bytes]:
    items = field(case, name)
    if not isinstance(items, list):
        raise CaseError(f"{name} must be a list")
    return [conform_node.from_hex(item) for item in items]


def _integer(case: Case, name: str) -> int:
    value = field(case, name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_INDEX:
        raise CaseError(f"{name} must be an unsigned 64-bit integer")
    return value


def _note_verify(suite: str) -> Answer:
    from tallystick_proof import note
    from tallystick_proof.errors import NoteError

    def answer(case: Case) -> Case:
        vkeys = field(case, "vkeys")
        if not isinstance(vkeys, list) or not all(isinstance(vkey, str) for vkey in vkeys):
            raise CaseError("vkeys must be a list of texts")
        known = dict.fromkeys(map(note.VerifierKey.parse, vkeys))
        parsed = note.parse(_note_bytes(field(case, "note")))
        signers = []
        for line in parsed.lines:
            # Lines of other keys are ignored; a known key's line must be right (C2SP signed-note).
            keys = [key for key in known if (key.name, key.key_id) == (line.name, line.key_id)]
            if not all(note.verify_line(parsed.text, line, key) for key in keys):
                raise BadSignature(f"the signature of {line.name} is wrong")
            signers += [key for key in keys if key not in signers]
        if not signers:
            raise BadSignature("no signature of a known key")
        return {"names": [key.name for key in signers]}  # in the order of the lines, each key once

    return _guarded(answer, NoteError)


def _note_bytes(given: object) -> bytes:
    """A note is text; hex is taken too (a note is never hex: it has an empty line)."""
    if not isinstance(given, str):
        raise CaseError("note must be text")
    try:
        return conform_node.from_hex(given)
    except CaseError:
        return given.encode("utf-8", "surrogatepass")


def _sun_verify(suite: str) -> Answer:
    """Optional beside enc: mac_input (the text between SDMMACInputOffset and the MAC), uid, last_counter."""
    from tallystick_chips import sun
    from tallystick_chips.errors import SunError

    def answer(case: Case) -> Case:
        meta_key, file_key = _aes_key(case, "key_meta"), _aes_key(case, "key_file")
        p, c, enc = _text(case, "p"), _text(case, "c"), _text(case, "enc") if case.get("enc") is not None else None
        uid = hex_field(case, "uid") if case.get("uid") is not None else None
        last = _integer(case, "last_counter") if case.get("last_counter") is not None else None
        for mac_input in _mac_inputs(case, enc):
            try:
                tap = sun.verify(p, c, meta_key, file_key, mac_input=mac_input, enc=enc, uid=uid, last_counter=last)
            except sun.SunMacError as error:
                wrong = error
                continue
            return {"uid": tap.uid.hex(), "counter": tap.counter}
        raise wrong

    return _guarded(answer, SunError)


def _mac_inputs(case: Case, enc: str | None) -> list[bytes]:
    """What c may be over: nothing without enc; with it, enc and the name of the MAC as NXP or as we write it."""
    if case.get("mac_input") is not None:
        return [_text(case, "mac_input").encode("utf-8", "surrogatepass")]
    return [b""] if enc is None else [f"{enc}{name}".encode("utf-8", "surrogatepass") for name in ("&cmac=", "&c=")]


def _aes_key(case: Case, name: str) -> bytes:
    key = hex_field(case, name)
    if len(key) != 16:
        raise CaseError(f"{name} must be 16 bytes")
    return key


def _text(case: Case, name: str) -> str:
    value = field(case, name)
    if not isinstance(value, str):
        raise CaseError(f"{name} must be text")
    return value


SUITES: dict[str, Callable[[str], Answer]] = {
    **dict.fromkeys(conform_node.SUITES, _node_suite),
    "ed25519-verify": _ed25519_verify,
    "cose-verify": _cose_verify,
    "reading-open": _reading_open,
    "senml-decode": _senml_decode,
    "merkle-root": _merkle_root,
    "merkle-inclusion": _merkle_inclusion,
    "merkle-consistency": _merkle_consistency,
    "note-verify": _note_verify,
    "sun-verify": _sun_verify,
}

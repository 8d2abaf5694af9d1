"""SenML in CBOR from devices of others (RFC 8428): any valid CBOR, resolved as section 4.6 says.

The node's own packs are read by tallystick_wire.senml, which is strict; what others send need not be deterministic.
"""

import io
import math
import re
from decimal import Context, Decimal
from typing import Any

import cbor2

from tallystick_wire.errors import SenmlError

Number = int | float | Decimal
Record = dict[str, Any]  # labels of SenML JSON -> value; "vd" holds bytes

MAX_PACK_BYTES = 65_535  # an entry of the log holds no more
MAX_RECORDS = 4_096  # more than a frame of any link here can carry
MAX_DIGITS = 400  # of a decimal number: a double spans fewer, and a text of a thousand million digits is an attack
_EXACT = Context(prec=4 * MAX_DIGITS)  # from 10^400 down to the last of 400 digits of something near 10^-400
VERSION = 10
RELATIVE_BELOW = 1 << 28  # smaller times count from now (section 4.5.3)

_LABELS: dict[int, str] = {
    -6: "bs", -5: "bv", -4: "bu", -3: "bt", -2: "bn", -1: "bver",
    0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 5: "s", 6: "t", 7: "ut", 8: "vd",
}  # fmt: skip
_BASE_LABELS = {"bn", "bt", "bu", "bv", "bs", "bver"}
_TEXTS = {"bn", "bu", "n", "u", "vs"}
_NUMBERS = {"bs", "bv", "bt", "v", "s", "t", "ut"}
_VALUES = ("v", "vs", "vb", "vd")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]*")


def decode(data: bytes, now_s: Number | None = None) -> list[Record]:
    """Resolved records in chronological order. Without `now_s`, relative times stay so. SenmlError if not SenML."""
    base: Record = {}
    resolved = []
    for item in _load(data):
        record = _record(item)
        base.update({label: value for label, value in record.items() if label in _BASE_LABELS - {"bver"}})
        _check_version(base, record)
        if not record or record.keys() - _BASE_LABELS:  # else it only sets base fields (RFC 8428 section 5.1.7)
            resolved.append(_resolve(base, record, now_s))
    return sorted(resolved, key=lambda record: record.get("t", 0))


def _load(data: bytes) -> list[Any]:
    if len(data) > MAX_PACK_BYTES:
        raise SenmlError(f"a pack is at most {MAX_PACK_BYTES} bytes")
    stream = io.BytesIO(data)
    try:
        pack = cbor2.load(stream, allow_duplicate_keys=False)
    except (cbor2.CBORDecodeError, RecursionError) as error:
        raise SenmlError(f"not CBOR: {error}") from None
    if stream.tell() != len(data):
        raise SenmlError("bytes after the end")
    if not isinstance(pack, list) or not 0 < len(pack) <= MAX_RECORDS:
        raise SenmlError(f"a pack is an array of 1 to {MAX_RECORDS} records")
    return pack


def _record(item: object) -> Record:
    """One record with its labels as in JSON; unknown labels are left out unless they must be understood."""
    if not isinstance(item, dict):
        raise SenmlError("a record must be a map")
    record = {}
    for key, value in item.items():
        if isinstance(key, str) and key.endswith("_"):
            raise SenmlError(f"the label {key!r} must be understood and is not")
        if isinstance(key, int) and not isinstance(key, bool) and key in _LABELS:
            _check_type(_LABELS[key], value)
            record[_LABELS[key]] = value
    return record


def _check_type(label: str, value: object) -> None:
    fits = (
        (label in _TEXTS and isinstance(value, str))
        or (label in _NUMBERS and _is_number(value))
        or (label == "vb" and isinstance(value, bool))
        or (label == "vd" and isinstance(value, bytes))
        or (label == "bver" and isinstance(value, int) and not isinstance(value, bool) and value > 0)
    )
    if not fits:
        raise SenmlError(f"the value of {label} has the wrong type")


def _is_number(value: object) -> bool:
    if isinstance(value, Decimal):
        return value.is_finite() and abs(value.adjusted()) <= MAX_DIGITS and len(value.as_tuple().digits) <= MAX_DIGITS
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= 64


def _check_version(base: Record, record: Record) -> None:
    """All records of a pack have one version; a higher one than ours may hold what must be understood."""
    version = record["bver"] if "bver" in record else base.get("bver", VERSION)
    if version > VERSION or version != base.setdefault("bver", version):
        raise SenmlError(f"the version must be the same throughout, and at most {VERSION}")


def _resolve(base: Record, record: Record, now_s: Number | None) -> Record:
    name = base.get("bn", "") + record.get("n", "")
    if not _NAME.fullmatch(name):
        raise SenmlError("a name is missing or has a character that names may not have")
    resolved: Record = {"n": name}
    if base["bver"] != VERSION:
        resolved["bver"] = base["bver"]
    if (unit := record.get("u", base.get("bu"))) is not None:
        resolved["u"] = unit
    if "bt" in base or "t" in record or now_s is not None:
        time_s = _sum(base.get("bt", 0), record.get("t", 0))
        resolved["t"] = _sum(time_s, now_s) if now_s is not None and time_s < RELATIVE_BELOW else time_s
    resolved |= _values(base, record)
    if "ut" in record:
        resolved["ut"] = record["ut"]
    return resolved


def _values(base: Record, record: Record) -> Record:
    """The one value, the sum, or both. A base value or sum counts also where the record has none (section 4.5.4)."""
    values = {label: record[label] for label in _VALUES if label in record}
    if "v" in values or ("bv" in base and not values):
        values["v"] = _sum(base.get("bv", 0), record.get("v", 0))
    if len(values) > 1:
        raise SenmlError("a record has more than one value")
    if "s" in record or "bs" in base:
        values["s"] = _sum(base.get("bs", 0), record.get("s", 0))
    if not values:
        raise SenmlError("a record has neither a value nor a sum")
    return values


def _sum(left: Number, right: Number) -> Number:
    """Exact for integers and decimals; in doubles where both are; a double beside a decimal counts as it is printed."""
    if isinstance(left, Decimal) or isinstance(right, Decimal):
        return _EXACT.add(_decimal(left), _decimal(right))
    total = left + right
    if isinstance(total, float) and not math.isfinite(total):
        raise SenmlError("a base value and a value add up to more than a double holds")
    return total


def _decimal(number: Number) -> Decimal:
    return Decimal(repr(number)) if isinstance(number, float) else Decimal(number)

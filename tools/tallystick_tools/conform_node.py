"""The conformance suites that a node can run; the same file on CPython (imported) and in MicroPython (run).

In MicroPython it is a program: the first argument is the suite, each line of standard input one case (a JSON object
that the host has checked), each line of standard output its answer. MicroPython subset.
"""

import json
import struct
import sys

from tallystick_wire import cbor, cose, frame
from tallystick_wire.errors import CoseError, FrameError, WireError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Sign = Callable[[bytes, bytes], bytes]  # (seed, message) -> 64 bytes
    Case = dict[str, Any]

SUITES = ("cbor-decode", "cbor-encode", "ed25519-sign", "cose-sign", "frame")
SEED_BYTES = 32
MAX_VALUE_NESTING = 32  # of a JSON value: deeper than CBOR allows, shallower than a node's stack
MAX_FLOAT_CHARACTERS = 1000
_EXPONENT_BOUND = 5000  # beyond it every text of this length is zero or infinite
_INFINITY = 0x7FF << 52


class CaseError(Exception):
    """The case itself is wrong: no JSON object, a missing field, a wrong type, bad hex."""


def answer(suite: str, case: "Case", sign: "Sign") -> "Case":
    """{"ok": true, outputs} or {"ok": false, "error": class, outputs}; raises nothing that a case can cause."""
    try:
        return _SUITES[suite](case, sign)
    except (WireError, CaseError) as error:
        return refusal(error)


def refusal(error: Exception) -> "Case":
    return {"ok": False, "error": type(error).__name__}


def field(case: "Case", name: str) -> "Any":
    if name not in case:
        raise CaseError(f"{name} is missing")
    return case[name]


def hex_field(case: "Case", name: str) -> bytes:
    return from_hex(field(case, name))


def from_hex(text: object) -> bytes:
    # bytes.fromhex forgives white space, and not the same on every interpreter.
    if not isinstance(text, str) or len(text) % 2 or not all(digit in "0123456789abcdefABCDEF" for digit in text):
        raise CaseError("not hex")
    return bytes.fromhex(text)


def _cbor_decode(case: "Case", sign: "Sign") -> "Case":
    return {"ok": True, "hex": cbor.encode(cbor.decode(hex_field(case, "hex"))).hex()}


def _cbor_encode(case: "Case", sign: "Sign") -> "Case":
    return {"ok": True, "hex": cbor.encode(_value(field(case, "value"), 0)).hex()}


def _ed25519_sign(case: "Case", sign: "Sign") -> "Case":
    return {"ok": True, "sig": sign(_seed(case), hex_field(case, "msg")).hex()}


def _cose_sign(case: "Case", sign: "Sign") -> "Case":
    seed, protected, payload = _seed(case), hex_field(case, "protected"), hex_field(case, "payload")
    header = cbor.decode(protected)
    if not isinstance(header, cbor.Map) or header.get(cose.LABEL_ALG) not in (cose.ALG_EDDSA, cose.ALG_ED25519):
        raise CoseError("the protected header must be a map with algorithm -8 or -19")
    signature = sign(seed, cose.sig_structure(protected, payload))
    return {"ok": True, "cose": cose.assemble(protected, payload, signature).hex()}


def _frame(case: "Case", sign: "Sign") -> "Case":
    if ("payload" in case) == ("frame" in case):
        raise CaseError("give payload or frame")
    if "payload" in case:
        return {"ok": True, "frame": frame.encode(hex_field(case, "payload")).hex()}
    stream = hex_field(case, "frame")
    decoder = frame.Decoder()
    payloads = [payload.hex() for payload in decoder.feed(stream)]
    if decoder.junk or decoder.bad_crc or decoder.oversize or not stream or stream[-1] != 0:
        refused = refusal(FrameError("damaged or unfinished"))
        refused["payloads"] = payloads  # what stands beside the damage still counts
        return refused
    return {"ok": True, "payloads": payloads}


_SUITES = {
    "cbor-decode": _cbor_decode,
    "cbor-encode": _cbor_encode,
    "ed25519-sign": _ed25519_sign,
    "cose-sign": _cose_sign,
    "frame": _frame,
}


def _seed(case: "Case") -> bytes:
    seed = hex_field(case, "seed")
    if len(seed) != SEED_BYTES:
        raise CaseError(f"a seed is {SEED_BYTES} bytes")
    return seed


def _value(given: "Any", depth: int) -> "Any":
    """A CBOR value from plain JSON and the wrappers {"bytes"}, {"map"}, {"tag", "value"}, {"float"} and {"simple"}."""
    if depth > MAX_VALUE_NESTING:
        raise CaseError(f"nested deeper than {MAX_VALUE_NESTING}")
    if given is None or isinstance(given, (bool, int, str)):
        return given
    if isinstance(given, list):
        return [_value(item, depth + 1) for item in given]
    if not isinstance(given, dict):
        raise CaseError("a float is written as a wrapper")
    if len(given) == 1 and "bytes" in given:
        return from_hex(given["bytes"])
    if len(given) == 1 and "float" in given:
        return parse_float(given["float"])
    if len(given) == 1 and "simple" in given:
        return cbor.Simple(given["simple"])
    if len(given) == 1 and isinstance(given.get("map"), list):
        return cbor.Map([_pair(pair, depth + 1) for pair in given["map"]])
    if len(given) == 2 and "value" in given and "tag" in given:
        return cbor.Tag(given["tag"], _value(given["value"], depth + 1))
    raise CaseError("no wrapper of this form")


def _pair(pair: object, depth: int) -> "tuple[Any, Any]":
    if not isinstance(pair, list) or len(pair) != 2:
        raise CaseError("a map is a list of pairs")
    return _value(pair[0], depth), _value(pair[1], depth)


def parse_float(text: object) -> float:
    """The double nearest to a decimal text, as CPython's float() gives it: MicroPython's own parser is an ulp off."""
    if not isinstance(text, str) or not 0 < len(text) <= MAX_FLOAT_CHARACTERS:
        raise CaseError("a float is text")
    body = text.lower()
    negative = body[0] == "-"
    if body[0] in "+-":
        body = body[1:]
    if body == "nan":
        bits = 0x7FF8 << 48
    elif body in ("inf", "infinity"):
        bits = _INFINITY
    else:
        mantissa, exponent = _decimal(body)
        bits = _double_bits(mantissa, exponent)
    double: float = struct.unpack(">d", (bits | (1 << 63 if negative else 0)).to_bytes(8, "big"))[0]
    return double


def _decimal(body: str) -> "tuple[int, int]":
    """(mantissa, exponent of ten) of digits[.digits][e[+-]digits]."""
    number, has_exponent, exponent_text = body.partition("e")
    whole, _, fraction = number.partition(".")
    exponent_digits = exponent_text[1:] if exponent_text[:1] in ("+", "-") else exponent_text
    if not _digits(whole + fraction) or (has_exponent and not _digits(exponent_digits)):
        raise CaseError("not a decimal number")
    exponent = int(exponent_digits) if has_exponent else 0
    if exponent_text[:1] == "-":
        exponent = -exponent
    return int(whole + fraction), max(-_EXPONENT_BOUND, min(exponent, _EXPONENT_BOUND)) - len(fraction)


def _digits(text: str) -> bool:
    return bool(text) and all(character in "0123456789" for character in text)


def _double_bits(mantissa: int, exponent: int) -> int:
    """The bits of the double nearest to mantissa * 10^exponent, ties to even."""
    if mantissa == 0:
        return 0
    numerator: int = mantissa * 10 ** max(exponent, 0)
    denominator: int = 10 ** max(-exponent, 0)
    # A scale with 2^52 <= numerator / denominator / 2^scale < 2^53; less only where doubles are subnormal.
    scale = _bit_length(numerator) - _bit_length(denominator) - 53
    if (numerator << max(-scale, 0)) >= (denominator << max(scale, 0)) << 53:
        scale += 1
    scale = max(scale, -1074)
    scaled, divisor = numerator << max(-scale, 0), denominator << max(scale, 0)
    quotient = scaled // divisor
    rest = 2 * (scaled - quotient * divisor)
    if rest > divisor or (rest == divisor and quotient & 1):
        quotient += 1
    # A carry out of the quotient lands in the exponent, which is what rounding up means.
    bits = quotient + ((scale + 1074) << 52)
    return bits if bits < _INFINITY else _INFINITY


def _bit_length(number: int) -> int:
    return len(bin(number)) - 2  # MicroPython has no int.bit_length


def _main(suite: str) -> None:
    from tallystick_node.ed25519 import SigningKey

    def sign(seed: bytes, message: bytes) -> bytes:
        return SigningKey(seed).sign(message)

    while True:
        line = sys.stdin.buffer.readline()
        if not line:
            return
        try:
            answered = answer(suite, json.loads(line), sign)
        except MemoryError as error:
            answered = refusal(error)
        print(json.dumps(answered))


if __name__ == "__main__":
    _main(sys.argv[1])

"""A second verifier of bundles, written from docs/spec.md alone, with the standard library alone.

It imports nothing of the product: where the two disagree, the text or one of the programs has a defect. It is not
fast (about 2 ms a signature) and explains little; chapter numbers stand where the text is followed.
"""

import base64
import binascii
import functools
import hashlib
import re
import struct
import tomllib
import zlib
from fractions import Fraction
from typing import Any

FIELD = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\xa0\xad\u061c\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ud800-\udfff"
    "\ufeff\ufff0-\ufffb\U000e0000-\U000e0fff]"
)


class Refused(Exception):
    """At `link`."""

    def __init__(self, link: str, detail: str = "") -> None:
        super().__init__(f"{link}: {detail}")
        self.link = link


def need(condition: object, link: str, detail: str = "") -> None:
    if not condition:
        raise Refused(link, detail)


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


# -- 2.1 CBOR: a value is written by one rule, and what was read must be written the same --------------------------


class Map(dict[Any, Any]):
    """Keys (type name, key), so that 1 and True are two."""

    @classmethod
    def of(cls, **fields: Any) -> "Map":
        return cls({("str", name): value for name, value in fields.items()})

    def field(self, key: Any) -> Any:
        return self.get((type(key).__name__, key))

    def names(self) -> list[Any]:
        return [key for _, key in self]


class Tag(tuple[int, Any]):
    __slots__ = ()


class Simple(tuple[int]):
    __slots__ = ()


class Encoded(bytes):
    """A map key that Python cannot hash (it holds an array or a map), as its own bytes."""


def head(major: int, argument: int) -> bytes:
    if argument < 24:
        return bytes([major << 5 | argument])
    size = next(size for size in (1, 2, 4, 8) if argument < 1 << 8 * size)
    return bytes([major << 5 | 24 + (1, 2, 4, 8).index(size)]) + argument.to_bytes(size, "big")


def encode(value: Any) -> bytes:
    if value is None or isinstance(value, bool):
        return bytes([{None: 0xF6, False: 0xF4, True: 0xF5}[value]])
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, Encoded):
        return bytes(value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, Simple):
        return head(7, value[0])
    if isinstance(value, Tag):
        return head(6, value[0]) + encode(value[1])
    if isinstance(value, Map):
        pairs = sorted((encode(key), encode(item)) for (_, key), item in value.items())
        return head(5, len(pairs)) + b"".join(key + item for key, item in pairs)
    if isinstance(value, float):
        if value != value:
            return b"\xf9\x7e\x00"
        for code, form in ((b"\xf9", ">e"), (b"\xfa", ">f")):
            try:
                data = struct.pack(form, value)
            except OverflowError:
                continue
            if struct.unpack(form, data)[0] == value:
                return code + data
        return b"\xfb" + struct.pack(">d", value)
    return head(4, len(value)) + b"".join(map(encode, value))


def read(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    major, information = data[at] >> 5, data[at] & 31
    at += 1
    if major == 7:
        if information in (20, 21, 22):
            return (False, True, None)[information - 20], at
        if information < 24:
            return Simple((information,)), at
        if information == 24:
            if data[at] < 32:
                raise ValueError
            return Simple((data[at],)), at + 1
        form, size = {25: (">e", 2), 26: (">f", 4), 27: (">d", 8)}[information]
        return struct.unpack(form, data[at : at + size])[0], at + size
    argument, size = information, 0
    if information >= 24:
        size = (1, 2, 4, 8)[information - 24]
        argument = int.from_bytes(data[at : at + size], "big")
    at += size
    if major < 2:
        return (argument if major == 0 else -1 - argument), at
    if major < 4:
        if at + argument > len(data):
            raise ValueError
        content = data[at : at + argument]
        return (content if major == 2 else content.decode()), at + argument
    if depth == 8 or (major < 6 and argument > len(data) - at):
        raise ValueError
    if major == 6:
        value, at = read(data, at, depth + 1)
        if argument in (2, 3) and (not isinstance(value, bytes) or len(value) <= 8 or value[0] == 0):
            raise ValueError
        return Tag((argument, value)), at
    items = []
    for _ in range(argument * (major - 3)):
        item, at = read(data, at, depth + 1)
        items.append(item)
    if major == 4:
        return items, at
    keys = [(type(key).__name__, hashable(key)) for key in items[::2]]
    if len(set(keys)) != len(keys):
        raise ValueError
    return Map(zip(keys, items[1::2], strict=True)), at


def hashable(key: Any) -> Any:
    try:
        hash(key)
    except TypeError:
        return Encoded(encode(key))
    return key


def sequence(data: bytes, link: str) -> list[Any]:
    items, at = [], 0
    try:
        while at < len(data):
            item, end = read(data, at, 0)
            if encode(item) != data[at:end]:
                raise ValueError
            items.append(item)
            at = end
    except (ValueError, KeyError, IndexError, TypeError, struct.error, StopIteration):
        raise Refused(link, "not strict CBOR") from None
    return items


def decode(data: bytes, link: str) -> Any:
    items = sequence(data, link)
    need(len(items) == 1, link, "not one item")
    return items[0]


# -- 3.1 signatures -------------------------------------------------------------------------------------------------

D = -121665 * pow(121666, -1, FIELD) % FIELD
SMALL = 2707385501144840649318225287225658788936804267575313519463743609750303402022
Point = tuple[int, int, int, int]


def add(p: Point, q: Point) -> Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]), (p[1] + p[0]) * (q[1] + q[0])
    c, d = 2 * p[3] * q[3] * D, 2 * p[2] * q[2]
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % FIELD, g * h % FIELD, f * g % FIELD, e * h % FIELD


def times(scalar: int, p: Point) -> Point:
    result: Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add(result, p)
        p, scalar = add(p, p), scalar >> 1
    return result


def canonical(encoding: bytes) -> bool:
    y = int.from_bytes(encoding, "little") % 2**255
    return y < FIELD and y not in (0, 1, FIELD - 1, SMALL, FIELD - SMALL)


def point(encoding: bytes) -> Point | None:
    number = int.from_bytes(encoding, "little")
    y, sign = number % 2**255, number >> 255
    square = (y * y - 1) * pow(D * y * y + 1, -1, FIELD) % FIELD
    x = pow(square, (FIELD + 3) // 8, FIELD)
    if (x * x - square) % FIELD:
        x = x * pow(2, (FIELD - 1) // 4, FIELD) % FIELD
    if (x * x - square) % FIELD:
        return None
    x = x if x & 1 == sign else -x % FIELD
    return x, y, 1, x * y % FIELD


BASE = point((4 * pow(5, -1, FIELD) % FIELD).to_bytes(32, "little"))


@functools.lru_cache(100_000)
def signed(key: bytes, message: bytes, signature: bytes) -> bool:
    if len(key) != 32 or len(signature) != 64:
        return False
    nonce, scalar = signature[:32], int.from_bytes(signature[32:], "little")
    place = point(key)
    if scalar >= ORDER or not canonical(key) or not canonical(nonce) or place is None or BASE is None:
        return False
    challenge = int.from_bytes(hashlib.sha512(nonce + key + message).digest(), "little") % ORDER
    x, y, z, t = place
    x, y, z, _ = add(times(scalar, BASE), times(challenge, (-x, y, z, -t)))
    inverse = pow(z, -1, FIELD)
    x, y = x * inverse % FIELD, y * inverse % FIELD
    return (y | (x & 1) << 255).to_bytes(32, "little") == nonce


def thumbprint(key: bytes) -> bytes:
    return sha256(bytes.fromhex("a301012006215820") + key)


# -- 2.2 and 8 ------------------------------------------------------------------------------------------------------


class Signed:
    """A bare COSE_Sign1."""

    def __init__(self, data: bytes, link: str, most: int) -> None:
        need(len(data) <= most, link, "too long")
        tagged = decode(data, link)
        need(isinstance(tagged, Tag) and tagged[0] == 18 and isinstance(tagged[1], list), link)
        need(len(tagged[1]) == 4 and [type(part) for part in tagged[1]] == [bytes, Map, bytes, bytes], link)
        protected, unprotected, self.payload, self.signature = tagged[1]
        need(not unprotected and len(self.signature) == 64, link, "unprotected header or signature")
        self.header = decode(protected, link)
        need(isinstance(self.header, Map) and self.header.field(1) in (-8, -19), link)
        need(type(self.header.field(1)) is int, link)
        self.kid = self.header.field(4)
        need(isinstance(self.kid, bytes) and len(self.kid) == 8, link)
        self.message = encode(["Signature1", protected, b"", self.payload])
        self.data, self.identity = data, sha256(data)


def is_int(value: Any, least: int = 0, most: int = 2**63 - 1) -> bool:
    return type(value) is int and least <= value <= most


def is_bytes(value: Any, size: int) -> bool:
    return isinstance(value, bytes) and len(value) == size


def is_text(value: Any, most: int = 128, least: int = 1) -> bool:
    return isinstance(value, str) and least <= len(value) <= most and not HIDDEN.search(value)


KINDS = ("node", "gateway", "organisation", "installer", "decision")


def is_instrument(value: Any) -> bool:
    if not isinstance(value, Map):
        return False
    names = ["model", "serial", "calibration", "due_ms", "firmware", "channels"]
    if sorted(map(str, value.names())) != sorted(names):
        return False
    calibration, due, firmware, channels = (value.field(name) for name in names[2:])
    return (
        is_text(value.field("model"))
        and is_text(value.field("serial"))
        and (calibration is None or is_bytes(calibration, 32))
        and (due is None or is_int(due))
        and (firmware is None or (isinstance(firmware, bytes) and 1 <= len(firmware) <= 32))
        and isinstance(channels, Map)
        and 1 <= len(channels) <= 16
        and all(is_text(name, 2) for name in channels.names())
        and all(
            isinstance(item, list)
            and len(item) == 2
            and is_text(item[0])
            and (item[1] is None or is_text(item[1]))
            for item in channels.values()
        )
    )


def optional(check: Any) -> Any:
    return lambda value: value is None or check(value)


def hash32(value: Any) -> bool:
    return is_bytes(value, 32)


def is_nodes(value: Any) -> bool:
    if not isinstance(value, list) or not 1 <= len(value) <= 64 or not all(map(hash32, value)):
        return False
    return len(set(value)) == len(value)


def is_currency(value: Any) -> bool:
    return is_text(value, 3, 3)


def is_map(value: Any) -> bool:
    return isinstance(value, Map)


def is_item_path(value: Any) -> bool:
    parts = value.split("/") if isinstance(value, str) else []
    if len(parts) != 5 or parts[:2] != ["", "01"] or parts[3] != "21" or not re.fullmatch("[0-9]{14}", parts[2]):
        return False
    if parts[4] in (".", ".."):
        return False
    characters = re.sub("%2[125-9ABCF]|%3[ABCDEF]", "-", parts[4])
    return 1 <= len(characters) <= 20 and re.fullmatch("[A-Za-z0-9._-]*", characters) is not None


FOR_NODES: dict[str, Any] = {
    "exp": is_int,
    "target": optional(lambda value: is_bytes(value, 8)),
    "version": lambda value: is_int(value, 1, 2**32 - 1),
}
FIELDS: dict[str, dict[str, Any]] = {
    "enrol-request": {
        "key": hash32,
        "kind": lambda value: value in KINDS,
        "nonce": lambda value: is_bytes(value, 16),
        "token_hash": hash32,
    },
    "enrolment": {
        "request": lambda value: isinstance(value, bytes) and 1 <= len(value) <= 16384,
        "kind": lambda value: value in KINDS,
        "key": hash32,
        "not_before": optional(is_int),
        "not_after": optional(is_int),
        "commitment": optional(hash32),
        "instrument": optional(is_instrument),
        "token_hash": optional(hash32),
    },
    "revocation": {"thumbprint": hash32, "reason": lambda value: value in ("retired", "compromised")},
    "association": {"place": is_text, "lot": is_text, "nodes": is_nodes, "since_ms": is_int},
    "tag": {
        "item": is_item_path,
        "chip": lambda value: value in ("ntag213", "ntag215", "ntag216", "ntag424", "ntag424tt"),
        "copyable": lambda value: value is True or value is False,
        "uid": hash32,
        "epoch": optional(lambda value: is_int(value, 0, 2**32 - 1)),
        "key_set": is_text,
        "key_version": lambda value: is_int(value, 1, 254),
        "since_ms": is_int,
    },
    "config": {**FOR_NODES, "settings": is_map},
    "firmware": {
        **FOR_NODES,
        "board": lambda value: is_text(value, 32),
        "size": lambda value: is_int(value, 1, 2 * 1024 * 1024),
        "chunk_bytes": lambda value: type(value) is int and value in (256, 512, 1024),
        "image": hash32,
        "chunks": hash32,
    },
    "tag-job": {
        "installer": optional(hash32),
        "job": lambda value: is_bytes(value, 16),
        "key_set": is_text,
        "key_version": lambda value: is_int(value, 1, 254),
        "count": lambda value: is_int(value, 1, 10_000),
        "sealed": hash32,
    },
    "sheet": {"document": hash32, "key": hash32, "made_ms": is_int},
    "facility": {
        "lender": hash32,
        "borrower": hash32,
        "decision_key": hash32,
        "currency": is_currency,
        "limit_minor": is_int,
        "rules": is_map,
    },
    "pledge": {
        "facility": hash32,
        "association": hash32,
        "lot": is_text,
        "value_minor": is_int,
        "principal_minor": is_int,
        "currency": is_currency,
    },
    "decision": {
        "subject": hash32,
        "n": lambda value: is_int(value, 0, 2**32 - 1),
        "previous": optional(hash32),
        "state_before": hash32,
        "event": is_map,
        "rules": hash32,
        "as_of": lambda value: isinstance(value, list) and len(value) == 2 and all(map(is_int, value)),
        "effects": lambda value: isinstance(value, list),
        "state_after": hash32,
    },
}
COMMON = {"aud": is_text, "jti": lambda value: is_bytes(value, 16), "exp": optional(is_int)}
SIGNER = {
    "association": "installer",
    "tag": "installer",
    "sheet": "installer",
    "facility": "organisation",
    "pledge": "organisation",
    "decision": "decision",
}


class Statement(Signed):
    def __init__(self, data: bytes, link: str) -> None:
        super().__init__(data, link, 16384)
        need(set(self.header) == {("int", 1), ("int", 4), ("int", 16)}, link, "labels")
        match = re.fullmatch(r"application/vnd\.tallystick\.([a-z-]+)\+cbor", str(self.header.field(16)))
        need(match and match[1] in FIELDS, link, "typ")
        self.kind = match[1] if match else ""
        body = decode(self.payload, link)
        need(isinstance(body, Map), link)
        fields = {**COMMON, **FIELDS[self.kind]}
        for (_, name), value in body.items():
            need(isinstance(name, str) and name in fields and fields[name](value), link, f"{self.kind} {name}")
        missing = set(fields) - set(body.names())
        need(missing <= ({"token_hash"} if self.kind == "enrol-request" else set()), link, f"missing {missing}")
        self.body: dict[str, Any] = {name: body.field(name) for name in fields}


# -- 4 --------------------------------------------------------------------------------------------------------------


class Reading(Signed):
    def __init__(self, data: bytes, pen: int) -> None:
        super().__init__(data, "leaf", 1024)
        need(set(self.header) == {("int", 1), ("int", 3), ("int", 4), ("int", -65537)}, "leaf", "labels")
        need(self.header.field(3) == 112 and type(self.header.field(3)) is int, "leaf")
        chain = self.header.field(-65537)
        need(isinstance(chain, list) and len(chain) == 5, "leaf")
        self.boot, self.seq, self.uptime, self.previous, self.anchor = chain
        need(is_int(self.boot, 1, 2**32 - 1) and is_int(self.seq, 1, 2**32 - 1), "leaf")
        need(is_int(self.uptime, 0, 2**64 - 1) and is_bytes(self.previous, 16), "leaf")
        if self.anchor is not None:
            need(isinstance(self.anchor, list) and len(self.anchor) == 3 and is_bytes(self.anchor[1], 16), "leaf")
            need(is_int(self.anchor[0], 0, 2**64 - 1) and is_int(self.anchor[2], 0, self.uptime), "leaf")
        self.link = self.identity[:16]
        self.values = self._pack()
        base = re.fullmatch(r"urn:dev:os:(0|[1-9][0-9]{0,9})-([0-9a-f]{16})_", self.base)
        need(base and base[2] == self.kid.hex(), "leaf", "base name")
        self.named_well = base is not None and int(base[1]) == pen
        boot = [self.values.get(name) for name in ("rc", "lp", "rb", "fw", "cf")]
        self.persisted: int | None = None
        if boot != [None] * 5:
            need(isinstance(boot[0], str) and all(is_int(one, 0, 2**32 - 1) for one in boot[1:3]), "leaf")
            need(is_bytes(boot[3], 8) and is_bytes(boot[4], 8), "leaf")
            self.persisted = boot[1]
        self.gap: Any = (self.values.get("gf"), self.values.get("gl"))
        if self.gap != (None, None):
            first, last = self.gap
            need(is_int(first, 1) and is_int(last, first or 0, self.seq - 1), "leaf", "gap")

    def _pack(self) -> dict[str, Any]:
        pack = decode(self.payload, "leaf")
        need(isinstance(pack, list) and pack and all(isinstance(item, Map) for item in pack), "leaf")
        self.base = pack[0].field(-2)
        need(isinstance(self.base, str), "leaf")
        values: dict[str, Any] = {}
        for at, item in enumerate(pack):
            labels = set(item)
            need(all(kind == "int" for kind, _ in labels), "leaf")
            found = {label for _, label in labels}
            need(found <= {-2, 0, 1, 2, 3, 4, 8} and (-2 in found) == (at == 0), "leaf", "label")
            name, unit = item.field(0), item.field(1)
            need(isinstance(name, str) and re.fullmatch("[a-zA-Z]{1,2}", name) and name not in values, "leaf")
            need(1 not in found or (isinstance(unit, str) and unit), "leaf")
            need(len(found & {2, 3, 4, 8}) == 1, "leaf")
            label = (found & {2, 3, 4, 8}).pop()
            value = item.field(label)
            good = {2: is_number(value), 3: isinstance(value, str), 4: value in (True, False)}
            need(good.get(label, isinstance(value, bytes)), "leaf", name)
            need(label != 4 or isinstance(value, bool), "leaf")
            values[name] = value
        return values


def is_number(value: Any) -> bool:
    if isinstance(value, Tag) and value[0] == 4 and isinstance(value[1], list) and len(value[1]) == 2:
        return all(type(part) is int for part in value[1]) and abs(value[1][0]) <= 12
    return type(value) is int


Ranges = list[tuple[int, int]]


def declared(window: list[Reading]) -> Ranges:
    return sorted((one.gap[0], one.gap[1]) for one in window if one.gap[0] is not None)


def follows(a: tuple[int, int, bytes], b: tuple[int, int, bytes | None, int | None], ranges: Ranges) -> bool:
    """4.3, for a = (boot, seq, link) and b = (boot, seq, previous, lp)"""
    if a[0] == b[0] and b[1] == a[1] + 1 and b[2] == a[2]:
        return True
    if b[0] > a[0] and b[3] is not None and b[3] <= a[1] < b[1] and (b[3] < a[1] or b[2] == a[2]):
        return True
    missing, last = a[1] + 1, b[1] - 1
    if b[0] > a[0] and b[3] is not None:
        last = min(last, b[3])
    if b[0] < a[0] or missing > last:
        return False
    for first, end in ranges:
        if first <= missing <= end:
            missing = end + 1
    return missing > last


# -- 5 --------------------------------------------------------------------------------------------------------------


def interval(boot: int, uptime: int, anchor: Any, latest: int | None) -> tuple[int | None, bool]:
    """(earliest, consistent); anchor is (boot, uptime, earliest of its checkpoint)."""
    if anchor is None or (boot, uptime) < (anchor[0], anchor[1]):
        return None, True
    earliest = anchor[2] + ((uptime - anchor[1]) * 999800 // 1000000 if boot == anchor[0] else 0)
    return earliest, latest is None or earliest <= latest + 60000


# -- 6 --------------------------------------------------------------------------------------------------------------


def parent(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right)


def split(n: int) -> int:
    return 1 << (n - 1).bit_length() - 1


def included(leaf: bytes, index: int, size: int, proof: list[bytes], root: bytes) -> bool:
    """By the definition: which side each sibling stands on follows from index and size alone."""
    if not 0 <= index < size:
        return False
    sides = []
    while size > 1:
        k = split(size)
        sides.append(index >= k)
        index, size = (index - k, size - k) if index >= k else (index, k)
    if len(sides) != len(proof):
        return False
    for sibling, right in zip(proof, reversed(sides), strict=True):
        leaf = parent(sibling, leaf) if right else parent(leaf, sibling)
    return leaf == root


def range_root(start: int, leaves: list[bytes], size: int, proof: list[bytes]) -> bytes:
    end, left = start + len(leaves), list(proof)
    need(0 <= start < end <= size <= 2**63 - 1, "root", "range")

    def walk(low: int, high: int) -> bytes:
        if high <= start or low >= end:
            need(left, "root", "proof too short")
            return left.pop(0)
        if high - low == 1:
            return leaves[low - start]
        middle = low + split(high - low)
        first = walk(low, middle)
        return parent(first, walk(middle, high))

    root = walk(0, size)
    need(not left, "root", "proof too long")
    return root


def unbase64(text: str, link: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(link, "base64") from None
    need(base64.b64encode(data).decode() == text, link, "base64")
    return data


def decimal(text: str, most: int, link: str) -> int:
    need(re.fullmatch("0|[1-9][0-9]{0,18}", text) and int(text) <= most, link, "number")
    return int(text)


def is_name(text: str) -> bool:
    return is_text(text, 256) and not set(text) & set(" +")


class Note:
    """6.2 and 6.3"""

    def __init__(self, data: bytes, link: str) -> None:
        need(len(data) <= 65536, link)
        try:
            whole = data.decode()
        except UnicodeDecodeError:
            raise Refused(link, "UTF-8") from None
        head_text, blank, tail = whole.rpartition("\n\n")
        need(blank and tail.endswith("\n") and 1 <= tail.count("\n") <= 64, link, "form")
        self.text = head_text + "\n"
        need(not re.search("[\x00-\x09\x0b-\x1f]", self.text), link)
        self.lines = []
        for line in tail[:-1].split("\n"):
            words = line.split(" ")
            need(len(words) == 3 and words[0] == "—" and is_name(words[1]), link, "line")
            blob = unbase64(words[2], link)
            need(len(blob) > 4, link)
            self.lines.append((words[1], blob[:4], blob[4:]))
        parts = self.text[:-1].split("\n")
        need(3 <= len(parts) <= 7 and is_name(parts[0]) and all(is_text(part, 256) for part in parts[3:]), link)
        self.origin, self.extensions = parts[0], parts[3:]
        self.size, self.root = decimal(parts[1], 2**63 - 1, link), unbase64(parts[2], link)
        need(len(self.root) == 32, link)

    def holds(self, line: tuple[str, bytes, bytes], kind: int, key: bytes) -> int | None:
        """The time of a cosignature, 0 for a signature, None when it does not hold."""
        blob, time = line[2], 0
        message = self.text.encode()
        if kind == 4:
            time = int.from_bytes(blob[:8], "big")
            message = f"cosignature/v1\ntime {time}\n{self.text}".encode()
            if time >= 2**63 or len(blob) != 72:
                return None
            blob = blob[8:]
        return time if signed(key, message, blob) else None


def key_id(name: str, kind: int, key: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + bytes([kind]) + key)[:4]


class Trust:
    """6.4 and 11. The file is the verifier's own, so what is wrong in it is not looked for."""

    def __init__(self, text: str) -> None:
        table = tomllib.loads(text)
        self.origin, self.pen, self.authorities = table["origin"], table["pen"], table["authority"]
        self.logs: list[tuple[str, bytes]] = []
        self.witnesses: dict[str, tuple[str, bytes]] = {}
        self.groups: list[tuple[str, int, list[str]]] = []
        for line in table["policy"].split("\n"):
            words = line.split()
            if words[:1] == ["log"]:
                self.logs.append(self.vkey(words[1]))
            elif words[:1] == ["witness"]:
                self.witnesses[words[1]] = self.vkey(words[2])
            elif words[:1] == ["group"]:
                count = {"any": 1, "all": len(words) - 3}.get(words[2]) or int(words[2])
                self.groups.append((words[1], count, words[3:]))
            elif words[:1] == ["quorum"]:
                self.quorum = words[1]
        listed = [bytes.fromhex(key) for one in self.authorities for key in one["keys"]]
        self.fixed = [*listed, *(key for _, key in (*self.logs, *self.witnesses.values()))]

    @staticmethod
    def vkey(text: str) -> tuple[str, bytes]:
        name, _, key = text.split("+", 2)
        return name, base64.b64decode(key)[1:]

    def check(self, data: bytes) -> "Head":
        """6.6"""
        note = Note(data, "witness")
        need(note.origin == self.origin, "witness", "origin")
        known = {(name, key_id(name, 1, key)): (1, key, "") for name, key in self.logs if name == self.origin}
        for policy_name, (name, key) in self.witnesses.items():
            known[name, key_id(name, 4, key)] = (4, key, policy_name)
        times: dict[str, int] = {}
        log = False
        for line in note.lines:
            # Whoever the policy lists up to this line can sign no later one: that is the order.
            while known and next(iter(known)) != line[:2]:
                known.pop(next(iter(known)))
            need(known, "witness", "a line of a stranger, or not in order")
            kind, key, policy_name = known.pop(line[:2])
            time = note.holds(line, kind, key)
            need(time is not None, "witness", "signature")
            if kind == 4:
                times[policy_name] = time or 0
            log = log or kind == 1
        need(log, "witness", "no log signature")
        complete = dict(times)
        for name, count, members in self.groups:
            found = sorted(complete[one] for one in members if one in complete)
            if len(found) >= count:
                complete[name] = found[count - 1]
        need(self.quorum != "none" and self.quorum in complete, "witness", "not witnessed")
        return Head(note, min(times.values()) * 1000, (complete[self.quorum] + 1) * 1000)


class Head:
    def __init__(self, note: Note, earliest: int, quorum: int) -> None:
        self.note, self.earliest, self.quorum = note, earliest, quorum


# -- 12 -------------------------------------------------------------------------------------------------------------


def zipped(members: dict[str, bytes]) -> bytes:
    """12.1"""
    local, central = b"", b""
    for name in sorted(members):
        content = members[name]
        common = struct.pack(
            "<5H3I2H", 10, 0, 0, 0, 0x21, zlib.crc32(content), len(content), len(content), len(name), 0
        )
        central += b"PK\x01\x02\x0a\x00" + common + struct.pack("<3H2I", 0, 0, 0, 0, len(local)) + name.encode()
        local += b"PK\x03\x04" + common + name.encode() + content
    count = len(members)
    end = struct.pack("<4H2IH", 0, 0, count, count, len(central), len(local), 0)
    return local + central + b"PK\x05\x06" + end


def unzipped(data: bytes) -> dict[str, bytes]:
    need(len(data) <= 64 << 20, "archive")
    members: dict[str, bytes] = {}
    at = 0
    while data[at : at + 4] == b"PK\x03\x04" and len(data) >= at + 30:
        size, length = struct.unpack("<I", data[at + 22 : at + 26])[0], struct.unpack("<H", data[at + 26 : at + 28])[0]
        name = data[at + 30 : at + 30 + length].decode("latin-1")
        need(re.fullmatch("[a-z0-9-][a-z0-9.-]{0,127}", name), "archive", "name")
        members[name] = data[at + 30 + length : at + 30 + length + size]
        at += 30 + length + size
        need(len(members) <= 10_000, "archive")
    need(zipped(members) == data, "archive", "form")
    return members


class Key:
    def __init__(self, statement: Statement, index: int) -> None:
        self.statement, self.index = statement, index
        self.public, self.kind = statement.body["key"], statement.body["kind"]
        self.revoked: int | None = None


class Placed:
    """A verified reading and its bounds."""

    def __init__(self, reading: Reading, anchor: Any, last_anchor: Any, head: Head, index: int) -> None:
        self.reading, self.anchor, self.last_anchor, self.head, self.index = reading, anchor, last_anchor, head, index


class Verifier:
    """Raises Refused, or the bundle is verified; `effects` are those of a decision's bundle."""

    def __init__(self, data: bytes, trust_text: str) -> None:
        self.trust = Trust(trust_text)
        self.members = unzipped(data)
        self.needed = {"manifest.cbor"}
        self.effects: list[Any] = []
        manifest = decode(self.member("manifest.cbor", "manifest"), "manifest")
        need(isinstance(manifest, Map) and set(manifest) == {("int", n) for n in (1, 2, 3, 4)}, "manifest")
        version, kind, subject, origin = (manifest.field(n) for n in (1, 2, 3, 4))
        need(type(version) is int and version == 1 and kind in ("reading", "window", "decision"), "manifest")
        need(isinstance(subject, list) and len(subject) == (3 if kind == "window" else 2), "manifest")
        need(is_bytes(subject[0], 32) and all(is_int(n, 0, 2**64 - 1) for n in subject[1:]), "manifest")
        need(origin == self.trust.origin, "trust")
        self._statements()
        self._keys()
        self._batches()
        if kind == "decision":
            self._decisions(subject[0], subject[1])
        else:
            self._readings(kind, subject)
        self._finish()

    def member(self, name: str, link: str) -> bytes:
        need(name in self.members, link, f"{name} is missing")
        return self.members[name]

    def need_members(self, *names: str) -> None:
        self.needed.update(names)

    def proved(self, stem: str, kind: int, data: bytes) -> tuple[int, Head]:
        """A ledger proof: (index, head)."""
        text, _, note = self.member(stem + ".tlog-proof", "root").partition(b"\n\n")
        need(text.isascii(), "root")
        lines = text.decode().split("\n")
        need(lines[0] == "c2sp.org/tlog-proof@v1" and len(lines) > 1 and lines[1].startswith("index "), "root")
        index = decimal(lines[1][6:], 2**63 - 2, "root")
        proof = [unbase64(line, "root") for line in lines[2:]]
        need(len(proof) <= 63 and all(len(one) == 32 for one in proof), "root")
        head = self.trust.check(note)
        leaf = sha256(b"\x00" + encode([kind, data]))
        need(included(leaf, index, head.note.size, proof, head.note.root), "root", stem)
        return index, head

    def _statements(self) -> None:
        self.statements: dict[bytes, Statement] = {}
        for name, data in self.members.items():
            if name.startswith("statement-") and name.endswith(".cose"):
                one = Statement(data, "statement")
                need(name == f"statement-{one.identity.hex()}.cose", "statement", "name")
                self.statements[one.identity] = one

    def _keys(self) -> None:
        """9"""
        changes = []
        for name, data in self.members.items():
            if name.startswith("key-") and name.endswith(".cose"):
                one = Statement(data, "enrolment")
                need(one.kind == "enrolment", "enrolment")
                need(name == f"key-{thumbprint(one.body['key']).hex()}.cose", "enrolment", "name")
                changes.append((*self.proved(name[:-5], 2, data), one))
        for one in self.statements.values():
            if one.kind == "revocation":
                changes.append((*self.proved(f"statement-{one.identity.hex()}", 2, one.data), one))
        self.keys: dict[bytes, Key] = {}
        for index, head, one in sorted(changes, key=lambda change: change[0]):
            if one.kind == "enrolment":
                self._check_enrolment(one, head)
                new = thumbprint(one.body["key"])
                need(all(new[:8] != other[:8] for other in self.keys), "enrolment", "kid")
                self.keys[new] = Key(one, index)
            else:
                key = self.keys.get(one.body["thumbprint"])
                need(key, "enrolment", "revocation of a stranger")
                if key:
                    self._check_authority(one, key.kind, head)
                    key.revoked = index if key.revoked is None else key.revoked

    def _check_authority(self, one: Statement, kind: str, head: Head) -> None:
        need(one.body["aud"] == self.trust.origin, "enrolment", "aud")
        for authority in self.trust.authorities:
            for text in authority["keys"]:
                key = bytes.fromhex(text)
                if authority["kind"] == kind and thumbprint(key)[:8] == one.kid:
                    need(signed(key, one.message, one.signature), "enrolment", "signature")
                    low, high = authority.get("not_before_ms", 0), authority.get("not_after_ms", 2**63)
                    need(low <= head.quorum <= high, "enrolment", "dates")
                    return
        raise Refused("enrolment", "no authority")

    def _check_enrolment(self, one: Statement, head: Head) -> None:
        body = one.body
        self._check_authority(one, body["kind"], head)
        need(canonical(body["key"]) and body["key"] not in self.trust.fixed, "enrolment", "key")
        request = Statement(body["request"], "enrolment")
        need(request.kind == "enrol-request" and request.kid == thumbprint(body["key"])[:8], "enrolment")
        need(signed(body["key"], request.message, request.signature), "enrolment", "request")
        need(request.body["aud"] == self.trust.origin, "enrolment", "aud of the request")
        for name in ("key", "kind", "token_hash"):
            need(request.body[name] == body[name], "enrolment", name)
        need((body["instrument"] is not None) == (body["kind"] == "node"), "enrolment", "instrument")
        need((body["token_hash"] is not None) == (body["kind"] == "gateway"), "enrolment", "token")
        if body["not_before"] is not None and body["not_after"] is not None:
            need(body["not_before"] <= body["not_after"], "enrolment")

    def key(self, name: bytes, kind: str) -> Key:
        key = self.keys.get(name)
        if key is None or key.kind != kind:
            raise Refused("enrolment", f"no {kind} {name.hex()}")
        self.need_members(f"key-{name.hex()}.cose", f"key-{name.hex()}.tlog-proof")
        for one in self.statements.values():
            if one.kind == "revocation" and one.body["thumbprint"] == name:
                self.need_members(*(f"statement-{one.identity.hex()}.{end}" for end in ("cose", "tlog-proof")))
        return key

    def _batches(self) -> None:
        """12.3 step 4"""
        self.shown: dict[tuple[bytes, int], tuple[Reading, str, int, Head]] = {}
        self.ends: list[str] = []
        for stem in sorted({name.rpartition(".")[0] for name in self.members if name.startswith("batch-")}):
            match = re.fullmatch(r"batch-([0-9a-f]{64})-([1-9][0-9]{0,9})-([1-9][0-9]{0,18})", stem)
            need(match, "leaf", "batch name")
            gateway, epoch, size = bytes.fromhex(match[1]), int(match[2]), int(match[3])  # type: ignore[index]
            key = self.key(gateway, "gateway")
            items = sequence(self.member(stem + ".entries", "leaf"), "leaf")
            need(items, "leaf")
            for item in items:
                hidden = isinstance(item, list) and len(item) == 1 and is_bytes(item[0], 32)
                need(isinstance(item, bytes) or hidden, "leaf")
            leaves = [item[0] if isinstance(item, list) else sha256(b"\x00" + item) for item in items]
            span = decode(self.member(stem + ".range", "root"), "root")
            need(isinstance(span, list) and len(span) == 3 and is_int(span[0]) and is_int(span[1]), "root")
            need(isinstance(span[2], list) and all(map(hash32, span[2])) and span[1] == size, "root")
            root = range_root(span[0], leaves, size, span[2])
            data = self.member(stem + ".checkpoint", "gateway-signature")
            note = Note(data, "gateway-signature")
            origin = f"{self.trust.origin}/gateway/{gateway.hex()}/{epoch}"
            need(len(note.lines) == 1, "gateway-signature")
            need(note.lines[0][:2] == (origin, key_id(origin, 1, key.public)), "gateway-signature")
            need(note.holds(note.lines[0], 1, key.public) is not None, "gateway-signature")
            need((note.origin, note.size, note.extensions) == (origin, size, []), "gateway-signature")
            need(epoch < 2**32, "gateway-signature")
            need(note.root == root, "root")
            index, head = self.proved(stem, 1, data)
            need(key.index < index and (key.revoked is None or index < key.revoked), "enrolment", "gateway")
            if isinstance(items[0], list) or isinstance(items[-1], list):
                self.ends.append(stem)
            for item in items:
                if isinstance(item, bytes):
                    self._show(item, stem, index, head)
        self.unused = set(self.shown)

    def _show(self, item: bytes, stem: str, index: int, head: Head) -> None:
        """7.1"""
        need(len(item) <= 65535, "leaf")
        entry = decode(item, "leaf")
        need(isinstance(entry, list) and len(entry) == 6 and entry[0] == 1 and type(entry[0]) is int, "leaf")
        _, moment, received, clock, source, body = entry
        need(isinstance(moment, list) and len(moment) == 2 and is_int(moment[0], 1, 2**32 - 1), "leaf")
        need(is_int(moment[1]) and (received is None or is_int(received)), "leaf")
        need(isinstance(clock, list) and len(clock) == 2 and is_int(clock[0], 0, 5), "leaf")
        need(clock[1] is None or is_int(clock[1]), "leaf")
        need(isinstance(source, str) and 1 <= len(source) <= 128 and isinstance(body, bytes), "leaf")
        reading = Reading(body, self.trust.pen)
        need((reading.kid, reading.seq) not in self.shown, "leaf", "shown twice")
        self.shown[reading.kid, reading.seq] = (reading, stem, index, head)

    def window(self, name: bytes, first: int, last: int, after: Placed | None, strict: bool) -> list[Placed]:
        """12.3 steps 5 to 7"""
        key = self.key(name, "node")
        seqs = sorted(seq for kid, seq in self.shown if kid == name[:8] and first <= seq <= last)
        need(seqs and (seqs[0], seqs[-1]) == (first, last), "chain", "ends")
        placed = []
        ranges = declared([self.shown[name[:8], seq][0] for seq in seqs])
        for seq in seqs:
            need((name[:8], seq) in self.unused, "chain", "twice")
            self.unused.discard((name[:8], seq))
            reading, stem, index, head = self.shown[name[:8], seq]
            need(signed(key.public, reading.message, reading.signature) and reading.named_well, "signature")
            need(key.revoked is None or index < key.revoked, "enrolment", "revoked")
            if after is not None:
                before = (after.reading.boot, after.reading.seq, after.reading.link)
                behind = (reading.boot, reading.seq, reading.previous, reading.persisted)
                need(follows(before, behind, ranges), "chain", str(seq))
            anchor = self._anchor(reading)
            after = Placed(reading, anchor, anchor or (after.last_anchor if after else None), head, index)
            if strict:
                earliest, consistent = interval(reading.boot, reading.uptime, after.last_anchor, head.quorum)
                need(consistent, "time")
                low, high = key.statement.body["not_before"], key.statement.body["not_after"]
                need(high is None or earliest is None or earliest <= high, "enrolment", "not_after")
                need(low is None or head.quorum >= low, "enrolment", "not_before")
            self.need_members(*(f"{stem}.{end}" for end in ("entries", "range", "checkpoint", "tlog-proof")))
            placed.append(after)
        return placed

    def _anchor(self, reading: Reading) -> Any:
        if reading.anchor is None:
            return None
        size, hash16, uptime = reading.anchor
        name = f"anchor-{size}.checkpoint"
        head = self.trust.check(self.member(name, "anchor"))
        need(head.note.size == size and sha256(head.note.text.encode())[:16] == hash16, "anchor")
        self.need_members(name)
        return [reading.boot, uptime, head.earliest]

    def _readings(self, kind: str, subject: list[Any]) -> None:
        if kind == "window":
            self.window(subject[0], subject[1], subject[2], None, True)
            return
        shown = [seq for kid, seq in self.shown if kid == subject[0][:8]]
        found = self.window(subject[0], min(shown, default=0), subject[1], None, True)
        anchored = [at for at, one in enumerate(found) if one.reading.anchor is not None]
        need(len(found) == 1 or anchored == [0], "anchor", "start")

    def _finish(self) -> None:
        need(not self.ends and not self.unused, "unreachable")
        need(self.needed == set(self.members), "unreachable", str(set(self.members) - self.needed))

    # -- 12.4 and 10

    def statement(self, identity: bytes, kind: str) -> tuple[Statement, bytes, int, Head]:
        """(statement, thumbprint of its signer, index, head)"""
        need(identity in self.statements and self.statements[identity].kind == kind, "statement", kind)
        one = self.statements[identity]
        stem = f"statement-{identity.hex()}"
        index, head = self.proved(stem, 2, one.data)
        name = next((name for name in self.keys if name[:8] == one.kid), b"")
        key = self.key(name, SIGNER[kind])
        need(one.body["aud"] == self.trust.origin and signed(key.public, one.message, one.signature), "statement")
        need(key.index < index and (key.revoked is None or index < key.revoked), "statement")
        need(one.body["exp"] is None or head.earliest <= one.body["exp"] + 60000, "statement", "expired")
        self.need_members(stem + ".cose", stem + ".tlog-proof")
        return one, name, index, head

    def _decisions(self, loan: bytes, number: int) -> None:
        pledge, borrower, index1, _ = self.statement(loan, "pledge")
        facility, lender, index2, _ = self.statement(pledge.body["facility"], "facility")
        need((lender, borrower) == (facility.body["lender"], facility.body["borrower"]), "statement", "who")
        association, _, index3, head = self.statement(pledge.body["association"], "association")
        state = opening(facility, pledge, association, head.earliest)
        rules = facility.body["rules"]
        found = {one.body["n"]: one for one in self.statements.values() if one.kind == "decision"}
        need(set(found) == set(range(number + 1)), "decision", "which")
        previous: bytes | None = None
        last: dict[bytes, Placed] = {}
        for n in range(number + 1):
            one, signer, index, _ = self.statement(found[n].identity, "decision")
            body = one.body
            need(signer == facility.body["decision_key"], "enrolment", "decision key")
            need((body["subject"], body["previous"]) == (loan, previous), "decision", "chain")
            need(body["rules"] == sha256(encode(rules)), "rules")
            previous = one.identity
            asof = self.trust.check(self.member(f"asof-{n}.checkpoint", "as-of"))
            self.need_members(f"asof-{n}.checkpoint")
            size, time = body["as_of"]
            need((asof.note.size, asof.quorum) == (size, time), "as-of")
            need(size >= state[9][0] and time >= state[9][1] and index >= size, "as-of")
            need(n or max(index1, index2, index3) < size, "as-of", "opening")
            windows = self._windows(body["event"], last, size)
            need(sha256(encode(state)) == body["state_before"], "state-before")
            state, effects = decide(state, windows, size, time, rules, self.trust.origin, self.keys)
            need(encode(effects) == encode(body["effects"]), "effects")
            need(sha256(encode(state)) == body["state_after"], "state-after")
            self.effects += effects

    def _windows(self, event: Map, last: dict[bytes, Placed], size: int) -> dict[bytes, list[Placed]]:
        listed = event.field("windows")
        need(set(event) == {("str", "windows")} and isinstance(listed, list), "decision")
        found: dict[bytes, list[Placed]] = {}
        for item in listed:
            need(isinstance(item, list) and [type(part) for part in item] == [bytes, int, int], "decision")
            need(not found or item[0] > max(found), "decision", "order")
            found[item[0]] = self.window(item[0], item[1], item[2], last.get(item[0]), False)
            last[item[0]] = found[item[0]][-1]
            need(all(one.index < size for one in found[item[0]]), "as-of", "evidence")
        return found


def base(rules: Map, value: int, haircut: int) -> int:
    return int(value * rules.field("advance_bps") * (10000 - haircut) // 10**8)


def opening(facility: Statement, pledge: Statement, association: Statement, since: int) -> list[Any]:
    """10.1 to 10.3"""
    rules, lent, lot = facility.body["rules"], pledge.body, association.body
    names = ["warm_for_ms", "silence_for_ms", "cure_ms", "advance_bps", "haircut_warm_bps", "haircut_silence_bps"]
    need(set(rules) == {("str", name) for name in [*names, "warm_limit"]}, "statement", "rules")
    need(all(is_int(rules.field(name), 1, 31_622_400_000) for name in names[:3]), "statement", "rules")
    need(all(is_int(rules.field(name), 0, 10_000) for name in names[3:]), "statement", "rules")
    need(is_number(rules.field("warm_limit")), "statement", "rules")
    need(rules.field("haircut_silence_bps") >= rules.field("haircut_warm_bps"), "statement", "rules")
    need(lent["facility"] == facility.identity and lent["association"] == association.identity, "statement")
    need(lent["lot"] == lot["lot"] and lent["currency"] == facility.body["currency"], "statement")
    need(0 < lent["principal_minor"] <= facility.body["limit_minor"], "statement")
    need(lent["principal_minor"] <= base(rules, lent["value_minor"], 0), "statement")
    nodes = [[name, since, None, 0, None] for name in sorted(lot["nodes"])]
    amounts = [lent["currency"], lent["principal_minor"], lent["value_minor"]]
    identities = [facility.identity, pledge.identity, association.identity, sha256(encode(rules))]
    return [*identities, *amounts, since, nodes, [0, since], [], 0, None]


def exact(number: Any) -> Fraction:
    return Fraction(10) ** int(number[0]) * int(number[1])


def temperature(value: Any) -> list[int] | None:
    if not is_number(value):
        return None
    return list(value[1]) if isinstance(value, Tag) else [0, value]


def observation(one: Placed, origin: str, keys: dict[bytes, Key]) -> list[Any]:
    reading = one.reading
    public = next(key.public for name, key in keys.items() if name[:8] == reading.kid)
    genesis = sha256(b"tallystick/genesis/v1\x00" + origin.encode() + public)[:16]
    previous = None if reading.previous == genesis else reading.previous
    warm = temperature(reading.values.get("t"))
    moment = [reading.seq, reading.boot, reading.uptime, previous, reading.link, one.anchor]
    return [*moment, one.head.quorum, warm, reading.persisted]


def fold(node: list[Any], s: list[Any], since: int, limit: Fraction, ranges: Ranges) -> tuple[list[Any], int]:
    """10.5: (node, gap)"""
    name, earliest, node_anchor, warm_ms, last = node
    seq, boot, uptime, previous, _, anchor, latest, _, persisted = s
    if last is None:
        need(previous is None or latest <= since, "decision", "start")
    else:
        need(follows((last[1], last[0], last[4]), (boot, seq, previous, persisted), ranges), "decision", "link")
    if last is None or boot != last[1] or last[2] > uptime:
        gap = max(0, latest - earliest)
    else:
        gap = max(0, min(-(-(uptime - last[2]) * 1000200 // 1000000), latest - since))
    hot = [one[7] is None or exact(one[7]) > limit for one in (last, s) if one is not None]
    warm_ms = warm_ms + gap if last is not None and any(hot) else 0
    used = anchor or node_anchor
    if used is not None:
        bound, consistent = interval(boot, uptime, used, latest)
        if bound is not None and consistent:
            earliest, node_anchor = max(earliest, min(bound, latest)), used
    return [name, earliest, node_anchor, warm_ms, s], gap


def decide(
    state: list[Any],
    windows: dict[bytes, list[Placed]],
    size: int,
    time: int,
    rules: Map,
    origin: str,
    keys: dict[bytes, Key],
) -> tuple[list[Any], list[Any]]:
    """10.5 and 10.6"""
    need(set(windows) <= {node[0] for node in state[8]}, "decision", "node")
    limit = exact(temperature(rules.field("warm_limit")))
    nodes, measured = [], []
    for node in state[8]:
        warmest, widest = node[3], 0
        window = windows.get(node[0], [])
        ranges = declared([one.reading for one in window])
        for one in window:
            node, gap = fold(node, observation(one, origin, keys), state[7], limit, ranges)
            warmest, widest = max(warmest, node[3]), max(widest, gap)
        nodes.append(node)
        measured.append((node[0], {"too-warm": warmest, "silence": max(widest, time - node[1])}))
    effects: list[Any] = []
    broken, haircut, call = list(state[10]), state[11], state[12]
    limits = {"too-warm": rules.field("warm_for_ms"), "silence": rules.field("silence_for_ms")}
    cuts = {"too-warm": rules.field("haircut_warm_bps"), "silence": rules.field("haircut_silence_bps")}
    for covenant, most in limits.items():
        if covenant in state[10]:
            continue
        reached = [(name, values[covenant]) for name, values in measured if values[covenant] >= most]
        found = [["alert", covenant, name, value, most] for name, value in reached]
        effects += found
        if found:
            broken.append(covenant)
            haircut = max(haircut, cuts[covenant])
    broken = [covenant for covenant in limits if covenant in broken]
    if haircut > state[11]:
        effects.append(["haircut", haircut])
    short = state[5] - base(rules, state[6], haircut)
    if short > (0 if call is None else call[0]):
        call = [short, time + rules.field("cure_ms") if call is None else call[1]]
        effects.append(["margin-call", short, state[4], call[1]])
    return [*state[:8], nodes, [size, time], broken, haircut, call], effects

"""What a bundle is made of: member names, the manifest, the forms of a batch, and a builder that writes them.

    manifest.cbor                          {1: version, 2: kind, 3: subject, 4: ledger origin}
    key-<thumbprint>.cose .tlog-proof      the enrolment of a signer, and its ledger proof
    statement-<identity>.cose .tlog-proof  a facility, pledge, association, decision, or the revocation of a used key
    batch-<gateway>-<epoch>-<size>         .entries  CBOR sequence: an entry, or [its leaf hash] where it is withheld
                                           .range    CBOR [index of the first item, tree size, [hash, ...]]
                                           .checkpoint  the gateway's note      .tlog-proof  that note's ledger proof
    anchor-<size>.checkpoint               the cosigned ledger checkpoint that a revealed reading cites
    asof-<n>.checkpoint                    the cosigned ledger checkpoint of decision n

subject: reading [thumbprint, seq]; window [thumbprint, first, last]; decision [loan identity, n].
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tallystick_proof import archive, statement
from tallystick_proof.chain import Declared, missing_between
from tallystick_proof.errors import ArchiveError, CannotTell
from tallystick_proof.keys import thumbprint
from tallystick_proof.sync import MAX_BATCH_BYTES, MAX_BATCH_ENTRIES
from tallystick_wire import cbor
from tallystick_wire.errors import CborError
from tallystick_wire.reading import Reading

MANIFEST = "manifest.cbor"
VERSION = 1
HASH_BYTES = 32
# A member is refused by its size before it is decoded: decoded values need many times their bytes.
MAX_MANIFEST_BYTES = 1024  # an origin of 128 characters, a name of 32 bytes, two numbers
MAX_RANGE_BYTES = 8 * 1024  # two paths of at most 63 hashes of 34 bytes, and two numbers
MAX_ITEMS = MAX_BATCH_ENTRIES  # of a batch: no more lie between two checkpoints of a gateway
MAX_ENTRIES_BYTES = MAX_BATCH_BYTES + 40 * MAX_ITEMS  # each item has a head, or is a hash in place of a small entry
MAX_NUMBER = (1 << 64) - 1  # sequence numbers, tree sizes and decision numbers fit a CBOR unsigned integer
KINDS = {"reading": 1, "window": 2, "decision": 1}  # kind -> how many numbers follow the 32 bytes of its subject

Subject = tuple[bytes, *tuple[int, ...]]
_BATCH_STEM = re.compile(r"batch-([0-9a-f]{64})-([1-9][0-9]{0,9})-([1-9][0-9]{0,19})")


@dataclass(frozen=True, slots=True)
class Withheld:
    """An entry of which the bundle shows only the leaf hash: it is somebody else's."""

    leaf_hash: bytes


Item = bytes | Withheld


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the bundle says that it proves. Nothing in it is believed: it only says where the walk starts."""

    kind: str
    subject: Subject
    origin: str

    def encode(self) -> bytes:
        return cbor.encode(cbor.Map([(1, VERSION), (2, self.kind), (3, list(self.subject)), (4, self.origin)]))

    @classmethod
    def decode(cls, data: bytes) -> "Manifest":
        """ArchiveError when it is malformed, CannotTell when a later version wrote it."""
        value = _decode(MANIFEST, data, MAX_MANIFEST_BYTES)
        if not isinstance(value, cbor.Map) or [key for key, _ in value.pairs] != [1, 2, 3, 4]:
            raise ArchiveError(f"{MANIFEST} is not a map of 1, 2, 3 and 4")
        version, kind, subject, origin = (item for _, item in value.pairs)
        if not _is_number(version):
            raise ArchiveError(f"{MANIFEST}: the version must be a number")
        if version != VERSION:
            raise CannotTell(f"the bundle has version {version}, this verifier knows {VERSION}")
        if not isinstance(kind, str) or kind not in KINDS or not isinstance(origin, str):
            raise ArchiveError(f"{MANIFEST}: kind or origin is not one this verifier knows")
        return cls(kind, _subject(kind, subject), origin)


def key_stem(key_thumbprint: bytes) -> str:
    return f"key-{key_thumbprint.hex()}"


def statement_stem(identity: bytes) -> str:
    return f"statement-{identity.hex()}"


def batch_stem(gateway: bytes, epoch: int, size: int) -> str:
    return f"batch-{gateway.hex()}-{epoch}-{size}"


def parse_batch_stem(stem: str) -> tuple[bytes, int, int]:
    """(gateway thumbprint, epoch, tree size); ArchiveError when `stem` is not the name of a batch."""
    match = _BATCH_STEM.fullmatch(stem)
    if not match or int(match[3]) > MAX_NUMBER:
        raise ArchiveError(f"{stem} is not batch-<gateway>-<epoch>-<size>")
    return bytes.fromhex(match[1]), int(match[2]), int(match[3])


def anchor_name(size: int) -> str:
    return f"anchor-{size}.checkpoint"


def asof_name(number: int) -> str:
    return f"asof-{number}.checkpoint"


def encode_entries(items: Sequence[Item]) -> bytes:
    return b"".join(cbor.encode([item.leaf_hash] if isinstance(item, Withheld) else item) for item in items)


def decode_entries(name: str, data: bytes) -> list[Item]:
    """The items of an .entries member, 1 to MAX_ITEMS; ArchiveError."""
    _check_size(name, data, MAX_ENTRIES_BYTES)
    try:
        values = cbor.decode_sequence(data)
    except CborError as error:
        raise ArchiveError(f"{name}: {error}") from None
    if not 0 < len(values) <= MAX_ITEMS:
        raise ArchiveError(f"{name} has {len(values)} items, 1 to {MAX_ITEMS} are allowed")
    return [_item(name, value) for value in values]


def encode_range(start: int, size: int, hashes: Sequence[bytes]) -> bytes:
    return cbor.encode([start, size, list(hashes)])


def decode_range(name: str, data: bytes) -> tuple[int, int, list[bytes]]:
    """(index of the first item, tree size, proof); ArchiveError."""
    value = _decode(name, data, MAX_RANGE_BYTES)
    if not isinstance(value, list) or len(value) != 3 or not isinstance(value[2], list):
        raise ArchiveError(f"{name} is not [start, size, hashes]")
    start, size, hashes = value
    if not _is_number(start) or not _is_number(size) or not all(_is_hash(item) for item in hashes):
        raise ArchiveError(f"{name} is not [start, size, hashes]")
    return start, size, hashes


def lead(readings: Iterable[Reading], window: Iterable[Reading] = ()) -> int:
    """Where a bundle must start so that its first wanted reading has a lower bound in time.

    `readings` run downwards in sequence number from the first wanted one (at least that one). Answers the sequence
    number of the nearest that carries an anchor and links up to it, or that of the first wanted reading itself.
    window: what is wanted behind it, whose declarations of what was given up count too; read only where one is needed.
    """
    declared, behind, iterator = Declared(), iter(window), iter(readings)
    wanted = later = next(iterator)
    while later.chain.anchor is None:
        declared.add_reading(later)
        earlier = next(iterator, None)
        if earlier is not None and missing_between(earlier, later, declared) is None:
            for one in behind:
                declared.add_reading(one)
        if earlier is None or missing_between(earlier, later, declared) is None:
            return wanted.chain.seq
        later = earlier
    return later.chain.seq


def reveal(needed: Mapping[int, bytes], leaf_hash: Callable[[int], bytes]) -> tuple[int, list[Item]]:
    """(start, items) for add_batch: from the first needed entry to the last, everything else withheld."""
    start, last = min(needed), max(needed)
    return start, [
        needed[index] if index in needed else Withheld(leaf_hash(index)) for index in range(start, last + 1)
    ]


class Builder:
    """Collects the members of one bundle. The same fact twice is one member; two different ones are ArchiveError."""

    def __init__(self, kind: str, subject: Sequence[bytes | int], origin: str) -> None:
        self._members: dict[str, bytes] = {}
        self._put(MANIFEST, Manifest(kind, _subject(kind, list(subject)), origin).encode())

    def add_key(self, enrolment: bytes, proof: bytes) -> None:
        """The enrolment of a signer whose signature the bundle shows."""
        stem = key_stem(thumbprint(statement.parse(enrolment).body["key"]))
        self._put(stem + ".cose", enrolment)
        self._put(stem + ".tlog-proof", proof)

    def add_statement(self, data: bytes, proof: bytes) -> None:
        stem = statement_stem(statement.parse(data).identity)
        self._put(stem + ".cose", data)
        self._put(stem + ".tlog-proof", proof)

    def add_batch(
        self,
        gateway: bytes,
        epoch: int,
        size: int,
        start: int,
        items: Sequence[Item],
        hashes: Sequence[bytes],
        checkpoint: bytes,
        proof: bytes,
    ) -> None:
        """Items [start, start + len(items)) of the gateway's tree at `size`, with the range proof `hashes`."""
        stem = batch_stem(gateway, epoch, size)
        self._put(stem + ".entries", encode_entries(items))
        self._put(stem + ".range", encode_range(start, size, hashes))
        self._put(stem + ".checkpoint", checkpoint)
        self._put(stem + ".tlog-proof", proof)

    def add_anchor(self, size: int, note: bytes) -> None:
        self._put(anchor_name(size), note)

    def add_asof(self, number: int, note: bytes) -> None:
        self._put(asof_name(number), note)

    def to_bytes(self) -> bytes:
        """The bundle; ArchiveError when it is larger than a bundle may be."""
        return archive.write(self._members)

    def _put(self, name: str, content: bytes) -> None:
        if self._members.setdefault(name, content) != content:
            raise ArchiveError(f"{name} was added twice with different bytes")


def _subject(kind: str, value: object) -> Subject:
    if kind not in KINDS or not isinstance(value, list) or len(value) != 1 + KINDS[kind]:
        raise ArchiveError(f"{MANIFEST}: the subject does not fit the kind")
    name, *numbers = value
    if not _is_hash(name) or not all(_is_number(number) for number in numbers):
        raise ArchiveError(f"{MANIFEST}: the subject does not fit the kind")
    return (name, *numbers)


def _item(name: str, value: object) -> Item:
    if isinstance(value, bytes):
        return value
    if isinstance(value, list) and len(value) == 1 and _is_hash(value[0]):
        return Withheld(value[0])
    raise ArchiveError(f"{name}: an item is neither an entry nor [leaf hash]")


def _check_size(name: str, data: bytes, most: int) -> None:
    if len(data) > most:
        raise ArchiveError(f"{name} has {len(data)} bytes, at most {most} are allowed")


def _decode(name: str, data: bytes, most: int) -> object:
    _check_size(name, data, most)
    try:
        value: object = cbor.decode(data)
    except CborError as error:
        raise ArchiveError(f"{name}: {error}") from None
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_NUMBER


def _is_hash(value: object) -> bool:
    return isinstance(value, bytes) and len(value) == HASH_BYTES

"""Verdicts: what the ledger says about a reading that it holds. Pure; admission does not depend on it.

A verdict is a function of the log alone, so anyone who replays the log gets the same one:

    malformed       no gateway entry, no reading, or a base name of another PEN
    unknown key     no node key of this kid is enrolled (before the reading's index; an enrolment judges anew)
    bad signature   not signed by that key
    revoked         its index is above that of the revocation of its key, or of its gateway's
    duplicate       the same sequence number stood in the log before, and it is the same reading
    fork            ... and it is another reading: two holders of one key, or one that lies
    unknown anchor  cites a checkpoint that this log has not published
    valid           the only one that is evidence
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tallystick_ledger.segment import (
    BAD_SIGNATURE,
    DUPLICATE,
    FORK,
    MALFORMED,
    NO_KID,
    NO_LINK,
    REVOKED,
    UNKNOWN_ANCHOR,
    UNKNOWN_KEY,
    VALID,
    Sighting,
)
from tallystick_proof import entry, keys
from tallystick_proof.enrolment import EnrolledKey
from tallystick_proof.errors import EntryError
from tallystick_wire import reading, senml
from tallystick_wire.errors import WireError
from tallystick_wire.reading import Reading

Anchor = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entry that is a reading, or should be: `reading` is None when it is malformed."""

    offset: int
    reading: Reading | None

    @property
    def kid(self) -> bytes:
        return self.reading.kid if self.reading else NO_KID

    @property
    def anchor(self) -> Anchor | None:
        anchor = self.reading.chain.anchor if self.reading else None
        return None if anchor is None else (anchor[0], anchor[1])


def candidates(entries: Sequence[bytes], pen: int) -> list[Candidate]:
    """The entries that get a verdict: readings, and what cannot be told apart from a broken one."""
    found = []
    for offset, data in enumerate(entries):
        try:
            decoded = entry.GatewayEntry.decode(data)
        except EntryError:
            found.append(Candidate(offset, None))
            continue
        if decoded.kind == entry.READING and isinstance(decoded.body, bytes):
            found.append(Candidate(offset, _reading(decoded.body, pen)))
    return found


def check(
    found: Sequence[Candidate],
    key_of: Callable[[bytes], EnrolledKey | None],
    published: Mapping[Anchor, bool],
) -> dict[bytes, list[Sighting]]:
    """kid -> its sightings, each as good as it looks without regard to log order: see settle for that.

    `published` says for each anchor whether this log published it. The signatures are checked here, so never call it
    inside a transaction.
    """
    holds = _signatures(found, key_of)
    by_kid: dict[bytes, list[Sighting]] = {}
    for candidate in found:
        parsed = candidate.reading
        if parsed is None:
            sighting = Sighting(candidate.offset, 0, MALFORMED, NO_LINK)
        else:
            anchor = candidate.anchor
            known = anchor is None or published[anchor]
            verdict = _unordered(holds.get(candidate.offset), known)
            sighting = Sighting(candidate.offset, parsed.chain.seq, verdict, parsed.link)
        by_kid.setdefault(candidate.kid, []).append(sighting)
    return by_kid


def settle(sighting: Sighting, revoked: bool, first_link: bytes | None) -> Sighting:
    """The final verdict, now that its place in the log is known.

    revoked: a revocation of its key, or of its gateway's, stands before it. first_link: the link of the reading with
    its number that stands before it, None when it is the first.
    """
    if sighting.verdict not in (VALID, UNKNOWN_ANCHOR):
        return sighting
    if revoked:
        return sighting._replace(verdict=REVOKED)
    if first_link is not None:
        return sighting._replace(verdict=DUPLICATE if first_link == sighting.link else FORK)
    return sighting


def is_node_key(key: EnrolledKey | None) -> bool:
    return key is not None and key.kind == keys.NODE


def _reading(body: bytes, pen: int) -> Reading | None:
    try:
        parsed = reading.parse(body)
        named_pen, _ = senml.split_base_name(parsed.pack.base_name)
    except WireError:
        return None
    # A body with a filled unprotected header would be a second spelling of one reading.
    return parsed if named_pen == pen and parsed.data == body else None


def _signatures(found: Sequence[Candidate], key_of: Callable[[bytes], EnrolledKey | None]) -> dict[int, bool]:
    """offset -> whether the signature holds, for readings of enrolled nodes."""
    offsets, items = [], []
    for candidate in found:
        parsed = candidate.reading
        key = key_of(candidate.kid) if parsed else None
        if parsed and key and is_node_key(key):
            offsets.append(candidate.offset)
            items.append((key.public_key, parsed.sign1.to_be_signed, parsed.sign1.signature))
    return dict(zip(offsets, keys.verify_many(items), strict=True))


def _unordered(holds: bool | None, anchor_known: bool) -> str:
    if holds is None:
        return UNKNOWN_KEY
    if not holds:
        return BAD_SIGNATURE
    return VALID if anchor_known else UNKNOWN_ANCHOR

"""When one reading of a node follows another: the rule that makes a missing reading visible (docs/spec.md 4.3)."""

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from tallystick_wire.reading import Reading


class Place(Protocol):
    """What the rule looks at; previous may be None for a node's genesis."""

    @property
    def seq(self) -> int: ...
    @property
    def boot(self) -> int: ...
    @property
    def previous(self) -> bytes | None: ...
    @property
    def link(self) -> bytes: ...
    @property
    def last_persisted(self) -> int | None: ...


class Missing(NamedTuple):
    """What may lie between two readings that link, and is not here."""

    given_up: int  # numbers right behind the earlier reading that its node declares as given up
    declared_by: tuple[int, ...]  # by the readings with these numbers
    unknown: int  # numbers above those that a boot record leaves open


NOTHING = Missing(0, (), 0)


class Declared:
    """The ranges of numbers that the readings of ONE window of ONE node declare as given up: (first, last, seq)."""

    def __init__(self, ranges: Iterable[tuple[int, int, int]] = ()) -> None:
        # Rising in first and in last: a range within another one says nothing, so only the widest are kept.
        self._ranges: list[tuple[int, int, int]] = []
        for first, last, seq in ranges:
            self.add(first, last, seq)

    @classmethod
    def of(cls, window: Iterable[Reading]) -> "Declared":
        found = cls()
        for one in window:
            found.add_reading(one)
        return found

    def add_reading(self, one: Reading) -> None:
        """What this reading declares, if it declares anything."""
        if one.gap is not None:
            self.add(*one.gap, one.chain.seq)

    def add(self, first: int, last: int, seq: int) -> None:
        """Reading `seq` declares `first` to `last`."""
        at = self._count_to(first)
        if at and self._ranges[at - 1][1] >= last:
            return
        start = at - 1 if at and self._ranges[at - 1][0] == first else at
        while at < len(self._ranges) and self._ranges[at][1] <= last:
            at += 1
        self._ranges[start:at] = [(first, last, seq)]

    def by(self, first: int, last: int) -> tuple[int, ...]:
        """The readings that together declare every number from `first` to `last`; none when one is not declared."""
        found: list[int] = []
        while first <= last:
            covering = self._covering(first)
            if covering is None:
                return ()
            found.append(covering[2])
            first = covering[1] + 1
        return tuple(found)

    def first_undeclared(self, number: int) -> int:
        """The lowest number from `number` on that nobody declares."""
        while (covering := self._covering(number)) is not None:
            number = covering[1] + 1
        return number

    def _covering(self, number: int) -> tuple[int, int, int] | None:
        """Of the ranges that hold `number` the one that reaches furthest, or None."""
        at = self._count_to(number)
        return self._ranges[at - 1] if at and self._ranges[at - 1][1] >= number else None

    def _count_to(self, number: int) -> int:
        """How many ranges begin at or below `number`."""
        return bisect_right(self._ranges, number, key=lambda kept: kept[0])


NOTHING_DECLARED = Declared()


def to_declare(earlier: Place, later: Place) -> range:
    """The numbers between two readings for which only declarations can account; empty where there are none."""
    if later.boot < earlier.boot:
        return range(0)
    last = later.seq - 1
    if later.boot > earlier.boot and later.last_persisted is not None:
        last = min(last, later.last_persisted)  # what the new boot knows nothing of is unknown
    return range(earlier.seq + 1, last + 1)


def between(earlier: Place, later: Place, declared: Declared) -> Missing | None:
    """What may be missing between two readings of a node that link, or None when they do not link.

    The same boot: the next sequence number, and it names the earlier one. A new boot: a boot record that admits to have
    persisted no more than the earlier one; what the node made in between may be lost. When the record says that exactly
    the earlier one was persisted, its hash must fit too. Everything else that is missing must be declared as given up.
    """
    missing = to_declare(earlier, later)
    if missing:
        by = declared.by(missing.start, missing.stop - 1)
        return Missing(len(missing), by, later.seq - missing.stop) if by else None
    names, persisted = later.previous == earlier.link, later.last_persisted
    if later.boot == earlier.boot:
        return NOTHING if names and later.seq == earlier.seq + 1 else None
    if later.boot < earlier.boot or later.seq <= earlier.seq or persisted is None:
        return None
    fits = persisted < earlier.seq or (persisted == earlier.seq and names)
    return Missing(0, (), later.seq - earlier.seq - 1) if fits else None


class ReadingPlace(NamedTuple):
    """Where a parsed reading stands, without the reading."""

    seq: int
    boot: int
    previous: bytes
    link: bytes
    last_persisted: int | None

    @classmethod
    def of(cls, one: Reading) -> "ReadingPlace":
        boot = one.boot_record
        persisted = None if boot is None else boot.last_persisted
        return cls(one.chain.seq, one.chain.boot, one.chain.previous, one.link, persisted)


def missing_between(earlier: Reading, later: Reading, declared: Declared = NOTHING_DECLARED) -> Missing | None:
    """`between` for two parsed readings."""
    return between(ReadingPlace.of(earlier), ReadingPlace.of(later), declared)

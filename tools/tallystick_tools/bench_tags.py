"""`tallystick bench nfc`, what it does: tags given their identity over the emulated link, beside nfcpy's plain write.

Both sides are in this process: a tag's own cryptography and the udp packets are in every figure. A real radio is
slower by far; what is compared is how much more work a tag of ours is than one that only gets a link.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ndef  # type: ignore[import-untyped]

from tallystick_chips import an10922, personalise, tag_link
from tallystick_chips.personalise_desk import Desk
from tallystick_chips.tag_journal import Journal
from tallystick_chips.tag_order import META_KEY, Chip, TagOrder
from tallystick_chips.tag_originality import Originality
from tallystick_emulators.nfcpy_udp import activate, open_reader
from tallystick_emulators.tag_field import EmulatedTag, Field
from tallystick_emulators.tag_ntag21x import Ntag21x
from tallystick_emulators.tag_ntag424 import Ntag424
from tallystick_emulators.tag_signature import (
    ORIGINALITY_PUBLIC_KEY_21X,
    ORIGINALITY_PUBLIC_KEY_424,
    sign_21x,
    sign_424,
)
from tallystick_emulators.tag_udp import UdpTagServer
from tallystick_provisioning import nfc
from tallystick_provisioning.item import item
from tallystick_provisioning.nfc_nfcpy import NfcpyReader
from tallystick_tools.errors import BenchError

CHIPS: tuple[Chip, ...] = ("ntag424", "ntag215")
STEPS = personalise.STEPS[:-1]  # locking is a second pass
HOST = "item.example"
GTIN = "09506000134352"
ROUNDS = 5
_EMULATED = Originality((ORIGINALITY_PUBLIC_KEY_21X,), (ORIGINALITY_PUBLIC_KEY_424,))

Progress = Callable[[str, int, int], None]


@dataclass
class Spent:
    """Seconds on the clock for one tag, and commands that reached it."""

    whole_s: float = 0.0
    waiting_s: float = 0.0  # for the tag: commands and activations
    journal_s: float = 0.0  # until the disk has it
    commands: int = 0
    steps_s: dict[str, float] = field(default_factory=dict)


Round = Mapping[str, Spent]


@dataclass(frozen=True)
class BenchKeys:
    """A job's keys, diversified as a job's are; the master is no secret."""

    version: int = 1

    def key(self, uid: bytes, number: int) -> bytes:
        whose = bytes(7) if number == META_KEY else uid
        return an10922.diversify(bytes(16), an10922.tag_input(whose, b"bench", number))


class TimedJournal(Journal):
    """A journal that counts how long its records take."""

    def __init__(self, folder: Path, spent: Spent) -> None:
        super().__init__(folder)
        self._spent = spent

    def append(self, uid: bytes, event: str, **values: Any) -> None:
        begun = time.perf_counter()
        super().append(uid, event, **values)
        self._spent.journal_s += time.perf_counter() - begun


class TimedReader:
    """A reader that counts how long its caller waits for the tag."""

    def __init__(self, reader: nfc.Reader, spent: Spent) -> None:
        self._reader, self.spent = reader, spent
        self.name = reader.name

    def sense(self, timeout_s: float = nfc.SENSE_TIMEOUT_S) -> "TimedTag | None":
        with self.waiting():
            tag = self._reader.sense(timeout_s)
        return None if tag is None else TimedTag(self, tag)

    def close(self) -> None:
        self._reader.close()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.spent.waiting_s += time.perf_counter() - begun


class TimedTag:
    """One contact of a TimedReader."""

    def __init__(self, reader: TimedReader, tag: nfc.Tag) -> None:
        self._reader, self._tag = reader, tag
        self.uid, self.family = tag.uid, tag.family

    def transceive(self, command: bytes, timeout_s: float = nfc.COMMAND_TIMEOUT_S) -> bytes:
        with self._reader.waiting():
            return self._tag.transceive(command, timeout_s)


def rounds(folder: Path, tags: int, progress: Progress) -> list[Round]:
    """ROUNDS times: `tags` tags of each chip given their identity, and as many that only get a link."""
    found: list[Round] = []
    for number in range(ROUNDS):
        progress("rounds", number, ROUNDS)
        one: dict[str, Spent] = {}
        for chip in CHIPS:
            one[chip] = _identities(folder / f"{number}-{chip}", chip, tags, number * tags)
            one[f"raw {chip}"] = _plain_writes(chip, tags, number * tags)
        found.append(one)
    progress("rounds", ROUNDS, ROUNDS)
    return found


def _identities(folder: Path, chip: Chip, tags: int, first: int) -> Spent:
    spent = Spent()
    journal = TimedJournal(folder, spent)
    air = Field()
    with UdpTagServer(air) as server, closing(TimedReader(NfcpyReader(server.path), spent)) as reader:
        for number in range(first, first + tags):
            air.swap(_tag(chip, number))
            begun = time.perf_counter()
            with _steps(spent) as tell:
                desk = Desk(reader, BenchKeys(), journal, tell, originality=_EMULATED)
                outcome = personalise.write(desk, _order(chip, number))
            spent.whole_s += time.perf_counter() - begun
            if not outcome.good:
                raise BenchError(f"{chip}: {outcome.code}, {outcome.reason}")
    spent.commands = air.commands
    return _each(spent, tags)


def _plain_writes(chip: Chip, tags: int, first: int) -> Spent:
    """nfcpy alone: activate, write one URI record, activate again and read it."""
    spent = Spent()
    air = Field()
    with UdpTagServer(air) as server, closing(open_reader(server.path)) as frontend:
        for number in range(first, first + tags):
            air.swap(_tag(chip, number))
            message = tag_link.build(_order(chip, number)).message
            [record] = ndef.message_decoder(message)
            begun = time.perf_counter()
            activate(frontend).ndef.records = [record]
            read = bytes(activate(frontend).ndef.octets)
            spent.whole_s += time.perf_counter() - begun
            if read != message:
                raise BenchError(f"{chip}: nfcpy read something else than it wrote")
    spent.commands = air.commands
    return _each(spent, tags)


def _tag(chip: Chip, number: int) -> EmulatedTag:
    """Factory-fresh, its signature made already: NXP made it long before the tag came here."""
    uid = b"\x04" + number.to_bytes(6)
    if chip == "ntag424":
        sign_424(uid)
        return Ntag424(uid)
    sign_21x(uid)
    return Ntag21x(chip.upper(), uid)


def _order(chip: Chip, number: int) -> TagOrder:
    return TagOrder(chip, HOST, item(GTIN, f"B{number:06}"))


@contextmanager
def _steps(spent: Spent) -> Iterator[Callable[[str], None]]:
    """`tell` of personalise: the time until the next step began belongs to this one."""
    current: list[tuple[str, float]] = []

    def tell(step: str | None) -> None:
        now = time.perf_counter()
        if current:
            name, begun = current.pop()
            spent.steps_s[name] = spent.steps_s.get(name, 0.0) + now - begun
        if step is not None:
            current.append((step, now))

    yield tell
    tell(None)


def _each(spent: Spent, tags: int) -> Spent:
    steps = {name: seconds / tags for name, seconds in spent.steps_s.items()}
    return Spent(spent.whole_s / tags, spent.waiting_s / tags, spent.journal_s / tags, spent.commands // tags, steps)


def figures(found: Sequence[Round]) -> dict[str, float]:
    """Medians over the rounds; the ratios are taken within each round."""
    named: dict[str, float] = {}
    for chip in CHIPS:
        kind = chip.removeprefix("ntag")
        ours, raw = [one[chip] for one in found], [one[f"raw {chip}"] for one in found]
        named[f"tags_per_minute_{kind}"] = statistics.median(60 / one.whole_s for one in ours)
        named[f"raw_per_minute_{kind}"] = statistics.median(60 / one.whole_s for one in raw)
        pairs = zip(ours, raw, strict=True)
        named[f"ratio_{kind}"] = statistics.median(plain.whole_s / one.whole_s for one, plain in pairs)
        named[f"apdus_per_{kind}"] = ours[0].commands
        named[f"raw_apdus_per_{kind}"] = raw[0].commands
        named[f"waiting_share_{kind}"] = statistics.median(one.waiting_s / one.whole_s for one in ours)
        named[f"journal_share_{kind}"] = statistics.median(one.journal_s / one.whole_s for one in ours)
        for step in ours[0].steps_s:
            named[f"{step}_ms_{kind}"] = statistics.median(1000 * one.steps_s[step] for one in ours)
    named["raw_per_minute"] = named["raw_per_minute_424"]
    return named

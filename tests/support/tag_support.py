"""Jobs, emulated tags and the hand that puts one down after the other."""

import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tallystick_chips.tag_journal import Journal
from tallystick_chips.tag_order import Chip
from tallystick_chips.tag_originality import Originality
from tallystick_emulators import tag_signature
from tallystick_emulators.tag_field import EmulatedTag, Field
from tallystick_emulators.tag_ntag21x import Ntag21x
from tallystick_emulators.tag_ntag424 import Ntag424
from tallystick_emulators.tag_reader import EmulatedReader
from tallystick_provisioning import secret_file
from tallystick_provisioning.item import Item
from tallystick_tags import key_provider, tag_job
from tallystick_tags.key_provider import DerivedKeys, FileMaster
from tallystick_tags.tag_job import Job, JobHead
from tallystick_tags.tag_rows import Planned
from tallystick_tags.tag_run import Moment, Run
from tallystick_tags.tag_signing import Signing

GTIN = "09506000134352"
MASTER = bytes(range(16))
WORDS = "correct horse battery"
EMULATED = Originality([tag_signature.ORIGINALITY_PUBLIC_KEY_21X], [tag_signature.ORIGINALITY_PUBLIC_KEY_424])
MAKER_FILE = (
    f"ntag21x {tag_signature.ORIGINALITY_PUBLIC_KEY_21X.hex()}\n"
    f"ntag424 {tag_signature.ORIGINALITY_PUBLIC_KEY_424.hex()}\n"
)


def uid(number: int) -> bytes:
    return b"\x04" + number.to_bytes(6, "big")


def blank(chip: Chip, number: int) -> EmulatedTag:
    """A factory-fresh tag."""
    return Ntag424(uid(number)) if chip == "ntag424" else Ntag21x(chip.upper(), uid(number))


def head(chip: Chip = "ntag424", *, will_lock: bool = False) -> JobHead:
    return JobHead("0123456789abcdef" * 2, chip, "item.example", "2026-07", 1, will_lock, 1_700_000_000_000)


def make_job(path: Path, count: int, chip: Chip = "ntag424", *, will_lock: bool = False) -> Path:
    """A job with rows 2, 3, ... and serials S0, S1, ..."""
    planned = [Planned(row + 2, Item(GTIN, f"S{row}"), "冻虾") for row in range(count)]
    tag_job.create(path, head(chip, will_lock=will_lock), planned)
    return path


def keys(version: int = 1) -> DerivedKeys:
    return DerivedKeys(FileMaster(MASTER), "2026-07", version)


def make_master(folder: Path) -> Path:
    """A master key file, and its passphrase in `words`."""
    secret_file.write_new(folder / "words", f"{WORDS}\n")
    key_provider.create_file(folder / "master", WORDS)
    return folder / "master"


class Hasty(Field):
    """An antenna from which the tag is taken away in the middle, after so many commands."""

    def __init__(self, leaves_at: int) -> None:
        super().__init__()
        self.leaves_at: int | None = leaves_at

    def exchange(self, command: bytes) -> bytes | None:
        if self.leaves_at is not None and self.commands >= self.leaves_at:
            self.leaves_at = None
            self.remove(None)
        return super().exchange(command)


class Hand:
    """A view that acts: after a tag is done or wrong it puts the next one down, or takes the last away."""

    def __init__(self, field: Field, tags: Iterable[EmulatedTag | Sequence[EmulatedTag] | None]) -> None:
        self.field, self.tags = field, iter(tags)
        self.moments: list[Moment] = []

    def show(self, moment: Moment) -> None:
        self.moments.append(moment)
        nothing_there = moment.kind == "waiting" and not self.field.tags
        if nothing_there or moment.kind in ("done", "wrong"):
            self.field.remove(None)
            tags = next(self.tags, None)
            for tag in [] if tags is None else tags if isinstance(tags, Sequence) else [tags]:
                self.field.put(tag)

    @property
    def codes(self) -> list[str]:
        """How each tag ended."""
        return [moment.outcome.code for moment in self.moments if moment.outcome is not None]


def run(
    job: Job,
    hand: Hand,
    *,
    provider: object = None,
    signing: Signing | None = None,
    reader: Callable[[], EmulatedReader] | None = None,
) -> Run:
    journal = Journal(job.path.with_name("journal"))
    open_reader = reader or (lambda: EmulatedReader(hand.field))
    return Run(
        job, open_reader, provider or keys(), journal, hand, signing, patience_s=0.3, originality=EMULATED  # type: ignore[arg-type]
    )  # fmt: skip


def tallystick(*words: object) -> list[str]:
    return [sys.executable, "-m", "tallystick_tools", *map(str, words)]


def command(*words: object, stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(tallystick(*words), capture_output=True, text=True, check=False, input=stdin, timeout=120)


def feed(process: "subprocess.Popen[str]", field: Field, tags: Iterable[EmulatedTag]) -> list[str]:
    """Put the next tag down whenever the process says that the last one is done; all lines that it printed."""
    waiting, lines = iter(tags), []
    for line in process.stdout or ():
        lines.append(line.rstrip("\n"))
        # A tag that lies there unseen stays: a slow hand between two tags makes the loop say that it waits.
        if line.startswith(("ok ", "WRONG")) or (line.startswith(".....") and not field.tags):
            tag = next(waiting, None)
            if tag is None:
                field.remove(None)
            else:
                field.swap(tag)
    return lines

"""Jobs in this process: who signs, and the passes over their tags."""

from collections.abc import Callable
from pathlib import Path

from tag_support import EMULATED, keys

from tallystick_chips.tag_journal import Journal
from tallystick_chips.tag_order import Chip
from tallystick_emulators.tag_field import Field
from tallystick_emulators.tag_reader import EmulatedReader
from tallystick_proof.keys import Signer
from tallystick_provisioning.outbox import Outbox
from tallystick_tags.tag_job import Job
from tallystick_tags.tag_pass import Pass
from tallystick_tags.tag_signing import Signing

INSTALLER = Signer("installer", bytes(32))
ORIGIN = "ledger.example/log"
CHIPS: list[Chip] = ["ntag424", "ntag215"]


def signing(folder: Path) -> Signing:
    return Signing(INSTALLER, ORIGIN, Outbox(folder / "outbox"))


def written(job: Job) -> dict[str, str]:
    """serial -> UID."""
    return {item.item.serial: item.uid.hex() for item in job.items("written", "locked") if item.uid}


def lock_all(job: Job, field: Field, provider: object = None) -> list[str]:
    said: list[str] = []
    with bench(job, field, said, provider) as work:
        work.all("lock", 0.0, lambda: not said)
    return said


def bench(job: Job, field: Field, said: list[str], provider: object = None) -> Pass:
    journal = Journal(job.path.with_name("journal"))
    reader: Callable[[], EmulatedReader] = lambda: EmulatedReader(field)  # noqa: E731
    return Pass(job, reader, provider or keys(), journal, said.append, EMULATED)  # type: ignore[arg-type]

"""What the tag commands open from their options: keys, reader, journal, signer."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from tallystick_chips.tag_journal import Journal
from tallystick_chips.tag_originality import NXP, Originality
from tallystick_provisioning import key_file, lock_file, nfc_open, text_file
from tallystick_provisioning.nfc import Reader
from tallystick_provisioning.outbox import Outbox
from tallystick_provisioning.trust_setup import read_trust
from tallystick_tags import job_bundle, job_delegation, key_pkcs11, key_provider, passphrase
from tallystick_tags.errors import JobError, KeysError
from tallystick_tags.key_provider import DerivedKeys, JobKeys, Master
from tallystick_tags.tag_job import LOCKED, WRITING, WRITTEN, Job, JobHead
from tallystick_tags.tag_signing import Signing

CLOCK_MARGIN_MS = 86_400_000  # the office's clock and this one may differ by a time zone that somebody set wrong
MAX_MAKER_FILE_BYTES = 4096  # some public keys, one a line


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def check_clock(head: JobHead, at_ms: int) -> None:
    """JobError where the computer's clock cannot be right: every tag is dated by it, and so is its statement."""
    if at_ms < head.created_ms - CLOCK_MARGIN_MS:
        says, made = _day(at_ms), _day(head.created_ms)
        raise JobError(f"the clock of this computer says {says}, and this job was made on {made}: set the clock")


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d")


def open_master(keys: str, secret_file: Path | None) -> Master:
    """The master key that a `--keys` names: a PKCS#11 URI or a file of `tag keys new`."""
    if keys.startswith(key_pkcs11.SCHEME):
        key_pkcs11.parse(keys)  # a wrong address is told before anybody types a PIN
        return key_pkcs11.Pkcs11Master(keys, passphrase.ask("PIN of the token", secret_file))
    path = Path(keys)
    if not key_provider.is_file(path):
        raise KeysError(f"{path}: no master key file; `tallystick tag keys new` makes one")
    return key_provider.open_file(path, passphrase.ask(f"passphrase of {path}", secret_file))


def open_keys(
    keys: str, secret_file: Path | None, head: JobHead, trust: Path | None = None, installer: Path | None = None
) -> JobKeys:
    """The keys of a job: from a master, or from a sealed job, whose delegation is then checked under `trust`."""
    if keys.startswith(key_pkcs11.SCHEME) or not job_bundle.is_bundle(Path(keys)):
        return DerivedKeys(open_master(keys, secret_file), head.key_set, head.key_version)
    if trust is None:
        raise KeysError(f"{keys}: a sealed job is checked with trust.toml: give --trust")
    sealed = job_bundle.SealedJob(Path(keys), passphrase.ask(f"passphrase of {keys}", secret_file), head)
    who = None if installer is None else key_file.load(installer, "installer").thumbprint
    job_delegation.check(sealed, read_trust(trust), who, now_ms())
    return sealed


def reader(name: str) -> Callable[[], Reader]:
    """What opens the reader `pcsc:NAME`, or one of nfcpy's: usb, tty:AMA0:pn532, udp:localhost:PORT."""
    return partial(nfc_open.open_reader, name)


@contextmanager
def alone(job: Job) -> Iterator[None]:
    """One command at a time changes a job; FileError for the second."""
    with lock_file.held(job.path.with_name(f".{job.path.name}.lock"), f"{job.path}: another command works on this job"):
        yield


def journal(job: Job, folder: Path | None) -> Journal:
    """The tags' journal: beside the job, unless another folder is named.

    JobError where it was left behind: a half-written tag would be taken for one of others, its row for free.
    """
    found = Journal(folder or job.path.with_name(f"{job.path.name}.journal"))
    begun, done = len(job.items(WRITING)), len(job.items(WRITTEN, LOCKED))
    # A crash before the first record leaves one row that is bound, and no folder yet.
    if not found.folder.is_dir() and (done or begun > 1):
        raise JobError(
            f"{found.folder}: is not there, and tags of this job were begun: bring it along from where they were "
            "written, or name it with --journal. If it is lost for good, make an empty folder of this name"
        )
    return found


def signing(job: Job, installer: Path | None, trust: Path | None, outbox: Path | None) -> Signing | None:
    """Who signs the statements; None without an installer's key: then they are made by `tag sync`."""
    if installer is None:
        return None
    if trust is None:
        raise JobError("--installer needs --trust: a statement names its ledger")
    signer = key_file.load(installer, "installer")
    folder = outbox or job.path.with_name(f"{job.path.name}.outbox")
    return Signing(signer, read_trust(trust).origin, Outbox(folder))


def originality(maker: Path | None) -> Originality:
    """NXP's public keys, and further ones from a file with lines like `ntag424 04...`."""
    if maker is None:
        return NXP
    found: dict[str, list[bytes]] = {"ntag21x": list(NXP.ntag21x), "ntag424": list(NXP.ntag424)}
    for number, line in enumerate(text_file.read(maker, MAX_MAKER_FILE_BYTES).splitlines(), 1):
        chip, _, digits = line.strip().partition(" ")
        try:
            found[chip].append(bytes.fromhex(digits))
        except (KeyError, ValueError):
            raise KeysError(f"{maker}: line {number} is not `ntag21x HEX` or `ntag424 HEX`") from None
    return Originality(**found)

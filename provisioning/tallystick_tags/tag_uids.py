"""The UIDs of a job's tags: from the supplier's list, or scanned one after the other."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from tallystick_chips.an10922 import UID_BYTES
from tallystick_provisioning import text_file
from tallystick_provisioning.nfc import Reader
from tallystick_provisioning.nfc_antenna import Antenna
from tallystick_tags import tag_table
from tallystick_tags.errors import TableError
from tallystick_tags.tag_context import now_ms
from tallystick_tags.tag_job import Job

MAX_LIST_BYTES = 1024 * 1024  # 10,000 UIDs with a number and a date each
_SEPARATORS = re.compile("[:\\s-]")
_UID = re.compile(f"[0-9A-Fa-f]{{{2 * UID_BYTES}}}")


def read(path: Path) -> list[bytes]:
    """The UIDs in a list, one a line, in a column among others or alone; TableError with every complaint."""
    found: dict[bytes, int] = {}
    complaints = []
    text, _ = tag_table.decoded(path, text_file.read_bytes(path, MAX_LIST_BYTES), None)
    for number, line in enumerate(text.splitlines(), 1):
        cells = [_SEPARATORS.sub("", cell.strip(' "')) for cell in re.split("[,;\t]", line)]
        uids = [bytes.fromhex(cell) for cell in cells if _UID.fullmatch(cell)]
        if not line.strip() or (number == 1 and not uids):
            continue  # an empty line, or the names of the columns
        if len(uids) != 1:
            complaints.append(f"row {number}: {len(uids)} UIDs of {UID_BYTES} bytes; each line has one")
        elif found.setdefault(uids[0], number) != number:
            complaints.append(f"row {number}: the same UID as row {found[uids[0]]}")
    if complaints:
        raise TableError("\n".join([f"{path}: {len(complaints)} rows are wrong", *complaints]))
    return list(found)


def check_count(uids: Sequence[bytes], items: int) -> None:
    """A sealed job needs a tag for each item; spare ones are welcome."""
    if len(uids) < items:
        raise TableError(f"{len(uids)} UIDs for {items} items: name more tags, or scan them with `tag job scan`")


def scan(job: Job, open_reader: Callable[[], Reader], patience_s: float | None, dry_run: bool = False) -> int:
    """Remember every tag that is put down, until nobody comes any more; how many the job knows now.

    With `dry_run` they are shown and counted, and not remembered.
    """
    antenna = Antenna(open_reader, print, lambda: print("two tags: leave one"), back=print)
    antenna.open()
    known = set(job.scanned())
    uid: bytes | None = None
    try:
        while True:
            uid = uid or antenna.wait_for_tag(patience_s)
            if uid is None:
                break
            remark = ", known already" if uid in known else ""
            if not dry_run:
                job.scan(uid, now_ms())
            known.add(uid)
            print(f"{len(known)}  {uid.hex().upper()}{remark}", flush=True)
            done, uid = uid, antenna.wait_for_removal(uid, patience_s)
            if uid == done:
                break  # nobody stands there to take it away
    except KeyboardInterrupt:
        pass  # a person has put down the last one
    finally:
        antenna.close()
    return len(known)

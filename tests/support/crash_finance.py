"""Kills a process at every call that its database makes to the system, one after the other, and tries again after each.

    python crash_finance.py FOLDER < spec.json

FOLDER holds a ledger's files as the test left them. For n = 1, 2, ...: a copy of them, a child that SIGKILL ends right
before its n-th call, a second child that does the same work to its end. One JSON line for each n, with what the books
hold after the kill and after the second child; the last line is the first n at which nothing was killed.

The children are forked before anything is opened, so a round costs no interpreter start.
"""

import json
import os
import shutil
import signal
import sys
import traceback
from itertools import count
from pathlib import Path
from typing import Any

import apsw

from tallystick_finance import project
from tallystick_finance.finance import Finance
from tallystick_finance.opening import open_loan
from tallystick_ledger.blobs import Blobs
from tallystick_ledger.db import Database
from tallystick_ledger.ledger import Ledger
from tallystick_proof.keys import DECISION, Signer
from tallystick_proof.trust import Trust

VFS, USUAL_VFS = "killing", apsw.vfs_names()[0]


class Fuse:
    """Counts down to the kill."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def burn(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class KillingVfs(apsw.VFS):
    """The usual VFS, but every call that changes a file burns the fuse first."""

    def __init__(self, fuse: Fuse) -> None:
        self._fuse = fuse
        super().__init__(VFS, USUAL_VFS, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> "KillingFile":
        self._fuse.burn()
        return KillingFile(self._fuse, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self._fuse.burn()
        super().xDelete(filename, syncdir)


class KillingFile(apsw.VFSFile):
    def __init__(self, fuse: Fuse, name: Any, flags: list[int]) -> None:
        self._fuse = fuse
        super().__init__(USUAL_VFS, name, flags)

    def xWrite(self, data: Any, offset: int) -> None:
        self._fuse.burn()
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:
        self._fuse.burn()
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:
        self._fuse.burn()
        super().xSync(flags)

    def xLock(self, level: int) -> None:
        self._fuse.burn()
        super().xLock(level)

    def xUnlock(self, level: int) -> None:
        self._fuse.burn()
        super().xUnlock(level)


def open_finance(folder: Path, spec: dict[str, Any]) -> Finance:
    trust = Trust.parse(spec["trust"])
    ledger = Ledger(Database(folder / "ledger.db"), Blobs(folder / "blobs"), trust, lambda: int(spec["now_ms"]))
    return Finance(ledger, Signer(DECISION, bytes.fromhex(spec["decider"])), os.urandom)


def work(folder: Path, spec: dict[str, Any]) -> None:
    """What the service was doing when it was killed, and does again after its start."""
    finance = open_finance(folder, spec)
    if spec["work"] == "post":
        project.run(finance)
    else:
        open_loan(finance, bytes.fromhex(spec["facility"]), bytes.fromhex(spec["pledge"]), "the-key")


def books(folder: Path, spec: dict[str, Any]) -> dict[str, int]:
    """How many of each there are."""
    finance = open_finance(folder, spec)
    tables = {
        "loans": "finance_loan",
        "decisions": "finance_decision",
        "events": "finance_event",
        "logged": "statement WHERE kind = 'decision'",
        "answers": "finance_request",
        "called": "finance_loan WHERE decisions = 1",
    }
    with finance.ledger.db.read() as tx:
        found = {name: int(tx.execute(f"SELECT count(*) FROM {table}")[0][0]) for name, table in tables.items()}
        found["broken"] = len(tx.execute("PRAGMA integrity_check")) - 1
    return found


def in_child(step: Any) -> bool:
    """Run `step` in a fork; whether it lived to its end. Anything but a kill is an error here too."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            step()
            code = 0
        except Exception:  # noqa: BLE001 (told, and an error to the parent)
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    if status != 0:
        raise SystemExit(f"a child ended with {status}")
    return True


def told(step: Any) -> Any:
    """What `step` returns, from a fork."""
    reader, writer = os.pipe()

    def tell() -> None:
        os.write(writer, json.dumps(step()).encode())

    in_child(tell)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        return json.loads(file.read())


def main(folder: Path, spec: dict[str, Any]) -> None:
    for number in count(1):
        copy = folder.with_name(f"{folder.name}-{number}")
        shutil.copytree(folder, copy)

        def killed_work(copy: Path = copy, number: int = number) -> None:
            vfs = KillingVfs(Fuse(number))  # unregistered when it is collected, so it must have a name
            work(copy, spec)
            del vfs

        lived = in_child(killed_work)
        after_kill = told(lambda copy=copy: books(copy, spec))
        in_child(lambda copy=copy: work(copy, spec))
        after_all = told(lambda copy=copy: books(copy, spec))
        print(json.dumps({"n": number, "lived": lived, "killed": after_kill, "again": after_all}), flush=True)
        shutil.rmtree(copy)
        if lived:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.load(sys.stdin))

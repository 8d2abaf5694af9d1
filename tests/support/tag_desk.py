"""The installer's folder, and the commands in it: what the tests of whole tag jobs share."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tag_support import GTIN, MAKER_FILE, command, feed, tallystick

from tallystick_emulators.tag_field import EmulatedTag, Field
from tallystick_proof import keys as proof_keys
from tallystick_provisioning import secret_file

WORDS = "correct horse battery"
PIN = "4711"


class Desk:
    """The installer's folder, and the commands in it."""

    def __init__(self, folder: Path, world: Any) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "trust.toml").write_text(world.trust.format())
        (folder / "maker").write_text(MAKER_FILE)
        secret_file.write_new(folder / "words", f"{WORDS}\n")
        secret_file.write_new(folder / "pin", f"{PIN}\n")
        for name, who in (("installer", "installer"), ("authority", "authority-installer")):
            secret_file.write_new(folder / f"{name}.key", proof_keys.format_secret(world.signers[who]))

    def path(self, name: str) -> Path:
        return self.folder / name

    def run(self, *words: object, stdin: str | None = None) -> str:
        done = command(*words, stdin=stdin)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def refused(self, *words: object, stdin: str | None = None, code: int = 1) -> str:
        done = command(*words, stdin=stdin)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def new_job(self, count: int, chip: str, *more: object, mixed: bool = False) -> None:
        """Rows 2 and following: S0, S1, ...; `mixed` names a chip in each row, 424 and NTAG215 in turns."""
        chips = ["NTAG 424 DNA", "ntag215"]
        rows = [f"{GTIN},S{n},冻虾 {n},{chips[n % 2] if mixed else ''}\n" for n in range(count)]
        self.path("rows.csv").write_text("GTIN,序列号,品名,chip\n" + "".join(rows), "utf-8")
        words = ("--from", self.path("rows.csv"), "--chip", chip, "--host", "item.example", *more)
        self.run("tag", "job", "new", self.path("job"), *words)

    def new_master(self) -> Path:
        self.run("tag", "keys", "new", self.path("master"), "--secret-file", self.path("words"))
        return self.path("master")

    def write(
        self,
        field: Field,
        path: str,
        tags: list[EmulatedTag],
        keys: object,
        *more: object,
        secret: str = "words",
        patience_s: int = 60,
    ) -> tuple[int, list[str]]:
        """`tag write --unattended` while a hand puts one tag down after the other: exit code and lines."""
        words = tallystick(
            "tag", "write", self.path("job"), "--reader", path, "--keys", keys, "--secret-file", self.path(secret),
            "--maker", self.path("maker"), "--unattended", "--patience", patience_s, *more,
        )  # fmt: skip
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            lines = feed(process, field, tags)
        return process.returncode, lines

    def at_reader(self, path: str, keys: object) -> list[object]:
        return [
            "--reader", path, "--keys", keys, "--secret-file", self.path("words"), "--maker", self.path("maker"),
            "--patience", "3",
        ]  # fmt: skip

    def report(self) -> Any:
        done = command("tag", "report", self.path("job"), "--json")
        return json.loads(done.stdout)

    def signs(self) -> list[object]:
        return ["--installer", self.path("installer.key"), "--trust", self.path("trust.toml")]

"""`tallystick verify` as a real process, on tampered bundles: no network, no socket, no remembered answer."""

import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tampering_support import FLIPS, flipped, replaced

from tallystick_proof import archive
from tallystick_proof.evidence import LINKS
from tallystick_tools.outcome import CANNOT_TELL, NOT_VERIFIED, VERIFIED

if TYPE_CHECKING:
    from small_world import Story

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("firmware", "cloud-sync", "provisioning", "edge", "tools")
COMMAND_SAMPLES = 30


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, world: "Story", bundles: dict[str, bytes]) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    (folder / "trust.toml").write_text(world.trust_text(), "utf-8")
    for kind, data in bundles.items():
        (folder / f"{kind}.zip").write_bytes(data)
    return folder


def command(*arguments: str, before: tuple[str, ...] = (), **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, sys.executable, "-m", "tallystick_tools", "verify", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | environment,
    )


def test_commands_without_a_network(files: Path, world: "Story", bundles: dict[str, bytes], tmp_path: Path) -> None:
    """Real processes in an empty network namespace: good bundles pass, tampered ones do not, and nothing is traced."""
    without = ("unshare", "-rn")
    trust = ("--trust", str(files / "trust.toml"))
    for kind in bundles:
        done = command(str(files / f"{kind}.zip"), *trust, before=without)
        assert (done.returncode, done.stderr) == (VERIFIED, "")
        assert "NOT proved" in done.stdout
    for sample, (kind, data) in zip(range(COMMAND_SAMPLES), itertools.cycle(bundles.items()), strict=False):
        members = archive.read(data)
        name = sorted(members)[sample % len(members)]
        at = (sample * 131) % len(members[name])
        if sample % 4:
            tampered = replaced(members, name, flipped(members[name], at, FLIPS[sample % 3]))
        else:
            tampered = flipped(data, (sample * 7919) % len(data), 0x01)
        path = tmp_path / f"{sample}-{kind}.zip"
        path.write_bytes(tampered)
        done = command(str(path), *trust, before=without)
        assert done.returncode in (NOT_VERIFIED, CANNOT_TELL)
        assert "Traceback" not in done.stdout + done.stderr
        assert re.search(rf"broken link: ({'|'.join(LINKS)})\n", done.stdout) or done.returncode == CANNOT_TELL


def test_verify_opens_no_socket(files: Path) -> None:
    """Twice: the interpreter's own audit events, and the system calls."""
    bundle_path, trust = str(files / "decision.zip"), str(files / "trust.toml")
    watched = (
        "import sys\n"
        "seen = []\n"
        "sys.addaudithook(lambda event, arguments: seen.append(event) if event.startswith('socket.') else None)\n"
        "from pathlib import Path\n"
        "from tallystick_tools.verify import verify\n"
        f"code = verify(Path({bundle_path!r}), trust=Path({trust!r}), report=Path({str(files / 'page.html')!r}))\n"
        "print(seen, file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-c", watched], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (VERIFIED, "[]\n")
    trace = ("strace", "-f", "-qq", "-e", "trace=network", "-e", "signal=none")
    traced = command(bundle_path, "--trust", trust, before=trace)
    assert (traced.returncode, traced.stderr) == (VERIFIED, "")


def test_recomputation_is_real(files: Path, tmp_path: Path) -> None:
    """A copy of the program with one comparison of the decision core changed refuses the old bundle, at the effects."""
    for name in SOURCES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    path = os.pathsep.join(str(tmp_path / name) for name in SOURCES)
    arguments = (str(files / "decision.zip"), "--trust", str(files / "trust.toml"))
    core_file = tmp_path / "cloud-sync" / "tallystick_finance" / "decide.py"
    source = core_file.read_text("utf-8")
    same = command(*arguments, PYTHONPATH=path)
    assert same.returncode == VERIFIED
    for function, comparison in (("_is_warm", " > "), ("_judge", " >= ")):
        before, _, after = source.partition(f"def {function}(")
        assert comparison in after.partition("\ndef ")[0]
        core_file.write_text(f"{before}def {function}({after.replace(comparison, ' < ', 1)}", "utf-8")
        done = command(*arguments, PYTHONPATH=path)
        assert done.returncode == NOT_VERIFIED
        assert "broken link: effects\n" in done.stdout

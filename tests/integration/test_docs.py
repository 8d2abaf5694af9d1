"""The documents are true: their commands parse, their links lead somewhere, their programs run."""

import hashlib
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cyclopts import App, CycloptsError
from ledger_support import LiveLedger, TestGateway

from tallystick_edge import config as edge_config
from tallystick_edge.metrics import Metrics
from tallystick_finance.errors import PROBLEMS
from tallystick_ledger import export
from tallystick_proof import archive
from tallystick_proof.evidence import LINKS
from tallystick_proof.keys import Signer
from tallystick_proof.loan_rules import Rules
from tallystick_provisioning import statement_file
from tallystick_tools import command
from tallystick_tools.bench_figures import STEPS
from tallystick_tools.build_firmware import ARCHITECTURES
from tallystick_tools.conform_suites import SUITES
from tallystick_web.config import CloudConfig, FinanceConfig

if TYPE_CHECKING:
    from small_world import Story

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAM = "tallystick"
OPERATORS = set("();<>|&")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def command_lines(page: Path) -> Iterator[list[str]]:
    """The words of each line in a sh block that begins with this project's program or a script in tools/."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = simple_command(line)
            if words and (Path(words[0]).name == PROGRAM or words[0].startswith("tools/")):
                yield words


def simple_command(line: str) -> list[str]:
    """The words up to the first redirection, pipe or `&`; a comment is none of them."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if set(word) <= OPERATORS:
            if words and words[-1] == "2":  # the descriptor of `2> file`
                words.pop()
            break
        words.append(word)
    return words


def commands(app: App, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command that runs something, as the words that name it."""
    for name in app:
        if not name.startswith("-"):
            below = (*above, name)
            found = list(commands(app[name], below))
            yield from found or [below]


DOCUMENTED = [(page, words) for page in PAGES for words in command_lines(page)]


@pytest.mark.parametrize(("page", "words"), DOCUMENTED, ids=[name_of(page) for page, _ in DOCUMENTED])
def test_every_command_line_parses(page: Path, words: list[str]) -> None:
    program, *rest = words
    if Path(program).name == PROGRAM:
        parses(rest)
    else:
        script_takes(program, rest)


def parses(words: list[str]) -> None:
    """The command tree takes all of these words, and they name a command and not a group."""
    found, _, _ = command.build().parse_args(words, exit_on_error=False, print_error=False)
    assert found.__module__.startswith("tallystick_"), words


def script_takes(program: str, words: list[str]) -> None:
    script = ROOT / program
    assert os.access(script, os.X_OK), program
    if program == "tools/demo":
        parses(["demo", *words])
    elif program == "tools/conform":
        assert words[0] in SUITES
        known_options([str(script), "--help"], words)
    elif program == "tools/test":
        own = words[: words.index("--")] if "--" in words else words
        known_options([sys.executable, "-m", "tests.run", "--help"], own)
    elif program == "tools/build-firmware":
        assert set(words) <= set(ARCHITECTURES)
    else:
        assert not words, f"{program} takes no arguments"


def known_options(helping: list[str], words: list[str]) -> None:
    text = subprocess.run(helping, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert all(word in text for word in words if word.startswith("-")), words


@pytest.mark.parametrize(
    "line", ["tallystick demo --twice", "tallystick verify a.zip", "tallystick bench speed", "tallystick cloud"]
)
def test_a_wrong_command_line_does_not(line: str) -> None:
    with pytest.raises((CycloptsError, AssertionError)):
        parses(simple_command(line)[1:])


def test_what_of_a_line_is_the_command() -> None:
    assert simple_command("tallystick verify a --trust 'b c' 2> d & # e")[1:] == ["verify", "a", "--trust", "b c"]
    assert simple_command("tallystick status | tee f")[1:] == ["status"]
    assert simple_command("until test; do") == ["until", "test"]


def test_every_command_is_documented() -> None:
    lines = [words for _, words in DOCUMENTED]
    shown = [" ".join(words[1:] if Path(words[0]).name == PROGRAM else [Path(words[0]).name]) for words in lines]
    named = [f"{' '.join(words)} " for words in commands(command.build())]
    missing = [name for name in named if not any(f"{line} ".startswith(name) for line in shown)]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            wrong.append(target)
    assert not wrong


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as the usual renderers make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "pictures").glob("*.svg")), ids=name_of)
def test_pictures_load_nothing(path: Path) -> None:
    # A namespace and a comment are no loads.
    text = re.sub(r'<!--.*?-->|xmlns="[^"]*"', "", path.read_text("utf-8"), flags=re.DOTALL)
    assert "http" not in text


def test_the_bench_table_has_every_step() -> None:
    text = (ROOT / "docs" / "operator.md").read_text("utf-8")
    assert not [step.title.strip() for step in STEPS if step.title.strip() not in text]


# --- tables and examples against the code


def text_of(name: str) -> str:
    return (ROOT / "docs" / name).read_text("utf-8")


def first_column(page: str, heading: str) -> list[str]:
    """The code words in the first cells of the table under a heading."""
    section = text_of(page).partition(f"\n{heading}\n")[2].partition("\n#")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")]
    return [word for cell in cells for word in re.findall(r"`([^`]+)`", cell)]


def test_the_auditor_is_told_every_link() -> None:
    assert sorted(first_column("auditor.md", "### Broken links")) == sorted(LINKS)


def test_the_bank_is_told_every_problem() -> None:
    assert sorted(first_column("api.md", "## Errors")) == sorted(PROBLEMS)


def test_the_operator_is_told_every_setting() -> None:
    gateway, cloud = first_column("operator.md", "### Make one"), text_of("operator.md")
    assert sorted(gateway) == sorted([*edge_config.REQUIRED, *edge_config.NUMBERS])
    settings = [field.name for field in fields(CloudConfig) if field.name != "finance"]
    settings += [field.name for field in fields(FinanceConfig)]
    assert not [name for name in settings if f"`{name}`" not in cloud]


def table_after(page: str, header: str) -> list[str]:
    """The code words in the first cells of the table whose first row begins like this."""
    rows = text_of(page).partition(f"\n{header}")[2].splitlines()[2:]
    cells = [row.split("|")[1] for row in rows[: next(at for at, row in enumerate(rows) if not row.startswith("|"))]]
    return [word for cell in cells for word in re.findall(r"`([^`]+)`", cell)]


def test_metrics_exist() -> None:
    collected = {
        f"{metric.name}_total" if metric.type == "counter" else metric.name for metric in Metrics().registry.collect()
    }
    named = [f"tallystick_gateway_{word.partition('{')[0]}" for word in table_after("operator.md", "| metric ")]
    assert len(named) > 5
    assert not set(named) - collected


@pytest.mark.parametrize("folder", ["edge", "cloud-sync"])
def test_events_exist(folder: str) -> None:
    """Every event in the tables of one of the two services stands in its code."""
    code = "".join(path.read_text("utf-8") for path in (ROOT / folder).rglob("*.py"))
    tables = text_of("operator.md").split("\n| event ")[1:]
    table = tables[0 if folder == "edge" else 1].partition("\n\n")[0]
    cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    words = [word for cell in cells for word in re.findall(r"`([a-z-]+)`", cell)]
    assert len(words) > 5
    assert not [word for word in words if f'"{word}"' not in code]


@pytest.mark.parametrize(
    ("page", "kind", "role"),
    [
        ("api.md", "association", "installer"),
        ("api.md", "facility", "organisation"),
        ("api.md", "pledge", "organisation"),
        ("operator.md", "revocation", "authority-gateway"),
    ],
)
def test_the_statements_can_be_signed(page: str, kind: str, role: str) -> None:
    name = "gone" if kind == "revocation" else kind
    text = next(block for block in blocks(ROOT / "docs" / page, "toml") if block.startswith(f"# {name}.toml"))
    filled = re.sub(r"<[^>]+>", lambda place: hashlib.sha256(place[0].encode()).hexdigest(), text)
    body = statement_file.body(kind, filled, Signer(role, bytes(32)), "ledger.example/log", bytes(16))
    if kind == "facility":
        Rules.parse(body["rules"])


def test_the_effects_follow_from_the_example() -> None:
    """The numbers in the API page's example are those of its pledge and rules."""
    pledge, facility = (
        tomllib.loads(next(block for block in blocks(ROOT / "docs" / "api.md", "toml") if f"# {name}.toml" in block))
        for name in ("pledge", "facility")
    )
    rules = facility["rules"]
    base = pledge["value_minor"] * rules["advance_bps"] * (10_000 - rules["haircut_warm_bps"]) // 10**8
    assert f'"minor": {pledge["principal_minor"] - base}' in text_of("api.md")


# --- what an auditor does by hand

AUDITOR = ROOT / "docs" / "auditor.md"


def program(number: int) -> str:
    return blocks(AUDITOR, "python")[number]


def run_by_hand(number: int, folder: Path) -> "subprocess.CompletedProcess[str]":
    """A program of the page, in a folder with the files that it names and the checkout's tests."""
    (folder / "tests").symlink_to(ROOT / "tests")
    command_line = [sys.executable, "-c", program(number)]
    return subprocess.run(command_line, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("number", [0, 1])
def test_a_decision_is_checked_by_hand(number: int, tmp_path: Path, world: "Story") -> None:
    (tmp_path / "decision.zip").write_bytes(world.decision_bundle(world.loan, 0))
    (tmp_path / "trust.toml").write_text(world.trust.format(), "utf-8")
    done = run_by_hand(number, tmp_path)
    assert done.returncode == 0, done.stderr
    shown = "verified; effects:" if number == 0 else world.signers["node-a"].kid.hex()
    assert shown in done.stdout


@pytest.mark.parametrize("number", [0, 1])
def test_a_false_decision_is_not(number: int, tmp_path: Path, world: "Story") -> None:
    members = archive.read(world.decision_bundle(world.loan, 0))
    name = min(member for member in members if member.endswith(".entries"))
    entries = bytearray(members[name])
    entries[-1] ^= 1  # the end of the last reading's signature
    members[name] = bytes(entries)
    (tmp_path / "decision.zip").write_bytes(archive.write(members))
    (tmp_path / "trust.toml").write_text(world.trust.format(), "utf-8")
    done = run_by_hand(number, tmp_path)
    assert done.returncode == 1
    assert ("Refused" if number == 0 else "BadSignatureError") in done.stderr


def test_the_export_is_read_by_hand(tmp_path: Path, make_world: Any) -> None:
    world = make_world(nodes=("node-a",))
    live = LiveLedger(tmp_path / "ledger", world)
    try:
        live.enrol("gateway", "node-a")
        live.settle()
        gateway = TestGateway(world)
        gateway.take(*(world.nodes["node-a"].measure(celsius_cents=450).data for _ in range(3)))
        gateway.sync(live.ledger)
        live.settle()
        (tmp_path / "readings.cborseq").write_bytes(b"".join(export.readings(live.ledger)))
    finally:
        live.close()
    done = run_by_hand(2, tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [line.split(",") for line in done.stdout.splitlines()]
    assert [(row[3], row[4], row[5], row[6]) for row in rows] == [
        ("valid", world.signers["node-a"].kid.hex(), str(seq), "4.50") for seq in (1, 2, 3)
    ]

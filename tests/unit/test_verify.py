"""The command: exit codes, its words, its JSON and its page; nothing from a bundle can play tricks with a terminal."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tallystick_proof import archive, keys, verdict
from tallystick_proof.bundle import MANIFEST, Manifest
from tallystick_proof.errors import CannotTell
from tallystick_proof.keys import Signer
from tallystick_proof.verdict import NOT_PROVED
from tallystick_tools import verify_plot, verify_report, verify_text
from tallystick_tools.outcome import CANNOT_TELL, NOT_VERIFIED, VERIFIED, Expectation, Outcome, walk
from tallystick_tools.verify import verify
from tallystick_tools.verify_plot import Point
from tallystick_wire import cbor
from tallystick_wire.senml import Decimal

if TYPE_CHECKING:
    from small_world import Story, World

ESCAPE = "\x1b[2J\x1b]0;verified\x07"  # clears a screen and names a window
BACKWARDS = "\u202e"  # turns the rest of a line around
MARKUP = "[bold red]<script>alert(1)</script>"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, world: "Story") -> Path:
    folder = tmp_path_factory.mktemp("verify")
    (folder / "trust.toml").write_text(world.trust_text(), "utf-8")
    (folder / "reading.zip").write_bytes(world.reading_bundle("node-a", 2))
    (folder / "window.zip").write_bytes(world.window_bundle("node-a", 1, 8))
    (folder / "decision.zip").write_bytes(world.decision_bundle(world.loan, 1))
    return folder


@pytest.mark.parametrize("kind", ["reading", "window", "decision"])
def test_verified(files: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(files / f"{kind}.zip", trust=files / "trust.toml") == VERIFIED
    shown = capsys.readouterr()
    assert shown.err == ""
    lines = shown.out.splitlines()
    assert lines[0] == "verified with remarks"
    assert "- absence: operator's word (this ledger publishes no state root)" in lines
    for text in ("archive", "enrolment", "witness", "signature", "chain", "time", "unreachable"):
        assert re.search(rf"^  ok  {text} ", shown.out, re.MULTILINE)
    assert "NOT proved" in lines
    assert f"- {NOT_PROVED['goods']}" in lines


def test_what_a_reading_proves(files: Path, world: "Story", capsys: pytest.CaptureFixture[str]) -> None:
    verify(files / "reading.zip", trust=files / "trust.toml")
    shown = capsys.readouterr().out
    node = world.signers["node-a"].kid.hex()
    assert f"node {node} (TS-1, serial node-a-0001) signed reading 2: temperature 4.60 °C, humidity 60 % RH" in shown
    assert re.search(r"it was made between 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC and 20", shown)
    assert "the gateway says that it came 20" in shown


def test_what_a_decision_proves(files: Path, world: "Story", capsys: pytest.CaptureFixture[str]) -> None:
    verify(files / "decision.zip", trust=files / "trust.toml")
    shown = capsys.readouterr().out
    assert f"loan {world.loan.pledge.hex()}: 650,000.00 CNY against lot L7 at cold room 1" in shown
    assert re.search(r"alert: too-warm at node [0-9a-f]{16}: \d+ min( \d+ s)?, limit 10 min", shown)
    assert re.search(r"alert: silence at node [0-9a-f]{16}: 5 h( \d+ s)?, limit 4 h", shown)
    assert "haircut of 50 %" in shown
    assert "margin call of 300,000.00 CNY, due 20" in shown


# --- exit codes


@pytest.mark.parametrize(
    ("bundle", "trust", "options", "code", "says"),
    [
        ("missing.zip", "trust.toml", {}, CANNOT_TELL, "missing.zip: No such file"),
        (".", "trust.toml", {}, CANNOT_TELL, "Is a directory"),
        ("reading.zip", "missing.toml", {}, CANNOT_TELL, "missing.toml: No such file"),
        ("reading.zip", "reading.zip", {}, CANNOT_TELL, "is not UTF-8"),
        ("reading.zip", "other.toml", {}, CANNOT_TELL, "threshold"),
        ("reading.zip", "trust.toml", {"expect": "pallet=7"}, CANNOT_TELL, "--expect is"),
        ("reading.zip", "trust.toml", {"expect": "reading=00/1"}, CANNOT_TELL, "--expect is"),
        ("reading.zip", "trust.toml", {"report": Path("no/such/folder.html")}, CANNOT_TELL, "cannot write"),
        ("trust.toml", "trust.toml", {}, NOT_VERIFIED, "broken link: archive"),
        ("empty.zip", "trust.toml", {}, NOT_VERIFIED, "broken link: archive"),
        ("reading.zip", "trust.toml", {"expect": "item=01/04012345678901/21/7"}, NOT_VERIFIED, "broken link: manifest"),
        ("reading.zip", "strange.toml", {}, NOT_VERIFIED, "broken link: trust"),
    ],
)
def test_exit_codes(
    files: Path,
    make_world: "Callable[..., World]",
    capsys: pytest.CaptureFixture[str],
    bundle: str,
    trust: str,
    options: dict[str, Any],
    code: int,
    says: str,
) -> None:
    (files / "empty.zip").write_bytes(b"")
    own = (files / "trust.toml").read_text("utf-8")
    (files / "other.toml").write_text(own.replace("threshold = 1", "threshold = 2"))
    (files / "strange.toml").write_text(make_world("south").trust_text(), "utf-8")
    assert verify(files / bundle, trust=files / trust, **options) == code
    shown = capsys.readouterr()
    assert says in shown.out + shown.err


def test_a_file_larger_than_a_bundle(files: Path, tmp_path: Path) -> None:
    path = tmp_path / "huge.zip"
    with path.open("wb") as file:
        file.truncate(1 << 33)  # sparse: the reader must not take it in whole
    assert verify(path, trust=files / "trust.toml") == NOT_VERIFIED


def test_a_defect_of_the_program_is_no_verdict(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def defect(*_: object, **__: object) -> None:
        raise ZeroDivisionError("boom")

    monkeypatch.setattr("tallystick_tools.verify.walk", defect)
    assert verify(files / "reading.zip", trust=files / "trust.toml") == CANNOT_TELL
    assert capsys.readouterr().err == "cannot tell: this program failed: ZeroDivisionError: boom\n"
    monkeypatch.setattr("tallystick_tools.verify.walk", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    assert verify(files / "reading.zip", trust=files / "trust.toml") == CANNOT_TELL


def command(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tallystick_tools", "verify", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def test_a_verdict_that_nobody_can_read(files: Path) -> None:
    """A full disk or a closed pipe: no verdict was given, and nothing is traced."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = command(str(files / "reading.zip"), "--trust", str(files / "trust.toml"), stdout=full)
    assert done.returncode == CANNOT_TELL
    assert done.stderr == "cannot tell: the verdict could not be written: No space left on device\n"
    read, write = os.pipe()
    os.close(read)
    done = command(str(files / "reading.zip"), "--trust", str(files / "trust.toml"), stdout=write)
    os.close(write)
    assert (done.returncode, "Traceback" in done.stderr) == (CANNOT_TELL, False)


def test_the_missing_trust_is_named(files: Path) -> None:
    done = command(str(files / "reading.zip"), stdout=subprocess.PIPE)
    assert done.returncode == CANNOT_TELL
    assert "--trust" in done.stderr


def test_a_terminal_without_unicode(make_world: "Callable[..., World]", tmp_path: Path) -> None:
    world, data = named(make_world, "冷库一号")
    (tmp_path / "trust.toml").write_text(world.trust_text(), "utf-8")
    (tmp_path / "bundle.zip").write_bytes(data)
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}
    for more in ((), ("--json",)):
        arguments = (str(tmp_path / "bundle.zip"), "--trust", str(tmp_path / "trust.toml"), *more)
        done = command(*arguments, stdout=subprocess.PIPE, env=ascii_only)
        assert (done.returncode, done.stderr) == (VERIFIED, "")
        assert done.stdout.isascii()
        assert "\\u51b7" in done.stdout


# --- expectations


def test_expectations(world: "Story") -> None:
    node, other = (world.signers[name].thumbprint.hex() for name in ("node-a", "node-b"))
    first, second = (one.identity.hex() for one in world.loan.decisions)
    reading, window = world.reading_bundle("node-a", 2), world.window_bundle("node-a", 1, 8)
    decision = world.decision_bundle(world.loan, 1)
    for data, text, code in (
        (reading, f"reading={node}/2", VERIFIED),
        (reading, f"reading={node}/1", NOT_VERIFIED),  # shown for its anchor only
        (reading, f"reading={other}/2", NOT_VERIFIED),
        (reading, f"decision={second}", NOT_VERIFIED),
        (window, f"reading={node}/1", VERIFIED),
        (window, f"reading={node}/8", VERIFIED),
        (window, f"reading={node}/9", NOT_VERIFIED),
        (decision, f"decision={second}", VERIFIED),
        (decision, f"decision={first}", NOT_VERIFIED),
        (decision, f"reading={node}/1", NOT_VERIFIED),
        (decision, "item=anything", NOT_VERIFIED),
    ):
        outcome = walk(data, world.trust, expect=Expectation.parse(text))
        assert outcome.code == code, text
        if code == NOT_VERIFIED:
            assert outcome.broken is not None
            assert outcome.broken[0] == "manifest"


@pytest.mark.parametrize("text", ["", "reading=ab/1", f"reading={'0' * 64}/0", f"decision={'A' * 64}", "item="])
def test_malformed_expectations(text: str) -> None:
    with pytest.raises(CannotTell, match="--expect"):
        Expectation.parse(text)


def test_a_later_version_is_no_refusal(world: "Story") -> None:
    value = cbor.Map([(1, 2), (2, "reading"), (3, [bytes(32), 1]), (4, world.origin)])
    outcome = walk(archive.write({MANIFEST: cbor.encode(value)}), world.trust)
    assert (outcome.code, outcome.headline) == (CANNOT_TELL, "cannot tell")


# --- JSON


def test_json(files: Path, world: "Story", capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(files / "decision.zip", trust=files / "trust.toml", json=True) == VERIFIED
    found = json.loads(capsys.readouterr().out)
    assert (found["result"], found["exit"], found["kind"]) == ("verified with remarks", 0, "decision")
    assert found["subject"] == [world.loan.pledge.hex(), 1]
    assert [one["identity"] for one in found["decisions"]] == [one.identity.hex() for one in world.loan.decisions]
    assert len(found["readings"]) == 16
    assert {one["code"] for one in found["not_proved"]} <= set(NOT_PROVED)
    assert found["readings"][0]["measured"]["t"] == "4.50"
    assert verify(files / "trust.toml", trust=files / "trust.toml", json=True) == NOT_VERIFIED
    refused = json.loads(capsys.readouterr().out)
    assert (refused["result"], refused["link"]) == ("not verified", "archive")
    assert verify(files / "nothing", trust=files / "trust.toml", json=True) == CANNOT_TELL
    assert json.loads(capsys.readouterr().out)["missing"].startswith("cannot read")


# --- text from a bundle


def named(make_world: "Callable[..., World]", serial: str) -> "tuple[World, bytes]":
    """A bundle about a node that is called so."""
    world = make_world("names")
    instrument: dict[str, Any] = dict.fromkeys(("calibration", "due_ms", "firmware"))
    instrument |= {"model": "TS-1", "serial": serial, "channels": cbor.Map([("t", [serial, None])])}
    world.signers["node-c"] = Signer(keys.NODE, world.secret("node-c"))
    world.enrolments["node-c"] = world.enrol("node-c", instrument=cbor.Map(list(instrument.items())))
    world.publish()
    world.nodes["node-c"] = type(world.nodes["node-a"])(world, "node-c")
    world.anchor()
    world.minute()
    world.sync()
    return world, world.reading_bundle("node-c", 1)


def test_markup_stays_text(
    make_world: "Callable[..., World]", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world, data = named(make_world, MARKUP)
    (tmp_path / "trust.toml").write_text(world.trust_text(), "utf-8")
    (tmp_path / "bundle.zip").write_bytes(data)
    page = tmp_path / "page.html"
    assert verify(tmp_path / "bundle.zip", trust=tmp_path / "trust.toml", report=page) == VERIFIED
    assert MARKUP in capsys.readouterr().out
    assert "<script" not in page.read_text("utf-8")


@pytest.mark.parametrize("text", [ESCAPE, BACKWARDS, "a\nb", "a\rverified", "\x9b2J", "\u2028", "\x7f", "\ud800"])
def test_untrusted_text_is_escaped(text: str) -> None:
    shown = verify_text.plain(f"<{text}>")
    assert shown.isprintable()
    assert "\\" in shown
    assert len(verify_text.plain("x" * 10_000)) == verify_text.MAX_SHOWN_CHARACTERS


def test_names_in_errors_are_escaped(world: "Story", tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The origin in a manifest is the stranger's text, and stands in the message."""
    members = archive.read(world.reading_bundle("node-a", 2))
    members[MANIFEST] = Manifest("reading", (bytes(32), 1), ESCAPE + BACKWARDS).encode()
    (tmp_path / "bundle.zip").write_bytes(archive.write(members))
    (tmp_path / "trust.toml").write_text(world.trust_text(), "utf-8")
    page = tmp_path / "page.html"
    for as_json in (False, True):
        code = verify(tmp_path / "bundle.zip", trust=tmp_path / "trust.toml", report=page, json=as_json)
        assert code == NOT_VERIFIED
        shown = capsys.readouterr().out + page.read_text("utf-8")
        assert not set(shown) & {"\x1b", "\x07", BACKWARDS}


# --- words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal(-2, 450), "4.50"),
        (Decimal(-2, -450), "-4.50"),
        (Decimal(-2, -5), "-0.05"),
        (Decimal(-3, 7), "0.007"),
        (Decimal(0, -12), "-12"),
        (Decimal(2, 3), "300"),
        (Decimal(-1, 0), "0.0"),
    ],
)
def test_decimals(value: Decimal, text: str) -> None:
    assert verify_text.number(value) == text


def test_times_and_lengths() -> None:
    assert verify_text.when(1_760_000_000_000) == "2025-10-09 08:53:20 UTC"
    assert verify_text.when(None) == "unknown"
    assert verify_text.when(2**63 * 1000) == f"{2**63 * 1000} ms after 1970"
    lengths = {999: "0 s", 61_000: "1 min 1 s", 3_600_000: "1 h", 90_061_000: "1 d 1 h"}
    assert {milliseconds: verify_text.length(milliseconds) for milliseconds in lengths} == lengths


def test_unknown_effects_are_shown_as_they_are() -> None:
    assert verify_text.effect(["release", 5, "\x1b"]) == "release: [5, '\\x1b']"


# --- the page


class Page(HTMLParser):
    """Everything that the page would load, run or name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_needs_nothing_else(files: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert verify(files / "decision.zip", trust=files / "trust.toml", report=page) == VERIFIED
    text = page.read_text("utf-8")
    tags = Page(text).tags
    assert not {tag for tag, _ in tags} & {"script", "link", "img", "iframe", "object", "form", "a", "base"}
    attributes = {attribute for _, found in tags for attribute in found}
    assert not [one for one in attributes if one in ("src", "href") or one.startswith("on")]
    assert "url(" not in text
    assert "://" not in text
    assert "default-src 'none'" in text
    assert sum(tag == "svg" for tag, _ in tags) == 2, "one plot a node"
    for word in ("Verified, with remarks", "已验证", "What is NOT proved", "未证明", "Remarks", "说明"):
        assert word in text
    assert text.count('class="limit"') == 2
    assert 'class="gap"' in text, "five hours without a reading"


def test_pages_of_other_verdicts() -> None:
    broken = verify_report.page(Outcome(broken=("witness", "<b>")))
    assert "Not verified" in broken
    assert "<strong>witness</strong>: &lt;b&gt;" in broken
    assert "无法判断" in verify_report.page(Outcome(missing="trust.toml"))


def test_every_code_has_its_chinese_words() -> None:
    assert set(verify_report._NOT_PROVED_ZH) == set(NOT_PROVED)
    source = Path(verdict.__file__).read_text("utf-8")
    assert set(verify_report._REMARKS_ZH) == set(re.findall(r'Remark\(\s*"([a-z-]+)"', source))


def test_gaps_are_drawn_as_gaps(world: "Story") -> None:
    readings = walk(world.window_bundle("node-a", 1, 8), world.trust).verified
    assert readings is not None
    line = verify_plot.points(readings.readings, "t")
    assert [point.value for point in line] == [4.5, 4.6, 9.0, 9.5, 10.0, 9.0, 4.5, 4.4]
    assert [point.joined for point in line] == [False, True, True, True, True, True, True, False]
    times = [point.time_ms for point in line]
    assert times == sorted(times), "the line never runs backwards, whatever the anchors say"
    picture = verify_plot.svg(line, 8.0, "t")
    assert picture.count("<polyline") == 1
    assert picture.count("<circle") == 1
    assert picture.count('class="gap"') == 1


def test_a_spike_survives_thinning() -> None:
    line = [Point(at, 4.0, at > 0) for at in range(100_000)]
    line[54_321] = Point(54_321, 25.0, True)
    line[70_000] = Point(70_000, 4.0, False)
    thin = verify_plot.thinned(line)
    assert len(thin) <= 2 * verify_plot.BUCKETS + 4
    assert line[54_321] in thin
    assert [point for point in thin if not point.joined] == [line[0], line[70_000]]
    assert line[69_999] in thin, "the gap begins where it began"


def test_a_plot_of_nothing_and_of_one() -> None:
    assert "<polyline" not in verify_plot.svg([], None, "t")
    assert verify_plot.svg([Point(5, 1.0, False)], None, "t").count("<circle") == 1
    assert verify_plot.as_float(Decimal(12, 2**63)) == 1e9

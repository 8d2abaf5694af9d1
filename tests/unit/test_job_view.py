"""What the person at the reader sees and hears: 80x24, no colour needed, two languages."""

import io
import json
import re
import wave
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from tag_support import GTIN, Hand, blank, make_job, run, uid

from tallystick_chips import personalise, personalise_desk
from tallystick_chips.tag_order import TagOutcome
from tallystick_emulators.tag_field import Field
from tallystick_emulators.tag_reader import EmulatedReader
from tallystick_provisioning import screen_words
from tallystick_provisioning import sound as sounds
from tallystick_provisioning.errors import ReaderLost
from tallystick_provisioning.item import Item
from tallystick_provisioning.screen_words import Words
from tallystick_provisioning.sound import Bell, Player, Silent
from tallystick_tags import refusal_words, tag_outcomes, tag_report, tag_view
from tallystick_tags.tag_job import Job, JobItem
from tallystick_tags.tag_run import Moment, Pace, Progress
from tallystick_tags.tag_view import Lines, Screen

PROGRESS = Progress(300, 123, 1, [("duplicate", 3), ("signature", 1)], 2.5, 124, 12)


class Heard:
    """A sound that is remembered."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def good(self) -> None:
        self.notes.append("high")

    def wrong(self) -> None:
        self.notes.append("low low")

    def close(self) -> None: ...


@pytest.fixture
def item(tmp_path: Path) -> JobItem:
    with Job(make_job(tmp_path / "j", 1)) as job:
        return job.of_row(2)


def moments(item: JobItem) -> list[Moment]:
    """One of each kind, and every step."""
    wrong = tag_outcomes.duplicate(item, uid(1))
    return [
        Moment("waiting", PROGRESS, item),
        *(Moment("working", PROGRESS, item, uid(1), step=step) for step in personalise.STEPS),
        Moment("done", PROGRESS, item, uid(1), seconds=1.25),
        Moment("wrong", PROGRESS, item, uid(1), outcome=wrong),
        Moment("wrong", PROGRESS, outcome=tag_outcomes.two_tags()),
        Moment("reader", PROGRESS),
        Moment("finished", Progress(300, 300, 0, [], 2.5, 0, 300)),
    ]


def drawn(moment: Moment, language: str = "en", encoding: str = "utf-8") -> list[str]:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding)
    console = Console(width=80, height=24, file=out, force_terminal=True, color_system=None, _environ={})
    screen = Screen(Words(language), Silent(), "shrimp.job  ntag424  usb", console)  # type: ignore[arg-type]
    console.print(screen.picture(moment))
    out.flush()
    return raw.getvalue().decode(encoding).splitlines()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_moment_fits_80x24(item: JobItem, language: str) -> None:
    for moment in moments(item):
        lines = drawn(moment, language)
        assert len(lines) <= 24
        assert Words(language)[moment.kind] in "\n".join(lines)  # type: ignore[arg-type]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_nothing_overflows_and_the_action_is_always_seen(item: JobItem, language: str) -> None:
    """The longest serial, name, link and counts; a Chinese letter takes two columns, and none is cut in the middle."""
    progress = Progress(99_999, 12_345, 123, [(code, 9_999) for code in sorted(codes())], 123.4, 99_999, 99_999, 12_345)
    one = replace(item, row=99_999, item=Item(GTIN, "%" * 20), name="冷冻南美白虾仁" * 18)
    link = "h" * 64 + Item(GTIN, "%" * 20).path
    for code in codes():
        reason, facts = f"the tag names {link}, not {link}", f"{'%25' * 20} ≠ {'%' * 20}"
        outcome = TagOutcome("unfinished", code, reason, "put the same tag down and run recover", uid(1), facts=facts)
        raw = drawn(Moment("wrong", progress, one, uid(1), outcome=outcome), language)
        assert len(raw) <= 24
        assert max(map(cell_len, raw)) == 80
        assert refusal_words.of_outcome(outcome, language)[1] in "\n".join(raw)  # type: ignore[arg-type]
        assert "\ufffd" not in "".join(raw)


def test_figures_are_on_the_screen(item: JobItem) -> None:
    text = "\n".join(drawn(moments(item)[0]))
    for shown in ("123/300", "left 177", "unfinished 1", "2.5 s per tag", "0:07:22", "duplicate 3, signature 1"):
        assert shown in text
    assert "statements: 12 sent, 124 wait for the ledger" in text
    assert "row 2  serial S0" in text


def test_what_is_wrong_is_said_with_the_next_action(item: JobItem) -> None:
    wrong = moments(item)[-4]
    text = "\n".join(drawn(wrong))
    assert "this tag is row 2 already: serial S0" in text
    assert "do: take another tag" in text
    assert "该标签已写过" in "\n".join(drawn(wrong, "zh"))


def test_a_terminal_without_utf8_gets_ascii(item: JobItem) -> None:
    for moment in moments(item):
        if moment.item is None:
            "\n".join(drawn(moment, encoding="latin-1"))  # what cannot be encoded would raise
    assert "XX  WRONG - TAKE IT AWAY  XX" in "\n".join(drawn(moments(item)[-3], encoding="latin-1"))


def test_sounds_follow_the_tags(tmp_path: Path) -> None:
    heard = Heard()
    out = io.StringIO()
    lines = Lines(Words("en"), heard, out)

    class Both(Hand):
        def show(self, moment: Moment) -> None:
            lines.show(moment)
            super().show(moment)

    with Job(make_job(tmp_path / "j", 2)) as job:
        same = blank("ntag424", 1)
        assert run(job, Both(Field(), [same, None, same, blank("ntag424", 2)])).go()
    assert heard.notes == ["high", "low low", "high"]
    text = out.getvalue().splitlines()
    assert text[0] == "..... 0/2  PUT A TAG DOWN"
    assert text[1].startswith("ok    1/2  row 2  serial S0  tag 04000000000001")
    assert "WRONG 1/2  row 2  serial S0  tag 04000000000001  duplicate: this tag is row 2 already" in "\n".join(text)
    assert text[-1] == "..... 2/2  FINISHED"


def test_the_sounds_themselves(tmp_path: Path) -> None:
    """The good one is high and short, the other low and twice."""
    assert sounds.GOOD_HZ > 4 * sounds.WRONG_HZ
    player = Player(("true",))
    for name, seconds in (("good", sounds.GOOD_S), ("wrong", 2 * sounds.WRONG_S + sounds.PAUSE_S)):
        with wave.open(str(player._file(name)), "rb") as file:
            assert file.getnframes() / file.getframerate() == pytest.approx(seconds, abs=0.01)
    player.good()
    player.wrong()
    player.close()
    gone = Player((str(tmp_path / "no-player"),))
    gone.good()  # a player that is gone is silence
    gone.close()


def test_which_sound_is_taken(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("shutil.which", lambda name: "/bin/aplay" if name == "aplay" else None)
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    assert isinstance(sounds.choose(True), Silent)
    player = sounds.choose(False)
    assert isinstance(player, Player)
    player.close()
    monkeypatch.setenv("SSH_CONNECTION", "x")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert isinstance(sounds.choose(False), Bell)
    Bell().good()
    Bell().wrong()
    assert capsys.readouterr().err == "\a\a\a"
    monkeypatch.setattr("sys.stderr.isatty", lambda: False)
    assert isinstance(sounds.choose(False), Silent)


def test_which_view_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    words = Words("en")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(tag_view.choose(words, Silent(), "", False), Screen)
    assert isinstance(tag_view.choose(words, Silent(), "", True), Lines)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(tag_view.choose(words, Silent(), "", False), Lines)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout.isatty", lambda: False)
    assert isinstance(tag_view.choose(words, Silent(), "", False), Lines)


@pytest.mark.parametrize(
    ("wanted", "environment", "language"),
    [
        (None, {"LANG": "zh_CN.UTF-8"}, "zh"),
        (None, {"LANG": "zh_CN.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        (None, {"LANG": "de_DE.UTF-8"}, "en"),
        (None, {}, "en"),
        ("zh", {"LANG": "C"}, "zh"),
        ("en", {"LANG": "zh_CN.UTF-8"}, "en"),
    ],
)
def test_which_language_is_taken(
    monkeypatch: pytest.MonkeyPatch, wanted: str | None, environment: dict[str, str], language: str
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert screen_words.choose(wanted) == language


def test_both_languages_are_whole() -> None:
    for english, chinese in screen_words._TABLE.values():
        assert english.isascii()
        assert not chinese.isascii()
        assert english
    steps = {name for name in screen_words._TABLE if name in personalise.STEPS}
    assert steps == set(personalise.STEPS)


def codes() -> set[str]:
    """Each code of a refusal that the personaliser, the desk or the loop can give, as their sources name it."""
    pattern = r'(?:TagRefused\(\s*|TagOutcome\(\s*"(?:refused|unfinished)",\s*)"([a-z-]+)"'
    found = {code for _, code, _ in personalise_desk._EXPLAINED}
    for module in (personalise, tag_outcomes):
        for path in Path(str(module.__file__)).parent.glob("*.py"):
            found.update(re.findall(pattern, path.read_text("utf-8")))
    return found


def test_every_code_has_its_words_in_both_languages() -> None:
    words = refusal_words._WORDS
    assert set(words["en"]) == set(words["zh"]) == codes()
    assert len(codes()) > 25
    for code, (reason, action) in words["en"].items():
        assert reason.isascii(), code
        assert action.isascii(), code
        assert len(reason) + len(action) < 76, code
    for code, (reason, action) in words["zh"].items():
        assert re.search("[\u4e00-\u9fff]", reason), code
        assert re.search("[\u4e00-\u9fff]", action), code


def test_the_installers_page_says_what_to_do_for_every_code() -> None:
    page = (Path(__file__).parents[2] / "docs/installer.md").read_text("utf-8")
    table = page.partition("| it says |")[2].partition("\n\n")[0]
    named = " ".join(row.split("|")[1] for row in table.splitlines() if row.startswith("| "))
    assert not sorted(codes() - set(re.split(r"[,\s]+", named)))


@pytest.mark.parametrize("code", sorted(refusal_words._WORDS["zh"]))
def test_a_chinese_screen_says_reason_and_action_in_chinese(code: str) -> None:
    """Refused and half written; what the reason names (a row, a tag, a chip) stands there in any language."""
    for state in ("refused", "unfinished"):
        outcome = TagOutcome(state, code, "english reason", "english action", uid(1), facts="7: 04AA")
        lines = "\n".join(drawn(Moment("wrong", PROGRESS, None, uid(1), outcome=outcome), "zh"))
        assert "english" not in lines
        assert refusal_words.of_code(code, "zh")[0] in lines
        assert "7: 04AA" in lines
        action = refusal_words.of_outcome(outcome, "zh")[1]
        assert action in lines
        if state == "unfinished":
            assert "换一枚" not in action, "a half-written tag is not replaced by another one"
    assert refusal_words.of_outcome(outcome, "en") == ("english reason", "english action")


def test_the_journal_keeps_code_and_english(tmp_path: Path) -> None:
    """Whatever the screen's language: a report is read elsewhere too."""
    out = io.StringIO()
    lines = Lines(Words("zh"), Silent(), out)

    class Both(Hand):
        def show(self, moment: Moment) -> None:
            lines.show(moment)
            super().show(moment)

    with Job(make_job(tmp_path / "j", 2)) as job:
        assert not run(job, Both(Field(), [blank("ntag215", 1)])).go()
        kept = job.refused()
    assert "wrong-chip: 芯片型号不符（NTAG215 ≠ NTAG 424 DNA）; 换用本任务的型号" in out.getvalue()
    assert (kept[0]["code"], kept[0]["next_action"]) == ("wrong-chip", "take the other tag")
    assert kept[0]["reason"] == "this is an NTAG215, the job wants NTAG 424 DNA"


def test_a_report_for_people_is_in_their_language(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Job(make_job(tmp_path / "j", 2)) as job:
        run(job, Hand(Field(), [blank("ntag215", 1)])).go()
    assert tag_report.report(tmp_path / "j", lang="zh", every=True) == 1
    chinese = capsys.readouterr().out
    assert "不合格 1: wrong-chip: 芯片型号不符; 换用本任务的型号" in chinese
    assert "未写 2, 未写完 0, 已写入 0, 已锁定 0" in chinese
    assert tag_report.report(tmp_path / "j", lang="en") == 1
    english = capsys.readouterr().out
    assert "rejected 1: wrong-chip: not the kind of tag that the job wants; take the other kind" in english
    assert tag_report.report(tmp_path / "j", lang="zh", json=True) == 1
    assert json.loads(capsys.readouterr().out)["refused"][0]["next_action"] == "take the other tag"


def test_a_screen_says_no_longer_that_a_reader_is_gone(tmp_path: Path) -> None:
    """When it is back the next tag is asked for, without waiting for one."""
    field, opened = Field(), []

    class Plugged(Hand):
        def show(self, moment: Moment) -> None:
            self.moments.append(moment)
            if len(self.moments) > 1 and self.moments[-2].kind == "reader":
                raise KeyboardInterrupt

    def reader() -> EmulatedReader:
        opened.append(1)
        if len(opened) in (2, 3):
            raise ReaderLost("unplugged")
        if len(opened) == 1:
            field.cut(0, "before", "reader")
        return EmulatedReader(field)

    hand = Plugged(field, [])
    field.put(blank("ntag424", 1))
    with Job(make_job(tmp_path / "j", 1)) as job:
        loop = run(job, hand, reader=reader)
        loop.patience_s = None
        with pytest.raises(KeyboardInterrupt):
            loop.go()
    assert [moment.kind for moment in hand.moments][-2:] == ["reader", "waiting"]


def test_pace_is_reckoned_over_the_last_tags() -> None:
    assert Pace().seconds is None
    pace = Pace(3)
    for at in (0.0, 100.0, 101.0, 102.0, 103.0):
        pace.add(at)
    assert pace.seconds == 1.0
    assert Progress(10, 4, 0, [], 2.0, 0, 0).seconds_left == 12.0
    assert Progress(10, 4, 0, [], None, 0, 0).seconds_left is None

"""How commands end when a file is not there, or options do not go together: "could not run", and nothing is made."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from personalise_support import HOST
from tag_support import make_job

from tallystick_fleet import node_fleet_commands, node_label, place_commands, provision_command
from tallystick_fleet.provision_asked import NewBoards
from tallystick_provisioning.exit_codes import COULD_NOT_RUN
from tallystick_tags import label_commands, tag_commands, tag_job_commands, tag_pass_commands, tag_report, tag_sending
from tallystick_tags.at_reader import AtReader

NOWHERE = Path("nowhere")
AT = AtReader(reader="usb", keys="nowhere.key")

COMMANDS: dict[str, Callable[[], int]] = {
    "tag write": lambda: tag_commands.write(NOWHERE, at=AT, silent=True),
    "tag verify": lambda: tag_pass_commands.verify(NOWHERE, at=AT),
    "tag check": lambda: tag_pass_commands.check(NOWHERE, at=AT),
    "tag report": lambda: tag_report.report(NOWHERE),
    "tag labels": lambda: label_commands.labels(NOWHERE, pdf=Path("labels.pdf")),
    "tag sync": lambda: tag_sending.sync(NOWHERE, installer=NOWHERE, trust=NOWHERE, ledger="http://ledger.example"),
    "tag job new": lambda: tag_job_commands.new(Path("job"), source=NOWHERE, chip="ntag424", host=HOST),
    "tag job scan": lambda: tag_job_commands.scan(NOWHERE, reader="usb"),
    "tag job release": lambda: tag_job_commands.release(NOWHERE, 2),
    "node list": lambda: node_fleet_commands.list_nodes(table=NOWHERE),
    "node place": lambda: place_commands.place("N1", "A12", table=NOWHERE),
    "node labels": lambda: node_label.labels(table=NOWHERE, pdf=Path("labels.pdf")),
    "node survey": lambda: node_fleet_commands.survey(NOWHERE, table=NOWHERE),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_missing_file_is_no_refusal(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert COMMANDS[name]() == COULD_NOT_RUN
    assert capsys.readouterr().err.startswith("could not run: ")
    assert list(tmp_path.iterdir()) == []


PROVISION = partial(provision_command.provision, NOWHERE, firmware=NOWHERE, model="TS-1", boards=".")
USAGE: dict[str, Callable[[], int]] = {
    "parallel": lambda: PROVISION(parallel=0),
    "drives": lambda: PROVISION(new=NewBoards(drives=NOWHERE)),
    "--days": lambda: tag_job_commands.seal(
        NOWHERE, keys="k", authority=NOWHERE, trust=NOWHERE, out=Path("o"), days=367
    ),
    "--pdf FILE or --zpl FILE": lambda: node_label.labels(table=NOWHERE),
}


@pytest.mark.parametrize("named", USAGE)
def test_options_that_do_not_go_together_are_no_refusal(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert USAGE[named]() == COULD_NOT_RUN
    assert named in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_missing_keys_are_no_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_job(tmp_path / "job", 1)
    assert tag_pass_commands.verify(Path("job"), at=AT) == COULD_NOT_RUN
    assert "nowhere.key" in capsys.readouterr().err

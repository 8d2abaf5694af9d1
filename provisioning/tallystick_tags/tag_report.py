"""`tallystick tag report`: where a job stands, for a person, for a program and for a spreadsheet."""

import io
from collections.abc import Mapping
from csv import writer as csv_writer
from json import dumps
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from tallystick_provisioning import whole_file
from tallystick_provisioning.exit_codes import DONE, REFUSED, reporting
from tallystick_provisioning.screen_words import Words, choose
from tallystick_tags import refusal_words
from tallystick_tags.tag_job import WAITING, WRITING, Job, JobItem

_COLUMNS = (
    "row", "gtin", "serial", "name", "chip", "state", "uid", "url", "written_ms", "checked_ms", "sent_ms", "salt",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t")  # a spreadsheet would run a cell that begins so


@reporting()
def report(
    job: Path,
    *,
    json: bool = False,
    csv: Path | None = None,
    every: bool = False,
    lang: Literal["en", "zh"] | None = None,
    force: bool = False,
) -> int:
    """Say how far a job is: counts, rejects by reason, open rows. Exit code 1 while a row has no tag.

    Example:
        tallystick tag report shrimp.job

    Parameters
    ----------
    job
        Job file.
    json
        One JSON object with every row.
    csv
        Write every row to this CSV file, which any spreadsheet opens.
    every
        Show every row, not only those that are open.
    lang
        Language of what a person reads; default: that of the system. JSON and CSV are the same in every language.
    force
        Write over a file that is there already.
    """
    with Job(job) as opened:
        told = collect(opened)
        if csv is not None:
            whole_file.write_output(csv, [as_csv(told)], force=force)
        if json:
            print(dumps(told, ensure_ascii=False, indent=2))
        else:
            _show(told, every, Words(choose(lang)))
    return REFUSED if told["counts"][WAITING] + told["counts"][WRITING] else DONE


def collect(job: Job) -> dict[str, Any]:
    """Everything that there is to say."""
    head = job.head
    return {
        "job": head.id,
        "chip": head.chip,
        "host": head.host,
        "key_set": head.key_set,
        "key_version": head.key_version,
        "counts": job.counts(),
        "queued": job.queued(),
        "rejects": dict(job.rejects()),
        "seconds_per_tag": job.seconds_per_tag(),
        "items": [_row(head.host, item) for item in job.items()],
        "refused": job.refused(),
    }


def as_csv(told: Mapping[str, Any]) -> bytes:
    """UTF-8 with its mark, so that Excel shows Chinese names; a cell that would be a formula begins with '."""
    text = io.StringIO(newline="")
    writer = csv_writer(text)
    writer.writerow(_COLUMNS)
    for item in told["items"]:
        writer.writerow([_harmless(item[column]) for column in _COLUMNS])
    return text.getvalue().encode("utf-8-sig")


def _row(host: str, item: JobItem) -> dict[str, Any]:
    return {
        "row": item.row,
        "gtin": item.item.gtin,
        "serial": item.item.serial,
        "name": item.name,
        "chip": item.chip,
        "state": item.state,
        "uid": None if item.uid is None else item.uid.hex().upper(),
        "url": item.item.url(host),  # without what the chip adds at each tap: those links are worth stealing
        "epoch": item.epoch,
        "written_ms": item.written_ms,
        "checked_ms": item.checked_ms,
        "sent_ms": item.sent_ms,
        "salt": None if item.salt is None else item.salt.hex(),
    }


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _show(told: Mapping[str, Any], all_rows: bool, words: Words) -> None:
    console, counts = Console(), told["counts"]
    states = ", ".join(f"{words[f'row_{state}']} {count}" for state, count in counts.items())
    lines = [words["of_job"].format(**told), states]
    if told["seconds_per_tag"] is not None:
        lines.append(f"{told['seconds_per_tag']:.1f} {words['per_tag']}")
    lines.append(words["wait"].format(queued=told["queued"]))
    for code, count in told["rejects"].items():
        reason, action = refusal_words.of_code(code, words.language)
        lines.append(f"{words['rejected']} {count}: {code}: {reason}; {action}")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    shown = [item for item in told["items"] if all_rows or item["state"] == WRITING]
    if shown:
        _show_table(console, shown, words)


def _show_table(console: Console, items: list[dict[str, Any]], words: Words) -> None:
    table = Table(*(words[name] for name in ("row", "serial", "name", "state", "tag")))
    for item in items:
        cells = (str(item["row"]), item["serial"], item["name"], words[f"row_{item['state']}"], item["uid"] or "")
        table.add_row(*(cell.replace("[", "\\[") for cell in cells))
    console.print(table)

"""What stands on the closing sheet of a day: tags, refusals, nodes, calibration. Plain values; no drawing, no clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tallystick_fleet.node_table import KnownNode
from tallystick_fleet.node_view import STEP_WORDS
from tallystick_proof import statement
from tallystick_tags import refusal_words
from tallystick_tags.sheet_words import SheetWords
from tallystick_tags.tag_job import LOCKED, WAITING, WRITING, WRITTEN, Job, JobItem

_HASH_LINE = 32  # hex digits: a hash is two lines
_STATES = (WAITING, WRITING, WRITTEN, LOCKED)


@dataclass(frozen=True, slots=True)
class Table:
    """A heading, columns as (title, share of the width), and rows of text."""

    heading: str
    columns: tuple[tuple[str, int], ...]
    rows: Sequence[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A whole sheet, in one language."""

    title: str
    made_ms: int
    facts: tuple[tuple[str, str], ...]
    tables: tuple[Table, ...]
    remark: str
    page: str

    def texts(self) -> list[str]:
        """Everything that is written on it."""
        cells = [text for table in self.tables for row in table.rows for text in row]
        titles = [text for table in self.tables for text in (table.heading, *(title for title, _ in table.columns))]
        return [self.title, self.remark, self.page, *(text for fact in self.facts for text in fact), *titles, *cells]


@dataclass(frozen=True, slots=True)
class Signature:
    """Who signs it, for which ledger, when."""

    origin: str
    thumbprint: bytes
    made_ms: int


def build(jobs: Mapping[str, Job], nodes: Sequence[KnownNode] | None, signature: Signature, words: SheetWords) -> Sheet:
    """The sheet over these jobs, by the name of their files, and the site's nodes."""
    tables = [_totals(jobs, words)]
    for name, job in jobs.items():
        tables += [_tags(name, job, words), _rejects(name, job, words)]
    if nodes is not None:
        tables += [_nodes(nodes, words), _identities(nodes, words)]
    working = [node for node in nodes or () if node.works]
    facts = [
        (words["made"], moment(signature.made_ms)),
        (words["ledger"], signature.origin),
        (words["signed_by"], signature.thumbprint.hex()),
        (words["signed_how"], words["beside"]),
    ]
    if nodes is not None:
        facts += [(words["nodes_work"], str(len(working))), (words["nodes_failed"], str(len(nodes) - len(working)))]
    shown = tuple(table for table in tables if table.rows)
    return Sheet(words["title"], signature.made_ms, tuple(facts), shown, words["not_shown"], words["page"])


def totals(job: Job) -> dict[str, int]:
    """What a job came to, for whoever reads --json."""
    refusals = sum(count for _, count in job.rejects())
    counts = job.counts()
    return {
        "rows": sum(counts.values()), **counts, "refusals": refusals, "sent": job.delivered(), "queued": job.queued()
    }  # fmt: skip


def moment(at_ms: int | None) -> str:
    """A time in UTC, to the minute; nothing for None."""
    return "" if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def _totals(jobs: Mapping[str, Job], words: SheetWords) -> Table:
    names = ("rows", *_STATES, "refusals", "sent", "queued")
    columns = ((words["job"], 69), *((words[name], 26) for name in names))
    rows = [(name, *(str(totals(job)[one]) for one in names)) for name, job in jobs.items()]
    return Table(words["totals"], columns, rows)


def _tags(name: str, job: Job, words: SheetWords) -> Table:
    columns = (
        (words["row"], 12), (words["item"], 44), (words["name"], 52), (words["chip"], 20), (words["state"], 30),
        (words["tag"], 32), (words["when"], 31), (words["statement"], 56),
    )  # fmt: skip
    return Table(f"{words['tags']} {name}", columns, [_tag(item, words) for item in job.items()])


def _tag(item: JobItem, words: SheetWords) -> tuple[str, ...]:
    state = words[item.state] + ("" if item.checked_ms is None else f", {words['checked']}")
    identity = "" if item.statement is None else _hash(statement.parse(item.statement).identity.hex())
    return (
        str(item.row),
        f"{item.item.gtin}\n{item.item.serial}",
        item.name,
        item.chip,
        state,
        "" if item.uid is None else item.uid.hex().upper(),
        moment(item.written_ms),
        identity,
    )


def _rejects(name: str, job: Job, words: SheetWords) -> Table:
    """By reason, the most frequent first, each with its rows; a tag that got no row by its UID."""
    columns = ((words["reason"], 30), (words["times"], 16), (words["where"], 110), (words["said"], 121))
    refused = job.refused()
    rows = []
    for code, count in job.rejects():
        taps = [tap for tap in refused if tap["code"] == code]
        places = dict.fromkeys(_where(tap["row"], tap["uid"], words) for tap in taps)
        said = taps[0]["reason"] if words.language == "en" else "；".join(refusal_words.of_code(code, words.language))
        rows.append((code, str(count), ", ".join(places), said))
    return Table(f"{words['rejects']} {name}", columns, rows or [(words["none"], "0", "", "")])


def _where(row: int | None, uid: str | None, words: SheetWords) -> str:
    if row is not None:
        return str(row)
    return words["tag"] if uid is None else uid.upper()


def _nodes(nodes: Sequence[KnownNode], words: SheetWords) -> Table:
    columns = (
        (words["name"], 50), (words["serial"], 42), (words["place"], 60), (words["model"], 25), (words["state"], 70),
        (words["due"], 30),
    )  # fmt: skip
    rows = [
        (node.name, node.serial, node.place, node.model, _node_state(node, words), moment(node.due_ms)[:10])
        for node in nodes
    ]
    return Table(words["nodes"], columns, rows)


def _node_state(node: KnownNode, words: SheetWords) -> str:
    if node.works:
        return words["works"]
    if not node.step:
        return words["new"]
    return f"{words['stopped']} {STEP_WORDS[words.language].get(node.step, node.step)}: {node.reason}"


def _identities(nodes: Sequence[KnownNode], words: SheetWords) -> Table:
    columns = ((words["name"], 50), (words["key"], 75), (words["enrolment"], 75), (words["certificate"], 77))
    rows = [
        (node.name, _hash(node.thumbprint), _hash(node.enrolment), _hash(node.certificate))
        for node in nodes
        if node.thumbprint or node.certificate
    ]
    return Table(words["identities"], columns, rows)


def _hash(digits: str) -> str:
    return f"{digits[:_HASH_LINE]}\n{digits[_HASH_LINE:]}".strip()

"""The words of a verification, for terminal, --json and report. Text from a bundle is never trusted."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tallystick_finance import money
from tallystick_finance.errors import MoneyError
from tallystick_proof.enrolment import EnrolledKey
from tallystick_proof.evidence import VerifiedReading
from tallystick_proof.time import Interval
from tallystick_proof.verdict import NOT_PROVED, Verified
from tallystick_tools.outcome import Outcome
from tallystick_tools.verify_decision import LoanVerdict
from tallystick_wire.reading import BOOT_NAMES, GAP_FIRST, GAP_LAST
from tallystick_wire.senml import Decimal

MAX_SHOWN_CHARACTERS = 200  # of one piece of text from a bundle: a screen line or two
_NOT_MEASURED = (*BOOT_NAMES, GAP_FIRST, GAP_LAST)
SYMBOLS = {"Cel": "°C", "%RH": "% RH"}  # SenML unit (RFC 8428 section 12.1) -> as people write it
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def plain(text: str) -> str:
    """Text that cannot move a cursor, change a colour, turn a line around or fill a screen."""
    shown = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
    return shown if len(shown) <= MAX_SHOWN_CHARACTERS else shown[: MAX_SHOWN_CHARACTERS - 1] + "…"


def when(time_ms: int | None) -> str:
    """A time in UTC; its number where no calendar has it."""
    if time_ms is None:
        return "unknown"
    try:
        return (_EPOCH + timedelta(milliseconds=time_ms)).strftime("%Y-%m-%d %H:%M:%S UTC")
    except OverflowError:
        return f"{time_ms} ms after 1970"


def length(milliseconds: int) -> str:
    """A length of time in its two largest units."""
    rest, parts = max(0, milliseconds) // 1000, []
    for name, seconds in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, seconds)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2]) or "0 s"


def number(value: Decimal) -> str:
    """A decimal fraction, written out exactly."""
    if value.exponent >= 0:
        return str(value.mantissa * 10**value.exponent)
    digits = str(abs(value.mantissa)).rjust(1 - value.exponent, "0")
    sign = "-" if value.mantissa < 0 else ""
    return f"{sign}{digits[: value.exponent]}.{digits[value.exponent :]}"


def measured(one: VerifiedReading) -> Iterator[str]:
    """What a reading says, with the full names of the node's enrolment."""
    channels = None if one.node.instrument is None else one.node.instrument.get("channels")
    for record in one.reading.pack.records:
        if record.name in _NOT_MEASURED:
            continue
        meaning = None if channels is None else channels.get(record.name)
        name = record.name if meaning is None else meaning[0]
        unit = "" if record.unit is None else f" {symbol(record.unit)}"
        yield plain(f"{name} {_value(record.value)}{unit}")


def symbol(unit: str) -> str:
    """A SenML unit as people write it."""
    return SYMBOLS.get(unit, unit)


def amount(minor: int, currency: str) -> str:
    """Money; in minor units where this program does not know how many decimals the currency has."""
    try:
        return money.text(minor, currency)
    except MoneyError:
        return f"{minor:,} {plain(currency)} in minor units"


def instrument(key: EnrolledKey) -> str:
    """A node by its instrument."""
    if key.instrument is None:
        return f"{key.kind} {key.kid.hex()}"
    return plain(f"node {key.kid.hex()} ({key.instrument['model']}, serial {key.instrument['serial']})")


def interval(bounds: Interval) -> str:
    """When, in words."""
    if bounds.earliest_ms is None and bounds.latest_ms is None:
        return "at a time that nothing bounds"
    if bounds.earliest_ms is None:
        return f"before {when(bounds.latest_ms)}"
    if bounds.latest_ms is None:
        return f"after {when(bounds.earliest_ms)}"
    return f"between {when(bounds.earliest_ms)} and {when(bounds.latest_ms)}"


def effect(value: Sequence[Any]) -> str:
    """One effect of a decision in words."""
    kind, *rest = value
    if kind == "alert":
        covenant, node, found_ms, limit_ms = rest
        return f"alert: {plain(covenant)} at node {node[:8].hex()}: {length(found_ms)}, limit {length(limit_ms)}"
    if kind == "haircut":
        return f"haircut of {rest[0] / 100:g} %"
    if kind == "margin-call":
        return f"margin call of {amount(rest[0], rest[1])}, due {when(rest[2])}"
    return plain(f"{kind}: {rest}")


def proved(outcome: Outcome) -> list[str]:
    """What a verified bundle proves, in sentences."""
    if outcome.loan is not None:
        return list(_loan(outcome.loan))
    if outcome.verified is None:
        return []
    return list(_reading(outcome.verified) if outcome.verified.kind == "reading" else _window(outcome.verified))


def not_proved(verified: Verified) -> list[str]:
    return [NOT_PROVED[code] for code in verified.not_proved]


def subject(verified: Verified) -> str:
    name, *numbers = verified.subject
    return f"{verified.kind} {'/'.join([name.hex(), *map(str, numbers)])}"


def as_json(outcome: Outcome) -> dict[str, Any]:
    """The outcome as one JSON object; hex for bytes, milliseconds since 1970 for times."""
    found: dict[str, Any] = {"result": outcome.headline, "exit": outcome.code}
    if outcome.broken is not None:
        return {**found, "link": outcome.broken[0], "detail": plain(outcome.broken[1])}
    if outcome.verified is None:
        return {**found, "missing": plain(outcome.missing or "")}
    verified = outcome.verified
    name, *numbers = verified.subject
    return {
        **found,
        "kind": verified.kind,
        "subject": [name.hex(), *numbers],
        "earliest_ms": verified.earliest_ms,
        "latest_ms": verified.latest_ms,
        "proved": proved(outcome),
        "remarks": [{"code": one.code, "text": plain(one.text)} for one in verified.remarks],
        "not_proved": [{"code": code, "text": NOT_PROVED[code]} for code in verified.not_proved],
        "steps": [{"link": step.link, "text": plain(step.text)} for step in verified.steps],
        "keys": [{"kind": key.kind, "thumbprint": key.thumbprint.hex()} for key in verified.keys],
        "readings": [_reading_json(one) for one in verified.readings],
        "decisions": [] if outcome.loan is None else _decisions_json(outcome.loan),
    }


def _value(value: Decimal | int | bool | str | bytes) -> str:
    if isinstance(value, Decimal):
        return number(value)
    return value.hex() if isinstance(value, bytes) else str(value)


def _reading(verified: Verified) -> Iterator[str]:
    one = verified.readings[-1]
    yield f"{instrument(one.node)} signed reading {one.reading.chain.seq}: {', '.join(measured(one))}"
    yield f"it was made {interval(one.interval)}"
    says_ms = one.interval.gateway_says_ms
    yield f"the gateway says that it came {'at a time it did not know' if says_ms is None else when(says_ms)}"


def _window(verified: Verified) -> Iterator[str]:
    first, last = verified.readings[0], verified.readings[-1]
    span = f"{first.reading.chain.seq} to {last.reading.chain.seq}"
    yield f"{instrument(first.node)} signed {len(verified.readings)} readings, {span}"
    yield f"the first was made {interval(first.interval)}"
    yield f"the last was made {interval(last.interval)}: {', '.join(measured(last))}"


def _loan(loan: LoanVerdict) -> Iterator[str]:
    pledge, association = loan.pledge.body, loan.association.body
    lent = amount(pledge["principal_minor"], pledge["currency"])
    where = f"lot {plain(pledge['lot'])} at {plain(association['place'])}"
    yield f"loan {loan.pledge.identity.hex()}: {lent} against {where}"
    for one in loan.decisions:
        yield f"decision {one.number}, as of {when(one.as_of[1])}, from {one.readings} readings, recomputed:"
        yield from (f"  {effect(value)}" for value in one.effects)


def _reading_json(one: VerifiedReading) -> dict[str, Any]:
    chain = one.reading.chain
    return {
        "node": one.node.thumbprint.hex(),
        "seq": chain.seq,
        "boot": chain.boot,
        "identity": one.reading.identity.hex(),
        "measured": {record.name: _value(record.value) for record in one.reading.pack.records},
        "earliest_ms": one.interval.earliest_ms,
        "latest_ms": one.interval.latest_ms,
        "gateway_says_ms": one.interval.gateway_says_ms,
        "unknown_before": one.missing.unknown,
        "given_up_before": one.missing.given_up,
        "declared_by": list(one.missing.declared_by),
        "ledger_index": one.ledger_index,
    }


def _decisions_json(loan: LoanVerdict) -> list[dict[str, Any]]:
    return [
        {
            "identity": one.identity.hex(),
            "n": one.number,
            "as_of": {"size": one.as_of[0], "time_ms": one.as_of[1]},
            "windows": [[node.hex(), first, last] for node, first, last in one.windows],
            "effects": [[part.hex() if isinstance(part, bytes) else part for part in value] for value in one.effects],
        }
        for one in loan.decisions
    ]

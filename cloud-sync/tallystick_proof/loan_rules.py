"""The rules of a loan, as its lender signs them in a facility (docs/spec.md 10.1)."""

import hashlib
from dataclasses import dataclass

from tallystick_proof.errors import RulesError
from tallystick_proof.exact import Number, decimal
from tallystick_wire import cbor

BPS = 10_000  # basis points in a whole
MAX_RULE_MS = 366 * 86_400_000  # a year: a longer limit is a typing error
_HAIRCUTS = ("haircut_warm_bps", "haircut_silence_bps")


@dataclass(frozen=True, slots=True)
class Rules:
    """What the lender signed in its facility: one CBOR map with exactly these names."""

    warm_limit: Number  # degrees Celsius, tag 4 or an integer; warm is above, not at
    warm_for_ms: int
    silence_for_ms: int
    advance_bps: int  # lent against the value of the lot
    haircut_warm_bps: int  # taken off the value once the lot was too warm
    haircut_silence_bps: int  # ... once nobody could tell
    cure_ms: int  # from a margin call to its due date
    hash: bytes  # SHA-256 of the map's CBOR

    @classmethod
    def parse(cls, value: object) -> "Rules":
        """The rules of a facility; RulesError names the field that is missing, unknown or out of range."""
        times, parts = ("warm_for_ms", "silence_for_ms", "cure_ms"), ("advance_bps", *_HAIRCUTS)
        ranges = dict.fromkeys(times, (1, MAX_RULE_MS)) | dict.fromkeys(parts, (0, BPS))
        if not isinstance(value, cbor.Map):
            raise RulesError("rules: a map is required")
        names = ["warm_limit", *ranges]
        unknown = [name for name, _ in value.pairs if name not in names]
        missing = [name for name in names if name not in value]
        if unknown or missing:
            raise RulesError(f"rules: unknown {unknown}, missing {missing}")
        for name, (lowest, highest) in ranges.items():
            if type(value[name]) is not int or not lowest <= value[name] <= highest:
                raise RulesError(f"rules: {name} must be an integer from {lowest} to {highest}")
        limit = decimal(value["warm_limit"])
        if limit is None:
            raise RulesError("rules: warm_limit must be an integer or a decimal fraction (tag 4)")
        numbers = {name: value[name] for name in ranges}
        rules = cls(warm_limit=limit, hash=hashlib.sha256(cbor.encode(value)).digest(), **numbers)
        if rules.haircut_silence_bps < rules.haircut_warm_bps:
            # Otherwise the cheapest answer to a warm room is to unplug the node.
            found = f"haircut_silence_bps {rules.haircut_silence_bps} is below haircut_warm_bps"
            raise RulesError(f"rules: {found} {rules.haircut_warm_bps}: unplugging would cost less than being warm")
        return rules

    def base_minor(self, value_minor: int, haircut_bps: int) -> int:
        """What may be lent against goods of this value, rounded down."""
        return value_minor * self.advance_bps * (BPS - haircut_bps) // (BPS * BPS)

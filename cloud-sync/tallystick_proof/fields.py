"""What a field of a statement may hold: small checks, and checks made of checks. statement.TABLE is made of them."""

from collections.abc import Callable, Mapping

from tallystick_proof.note import is_plain
from tallystick_wire import cbor

# Says what a value must be when it is not that, and None when it is.
Check = Callable[[object], str | None]
Schema = Mapping[str, Check]


def exactly(size: int) -> Check:
    return lambda value: None if isinstance(value, bytes) and len(value) == size else f"must be {size} bytes"


def some_bytes(most: int) -> Check:
    wrong = f"must be 1 to {most} bytes"
    return lambda value: None if isinstance(value, bytes) and 0 < len(value) <= most else wrong


def text(most: int, least: int = 1) -> Check:
    wrong = f"must be {least} to {most} characters, none of them hidden"

    def check(value: object) -> str | None:
        return None if isinstance(value, str) and least <= len(value) <= most and is_plain(value) else wrong

    return check


def integer(most: int, least: int = 0) -> Check:
    wrong = f"must be an integer from {least} to {most}"

    def check(value: object) -> str | None:
        good = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return None if good else wrong

    return check


def one_of(*numbers: int) -> Check:
    wrong = f"must be one of {', '.join(map(str, numbers))}"
    return lambda value: None if type(value) is int and value in numbers else wrong


def word(*words: str) -> Check:
    return lambda value: None if isinstance(value, str) and value in words else f"must be one of {', '.join(words)}"


def flag(value: object) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def or_null(check: Check) -> Check:
    def nullable(value: object) -> str | None:
        wrong = None if value is None else check(value)
        return f"{wrong}, or null" if wrong and wrong.startswith("must") else wrong

    return nullable


def any_map(value: object) -> str | None:
    return None if isinstance(value, cbor.Map) else "must be a map"


def any_list(value: object) -> str | None:
    return None if isinstance(value, list) else "must be an array"


def places(*checks: Check) -> Check:
    """An array with one check for each place."""

    def check(value: object) -> str | None:
        if not isinstance(value, list) or len(value) != len(checks):
            return f"must be an array of {len(checks)}"
        return next((wrong for item, one in zip(value, checks, strict=True) if (wrong := one(item))), None)

    return check


def different(item: Check, most: int) -> Check:
    """An array of 1 to `most` items, none of them twice."""

    def check(value: object) -> str | None:
        if not isinstance(value, list) or not 0 < len(value) <= most:
            return f"must be an array of 1 to {most}"
        wrong = next((wrong for one in value if (wrong := item(one))), None)
        return wrong or ("must not hold an item twice" if len(set(value)) != len(value) else None)

    return check

"""Money is an integer of minor units; how many there are in a whole is ISO 4217's to say."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick_finance import money
from tallystick_finance.errors import MoneyError


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (90_000_000, "CNY", "900,000.00 CNY"),
        (81_240_000, "CNY", "812,400.00 CNY"),
        (5, "CNY", "0.05 CNY"),
        (0, "EUR", "0.00 EUR"),
        (1_234_567, "JPY", "1,234,567 JPY"),
        (1_234_567, "KWD", "1,234.567 KWD"),
        (-1, "USD", "-0.01 USD"),
        (-123_456, "BHD", "-123.456 BHD"),
    ],
)
def test_text(minor: int, currency: str, text: str) -> None:
    assert money.text(minor, currency) == text


@given(minor=st.integers(-money.MAX_MINOR, money.MAX_MINOR), currency=st.sampled_from(sorted(money.EXPONENTS)))
def test_text_loses_nothing(minor: int, currency: str) -> None:
    number, code = money.text(minor, currency).split()
    assert (int(number.replace(",", "").replace(".", "")), code) == (minor, currency)


@pytest.mark.parametrize("currency", ["XXX", "cny", "", "RMB", "XAU", "CNY "])
def test_unknown_currency(currency: str) -> None:
    with pytest.raises(MoneyError, match="ISO 4217"):
        money.exponent(currency)


@pytest.mark.parametrize("minor", [1.0, True, -1, money.MAX_MINOR + 1, "5", None])
def test_amounts_refused(minor: Any) -> None:
    with pytest.raises(MoneyError, match="integer of minor units"):
        money.check(minor, "CNY")


def test_amounts_at_the_limits() -> None:
    money.check(0, "CNY")
    money.check(money.MAX_MINOR, "CNY")


def test_the_table_has_no_code_twice() -> None:
    assert len(money.EXPONENTS) == sum(len(codes.split()) for codes in money._BY_EXPONENT.values())
    assert all(len(code) == 3 and code.isupper() for code in money.EXPONENTS)

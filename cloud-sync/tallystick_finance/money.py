"""Money: an integer of minor units and an ISO 4217 code. A float is a type error everywhere."""

from tallystick_finance.errors import MoneyError

# ISO 4217 (2026), currencies that people pay with, by the number of decimals of their minor unit. Funds codes, metals
# and testing codes are left out on purpose: nobody lends in them.
_BY_EXPONENT = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF",
    2: "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP "
    "CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR "
    "JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN "
    "NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP "
    "SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG",
    3: "BHD IQD JOD KWD LYD OMR TND",
}
EXPONENTS = {code: exponent for exponent, codes in _BY_EXPONENT.items() for code in codes.split()}
MAX_MINOR = (1 << 63) - 1  # a column of the database is 64 bits, signed


def exponent(currency: str) -> int:
    """Decimals of the minor unit: JPY 0, CNY 2, KWD 3. MoneyError for a code that is not in the table."""
    if currency not in EXPONENTS:
        raise MoneyError(f"{currency[:8]!r} is not an ISO 4217 currency that loans are kept in (CNY, EUR, JPY, ...)")
    return EXPONENTS[currency]


def check(minor: int, currency: str) -> None:
    """MoneyError unless this is an amount that can be kept: an integer, not negative, of a known currency."""
    exponent(currency)
    if type(minor) is not int or not 0 <= minor <= MAX_MINOR:
        raise MoneyError(f"an amount is an integer of minor units from 0 to {MAX_MINOR}")


def text(minor: int, currency: str) -> str:
    """For people: 90000000 CNY is "900,000.00 CNY"."""
    decimals = exponent(currency)
    whole, part = divmod(abs(minor), 10**decimals)
    fraction = f".{part:0{decimals}d}" if decimals else ""
    return f"{'-' if minor < 0 else ''}{whole:,}{fraction} {currency}"

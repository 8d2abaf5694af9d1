"""`tools/conform sun-verify` from outside: published links, and a class for every way to be wrong."""

import json
import subprocess
import sys
from typing import Any

import pytest

Case = dict[str, Any]
ZERO, WRONG = "00" * 16, "00" * 15 + "01"
KEYS = {"key_meta": ZERO, "key_file": ZERO}
LINK = {**KEYS, "p": "EF963FF7828658A599F3041510671E88", "c": "94EED9EE65337086"}
ENC = {
    **KEYS,
    "p": "FD91EC264309878BE6345CBE53BADF40",
    "c": "ECC1E7F6C6C73BF6",
    "enc": "CEE9A53E3E463EF1F459635736738962",
}
LRP = {**KEYS, "p": "1FCBE61B3E4CAD980CBFDD333E7A4AC4A579569BAFD22C5F", "c": "4231608BA7B02BA9"}
LRP_ENC = {
    **KEYS,
    "p": "07D9CA2545881D4BFDD920BE1603268C0714420DD893A497",
    "c": "F9481AC7D855BDB6",
    "enc": "D6E921C47DB4C17C56F979F81559BB83",
}


def answers(cases: list[Case]) -> list[Case]:
    finished = subprocess.run(
        [sys.executable, "-m", "tallystick_tools.conform", "sun-verify"],
        input="".join(json.dumps({"id": number, **case}) + "\n" for number, case in enumerate(cases)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    found = [json.loads(line) for line in finished.stdout.splitlines()]
    assert [answer.pop("id") for answer in found] == list(range(len(cases)))
    return found


def test_published_links() -> None:
    assert answers([LINK, ENC, LRP, LRP_ENC, {**LINK, "enc": None, "last_counter": 60, "uid": "04de5f1eacc040"}]) == [
        {"ok": True, "error": None, "uid": uid, "counter": counter}
        for uid, counter in [
            ("04de5f1eacc040", 61),
            ("04958caa5c5e80", 8),
            ("04940e2a2f7080", 3),
            ("049b112a2f7080", 4),
            ("04de5f1eacc040", 61),
        ]
    ]


def test_every_way_to_be_wrong_has_its_class() -> None:
    cases: dict[str, Case] = {
        "SunKeyError": {**LINK, "key_meta": WRONG},
        "SunMacError": {**LINK, "key_file": WRONG},
        "SunCounterError": {**LINK, "last_counter": 61},
        "SunTagError": {**LINK, "uid": "04de5f1eacc041"},
        "SunSwappedError": {**LINK, "p": LINK["c"], "c": LINK["p"]},
        "SunFormatError": {**LINK, "p": LINK["p"][:-2]},
        "CaseError": {**LINK, "key_meta": "00"},
    }
    found = answers(list(cases.values()))
    assert [answer["error"] for answer in found] == list(cases)
    assert not any(answer["ok"] for answer in found)


@pytest.mark.parametrize("name", ["key_meta", "key_file", "p", "c"])
def test_missing_or_misshapen_fields(name: str) -> None:
    without = {key: value for key, value in LINK.items() if key != name}
    found = answers([without, {**LINK, name: None}, {**LINK, name: 7}, {**LINK, name: []}])
    assert [answer["error"] for answer in found] == ["CaseError"] * 4


def test_parts_of_two_links_and_altered_files() -> None:
    found = answers(
        [
            {**LINK, "c": ENC["c"]},
            {**ENC, "enc": ENC["enc"][:-1] + "3"},
            {**ENC, "enc": None},
            {**ENC, "enc": LRP_ENC["enc"]},
            {**ENC, "enc": "\ud800"},
            {**LINK, "p": "\ud800" * 32},
            {**ENC, "mac_input": ENC["enc"] + "&cmac"},
        ]
    )
    assert [answer["error"] for answer in found] == ["SunMacError"] * 5 + ["SunFormatError", "SunMacError"]

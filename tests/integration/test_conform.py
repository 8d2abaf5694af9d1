"""The conformance port from outside: the same answers on CPython and inside MicroPython, and when it cannot run."""

import json
import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cbor2
import pytest
from conform_support import NO_CASES, ROOT, Case, run

from tallystick_tools import conform_node
from tallystick_wire import cbor, frame
from tallystick_wire.errors import CborError

CASES_PER_SUITE = 3_000


# --- the same answers on both runtimes


def random_bytes(source: random.Random, longest: int) -> bytes:
    return source.randbytes(source.choice([0, 1, source.randrange(longest), source.randrange(longest)]))


def random_text(source: random.Random) -> str:
    alphabets = ["abcXYZ 019", '"\\/\b\n\t\x00\x7f', "éßñ\u07ff\u0800水\uffff", "\U00010151\U0010ffff", "\ud800\udfff"]
    weights = [8, 2, 3, 2, 0.2]
    return "".join(
        source.choice(source.choices(alphabets, weights)[0]) for _ in range(source.randrange(source.choice([1, 8, 30])))
    )


def random_integer(source: random.Random) -> int:
    near = source.choice([0, 24, 256, 1 << 16, 1 << 32, 1 << 64]) + source.randrange(-2, 3)
    return source.choice([near, -1 - near, source.getrandbits(source.randrange(1, 66)), source.randrange(-30, 30)])


def random_float(source: random.Random) -> str:
    return source.choice(
        [
            repr(source.uniform(-1e6, 1e6)),
            repr(source.choice([1.5, -0.0, 65504.0, 65520.0, 5.960464477539063e-08, 2.98e-8, 3.4028234663852886e38])),
            f"{source.getrandbits(source.randrange(1, 200))}e{source.randrange(-420, 330)}",
            f"{source.getrandbits(60)}.{source.getrandbits(80)}E{source.randrange(-340, 320)}",
            f"{source.randrange(1 << 11)}e-{source.randrange(9)}",
            source.choice(["nan", "NaN", "-inf", "Infinity", "5e-324", "2.4703282292062328e-324", "1e400", "-1e-400"]),
            source.choice(["", "1e", ".", "0x1p3", "1_0", " 1", "--1", "one", "1e5.5", "+1", "1.", ".5"]),
        ]
    )


def random_json(source: random.Random, depth: int) -> Any:
    """A value for cbor-encode: mostly good, here and there what no wrapper allows."""
    kind = source.randrange(20 if depth else 13)
    if kind < 3:
        return random_integer(source)
    if kind < 5:
        return random_text(source)
    if kind < 7:
        return {"bytes": source.choice([random_bytes(source, 40).hex(), random_bytes(source, 9).hex().upper()])}
    if kind < 9:
        return {"float": random_float(source)}
    if kind < 12:
        return source.choice([None, True, False, {"simple": source.choice([source.randrange(-1, 260), True, "1"])}])
    if kind < 13:
        wrong: list[Any] = [1.5, {}, {"bytes": "0"}, {"bytes": " 0"}, {"map": {}}, {"map": [[1]]}, {"tag": 1}]
        return source.choice([*wrong, {"float": 1}])
    inner = [random_json(source, depth - 1) for _ in range(source.choice([0, 1, 2, 3, 30]))]
    if kind < 16:
        return inner
    if kind < 19:
        return {"map": [[random_json(source, 0), value] for value in inner]}
    tag = source.choice([random_integer(source), 2, 3, 4, True, None, "2"])
    return {"tag": tag, "value": source.choice([inner, {"bytes": random_bytes(source, 14).hex()}])}


def random_cbor(source: random.Random) -> bytes:
    """CBOR from cbor2 or from ours, often with a few bytes changed."""
    try:
        data = cbor.encode(conform_node._value(random_json(source, source.choice([0, 1, 2, 3])), 0))
    except (conform_node.CaseError, CborError):
        loose = {source.randrange(9): 1.5, "b": b"", -1: [1.1, None], random_integer(source): "é"}
        data = cbor2.dumps(loose, canonical=source.random() < 0.5)
    mutated = bytearray(data)
    for _ in range(source.choice([0, 0, 1, 1, 2])):
        position = source.randrange(len(mutated) + 1)
        change = source.randrange(4)
        if change == 0 and position < len(mutated):
            mutated[position] ^= 1 << source.randrange(8)
        elif change == 1:
            del mutated[position : position + 1 + source.randrange(3)]
        else:
            mutated[position:position] = source.randbytes(1 + source.randrange(3))
    return bytes(mutated)


def broken_hex(source: random.Random, text: str) -> Any:
    return source.choice([text[:-1], text + "g0", " " + text, text + "\n", "٣٣", None, 7, [text], {"hex": text}, True])


def decode_case(source: random.Random) -> Case:
    return {"hex": random_cbor(source).hex()}


def encode_case(source: random.Random) -> Case:
    value = random_json(source, source.choice([0, 1, 2, 3]))
    for _ in range(source.choice([0, 0, 0, 0, 7, 9, 40])):
        value = [value]
    return {"value": value}


def sign_case(source: random.Random) -> Case:
    seed = source.randbytes(source.choice([32, 32, 32, 32, 31, 33, 0]))
    return {"seed": seed.hex(), "msg": random_bytes(source, 300).hex()}


def cose_case(source: random.Random) -> Case:
    header = source.choice(
        [
            cbor.encode({1: -8, 4: source.randbytes(8)}),
            cbor.encode({1: -19, 16: random_text(source).encode("utf-8", "replace").decode()}),
            cbor.encode({1: source.choice([-7, "EdDSA", None, -8.0])}),
            b"",
            b"\xa0",
            random_cbor(source),
        ]
    )
    return {**sign_case(source), "protected": header.hex(), "payload": random_bytes(source, 300).hex()}


def frame_case(source: random.Random) -> Case:
    near_the_limit = b"\x07" * source.randrange(1190, 1210)
    payload = source.choice([random_bytes(source, 600), bytes(source.randrange(1300)), near_the_limit])
    if source.random() < 0.4 or len(payload) > frame.MAX_FRAME_PAYLOAD_BYTES:
        return {"payload": payload.hex()}
    more = source.choice([b"", b"\0", frame.encode(b"next"), bytes([1]) * 1300 + b"\0"])
    stream = bytearray(frame.encode(payload) + more)
    for _ in range(source.choice([0, 0, 1, 3])):
        stream[source.randrange(len(stream))] ^= 1 << source.randrange(8)
    return {"frame": bytes(stream).hex()}


MAKERS: dict[str, Callable[[random.Random], Case]] = {
    "cbor-decode": decode_case,
    "cbor-encode": encode_case,
    "ed25519-sign": sign_case,
    "cose-sign": cose_case,
    "frame": frame_case,
}


def lines_for(suite: str, count: int) -> list[bytes]:
    source = random.Random(f"tallystick {suite}")  # the same cases in every run
    lines = []
    for number in range(count):
        case = MAKERS[suite](source)
        if source.random() < 0.05:
            name = source.choice(sorted(case))
            case = {**case, name: broken_hex(source, str(case[name]))}
        if source.random() < 0.02:
            del case[source.choice(sorted(case))]
        identity = source.choice([number, str(number), random_text(source), None, [number], 1.5])
        line = json.dumps({"id": identity, **case}, ensure_ascii=source.random() < 0.7).encode("utf-8", "surrogatepass")
        lines.append(source.choice(NO_CASES) if source.random() < 0.01 else line)
    return lines


@pytest.mark.parametrize("suite", conform_node.SUITES)
def test_both_runtimes_answer_byte_for_byte_the_same(suite: str) -> None:
    lines = lines_for(suite, CASES_PER_SUITE)
    on_cpython = run(suite, lines)
    on_micropython = run(suite, lines, "--on", "micropython")
    differences = [found for found in zip(lines, on_cpython, on_micropython, strict=True) if found[1] != found[2]]
    assert not differences[:3]
    good = sum('"ok":true' in line for line in on_cpython)
    assert CASES_PER_SUITE // 5 < good < CASES_PER_SUITE, "both good and bad cases must be among them"


def test_floats_are_read_as_cpython_reads_them() -> None:
    source = random.Random("floats")
    for _ in range(3000):
        text = random_float(source)
        try:
            expected = float(text) if text.strip() == text and "_" not in text else None
        except ValueError:
            expected = None
        try:
            found = conform_node.parse_float(text)
        except conform_node.CaseError:
            found = None
        assert repr(found) == repr(expected), text


# --- when it cannot run


def refusal(*arguments: str, **environment: str) -> str:
    finished = subprocess.run(
        [str(ROOT / "tools" / "conform"), *arguments],
        input=b'{"id":1,"hex":"00"}\n',
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
    )
    assert (finished.returncode, finished.stdout) == (2, b"")
    return finished.stderr.decode()


def test_without_micropython_it_says_so_and_never_falls_back(tmp_path: Path) -> None:
    missing = refusal("cbor-decode", "--on", "micropython", TALLYSTICK_MICROPYTHON=str(tmp_path / "none"))
    assert "no MicroPython found" in missing
    # An interpreter that is none: it starts, answers nothing, and nothing is answered in its place.
    fake = tmp_path / "micropython"
    fake.write_text("#!/bin/sh\nexit 3\n")
    fake.chmod(0o755)
    assert "does not run the suite" in refusal("frame", "--on", "micropython", TALLYSTICK_MICROPYTHON=str(fake))


def test_an_unknown_suite_lists_the_known() -> None:
    assert "merkle-root" in refusal("no-such-suite")
    listed = refusal("merkle-root", "--on", "micropython")
    assert "cose-sign" in listed
    assert "note-verify" not in listed


def test_the_script_runs_a_suite() -> None:
    finished = subprocess.run(
        [str(ROOT / "tools" / "conform"), "cbor-decode"], input=b'{"id":1,"hex":"00"}', capture_output=True, check=True
    )
    assert finished.stdout == b'{"error":null,"hex":"00","id":1,"ok":true}\n'

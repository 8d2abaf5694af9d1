"""The conformance port as a real process: cases in, answers out."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
Case = dict[str, Any]
# The key pair of the public COSE examples (cose-wg).
COSE_SEED = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
COSE_KEY = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
NO_JSON = [b"", b"{", b"\xff\xfe", b"{'id':1}", b'{"id":NaN}', b"[" * 5000, b'{"a":1e999}', b"{}{}"]
NO_CASES = [*NO_JSON, b"[]", b"7", b'"x"', b"null", b"{}", b'{"id":7}']


def run(suite: str, lines: list[bytes], *arguments: str, **environment: str) -> list[str]:
    finished = subprocess.run(
        [sys.executable, "-m", "tallystick_tools.conform", suite, *arguments],
        input=b"".join(line + b"\n" for line in lines),
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
    )
    assert (finished.returncode, finished.stderr.decode()) == (0, "")
    answers = finished.stdout.decode("ascii").splitlines()
    assert len(answers) == len(lines)
    return answers


def answers(suite: str, cases: list[Case]) -> list[Case]:
    found = [json.loads(line) for line in run(suite, [json.dumps(case).encode() for case in cases])]
    assert [answer["id"] for answer in found] == [case.get("id") for case in cases]
    assert all(answer["ok"] == (answer["error"] is None) for answer in found)
    return found


def answer(suite: str, **case: Any) -> Case:
    return answers(suite, [case])[0]

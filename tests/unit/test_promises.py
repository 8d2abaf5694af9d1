"""docs/promises.md names tests that exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NODE_ID = re.compile(r"`((?:tests|hil-tests)/[\w/-]+\.py)::(\w+)`")


def test_every_promise_is_held_by_a_test_that_exists() -> None:
    text = (ROOT / "docs" / "promises.md").read_text("utf-8")
    named = NODE_ID.findall(text)
    assert len(named) > 40
    defined = {file: functions(ROOT / file) for file, _ in named}
    assert not [f"{file}::{name}" for file, name in named if name not in defined[file]]
    rows = [line for line in text.splitlines() if line.startswith("| ") and "held by" not in line]
    assert not [row for row in rows if not NODE_ID.search(row)], "a promise without a test"


def functions(path: Path) -> set[str]:
    assert path.exists(), f"{path.relative_to(ROOT)} does not exist"
    return {node.name for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)}

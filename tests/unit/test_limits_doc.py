"""docs/limits.md against the code: every public constant named MAX, MIN or LIMIT, with its value."""

import ast
import importlib
import re
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = sorted(path.parent for top in ROOT.iterdir() if top.is_dir() for path in top.glob("tallystick_*/__init__.py"))
# A lender's warm limit bounds a room, not what comes in.
NAME = re.compile(r"(?!_|WARM_)([A-Z0-9]+_)*(MAX|MIN|LIMIT)(_[A-Z0-9]+)*")
ROW = re.compile(r"^\| `(tallystick_\w+\.\w+\.\w+)` \| ([^|]+?) \| ([^|]+) \|$", re.MULTILINE)


def names(path: Path) -> list[str]:
    """The public limit constants that a module assigns at its top level."""
    found = []
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found += [target.id for target in targets if isinstance(target, ast.Name) and NAME.fullmatch(target.id)]
    return found


def shown(value: object) -> str:
    """As the document writes it: thousands separated, versions with dots."""
    if isinstance(value, tuple):
        return ".".join(map(str, value))
    return f"{value:,}" if isinstance(value, (int, float)) else str(value)


def limits() -> dict[str, str]:
    """package.module.NAME -> value, of every module."""
    found = {}
    for folder in FOLDERS:
        for path in sorted(folder.glob("*.py")):
            for name in names(path):
                with warnings.catch_warnings(action="ignore"):  # of libraries that only the constants' modules need
                    value = getattr(importlib.import_module(f"{folder.name}.{path.stem}"), name)
                if not isinstance(value, str):
                    found[f"{folder.name}.{path.stem}.{name}"] = shown(value)
    return found


def documented() -> dict[str, str]:
    return {name: value for name, value, _ in ROW.findall((ROOT / "docs/limits.md").read_text("utf-8"))}


def test_every_limit_is_documented_with_its_value() -> None:
    code, document = limits(), documented()
    missing = [f"| `{name}` | {value} | why |" for name, value in code.items() if document.get(name) != value]
    assert not missing, "docs/limits.md lacks these rows, or says another value:\n" + "\n".join(missing)


def test_no_row_is_stale_or_without_a_reason() -> None:
    code = limits()
    text = (ROOT / "docs/limits.md").read_text("utf-8")
    assert [name for name in documented() if name not in code] == []
    assert [name for name, _, reason in ROW.findall(text) if len(reason.strip()) < 8] == []
    assert len(ROW.findall(text)) == text.count("| `tallystick_"), "a row has another form than the test reads"

"""The shape of the project: layers, packages, sizes, and where special imports may stand."""

import ast
import configparser
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIG = configparser.ConfigParser()
CONFIG.read(ROOT / "setup.cfg")
PACKAGES: list[str] = CONFIG["options"]["packages"].split()
FOLDERS = {
    name.strip(): ROOT / folder.strip()
    for name, folder in (line.split("=") for line in CONFIG["options"]["package_dir"].strip().splitlines())
}
# A package imports only what stands before it. node, and provisioning with what follows, are two branches.
LAYERS = [
    *("wire", "proof", "node", "provisioning", "chips", "fleet", "tags"),
    *("edge", "ledger", "trace", "finance", "web", "emulators", "tools"),
]
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 70


def modules(*packages: str) -> Iterator[tuple[str, Path, ast.Module]]:
    """(package, path, tree) of every module of these packages, or of all."""
    for package in packages or PACKAGES:
        for path in sorted(FOLDERS[package].glob("*.py")):
            yield package, path, ast.parse(path.read_text("utf-8"))


def imported(tree: ast.AST) -> Iterator[str]:
    """Every absolute module name that is imported anywhere in the tree, functions included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


def may_import(package: str, other: str) -> bool:
    """Whether `package` stands behind `other` in the layers."""
    rank, other_rank = (LAYERS.index(name.removeprefix("tallystick_")) for name in (package, other))
    if package == "tallystick_node":
        return other == "tallystick_wire"
    if other == "tallystick_node":
        return package in ("tallystick_emulators", "tallystick_tools")
    return other_rank < rank


def test_layers() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for package, path, tree in modules()
        for name in imported(tree)
        if (other := name.partition(".")[0]).startswith("tallystick_") and other != package
        if not may_import(package, other)
    ]
    assert not wrong


def test_package_list() -> None:
    tops = ("firmware", "cloud-sync", "provisioning", "edge", "tools")
    on_disk = {path.parent.name for top in tops for path in (ROOT / top).glob("tallystick_*/__init__.py")}
    assert set(PACKAGES) == on_disk == set(FOLDERS)
    assert all((folder / "__init__.py").exists() for folder in FOLDERS.values())
    subfolders = [
        path
        for folder in FOLDERS.values()
        for path in folder.iterdir()
        if path.is_dir() and path.name != "__pycache__"
    ]
    assert not subfolders, "packages stay flat"


def test_sizes() -> None:
    wrong = []
    for _, path, tree in modules():
        lines = len(path.read_text("utf-8").splitlines())
        if lines > MAX_MODULE_LINES:
            wrong.append(f"{path.relative_to(ROOT)}: {lines} lines")
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > MAX_FUNCTION_LINES:
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {length} lines")
    assert not wrong


def test_only_keys_imports_nacl() -> None:
    found = [path.name for _, path, tree in modules() if any(name.split(".")[0] == "nacl" for name in imported(tree))]
    assert found == ["keys.py"]


def test_only_boards_import_machine() -> None:
    node = modules("tallystick_node", "tallystick_wire")
    found = [path.name for _, path, tree in node if any(name.split(".")[0] == "machine" for name in imported(tree))]
    assert set(found) <= {"board.py", "board_watchdog.py"}


def test_proof_does_no_io() -> None:
    forbidden = {"os", "socket", "pathlib", "subprocess", "httpx", "apsw", "sqlite3", "random", "secrets", "asyncio"}
    wrong = [
        f"{path.name} imports {name}"
        for _, path, tree in modules("tallystick_proof", "tallystick_wire")
        for name in imported(tree)
        if name.split(".")[0] in forbidden
    ]
    assert not wrong


def test_verifier_needs_no_extras() -> None:
    """decide.py imports the standard library, wire and proof only: a verifier recomputes decisions without extras."""
    allowed = {"tallystick_wire", "tallystick_proof", "tallystick_finance"} | set(sys.stdlib_module_names)
    tree = ast.parse((FOLDERS["tallystick_finance"] / "decide.py").read_text("utf-8"))
    wrong = [name for name in imported(tree) if name.split(".")[0] not in allowed]
    assert not wrong
    inside = [name for name in imported(tree) if name.startswith("tallystick_finance.")]
    assert not inside, "decide.py stands alone, so that it can be read alone"


def test_no_assert_in_the_product() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for _, path, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert)
    ]
    assert not wrong, "assert disappears under python -O: raise an error that names field and limit"


def test_tests_have_no_init_files() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py")) + list((ROOT / "hil-tests").rglob("__init__.py"))


def test_firmware_holds_node_code_only() -> None:
    allowed = {"main.py", "manifest.py", "package.json", "tallystick_wire", "tallystick_node"}
    assert {path.name for path in (ROOT / "firmware").iterdir()} - {"__pycache__"} <= allowed


def test_every_command_exists() -> None:
    """Each string in the command table names a function that has a docstring (its help)."""
    import importlib

    from tallystick_tools import command

    tables = [commands for _, commands in [*command.GROUPS.values(), *command.SUBGROUPS.values()]]
    targets = [target for table in [*tables, command.COMMANDS] for target, _ in table.values()]
    for target in targets:
        module, _, name = target.partition(":")
        function = getattr(importlib.import_module(module), name)
        assert function.__doc__, target


def test_no_file_names_this_machine() -> None:
    """No committed file carries an absolute home or work path or a download address of a package registry."""
    here = re.escape(str(ROOT)) + r"\b"
    pattern = re.compile(here + r"|/home/[a-z]+/|https?://[^\s\"']*\.(whl|tar\.gz|tgz)\b|--(extra-)?index-" + "url")
    folders = ["firmware", "edge", "cloud-sync", "provisioning", "tools", "tests", "hil-tests", "docs", ".ci"]
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    files += [path for path in ROOT.iterdir() if path.is_file()]
    wrong = []
    for path in files:
        if "__pycache__" in path.parts or path.suffix in {".png", ".pyc"} or path == Path(__file__).resolve():
            continue
        if pattern.search(path.read_text("utf-8", errors="replace")):
            wrong.append(str(path.relative_to(ROOT)))
    assert not wrong


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))

"""Every test run: skips only from tests/skips.toml, Ctrl-C means what it means at a terminal, and every test ends."""

import signal
import tomllib
from collections.abc import Generator
from pathlib import Path

import pytest

SKIPS = tomllib.loads((Path(__file__).parent / "tests/skips.toml").read_text("utf-8"))["skip"]
ALLOWED = tuple(entry["test"] for entry in SKIPS)
# A shell lets what it starts in the background ignore Ctrl-C; what we start would inherit that, and never end by it.
signal.signal(signal.SIGINT, signal.default_int_handler)
LIMIT_S, FULL_LIMIT_S = 1800, 4 * 3600  # far above what any takes, set-up and all, on a machine that is busy


class TookTooLong(BaseException):
    """No test catches this one."""


def ring(*_: object) -> None:
    raise TookTooLong("a wait without an end")


signal.signal(signal.SIGALRM, ring)


def limited(item: pytest.Item) -> Generator[None, object, object]:
    signal.alarm(LIMIT_S if item.get_closest_marker("full") is None else FULL_LIMIT_S)
    try:
        return (yield)
    finally:
        signal.alarm(0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    return (yield from limited(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    return (yield from limited(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    return (yield from limited(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and not item.nodeid.startswith(ALLOWED):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} skipped, but tests/skips.toml does not list it: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A module that skips itself as a whole is held to the same list."""
    report = yield
    if report.skipped and not collector.nodeid.startswith(ALLOWED):
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} skipped, but tests/skips.toml does not list it: {report.longrepr}"
    return report

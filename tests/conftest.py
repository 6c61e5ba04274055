"""What holds for all kinds of tests."""

from __future__ import annotations

import signal
from typing import Any

import hypothesis
import pytest

from tests.scheduling import ALONE, MeasuredLast, group_of, rank_of


def pytest_configure() -> None:
    """Let Ctrl-C be what it is for a command that a person has started, and let an example take its time.

    What a script starts in its background ignores Ctrl-C, and so does everything that this starts in turn. Several
    workers share the cores: how long an example of hypothesis takes says nothing.
    """
    hypothesis.settings.register_profile("suite", deadline=None)
    hypothesis.settings.load_profile("suite")
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests into their order, and count no lines while something is measured."""
    items.sort(key=lambda item: rank_of(item.nodeid))
    for item in items:
        if group_of(item.nodeid) == ALONE:
            item.add_marker(pytest.mark.no_cover)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many hostile cases were tried."""
    passed = terminalreporter.stats.get("passed", [])
    said = [value for report in passed for name, value in report.user_properties if name == "hostile"]
    if said:
        terminalreporter.section("hostile input")
        for line in said:
            terminalreporter.write_line(line)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> MeasuredLast:
    """Share the tests out among several workers, if there are."""
    return MeasuredLast(config, log)

"""Who has to agree before functions run where they are not kept apart. The engine's tests refuse a real start."""

from __future__ import annotations

import pytest

from greenroom.cli.isolation import decide


@pytest.mark.parametrize("agreed", [False, True])
@pytest.mark.parametrize("terminal", [False, True])
def test_linux_which_can_keep_functions_apart_takes_the_option_each_time(agreed: bool, terminal: bool) -> None:
    assert decide(platform="linux", agreed=agreed, terminal=terminal) == "refuse"


@pytest.mark.parametrize(
    ("agreed", "terminal", "decision"),
    [(False, True, "ask"), (False, False, "refuse"), (True, True, "start"), (True, False, "start")],
)
def test_macos_asks_once_and_remembers_a_yes(agreed: bool, terminal: bool, decision: str) -> None:
    assert decide(platform="darwin", agreed=agreed, terminal=terminal) == decision

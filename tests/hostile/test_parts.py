"""Each part for a moment. The summary at the end of the tests says how many cases that were."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.hostile.parts import PARTS, run

SECONDS = 3


@pytest.mark.parametrize("part", PARTS)
def test_hostile_input_ends_in_an_answer_or_a_refusal(
    part: str, record_property: Callable[[str, object], None]
) -> None:
    tally = run(part, SECONDS, seed=0)
    record_property("hostile", str(tally))
    # A fuzz whose input is never taken, or always, finds nothing.
    assert len(tally.ends) > 1, tally

"""A sample of the kills of `python -m tests.crash`, which makes 300: one of each kind."""

from __future__ import annotations

import pytest

from tests.crash.harness import plan, run
from tests.crash.points import AT_RANDOM, POINTS, Point

SAMPLE = ("shown LIVE", "prod moved", "message between two algorithms", "inside a save or a commit")
"""What a kill could lose, tear or do twice. More of them take ten seconds each, and are for the command."""


def named(name: str) -> Point:
    """The point of this name."""
    (found,) = (point for point in POINTS if point.name == name)
    return found


@pytest.mark.timeout(600)
def test_nothing_is_lost_doubled_or_torn_by_a_kill() -> None:
    verdicts = list(run(len(SAMPLE), seed=1, points=[named(name) for name in SAMPLE]))
    assert [verdict for verdict in verdicts if not verdict.is_right] == []


def test_a_plan_has_every_point_and_a_fifth_at_random_and_is_the_same_for_a_seed() -> None:
    points = plan(300, seed=7)
    assert len(points) == 300
    assert set(points) == {*POINTS, AT_RANDOM}
    assert 50 <= points.count(AT_RANDOM) <= 70
    assert points == plan(300, seed=7) != plan(300, seed=8)

"""Which statuses may follow which."""

from __future__ import annotations

import itertools

import pytest

from greenroom.releases import FINAL, IN_FLIGHT, TRANSITIONS, Status, can_change
from greenroom.releases.model import new_id, utc_now


def test_every_status_is_reached_and_every_status_has_its_transitions() -> None:
    assert set(TRANSITIONS) == set(Status)
    reached = {after for following in TRANSITIONS.values() for after in following}
    assert reached == set(Status) - {Status.UPLOADING}


def test_the_way_to_production_is_the_one_of_the_design() -> None:
    way = ["UPLOADING", "REGISTERED", "PROVISIONING", "PROVISIONED", "TESTING", "LIVE", "RETIRED"]
    assert all(can_change(Status(before), Status(after)) for before, after in itertools.pairwise(way))


@pytest.mark.parametrize("before", sorted(IN_FLIGHT))
@pytest.mark.parametrize("after", sorted(FINAL))
def test_a_release_in_flight_can_end_at_any_time(before: Status, after: Status) -> None:
    assert can_change(before, after)


@pytest.mark.parametrize("final", sorted(FINAL))
def test_nothing_follows_a_final_status(final: Status) -> None:
    assert not TRANSITIONS[final]


def test_no_release_goes_live_untested() -> None:
    assert {before for before in Status if can_change(before, Status.LIVE)} == {
        Status.TESTING,
        Status.RETIRED,
        Status.ROLLED_BACK,
    }


def test_release_ids_sort_by_time_and_times_say_utc() -> None:
    assert len(new_id()) == 26
    assert utc_now().endswith("Z")
    assert len(utc_now()) == len("2026-01-01T00:00:00.000Z")

"""Which version an alias sends an invocation to, and how many may run at once."""

from __future__ import annotations

import pytest

from greenroom.lambda_api.errors import LambdaError
from greenroom.lambda_api.invoke.concurrency import Slots
from greenroom.lambda_api.invoke.routing import version_for

ALIAS = {"FunctionVersion": "1", "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.25}}}


def test_an_alias_without_weights_sends_all_to_its_version() -> None:
    assert {version_for({"FunctionVersion": "7"}, draw) for draw in (0.0, 0.5, 0.999)} == {"7"}


@pytest.mark.parametrize(("draw", "version"), [(0.0, "2"), (0.2499, "2"), (0.25, "1"), (0.999, "1")])
def test_a_weight_is_the_share_of_invocations_that_the_other_version_gets(draw: float, version: str) -> None:
    assert version_for(ALIAS, draw) == version


def reason(slots: Slots, name: str, reserved: int | None, by_all: int) -> str | None:
    try:
        with slots.taken(name, reserved, by_all):
            return None
    except LambdaError as error:
        assert (error.code, error.message, error.status) == ("TooManyRequestsException", "Rate Exceeded.", 429)
        return str(error.extra["Reason"])


def test_a_function_runs_as_often_at_once_as_is_reserved_for_it() -> None:
    slots = Slots(10)
    with slots.taken("f", 2, 2), slots.taken("f", 2, 2):
        assert reason(slots, "f", 2, 2) == "ReservedFunctionConcurrentInvocationLimitExceeded"
        assert reason(slots, "other", None, 2) is None
    assert reason(slots, "f", 2, 2) is None


def test_nothing_reserved_stops_a_function() -> None:
    assert reason(Slots(10), "f", 0, 0) == "ReservedFunctionConcurrentInvocationLimitExceeded"


def test_what_is_reserved_for_some_functions_is_not_there_for_others() -> None:
    slots = Slots(3)
    with slots.taken("a", None, 2):
        assert reason(slots, "b", None, 2) == "ConcurrentInvocationLimitExceeded"
        assert reason(slots, "c", 2, 2) is None
    assert reason(slots, "b", None, 2) is None

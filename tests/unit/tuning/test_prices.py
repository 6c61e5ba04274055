"""Prices, and the cost of an invocation."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.tuning import prices_for

MEMORY = st.integers(128, 10_240)
BILLED_MS = st.integers(1, 900_000)


def test_a_second_of_one_gigabyte_costs_the_published_price() -> None:
    prices = prices_for("us-east-1")
    assert prices.cost_usd(1024, 1000) == pytest.approx(0.0000166667 + 0.0000002)
    assert prices_for("us-east-1", "arm64").cost_usd(1024, 1000) == pytest.approx(0.0000133334 + 0.0000002)


@given(MEMORY, BILLED_MS, st.integers(512, 10_240), st.sampled_from(["us-east-1", "af-south-1", "sa-east-1"]))
def test_the_cost_agrees_with_exact_arithmetic(memory_mb: int, billed_ms: int, storage_mb: int, region: str) -> None:
    prices = prices_for(region, ephemeral_storage_mb=storage_mb)
    exact = (
        Fraction(memory_mb, 1024) * Fraction(billed_ms, 1000) * Fraction(str(prices.gb_second_usd))
        + Fraction(str(prices.request_usd))
        + Fraction(storage_mb - 512, 1024) * Fraction(billed_ms, 1000) * Fraction(str(prices.storage_gb_second_usd))
    )
    assert prices.cost_usd(memory_mb, billed_ms) == pytest.approx(float(exact), rel=1e-9)
    assert prices.cost_usd_per_million(memory_mb, billed_ms) == pytest.approx(float(exact) * 1e6, rel=1e-9)


def test_a_region_with_its_own_price_has_it() -> None:
    assert prices_for("af-south-1").gb_second_usd == 0.0000221
    assert prices_for("ap-east-1", "arm64").gb_second_usd == 0.0000183
    assert prices_for("me-south-1").request_usd == 0.25e-6
    assert prices_for("sa-east-1").state_transition_usd == 0.0000375


def test_an_unknown_region_falls_back_and_says_so() -> None:
    prices = prices_for("mars-north-1")
    assert prices.gb_second_usd == prices_for("us-east-1").gb_second_usd
    assert "mars-north-1" in prices.note
    assert "CNY" in prices_for("cn-north-1").note
    assert prices_for("eu-west-1").note == ""


def test_an_unknown_architecture_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'sparc' .*x86_64, arm64"):
        prices_for("us-east-1", "sparc")  # type: ignore[arg-type]


def test_prices_can_be_overridden() -> None:
    assert replace(prices_for("us-east-1"), gb_second_usd=1.0, request_usd=0.0).cost_usd(2048, 500) == 1.0


def test_storage_up_to_512_mb_is_free() -> None:
    costs = [prices_for("us-east-1", ephemeral_storage_mb=size).cost_usd(128, 1000) for size in (512, 513)]
    assert costs[0] == prices_for("us-east-1").cost_usd(128, 1000)
    assert costs[1] > costs[0]

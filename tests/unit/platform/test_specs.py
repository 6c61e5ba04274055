"""What a test is, from what a package or an input says of it: every setting reaches the spec, and the decision."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from greenroom.package.metadata import Metadata, validate_metadata
from greenroom.platform import specs
from greenroom.platform.function_tuning.job import Job
from greenroom.tuning import LADDER_MB, Measurement, TestSpec, decide

REGION = "eu-central-1"
SETTINGS: dict[str, Any] = {
    "num": 7,
    "strategy": "balanced",
    "balancedWeight": 0.3,
    "maxDurationMs": 900.0,
    "maxColdStartMs": 3000.0,
    "maxDurationPercentile": 90.0,
    "maxCostUsd": 12.5,
    "minHeadroom": 0.25,
    "tolerance": 0.05,
    "search": "adaptive",
    "maxExpectedLoss": 0.01,
    "budgetUsd": 2.5,
}


def metadata(**values: Any) -> Metadata:
    """A package's metadata."""
    return validate_metadata({"name": "nsx-in", "type": "in", "entry": "nsx.translator:Nsx", **values})


def of_package(**values: Any) -> TestSpec:
    """The spec of a package's test."""
    return specs.of_package(metadata(**values), ("a", "b"), REGION)


def of_tuning(ephemeral_storage_mb: int = 512, **asked: Any) -> TestSpec:
    """The spec of a function tuning."""
    job = Job(
        tuning_id="t",
        function="shop",
        input={"lambdaARN": "shop", **asked},
        payloads={"a": "{}", "b": "{}"},
        weights={"a": 1, "b": 3},
        timeout_s=30,
        region=REGION,
        architecture="arm64",
        ephemeral_storage_mb=ephemeral_storage_mb,
    )
    return job.spec


def mixed(spec: TestSpec) -> list[Measurement]:
    """Measurements of a function that waits 60 ms and computes 40 ms, at each size of a spec."""
    return [
        Measurement(
            memory_mb=size,
            case=spec.cases[index % len(spec.cases)],
            index=index,
            duration_ms=60 + 40 * 1769 / size + index / 100,
            billed_duration_ms=60 + 40 * 1769 / size + index / 100,
        )
        for size in spec.sizes_mb
        for index in range(8)
    ]


@pytest.mark.parametrize("spec_of", [of_package, of_tuning])
def test_every_setting_of_a_test_is_in_its_spec(spec_of: Any) -> None:
    spec = spec_of(**SETTINGS, powerValues="ALL")
    assert spec.sizes_mb == LADDER_MB
    assert (spec.num, spec.strategy, spec.balanced_weight, spec.tolerance) == (7, "balanced", 0.3, 0.05)
    assert (spec.search, spec.max_expected_loss, spec.budget_usd) == ("adaptive", 0.01, 2.5)
    assert asdict(spec.constraints) == {
        "max_duration_ms": 900.0,
        "max_cold_start_ms": 3000.0,
        "max_duration_percentile": 0.9,
        "max_cost_usd_per_million": 12.5,
        "min_headroom": 0.25,
    }


@pytest.mark.parametrize("spec_of", [of_package, of_tuning])
def test_the_weight_of_balanced_decides(spec_of: Any) -> None:
    chosen = {}
    for weight in (0.0, 0.5, 1.0):
        spec = spec_of(powerValues=[128, 320, 1769], strategy="balanced", balancedWeight=weight)
        chosen[weight] = decide(spec, mixed(spec)).chosen_memory_mb
    assert chosen == {0.0: 1769, 0.5: 320, 1.0: 128}


def test_a_package_is_tested_with_its_cases_timeout_and_architecture() -> None:
    spec = of_package(timeout=45, architecture="arm64", powerValues=[256, 128])
    assert (spec.cases, spec.timeout_s, spec.power_values) == (("a", "b"), 45, (128, 256))
    assert (spec.prices.region, spec.prices.architecture) == (REGION, "arm64")


def test_a_function_is_tuned_with_its_own_timeout_storage_and_the_weights_of_its_payloads() -> None:
    spec = of_tuning(
        ephemeral_storage_mb=10_240, powerValues=[128], num=8, sleepBetweenRunsMs=1_500, discardTopBottom=0.1
    )
    assert spec.timeout_s == 30 + 2
    assert (spec.prices.architecture, spec.prices.ephemeral_storage_mb) == ("arm64", 10_240)
    assert (spec.averaging.trim_share, spec.averaging.weights) == (0.1, {"a": 1, "b": 3})
    assert spec.cases.count("b") == 3 * spec.cases.count("a")


def test_a_dry_run_invokes_once() -> None:
    spec = of_tuning(powerValues=[128], dryRun=True, num=50)
    assert (spec.num, spec.search, set(spec.cases)) == (1, "fixed", {"a", "b"})

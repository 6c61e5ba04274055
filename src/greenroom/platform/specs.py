"""What the test of a package is: its spec, and the live release that it is compared with. Measures nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from greenroom.package.metadata import AlgorithmSettings, TestSettings
from greenroom.releases import Registry
from greenroom.tuning import Constraints, TestSpec, prices_for

LATEST_MEMORY_MB = 128
"""Memory of `$LATEST` outside of a test, as `algorithm.yaml` sets it."""

LIVE_PAIRS = 10
"""How often an adaptive test measures the release and the live one in turn at most; a fixed one does it `num` times."""


@dataclass(frozen=True)
class LiveSide:
    """The live release as a new one is compared with it.

    `cases` are the names that the two packages have for the test cases with the same input: in each pair, the new
    package's name is first.
    """

    release_id: str
    version: str
    memory_mb: int
    timeout_s: int
    cases: tuple[tuple[str, str], ...]


def of_package(settings: AlgorithmSettings, cases: Sequence[str], region: str) -> TestSpec:
    """Return what the test of a package is, in a region whose prices count."""
    return TestSpec(
        cases=tuple(cases),
        power_values=settings.listed_mb,
        num=settings.num,
        timeout_s=settings.timeout,
        prices=prices_for(region, settings.architecture),
        search=settings.search,
        strategy=settings.strategy,
        balanced_weight=settings.balanced_weight,
        constraints=constraints_of(settings),
        tolerance=settings.tolerance,
        max_expected_loss=settings.max_expected_loss,
        budget_usd=settings.budget_usd,
    )


def constraints_of(settings: TestSettings) -> Constraints:
    """Return what a memory size has to meet to be chosen."""
    return Constraints(
        max_duration_ms=settings.max_duration_ms,
        max_duration_percentile=settings.max_duration_percentile / 100,
        max_cost_usd_per_million=settings.max_cost_usd,
        min_headroom=settings.min_headroom,
        max_cold_start_ms=settings.max_cold_start_ms,
    )


def live_side(registry: Registry, name: str, cases: Sequence[str], case_inputs: Mapping[str, str]) -> LiveSide | None:
    """Return the live release of an algorithm, with the cases that it shares with a package; None if nothing is live.

    `case_inputs` maps the package's cases to the SHA-256 of their inputs. Raises NotFound for an unknown algorithm.
    """
    algorithm = registry.algorithm(name)
    if algorithm.live is None:
        return None
    live = registry.release(algorithm.live.release_id)
    theirs = {digest: case for case, digest in live.case_inputs.items()}
    mine = ((case, case_inputs.get(case, "")) for case in cases)
    return LiveSide(
        release_id=live.release_id,
        version=algorithm.live.version,
        memory_mb=live.memory_mb or LATEST_MEMORY_MB,
        timeout_s=live.metadata.timeout,
        cases=tuple((case, theirs[digest]) for case, digest in mine if digest in theirs),
    )


def pairs_of(settings: AlgorithmSettings) -> int:
    """Return how often the release and the live one are measured in turn."""
    return settings.num if settings.search == "fixed" else min(settings.num, LIVE_PAIRS)

"""What a test can cost at most, in US dollars. Known before it starts, and shown to the developer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from greenroom.package.metadata import AlgorithmSettings
from greenroom.platform import specs, transitions
from greenroom.releases import NotFound, Registry
from greenroom.tuning import TestSpec, upper_bound_usd


def of_spec(spec: TestSpec) -> float:
    """Return what a test can cost at most: its invocations and its state transitions."""
    return upper_bound_usd(spec, transitions.at_most(spec))


def of_package(registry: Registry, region: str, settings: AlgorithmSettings, case_inputs: Mapping[str, str]) -> float:
    """Return what a package's test can cost at most, with the comparison with the live release if there is one.

    `case_inputs` maps its test cases to the SHA-256 of their inputs.
    """
    cases = tuple(case_inputs)
    spec = specs.of_package(settings, cases, region)
    bound = of_spec(spec)
    try:
        live = specs.live_side(registry, settings.name, cases, case_inputs)
    except NotFound:
        return bound
    if live and live.cases:
        pairs = max(specs.pairs_of(settings), len(live.cases)) + 1
        for memory_mb, timeout_s in ((max(spec.sizes_mb), spec.timeout_s), (live.memory_mb, live.timeout_s)):
            side = replace(spec, cases=("",), power_values=(memory_mb,), timeout_s=timeout_s, search="fixed", num=pairs)
            bound += upper_bound_usd(side, pairs)
    return bound

"""Builds measurements and specs for the tests of tuning. Not a stand-in for anything: both are plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from greenroom.tuning import Decision, Measurement, TestSpec, decide, prices_for

PRICES = prices_for("us-east-1")


def measurement(memory_mb: int = 128, duration_ms: float = 100.0, **fields: Any) -> Measurement:
    """A warm invocation that passed, unless `fields` say otherwise."""
    return Measurement(
        **{
            "memory_mb": memory_mb,
            "case": "small",
            "index": 0,
            "duration_ms": duration_ms,
            "billed_duration_ms": float(-(-duration_ms // 1)),
            "max_memory_used_mb": 60,
            **fields,
        }
    )


def series(memory_mb: int, durations_ms: Iterable[float], **fields: Any) -> list[Measurement]:
    """One measurement for each duration, their indexes counting up."""
    return [measurement(memory_mb, duration, index=i, **fields) for i, duration in enumerate(durations_ms)]


def spec(power_values: Sequence[int], **fields: Any) -> TestSpec:
    """A fixed test of one case, ten times at each size, with a timeout of a minute, unless `fields` say otherwise."""
    return TestSpec(
        **{
            "cases": ("small",),
            "power_values": tuple(power_values),
            "num": 10,
            "timeout_s": 60,
            "prices": PRICES,
            **fields,
        }
    )


def decision(
    measured: Sequence[Measurement],
    power_values: Sequence[int],
    versions: Mapping[int, str] | None = None,
    **fields: Any,
) -> Decision:
    """The decision on a test of the cases that were measured, unless `fields` say otherwise."""
    cases = tuple(sorted({m.case for m in measured}))
    return decide(spec(power_values, **{"cases": cases, **fields}), measured, versions)

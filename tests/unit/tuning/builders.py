"""Builds measurements for the tests of tuning. Not a stand-in for anything: a measurement is plain data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from greenroom.tuning import Measurement


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

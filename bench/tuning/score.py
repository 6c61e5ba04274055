"""Scores methods: what exploring cost, the regret of the choice, and whether stated probabilities hold.

Averages are over families with equal weight, as one function measured ten times is not ten functions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.tuning.methods import PRICES, Outcome
from bench.tuning.worlds import World

TOLERANCE = 0.01


@dataclass(frozen=True)
class Row:
    """One method in one world."""

    family: str
    weight: float
    outcome: Outcome
    regret: float


def row(world: World, outcome: Outcome) -> Row:
    """Return the outcome with its regret: the true cost of the choice over that of the best size, less one."""
    if outcome.chosen_mb is None:
        return Row(world.family, world.weight, outcome, 0.0 if math.isinf(world.best_usd(PRICES)) else 1.0)
    regret = world.cost_usd(outcome.chosen_mb, PRICES) / world.best_usd(PRICES) - 1
    return Row(world.family, world.weight, outcome, regret)


def summary(method: str, rows: Sequence[Row]) -> dict[str, Any]:
    """Return the figures of one method, as `--json` prints them."""
    total = math.fsum(r.weight for r in rows)

    def mean(values: Sequence[float]) -> float:
        return math.fsum(r.weight * value for r, value in zip(rows, values, strict=True)) / total

    return {
        "method": method,
        "worlds": len(rows),
        "gb_s_mean": mean([r.outcome.gb_s for r in rows]),
        "invocations_mean": mean([r.outcome.invocations for r in rows]),
        "regret_mean": mean([r.regret for r in rows]),
        "regret_p95": _weighted_quantile(rows, 0.95),
        "rounds_mean": mean([r.outcome.rounds for r in rows]),
        "slowest_step_ms": max(r.outcome.slowest_step_ms for r in rows),
    }


def calibration(rows: Sequence[Row]) -> list[dict[str, float]]:
    """Return for bands of the stated probability of being right: the choices, the mean stated, and the share right."""
    bands = ((0.0, 0.5), (0.5, 0.7), (0.7, 0.85), (0.85, 0.925), (0.925, 0.975), (0.975, 1.01))
    result = []
    for low, high in bands:
        inside = [
            (1 - r.outcome.probability_wrong, r.regret <= TOLERANCE, r.weight)
            for r in rows
            if r.outcome.probability_wrong is not None and low <= 1 - r.outcome.probability_wrong < high
        ]
        weight = math.fsum(w for *_, w in inside)
        if weight:
            result.append(
                {
                    "from": low,
                    "to": min(high, 1.0),
                    "choices": len(inside),
                    "stated": math.fsum(p * w for p, _, w in inside) / weight,
                    "right": math.fsum(w for _, right, w in inside if right) / weight,
                }
            )
    return result


def _weighted_quantile(rows: Sequence[Row], share: float) -> float:
    total, reached = math.fsum(r.weight for r in rows), 0.0
    for found in sorted(rows, key=lambda r: r.regret):
        reached += found.weight
        if reached >= share * total - 1e-9:
            return found.regret
    return 0.0

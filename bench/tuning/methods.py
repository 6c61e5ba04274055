"""The methods that are compared: each tunes a world and answers with the size it chooses and what the search cost.

The adaptive and fixed methods are the product's own `plan` and `decide`, run as the state machine runs them. Only the
full grid with exact argmin, the method of AWS Lambda Power Tuning, is written here. Not for scoring (score.py).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from bench.tuning.worlds import World
from greenroom.tuning import Measurement, Prices, Search, TestSpec, decide, plan, prices_for
from greenroom.tuning.prices import gb_seconds
from greenroom.tuning.statistics import trimmed_mean

CASE = "bench"
PRICES: Prices = prices_for("us-east-1")


@dataclass
class Outcome:
    """What a method did in one world. `chosen_mb` is None where every size failed."""

    chosen_mb: int | None
    gb_s: float
    invocations: int
    rounds: int = 1
    probability_wrong: float | None = None
    expected_loss: float | None = None
    slowest_step_ms: float = 0.0


@dataclass
class Laboratory:
    """Invocations in a world, and what they cost."""

    world: World
    measurements: list[Measurement] = field(default_factory=list)
    gb_s: float = 0.0

    def invoke(self, memory_mb: int, index: int) -> Measurement:
        world = self.world
        duration = world.duration_ms(memory_mb, index, len(self.measurements))
        cold = index == 0 and world.cold_factor > 1
        if cold:
            duration *= world.cold_factor
        billed = max(1, math.ceil(duration + (world.init_ms if cold else 0)))
        self.gb_s += gb_seconds(memory_mb, billed)
        measurement = Measurement(
            memory_mb,
            CASE,
            index,
            round(duration, 2),
            billed,
            init_duration_ms=world.init_ms if cold else None,
            cold_start=cold,
            error="out_of_memory" if memory_mb <= world.too_small_mb else None,
        )
        self.measurements.append(measurement)
        return measurement


def full_grid(world: World, num: int = 10) -> Outcome:
    """Measure every size `num` times: the trimmed mean of the cost, exact argmin; a size that fails is left out."""
    laboratory = Laboratory(world)
    costs: dict[int, float] = {}
    for size in world.sizes_mb:
        made = []
        for index in range(num):
            made.append(laboratory.invoke(size, index))
            if made[-1].error:
                break
        else:
            costs[size] = PRICES.cost_usd(size, trimmed_mean(m.billed_duration_ms for m in made))
    chosen = min(costs, key=costs.__getitem__) if costs else None
    return Outcome(chosen, laboratory.gb_s, len(laboratory.measurements))


def product(world: World, search: Search, num: int = 10) -> Outcome:
    """Run Greenroom's own loop: plan, invoke, plan again, until done; then decide."""
    laboratory = Laboratory(world)
    spec = TestSpec((CASE,), world.sizes_mb, num, 60, PRICES, search=search)
    slowest, round_number = 0.0, 0
    while True:
        started = time.process_time()
        found = plan(spec, laboratory.measurements, round_number)
        slowest = max(slowest, time.process_time() - started)
        if found.done:
            break
        for batch in found.batches:
            for index in range(batch.start, batch.start + batch.count):
                if laboratory.invoke(batch.memory_mb, index).error:
                    break
        round_number += 1
    decision = decide(spec, laboratory.measurements)
    return Outcome(
        decision.chosen_memory_mb,
        laboratory.gb_s,
        len(laboratory.measurements),
        round_number,
        decision.probability_wrong,
        decision.expected_loss,
        slowest * 1000,
    )

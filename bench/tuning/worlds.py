"""Worlds to tune in: what an invocation at a memory size would take, and what each size truly costs.

A world is a function with a curve of duration against memory, and noise around it. Two methods that make the n-th
invocation at the same size see the same duration, so that they are compared under the same noise. Not for the methods
themselves (methods.py).

Published curves are replayed: where raw samples exist they are drawn from, else the curve's figures are taken as the
truth and the noise is that of another function's raw samples, at the nearest size. Synthetic families are drawn from
the ways functions differ: how much they wait, how many threads they use, how much memory they need.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from greenroom.tuning.prices import Prices
from greenroom.tuning.statistics import trimmed_mean

ENVIRONMENT_SPREAD = 0.02
DRIFT = 0.02
DRIFT_PERIOD = 150
_LEAST_DONOR_SAMPLES = 90

_LEAST_DONOR_MS = 10.0
"""Functions of a few milliseconds have nothing but start-up and timer noise, which a longer one does not have."""

_LEAST_OWN_SAMPLES = 9


@dataclass
class World:
    """One function to tune. `noise[size]` are durations relative to `truth_ms[size]`, drawn from with replacement."""

    name: str
    family: str
    weight: float
    sizes_mb: tuple[int, ...]
    truth_ms: dict[int, float]
    noise: Mapping[int, Sequence[float]]
    init_ms: float = 0.0
    cold_factor: float = 1.0
    environments: bool = False
    too_small_mb: int = 0
    seed: int = 0
    _drawn: dict[int, tuple[random.Random, list[float]]] = field(default_factory=dict)

    def duration_ms(self, memory_mb: int, index: int, clock: int) -> float:
        """Return the duration of the index-th invocation at a size, the clock-th of the test."""
        if memory_mb not in self._drawn:
            self._drawn[memory_mb] = (random.Random(f"{self.seed}/{self.name}/{memory_mb}"), [])
        generator, drawn = self._drawn[memory_mb]
        while len(drawn) <= index:
            value = generator.choice(self.noise[memory_mb])
            if self.environments:
                slow = random.Random(f"{self.seed}/{self.name}/{memory_mb}/{len(drawn) // 5}")
                value *= math.exp(slow.gauss(0, ENVIRONMENT_SPREAD))
            drawn.append(value)
        drift = 1.0
        if self.environments:
            phase = random.Random(f"{self.seed}/{self.name}/drift").random()
            drift = math.exp(DRIFT * math.sin(2 * math.pi * (clock / DRIFT_PERIOD + phase)))
        return self.truth_ms[memory_mb] * drawn[index] * drift

    def cost_usd(self, memory_mb: int, prices: Prices) -> float:
        """Return what an invocation truly costs on average."""
        if memory_mb <= self.too_small_mb:
            return math.inf
        billed = [max(1.0, math.ceil(self.truth_ms[memory_mb] * share)) for share in self.noise[memory_mb]]
        return prices.cost_usd(memory_mb, trimmed_mean(billed))

    def best_usd(self, prices: Prices) -> float:
        return min(self.cost_usd(size, prices) for size in self.sizes_mb)


def load_curves(path: Path) -> tuple[list[dict[str, Any]], dict[str, dict[int, list[float]]]]:
    """Return the curves, and the raw samples in the same folder, if there are any.

    Raises SystemExit, which says what to do.
    """
    try:
        curves = json.loads(path.read_text())
    except FileNotFoundError:
        raise SystemExit(
            f"{path} is not there: give the curves with --curves FILE, or --curves none for synthetic families only"
        ) from None
    except ValueError as broken:
        raise SystemExit(f"{path} is not JSON: {broken}") from None
    raw: dict[str, dict[int, list[float]]] = {}
    samples = path.with_name("raw_samples.json")
    if samples.exists():
        for name, cells in json.loads(samples.read_text()).items():
            # A few samples are 0: calls that failed, which Greenroom would have seen by their error.
            raw[name] = {int(size): [float(v) for v in values if v > 0] for size, values in cells.items()}
    return curves, raw


def _relative(values: Sequence[float]) -> list[float]:
    typical = trimmed_mean(values)
    return [value / typical for value in values]


def replay_worlds(
    curves: Sequence[dict[str, Any]], raw: dict[str, dict[int, list[float]]], seed: int, sizes: Sequence[int] = ()
) -> list[World]:
    """Return one world for each curve; `sizes` narrows the sizes down, where a curve has them all."""
    donors = [
        {size: _relative(values) for size, values in cells.items()}
        for _, cells in sorted(raw.items())
        if all(len(v) >= _LEAST_DONOR_SAMPLES and sorted(v)[len(v) // 2] >= _LEAST_DONOR_MS for v in cells.values())
    ]
    worlds = []
    per_family: dict[str, float] = {}
    for curve in curves:
        points = {int(p["memory_mb"]): float(p["duration_ms"]) for p in curve["points"] if p["duration_ms"]}
        if sizes:
            points = {size: points[size] for size in sizes if size in points}
            if len(points) < len(sizes):
                continue
        name = curve["id"]
        cells = raw.get(name)
        if cells is not None and all(len(cells.get(size, ())) >= _LEAST_OWN_SAMPLES for size in points):
            noise: dict[int, Sequence[float]] = {size: _relative(cells[size]) for size in points}
            truth = {size: trimmed_mean(cells[size]) for size in points}
        else:
            truth = points
            if donors:
                donor = random.Random(f"{seed}/{name}/donor").choice(donors)
            else:
                donor = {1: synthetic_noise(random.Random(f"{seed}/{name}/noise"))}
            noise = {size: donor[min(donor, key=lambda other: abs(math.log(other / size)))] for size in points}
        worlds.append(World(name, curve["family"], 1.0, tuple(sorted(points)), truth, noise, seed=seed))
        per_family[curve["family"]] = per_family.get(curve["family"], 0) + 1
    for world in worlds:
        world.weight = 1 / per_family[world.family]
    return worlds


def synthetic_noise(generator: random.Random, spread: float | None = None) -> list[float]:
    """Return relative durations: a lognormal core and, now and then, a slow one."""
    if spread is None:
        spread = generator.choice((0.03, 0.06, 0.1, 0.2))
    slow_share = generator.choice((0.0, 0.02, 0.05))
    values = []
    for _ in range(400):
        value = generator.lognormvariate(0, spread)
        if generator.random() < slow_share:
            value *= 1 + generator.expovariate(0.5)
        values.append(value)
    return _relative(values)


SYNTHETIC_SIZES = (128, 256, 512, 1024, 1536, 2048, 3008, 4096, 6144, 10_240)
SYNTHETIC_FAMILIES = ("cpu", "threads", "waiting", "mixed", "pressure", "short")


def synthetic_worlds(seed: int, sizes: Sequence[int] = SYNTHETIC_SIZES) -> list[World]:
    """Return one world of each family, its parameters and noise drawn by the seed."""
    worlds = []
    for family in SYNTHETIC_FAMILIES:
        g = random.Random(f"{seed}/{family}")
        cpu_ms = 10 ** g.uniform(0.5, 3.5)
        waiting = {"waiting": g.uniform(1, 30), "mixed": g.uniform(0.1, 2)}.get(family, g.uniform(0, 0.1))
        saturation = g.choice((3000, 5000, 10_240)) if family == "threads" else 1769
        needed_mb = g.choice((110, 180, 300)) if family == "pressure" else 40
        exponent = g.uniform(0.95, 1.2)
        if family == "short":
            cpu_ms = g.uniform(0.3, 5)
        truth = {}
        for size in sizes:
            cpu = (1769 / min(size, saturation)) ** exponent
            pressed = 1 + 1.5 * math.exp(-(size - needed_mb) / (0.3 * needed_mb)) if size > needed_mb else 1.0
            truth[size] = cpu_ms * (waiting + cpu) * pressed * math.exp(g.gauss(0, 0.03))
        spread = g.choice((0.03, 0.06, 0.1, 0.2))
        noise = {size: synthetic_noise(g, spread * (1769 / min(size, 1769)) ** 0.25) for size in sizes}
        worlds.append(
            World(
                f"synthetic-{family}", f"synthetic-{family}", 1.0, tuple(sizes), truth, noise,
                init_ms=10 ** g.uniform(1.5, 3), cold_factor=g.uniform(1, 2), environments=True,
                too_small_mb=needed_mb if family == "pressure" else 0, seed=seed,
            )
        )  # fmt: skip
    return worlds

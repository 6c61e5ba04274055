"""A model of an algorithm's duration against its memory size, with its uncertainty.

Not for choosing (choice.py) nor for what to measure next (adaptive.py): it turns estimates at some sizes into joint
draws of the duration at every size. All figures of uncertainty are counted over these draws.

The logarithm of the duration at a size is a level, plus a shape, plus a deviation:

* The *shape* comes from how Lambda gives CPU: in proportion to memory, one vCPU at 1769 MB (AWS Lambda Developer Guide,
  "Configure Lambda function memory"). CPU-bound work shrinks as 1/memory up to where its threads stop gaining: 1769 MB
  for single-threaded code, up to 10,240 MB (about six vCPUs) for multi-threaded; a little faster or slower than that,
  since throttling and garbage collection cost more at small shares. Waiting for others doesn't shrink. Near its
  limit of memory an algorithm is slower by a factor. A few hundred combinations of these are weighed by Bayes' rule.
* The *deviation* is a Gaussian process over log2(memory), so that no shape has to be exactly right, with a part of
  its own for each size.

Given a shape everything is linear and Gaussian, and the covariance does not depend on the shape: one small Cholesky
factorisation serves all of them. Draws are seeded, so equal input gives equal output.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import mul

from greenroom.tuning.limits import FULL_VCPU_MB, MAX_MEMORY_MB
from greenroom.tuning.statistics import Mean

DRAWS = 256

_WAITING: tuple[tuple[float, float], ...] = (
    (0.0, 5.0), (0.1, 4.0), (0.4, 2.0), (1.5, 2.0), (6.0, 1.5), (30.0, 1.5), (1e6, 1.0),
)  # fmt: skip
"""Waiting as a multiple of the CPU time that is left at one vCPU, with its prior weight; the last is all waiting."""

_SATURATION_MB: tuple[tuple[int, float], ...] = (
    (1024, 1.0),
    (FULL_VCPU_MB, 6.0),
    (2 * FULL_VCPU_MB, 1.5),
    (MAX_MEMORY_MB, 1.5),
)
"""Where more memory stops giving more speed."""

_EXPONENT: tuple[tuple[float, float], ...] = ((0.9, 1.0), (1.05, 3.0), (1.2, 1.0))
"""The power of 1/memory below saturation."""

_PRESSURE: tuple[tuple[int, float, float], ...] = ((0, 1.0, 12.0), (128, 1.4, 1.0), (256, 3.0, 0.5))
"""Slower by a factor at and below a size: memory pressure."""

_LEVEL_VARIANCE = 100.0
_SMOOTH_DEVIATION, _OCTAVES = 0.08, 1.2
_OWN_DEVIATION = 0.05

_ROUGHNESS: tuple[tuple[float, float], ...] = ((0.4, 2.0), (1.0, 2.0), (2.5, 1.0), (6.0, 0.3), (14.0, 0.1))
"""How much rougher or smoother than that a curve may be, with its prior weight."""


@dataclass(frozen=True, slots=True)
class Posterior:
    """Joint draws of the duration at every size: `draws_ms[k][i]` is draw k at `sizes_mb[i]`, in milliseconds."""

    sizes_mb: tuple[int, ...]
    draws_ms: tuple[tuple[float, ...], ...]

    def band(self, confidence: float = 0.9) -> list[tuple[float, float, float]]:
        """Return for each size the low end, the median and the high end of the duration in milliseconds."""
        tail = int(len(self.draws_ms) * (1 - confidence) / 2)
        columns = [sorted(column) for column in zip(*self.draws_ms, strict=True)]
        return [(column[tail], column[len(column) // 2], column[-1 - tail]) for column in columns]


def posterior(sizes_mb: Sequence[int], observed: Mapping[int, Mean], *, draws: int = DRAWS, seed: int = 0) -> Posterior:
    """Return draws of the duration at `sizes_mb` given the means observed at some of them (in milliseconds, above 0).

    Raises ValueError without an observation, or with one at a size that is not listed.
    """
    sizes = tuple(sizes_mb)
    place = {size: i for i, size in enumerate(sizes)}
    at = [place[size] for size in observed if size in place]
    if not at or len(at) != len(observed):
        raise ValueError("the model needs observations, each at one of the sizes asked for")
    logs = [math.log(mean.value) for mean in observed.values()]
    noise = [mean.relative_error**2 for mean in observed.values()]
    centre = math.fsum(logs) / len(logs)
    y = [value - centre for value in logs]
    shapes, log_priors = _shapes(sizes)
    factors = [_factor(_kernel(sizes, scale), at, noise) for scale, _ in _ROUGHNESS]
    # One component for each roughness and shape, weighed by its marginal likelihood.
    log_weights = []
    for factor, (_, prior) in zip(factors, _ROUGHNESS, strict=True):
        base = math.log(prior) - math.fsum(math.log(row[-1]) for row in factor)
        for shape, log_prior in zip(shapes, log_priors, strict=True):
            whitened = _forward(factor, [value - shape[i] for value, i in zip(y, at, strict=True)])
            log_weights.append(base + log_prior - 0.5 * sum(map(mul, whitened, whitened)))
    highest = max(log_weights)

    fits: dict[int, _Fit] = {}
    centres: dict[int, list[float]] = {}
    result = []
    components = _systematic([math.exp(weight - highest) for weight in log_weights], draws)
    for component, normal in zip(components, _normals(draws, len(sizes), seed), strict=True):
        roughness = component // len(shapes)
        if roughness not in fits:
            fits[roughness] = _fit(_kernel(sizes, _ROUGHNESS[roughness][0]), at, factors[roughness])
        fit = fits[roughness]
        if component not in centres:
            shape = shapes[component % len(shapes)]
            rest = [value - shape[i] for value, i in zip(y, at, strict=True)]
            centres[component] = [
                centre + level + sum(map(mul, row, rest)) for level, row in zip(shape, fit.gain, strict=True)
            ]
        result.append(
            tuple(
                math.exp(middle + sum(map(mul, row, normal)))
                for middle, row in zip(centres[component], fit.spread, strict=True)
            )
        )
    return Posterior(sizes, tuple(result))


@dataclass(frozen=True, slots=True)
class _Fit:
    """What a kernel makes of the observations, whatever the shape: their weights, and the spread that is left."""

    gain: list[list[float]]
    spread: list[list[float]]


def _factor(kernel: list[list[float]], at: Sequence[int], noise: Sequence[float]) -> list[list[float]]:
    covariance = [[kernel[i][j] for j in at] for i in at]
    for i, variance in enumerate(noise):
        covariance[i][i] += variance
    return _cholesky(covariance)


def _fit(kernel: list[list[float]], at: Sequence[int], factor: list[list[float]]) -> _Fit:
    gain = [_solve(factor, [row[j] for j in at]) for row in kernel]
    observed = [[row[k] for k in at] for row in kernel]
    left = [[kernel[i][j] - sum(map(mul, gain[i], observed[j])) for j in range(i + 1)] for i in range(len(kernel))]
    return _Fit(gain, _cholesky(left))


@lru_cache(maxsize=64)
def _shapes(sizes: tuple[int, ...]) -> tuple[list[list[float]], list[float]]:
    """Return the logarithms of all shapes at the sizes, with those of their prior weights; equal shapes are merged."""
    found: dict[tuple[float, ...], float] = {}
    for waiting, waiting_weight in _WAITING:
        for saturation, saturation_weight in _SATURATION_MB:
            for exponent, exponent_weight in _EXPONENT:
                for below, factor, pressure_weight in _PRESSURE:
                    shape = tuple(
                        round(
                            math.log(waiting + (FULL_VCPU_MB / min(size, saturation)) ** exponent)
                            - math.log(1 + waiting)
                            + (math.log(factor) if size <= below else 0.0),
                            6,
                        )
                        for size in sizes
                    )
                    weight = waiting_weight * saturation_weight * exponent_weight * pressure_weight
                    found[shape] = found.get(shape, 0.0) + weight
    return [list(shape) for shape in found], [math.log(weight) for weight in found.values()]


@lru_cache(maxsize=256)
def _kernel(sizes: tuple[int, ...], scale: float) -> list[list[float]]:
    def covariance(one: int, other: int) -> float:
        apart = math.log2(one / other) / _OCTAVES
        own = _OWN_DEVIATION**2 if one == other else 0.0
        return _LEVEL_VARIANCE + scale * scale * (_SMOOTH_DEVIATION**2 * math.exp(-0.5 * apart * apart) + own)

    return [[covariance(one, other) for other in sizes] for one in sizes]


@lru_cache(maxsize=64)
def _normals(draws: int, dimensions: int, seed: int) -> list[list[float]]:
    generator = random.Random(seed)  # noqa: S311 - a simulation
    return [[generator.gauss(0.0, 1.0) for _ in range(dimensions)] for _ in range(draws)]


def _systematic(weights: Sequence[float], draws: int) -> list[int]:
    """Return as many indexes as asked for, each in proportion to its weight as closely as whole numbers allow."""
    step = math.fsum(weights) / draws
    point, total = step / 2, 0.0
    result: list[int] = []
    for i, weight in enumerate(weights):
        total += weight
        while point < total and len(result) < draws:
            result.append(i)
            point += step
    result.extend([len(weights) - 1] * (draws - len(result)))
    return result


def _cholesky(matrix: Sequence[Sequence[float]]) -> list[list[float]]:
    """Return the lower factor's rows of a positive semi-definite matrix (its lower half is enough)."""
    rows: list[list[float]] = []
    for i, given in enumerate(matrix):
        row: list[float] = []
        for j in range(i):
            pivot = rows[j][j]
            row.append((given[j] - sum(map(mul, row, rows[j]))) / pivot if pivot > 0 else 0.0)
        row.append(math.sqrt(max(given[i] - sum(map(mul, row, row)), 1e-12)))
        rows.append(row)
    return rows


def _forward(factor: Sequence[Sequence[float]], vector: Sequence[float]) -> list[float]:
    result: list[float] = []
    for row, value in zip(factor, vector, strict=True):
        result.append((value - sum(map(mul, row, result))) / row[-1])
    return result


def _solve(factor: Sequence[Sequence[float]], vector: Sequence[float]) -> list[float]:
    result = _forward(factor, vector)
    for i in range(len(result) - 1, -1, -1):
        result[i] = (result[i] - sum(factor[k][i] * result[k] for k in range(i + 1, len(result)))) / factor[i][i]
    return result

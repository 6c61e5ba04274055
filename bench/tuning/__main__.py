"""`python -m bench.tuning`: replays curves through each method under the same noise and prints cost and regret.

    python -m bench.tuning [--curves FILE] [--seeds N] [--first-seed N] [--set all|curves|synthetic] [--grid G] [--json]

Without --curves the published curves are looked for in ../shared/data/curves, next to the repository. With --json one
document is printed: `methods` (a list: method, gb_s_mean, invocations_mean, regret_mean, regret_p95 and more) over all
worlds, `default_three` the same on the three default power values, and `groups` for each kind of world, with
calibration.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench.tuning.methods import Outcome, full_grid, product
from bench.tuning.score import Row, calibration, row, summary
from bench.tuning.worlds import SYNTHETIC_SIZES, World, load_curves, replay_worlds, synthetic_worlds

DEFAULT_CURVES = Path(__file__).resolve().parents[3] / "shared" / "data" / "curves" / "curves.json"
DEFAULT_THREE = (128, 256, 512)
SYNTHETIC_SEEDS_FOR_EACH = 5
"""A synthetic family is one function a seed, so it takes more seeds to say as much."""

METHODS: dict[str, Callable[[World], Outcome]] = {
    "full-grid": full_grid,
    "fixed": partial(product, search="fixed"),
    "adaptive": partial(product, search="adaptive"),
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.tuning", description=__doc__.splitlines()[0])
    parser.add_argument("--curves", default=str(DEFAULT_CURVES), help="curves.json, or none for synthetic ones only")
    parser.add_argument("--seeds", type=int, default=3, help="repetitions with other noise (default 3)")
    parser.add_argument("--first-seed", type=int, default=0, help="where the seeds start (default 0)")
    parser.add_argument("--grid", default="full", help="which curves, by their field grid: full (default), zoom, short")
    parser.add_argument("--set", choices=("all", "curves", "synthetic"), default="all", help="which worlds")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        parser.error("--seeds is less than 1")
    curves: list[dict[str, Any]] = []
    raw: dict[str, dict[int, list[float]]] = {}
    if options.set != "synthetic" and options.curves != "none":
        curves, raw = load_curves(Path(options.curves))

    groups: dict[str, dict[str, list[Row]]] = {}
    for name, sizes in (("all sizes", ()), ("default three", DEFAULT_THREE)):
        for group, worlds in (
            ("curves", _replayed(curves, raw, options, sizes)),
            ("synthetic", _synthetic(options, sizes)),
        ):
            groups[f"{group}, {name}"] = {method: [] for method in METHODS}
            for world in worlds:
                for method, tune in METHODS.items():
                    groups[f"{group}, {name}"][method].append(row(world, tune(world)))
    groups = {name: methods for name, methods in groups.items() if methods["full-grid"]}
    document = {
        "seeds": options.seeds,
        "methods": _together(groups, "all sizes"),
        "default_three": _together(groups, "default three"),
        "calibration": {
            method: calibration([r for methods in groups.values() for r in methods[method]])
            for method in METHODS
            if method != "full-grid"
        },
        "groups": {
            name: {
                "methods": [summary(method, rows) for method, rows in methods.items()],
                "calibration": {method: calibration(rows) for method, rows in methods.items() if method != "full-grid"},
            }
            for name, methods in groups.items()
        },
    }
    print(json.dumps(document, indent=1) if options.json else _text(document))
    return 0


def _replayed(
    curves: list[dict[str, Any]],
    raw: dict[str, dict[int, list[float]]],
    options: argparse.Namespace,
    sizes: Sequence[int],
) -> Iterator[World]:
    chosen = [curve for curve in curves if curve.get("grid", "full") == options.grid]
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        yield from replay_worlds(chosen, raw, seed, sizes)


def _synthetic(options: argparse.Namespace, sizes: Sequence[int]) -> Iterator[World]:
    if options.set == "curves":
        return
    first = options.first_seed * SYNTHETIC_SEEDS_FOR_EACH
    for seed in range(first, first + options.seeds * SYNTHETIC_SEEDS_FOR_EACH):
        yield from synthetic_worlds(seed, sizes or SYNTHETIC_SIZES)


def _together(groups: dict[str, dict[str, list[Row]]], name: str) -> list[dict[str, Any]]:
    chosen = [methods for group, methods in groups.items() if group.endswith(name)]
    return [summary(method, [r for methods in chosen for r in methods[method]]) for method in METHODS if chosen]


def _text(document: dict[str, Any]) -> str:
    lines = []
    for name, group in (
        ("all sizes", {"methods": document["methods"], "calibration": document["calibration"]}),
        ("default three", {"methods": document["default_three"]}),
        *document["groups"].items(),
    ):
        lines.append(f"{name}")
        lines.append("  method        GB-s   of grid  invocations  rounds  regret mean     p95  slowest step")
        base = group["methods"][0]["gb_s_mean"] if group["methods"] else 1.0
        lines.extend(
            f"  {m['method']:10s}{m['gb_s_mean']:8.2f}{m['gb_s_mean'] / base:9.1%}{m['invocations_mean']:13.1f}"
            f"{m['rounds_mean']:8.1f}{m['regret_mean']:13.3%}{m['regret_p95']:8.2%}{m['slowest_step_ms']:11.1f} ms"
            for m in group["methods"]
        )
        for method, bands in group.get("calibration", {}).items():
            bands_text = "  ".join(f"{b['stated']:.0%}: {b['right']:.0%} of {b['choices']}" for b in bands)
            lines.append(f"  {method}, said to be right: right  {bands_text}")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

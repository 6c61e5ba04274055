"""The benchmark: its promises about cost and regret, and its command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench.tuning", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def synthetic() -> dict[str, dict[str, float]]:
    done = bench("--set", "synthetic", "--seeds", "1", "--json")
    assert done.returncode == 0, done.stderr
    return {method["method"]: method for method in json.loads(done.stdout)["methods"]}


def test_the_adaptive_search_costs_a_quarter_of_the_full_grid_and_chooses_no_worse(
    synthetic: dict[str, dict[str, float]],
) -> None:
    grid, adaptive = synthetic["full-grid"], synthetic["adaptive"]
    assert adaptive["gb_s_mean"] <= grid["gb_s_mean"] / 4
    assert adaptive["regret_mean"] <= grid["regret_mean"]
    assert adaptive["regret_p95"] <= grid["regret_p95"]


def test_every_method_has_the_figures_that_are_promised(synthetic: dict[str, dict[str, float]]) -> None:
    promised = {"method", "gb_s_mean", "invocations_mean", "regret_mean", "regret_p95"}
    assert all(method.keys() >= promised for method in synthetic.values())


def test_curves_that_are_not_there_are_missed_with_what_to_do() -> None:
    done = bench("--curves", "nowhere/curves.json", "--seeds", "1")
    assert done.returncode != 0
    assert "nowhere/curves.json is not there: give the curves with --curves FILE" in done.stderr


def test_curves_in_the_published_format_are_replayed(tmp_path: Path) -> None:
    points = [
        {"memory_mb": m, "duration_ms": 1000 * 128 / m, "cost_usd": None, "n": 10, "cv": None} for m in (128, 256)
    ]
    curve = {"id": "one", "family": "one", "grid": "full", "points": points}
    (tmp_path / "curves.json").write_text(json.dumps([curve]))
    done = bench("--curves", str(tmp_path / "curves.json"), "--set", "curves", "--seeds", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert {m["worlds"] for m in json.loads(done.stdout)["methods"]} == {2}

"""Kill the platform again and again, and judge what is left.

    python -m tests.crash [--kills 300] [--seed 1] [--point NAME] [--keep DIR] [--json FILE]

A kill is right if nothing that was acknowledged or shown is lost, nothing has happened twice, nothing contradicts
itself at rest, `prod` is on a version that has passed, nothing is left over, and the next push and message work.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from tests.crash.harness import run
from tests.crash.points import POINTS


def main() -> int:
    """Run the kills; return 0 if all of them were right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300, help="how many (default 300)")
    parser.add_argument("--seed", type=int, default=1, help="of the order and of the moments (default 1)")
    parser.add_argument("--point", choices=[point.name for point in POINTS], help="this point only")
    parser.add_argument("--keep", type=Path, help="a folder in which the platforms' data stays")
    parser.add_argument("--json", type=Path, help="a file for the verdicts")
    options = parser.parse_args()
    points = [point for point in POINTS if point.name == options.point] * options.kills or None
    begin, verdicts = time.monotonic(), []
    for verdict in run(options.kills, options.seed, points, options.keep):
        verdicts.append(verdict)
        missed = "" if verdict.reached else " (not reached: killed at the end of the waiting)"
        times = f"start {verdict.start_s:.1f} s, rest {verdict.rest_s:.1f} s"
        print(
            f"{verdict.number + 1:4} {'right' if verdict.is_right else 'WRONG'}  {verdict.point}{missed}  {times}",
            flush=True,
        )
        for fault in verdict.faults:
            print(f"           {fault}", flush=True)
    if options.json:
        options.json.write_text(json.dumps([asdict(verdict) for verdict in verdicts], indent=1))
    wrong = [verdict for verdict in verdicts if not verdict.is_right]
    right, took_s = len(verdicts) - len(wrong), time.monotonic() - begin
    print(f"{right} of {len(verdicts)} right, in {took_s:.0f} s, seed {options.seed}")
    for point, count in Counter(verdict.point for verdict in wrong).most_common():
        print(f"{count:4} wrong: {point}")
    return 1 if wrong or not verdicts else 0


if __name__ == "__main__":
    sys.exit(main())

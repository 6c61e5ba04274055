"""The platform under load.

    python -m bench.load stream [--rate 20] [--minutes 10] [--releases 10] [--kills 3]
    python -m bench.load burst  [--uploads 100] [--algorithms 30]
    python -m bench.load many   [--algorithms 300] [--releases 1000]
    python -m bench.load soak   [--minutes 60]

`stream`: messages through in → out, while releases are pushed (every third one broken) and the server is killed: each
acknowledged message has to have exactly one answer, of a version that had passed. `burst`: uploads at once on a cold
platform: all are to be accepted. `many`: what people look at, before and after. `soak`: a slow stream with releases;
memory, processes, files, groups and disk at minute ten and at the end.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from bench.load import many, stream


def main() -> int:
    """Run one of the benchmarks; return 0 if what has to hold holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    streams = kinds.add_parser("stream")
    streams.add_argument("--rate", type=float, default=20)
    streams.add_argument("--minutes", type=float, default=10)
    streams.add_argument("--releases", type=int, default=10)
    streams.add_argument("--kills", type=int, default=3)
    bursts = kinds.add_parser("burst")
    bursts.add_argument("--uploads", type=int, default=100)
    bursts.add_argument("--algorithms", type=int, default=30)
    manies = kinds.add_parser("many")
    manies.add_argument("--algorithms", type=int, default=300)
    manies.add_argument("--releases", type=int, default=1_000)
    soaks = kinds.add_parser("soak")
    soaks.add_argument("--minutes", type=float, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="greenroom-load-", ignore_cleanup_errors=True) as folder:
        return {"stream": _stream, "burst": _burst, "many": _many, "soak": _soak}[options.kind](Path(folder), options)


def _stream(data: Path, options: argparse.Namespace) -> int:
    plan = stream.Plan(options.rate, options.minutes * 60, options.releases, options.kills)
    return _report(stream.run(data, plan))


def _soak(data: Path, options: argparse.Namespace) -> int:
    plan = stream.Plan(rate=2, duration_s=options.minutes * 60, releases=int(options.minutes), kills=0)
    return _report(stream.run(data, plan))


def _report(found: stream.Outcome) -> int:
    wrong = found.by_wrong_version()
    print(f"{len(found.sent_s)} acknowledged, {found.unacknowledged} not; {len(found.kills_s)} kills")
    print(f"{found.missing} without an answer, {found.doubled} with two, {wrong} by a version that had not passed")
    for phase, values_ms in sorted(found.latencies_ms().items()):
        ordered = sorted(values_ms)
        p50, p99 = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
        print(f"  {phase:10} p50 {p50:8.0f} ms   p99 {p99:8.0f} ms   ({len(ordered)} messages)")
    ends = [item["status"] for item in found.releases.values()]
    print("releases:", ", ".join(f"{ends.count(status)} {status}" for status in sorted(set(ends))))
    for at_s, look in found.looks:
        print(f"  minute {at_s / 60:5.1f}: {look}")
    for fault in found.left:
        print(f"  {fault}")
    return 1 if found.missing or found.doubled or wrong or found.left else 0


def _burst(data: Path, options: argparse.Namespace) -> int:
    found = many.burst(data, options.uploads, options.algorithms)
    times = sorted(found.accepted_s) or [0.0]
    took = f"in {statistics.median(times):.1f} s (median), at most {times[-1]:.1f} s"
    print(f"{len(found.accepted_s)} of {found.asked} accepted, {took}")
    print("refused:", dict(found.refused) or "none", " became:", dict(found.statuses))
    return 0 if len(found.accepted_s) == found.asked else 1


def _many(data: Path, options: argparse.Namespace) -> int:
    for views in many.measure(data, options.algorithms, options.releases, lambda text: print(f"  {text}", flush=True)):
        print(views.when + (f" (started in {views.start_s:.1f} s)" if views.start_s else ""))
        print("  " + ", ".join(f"{name} {value:.0f} ms" for name, value in views.ms.items()))
        print(f"  {views.machine}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The engine on a busy machine: does a function keep its share of CPU while other processes want all of it?

    python -m bench.engine.busy [--load 16] [--runs 20] [--weight 1024]

Starts busy processes, each in a session of its own, then measures a loop of hashes at three sizes and cold starts of an
empty handler. `--weight` sets the weight of all functions together to another value than the engine's own meanwhile:
1024, the kernel's usual one, is what it was before the engine took more. Control groups of version 1 or 2, as root.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.engine.__main__ import EMPTY, HASHES, invoke, timed_ms
from greenroom.engine import Engine, cgroup, isolation

SIZES_MB = (256, 1_024, 1_769)
HASHES_EACH = 40_000
"""About 20 ms of CPU."""


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    """Have processes that want all CPU."""
    command = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(command, start_new_session=True) for _ in range(processes)]
    try:
        time.sleep(2)  # until the kernel has shared them out
        yield
    finally:
        for each in others:
            each.kill()
            each.wait()


@contextlib.contextmanager
def weight(value: int | None) -> Iterator[None]:
    """Give all functions together another weight."""
    name = "cpu.shares" if isolation().limits == "cgroup v1" else "cpu.weight"
    home = next(folder for controller, folder in cgroup.branch_homes().items() if controller in ("", "cpu"))
    file = home / name
    own = file.read_text()
    if value is not None:
        file.write_text(str(value))
    try:
        yield
    finally:
        file.write_text(own)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", type=int, default=16)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--weight", type=int)
    options = parser.parse_args()
    # The load comes first: what is started later has the engine's own weight.
    with busy(options.load), tempfile.TemporaryDirectory() as folder:
        engine = Engine(Path(folder))
        try:
            with weight(options.weight):
                for memory_mb in SIZES_MB:
                    found = [invoke(engine, HASHES, memory_mb, HASHES_EACH).duration_ms for _ in range(options.runs)]
                    print(f"{memory_mb:>5} MB  {min(found[1:]):7.1f} to {max(found[1:]):7.1f} ms")
                cold = timed_ms(lambda number: invoke(engine, EMPTY, 1_769, mark=f"busy {number}"), options.runs)
                print(f"cold start  p50 {cold['p50']:.1f} ms, p99 {cold['p99']:.1f} ms")
        finally:
            engine.close()


if __name__ == "__main__":
    main()

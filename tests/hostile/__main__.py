"""Run the hostile input for as long as it is wanted.

    python -m tests.hostile [--seconds 60] [--seed N] [PART ...]

Each part gets its share of the time. The end is an error, or how many cases each part made and how they ended.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.hostile.parts import PARTS, Broken, run


def main() -> int:
    """Run the parts; return 0 if every case ended as it may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default all)")
    parser.add_argument("--seconds", type=float, default=60, help="of all parts together (default 60)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the first case (default the time)")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    names = options.parts or list(PARTS)
    for name in names:
        try:
            print(run(name, options.seconds / len(names), options.seed), flush=True)
        except Broken as broken:
            print(broken, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

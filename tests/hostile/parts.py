"""The parts, and how one is run: for some seconds, each case from a seed of its own, so that it can be made again."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.hostile.embedded import http
from tests.hostile.engine import conversation
from tests.hostile.package import metadata, sources, zips
from tests.hostile.workbench import requirements

Attempt = Callable[[random.Random], str]
"""Makes one case and returns how it ended, in a word. It raises AssertionError for an end that must not be."""

PARTS: dict[str, Attempt] = {
    "zips": zips.attempt,
    "metadata": metadata.attempt,
    "sources": sources.attempt,
    "requirements": requirements.attempt,
    "frames": conversation.frames,
    "runtime API": conversation.runtime_api,
    "http": http.attempt,
}


@dataclass
class Tally:
    """How many cases a part made in how many seconds, and how they ended."""

    part: str
    seconds: float = 0
    ends: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        ends = ", ".join(f"{end} {count:,}" for end, count in self.ends.most_common())
        return f"{self.part}: {self.ends.total():,} cases in {self.seconds:.1f} s ({ends})"


class Broken(AssertionError):
    """A case ended as none may; the message says which seed makes it again."""


def run(part: str, seconds: float, seed: int) -> Tally:
    """Run a part. Raises Broken."""
    tally, begin = Tally(part), time.monotonic()
    while (now := time.monotonic() - begin) < seconds or not tally.ends:
        case = f"{part} {seed + tally.ends.total()}"
        try:
            tally.ends[PARTS[part](random.Random(case))] += 1  # noqa: S311 -- it has to be repeatable
        except Exception as error:
            raise Broken(f"case {case!r} after {now:.1f} s: {type(error).__name__}: {error}") from error
    tally.seconds = time.monotonic() - begin
    return tally

"""What the sweeper saw when it last looked around: how much is in each queue, and what contradicts the registry.

It is one item, so that `GET /status` reads it in one call whatever the number of algorithms. Plain data without I/O.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Depth:
    """How many messages of a queue wait, and how many are being handled."""

    visible: int
    in_flight: int


@dataclass(frozen=True)
class Counted:
    """What was in an algorithm's queues at a time (ISO 8601); None for a queue that does not exist."""

    at: str
    waiting: Depth | None
    dead: Depth | None


@dataclass(frozen=True)
class Found:
    """What contradicts the registry at an algorithm, and since when that has been seen."""

    since: str
    differences: tuple[str, ...]


@dataclass(frozen=True)
class Look:
    """A look around.

    `explained` has, by algorithm, how many dead letters there were when each of them was given a reason.
    """

    at: str
    counted: Mapping[str, Counted] = field(default_factory=dict)
    found: Mapping[str, Found] = field(default_factory=dict)
    explained: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return it as it is stored."""
        return json.dumps(
            {
                "at": self.at,
                "counted": {
                    name: [each.at, *_pair(each.waiting), *_pair(each.dead)] for name, each in self.counted.items()
                },
                "found": {name: [each.since, *each.differences] for name, each in self.found.items()},
                "explained": dict(self.explained),
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> Look:
        """Read what `to_json` wrote."""
        stored = json.loads(text)
        return cls(
            at=stored["at"],
            counted={
                name: Counted(at, _depth(waiting), _depth(dead))
                for name, (at, *depths) in stored["counted"].items()
                for waiting, dead in [(depths[:2], depths[2:])]
            },
            found={name: Found(since, tuple(rest)) for name, (since, *rest) in stored["found"].items()},
            explained=stored["explained"],
        )


def _pair(depth: Depth | None) -> tuple[int | None, int | None]:
    return (depth.visible, depth.in_flight) if depth else (None, None)


def _depth(pair: list[int | None]) -> Depth | None:
    visible, in_flight = pair
    return None if visible is None or in_flight is None else Depth(visible, in_flight)

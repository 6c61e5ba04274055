"""Decides what to measure next."""

from __future__ import annotations

from typing import Any

from greenroom.platform import backstage, transitions
from greenroom.platform.services import services


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle {"releaseId", "round", "transitions"}; answer what the round publishes and measures, or that there is
    none: {"done", "publishes", "publish", "batches", "round", "nextRound", "transitions", "maxConcurrency"}."""
    found = backstage.plan(services(), event["releaseId"], event["round"])
    return {
        "done": not found.batches,
        "publishes": bool(found.publish),
        "publish": list(found.publish),
        "batches": [batch.to_dict() for batch in found.batches],
        "round": event["round"],
        "nextRound": event["round"] + 1,
        "transitions": event["transitions"] + transitions.of_round(found.publish, found.batches),
        "maxConcurrency": int(services().settings["MAX_CONCURRENCY"]),
    }

"""Decides what to measure next."""

from __future__ import annotations

from typing import Any

from greenroom.platform import backstage
from greenroom.platform.services import services


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle {"releaseId", "round"}; answer {"done", "batches", "round", "nextRound", "maxConcurrency"}."""
    batches = backstage.plan(services(), event["releaseId"], event["round"])
    return {
        "done": not batches,
        "batches": [batch.to_dict() for batch in batches],
        "round": event["round"],
        "nextRound": event["round"] + 1,
        "maxConcurrency": int(services().settings["MAX_CONCURRENCY"]),
    }

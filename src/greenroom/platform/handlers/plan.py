"""Decides what to measure next."""

from __future__ import annotations

from typing import Any

from greenroom.platform import backstage
from greenroom.platform.services import services


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle {"releaseId"}; answer {"done", "batches", "maxConcurrency"}."""
    batches = backstage.plan(services(), event["releaseId"])
    return {
        "done": not batches,
        "batches": [batch.to_json() for batch in batches],
        "maxConcurrency": int(services().settings["MAX_CONCURRENCY"]),
    }

"""Decides what to measure next."""

from __future__ import annotations

from typing import Any

from greenroom.platform import backstage
from greenroom.platform.services import services


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle {"releaseId", "round", "transitions"}; answer what `campaign.Round.answer` says of the round."""
    found = backstage.plan(services(), event["releaseId"], event["round"])
    return found.answer(event, int(services().settings["MAX_CONCURRENCY"]))

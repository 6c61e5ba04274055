"""Chooses the power value, or says why there is none."""

from __future__ import annotations

from typing import Any

from greenroom.platform import backstage
from greenroom.platform.services import services


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle {"releaseId", "transitions"}; answer {"passed", "reason"}."""
    reason = backstage.decide(services(), event["releaseId"], event["transitions"])
    return {"passed": reason is None, "reason": reason}

"""Chooses the power value, or says why there is none."""

from __future__ import annotations

from typing import Any

from greenroom.platform import backstage
from greenroom.platform.services import services


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle {"releaseId", "transitions"}; answer {"promote", "reason"}."""
    reason = backstage.analyze(services(), event["releaseId"], event["transitions"])
    return {"promote": reason is None, "reason": reason}

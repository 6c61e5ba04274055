"""Removes what a test made and puts $LATEST back."""

from __future__ import annotations

from typing import Any

from greenroom.platform import backstage
from greenroom.platform.services import services


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle {"releaseId", "promoted"}."""
    backstage.clean(services(), event["releaseId"], promoted=event["promoted"])
    return {}

"""Moves alias prod to the version that passed."""

from __future__ import annotations

from typing import Any

from greenroom.platform import backstage
from greenroom.platform.services import services


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle {"releaseId"}; answer {"first"}: whether nothing was live before."""
    return {"first": backstage.promote(services(), event["releaseId"])}

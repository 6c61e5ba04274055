"""Publishes a version and an alias for one power value, or makes the alias that tests the live version."""

from __future__ import annotations

from typing import Any

from greenroom.platform import backstage
from greenroom.platform.services import services


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle {"releaseId", "publish"}, a size in MB or "live"; answer {"version"}."""
    return {"version": backstage.initialize(services(), event["releaseId"], event["publish"])}

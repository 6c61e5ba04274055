"""Takes the lock of a release's algorithm for a flow."""

from __future__ import annotations

from typing import Any

from greenroom.platform import flow
from greenroom.platform.services import services
from greenroom.releases import Status


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle {"releaseId", "before", "after"}; answer the outcome."""
    return flow.lock(
        services(), event["releaseId"], before=Status(event["before"]), after=Status(event["after"])
    ).as_json()

"""Starts the flow that a release's new status needs, or publishes the status."""

from __future__ import annotations

from typing import Any

from greenroom.platform import flow
from greenroom.platform.services import services
from greenroom.releases import Status


def handler(event: dict[str, Any], context: Any) -> None:
    """Handle changes of releases from the registry's stream, in their order.

    After an exception the whole batch is delivered again: each record may be acted on twice.
    """
    for record in event["Records"]:
        new, old = record["dynamodb"].get("NewImage", {}), record["dynamodb"].get("OldImage", {})
        if new.get("status") != old.get("status"):
            flow.on_status(services(), new["releaseId"]["S"], Status(new["status"]["S"]))

"""Starts what a release's new status asks for."""

from __future__ import annotations

from typing import Any

from greenroom.platform import flow
from greenroom.platform.services import services
from greenroom.releases import Status


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle changes of releases from the registry's stream, in their order; stop at the first that fails."""
    for record in event["Records"]:
        change = record["dynamodb"]
        new, old = change.get("NewImage", {}), change.get("OldImage", {})
        if new.get("status") == old.get("status"):
            continue
        try:
            flow.on_status(services(), new["releaseId"]["S"], Status(new["status"]["S"]))
        except Exception:
            flow.logger.exception("could not act on %s", new.get("releaseId"))
            return {"batchItemFailures": [{"itemIdentifier": change["SequenceNumber"]}]}
    return {"batchItemFailures": []}

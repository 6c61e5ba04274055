"""Brings a release into the status that its flow ended with."""

from __future__ import annotations

from typing import Any

from greenroom.platform import flow
from greenroom.platform.services import services
from greenroom.releases import Status


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle {"releaseId", "status"} with "reason", or with "error" as a state machine's Catch gives it."""
    reason = flow.failure_reason(event["error"]) if "error" in event else event.get("reason")
    status = flow.report_status(services(), event["releaseId"], Status(event["status"]), reason)
    return {"status": status.value}

"""Invokes a batch of tests and keeps the measurements."""

from __future__ import annotations

from typing import Any

from greenroom.platform import backstage
from greenroom.platform.findings import batch_from
from greenroom.platform.services import services


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle {"releaseId", "round", "batch"}; what was measured is in S3, not in the answer."""
    backstage.execute(services(), event["releaseId"], event["round"], batch_from(event["batch"]))
    return {}

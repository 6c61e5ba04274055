"""Begins to create or update the stack of a release's algorithm."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from greenroom.platform import provisioning
from greenroom.platform.services import services


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle {"releaseId"}; answer {"state", "reason"}."""
    return asdict(provisioning.deploy_stack(services(), event["releaseId"]))

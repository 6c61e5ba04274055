"""Moves alias prod to the version that passed."""

from __future__ import annotations

from typing import Any

from greenroom.platform import backstage, provisioning
from greenroom.platform.services import services


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle {"releaseId"}; answer {"attached"}: whether the queue leads to alias prod already."""
    release_id = event["releaseId"]
    backstage.promote(services(), release_id)
    algorithm = services().registry.release(release_id).algorithm
    return {"attached": provisioning.leads_to_prod(services(), algorithm)}

"""Publishes a version and an alias for one power value, or makes the alias that tests the live version."""

from __future__ import annotations

from typing import Any

from greenroom.platform import backstage
from greenroom.platform.campaign import Publication
from greenroom.platform.services import services


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle {"releaseId", "publish": {"alias", "memoryMb"}}; answer {"version"}."""
    publication = Publication.from_document(event["publish"])
    return {"version": backstage.publish(services(), event["releaseId"], publication)}

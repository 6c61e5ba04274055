"""Restarts or fails releases that are stuck."""

from __future__ import annotations

from typing import Any

from greenroom.platform import sweeping
from greenroom.platform.services import services


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle the schedule's tick; answer what was done, by release id."""
    return {"swept": sweeping.sweep(services())}

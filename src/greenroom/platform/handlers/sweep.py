"""Restarts or fails releases that are stuck, and looks around at all algorithms."""

from __future__ import annotations

from typing import Any

from greenroom.platform import sweeping
from greenroom.platform.services import services


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle the schedule's tick; answer what was done.

    An operator may send {"patienceS": 5, "everything": true}: an event is considered lost after so many seconds, and
    all algorithms are looked at.
    """
    swept = sweeping.sweep(services(), patience_s=float(event.get("patienceS", sweeping.PATIENCE_S)))
    return {"swept": swept, **sweeping.look_around(services(), everything=bool(event.get("everything")))}

"""Which version an invocation through an alias goes to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def version_for(alias: Mapping[str, Any], draw: float) -> str:
    """Return the version that an alias sends an invocation to.

    https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html

    Args:
        alias: the alias, with `FunctionVersion` and perhaps `RoutingConfig`.
        draw: a random number from 0 to less than 1.
    """
    weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    reached = 0.0
    for version, weight in weights.items():
        reached += weight
        if draw < reached:
            return str(version)
    return str(alias["FunctionVersion"])

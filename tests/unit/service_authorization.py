"""AWS's Service Authorization Reference, in the machine-readable copy that cfn-lint brings."""

from __future__ import annotations

import re
from typing import Any

from cfnlint.data import AdditionalSpecs
from cfnlint.helpers import load_resource

_REFERENCE: dict[str, Any] = load_resource(AdditionalSpecs, "Policies.json")

ALL = "*"


def resources_taken(action: str) -> list[str] | None:
    """Return the kinds of resource that an action takes, or None if IAM does not know the action."""
    service, _, name = action.lower().partition(":")
    found = _REFERENCE.get(service, {}).get("Actions", {}).get(name)
    return None if found is None else list(found.get("Resources", []))


def accepts(action: str, resource: str) -> bool:
    """Return whether an action can be granted on a resource, which may have stars. If not, the statement is void."""
    taken = resources_taken(action)
    if not taken:
        return taken is not None and resource == ALL
    return any(_is_a(action.partition(":")[0], kind, resource) for kind in taken)


def _is_a(service: str, kind: str, resource: str) -> bool:
    # The copy has one format for both: an object's ARN has a key.
    if service == "s3" and kind in ("bucket", "object") and ("/" in resource) != (kind == "object"):
        return False
    formats = _REFERENCE[service]["Resources"][kind.lower()]["ARNFormats"]
    return any(re.fullmatch(re.sub(r"\$\{\w+\}", "[^:]*", each), resource) for each in formats)

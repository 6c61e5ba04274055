"""The operations that are served, each a small function of the room and a call."""

from greenroom.lambda_api.operations import (
    account,
    aliases,
    concurrency,
    event_invoke_configs,
    functions,
    layer_policies,
    layers,
    policies,
    tags,
    versions,
)
from greenroom.lambda_api.room import Operation

SERVED: dict[str, Operation] = {
    **account.OPERATIONS,
    **aliases.OPERATIONS,
    **concurrency.OPERATIONS,
    **event_invoke_configs.OPERATIONS,
    **functions.OPERATIONS,
    **layer_policies.OPERATIONS,
    **layers.OPERATIONS,
    **policies.OPERATIONS,
    **tags.OPERATIONS,
    **versions.OPERATIONS,
}
"""By AWS's name. `invoke` has those that run functions and read event sources."""

__all__ = ["SERVED"]

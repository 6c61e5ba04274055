"""The HTTP API: a module for each resource, around the frame in `app`.

Every route but the published documents and the page asks for the token. Bodies and parameters are validated before they
are used, and every answer is a model of `wire`.
"""

from greenroom.platform.handlers.api import (
    algorithms,
    errors,
    failures,
    function_tunings,
    messages,
    platform,
    releases,
    sign_in,
)
from greenroom.platform.handlers.api.app import handler

__all__ = [
    "algorithms",
    "errors",
    "failures",
    "function_tunings",
    "handler",
    "messages",
    "platform",
    "releases",
    "sign_in",
]

"""The HTTP API's client: an address and a token, nothing of AWS.

    with GreenroomClient("http://127.0.0.1:4566/…", token) as client:
        release_id = client.upload_package(Path("nsx.zip"))
        release = client.wait_for_release(release_id, timeout_s=300)
        print(release.status, release.memory_mb)

Answers are the models of `greenroom.wire`. The CLI and the end-to-end tests use it; nothing in it prints or reads the
environment.
"""

from greenroom.client.client import GreenroomClient
from greenroom.client.connection import Timing
from greenroom.client.errors import (
    ApiError,
    Conflict,
    GreenroomError,
    NotFound,
    PlatformFault,
    RequestRefused,
    Unauthorized,
    UnexpectedAnswer,
    Unreachable,
    UploadRefused,
    WaitTimeout,
)

__all__ = [
    "ApiError",
    "Conflict",
    "GreenroomClient",
    "GreenroomError",
    "NotFound",
    "PlatformFault",
    "RequestRefused",
    "Timing",
    "Unauthorized",
    "UnexpectedAnswer",
    "Unreachable",
    "UploadRefused",
    "WaitTimeout",
]

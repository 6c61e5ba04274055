"""The words that say how far something is, and which of them mean that it has ended.

`Status` is a release's. Which status may follow which is decided in `releases`; here are the words that the command
line and the page show.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from greenroom.wire.base import one_of


class Status(StrEnum):
    """Where a release is on its way to production."""

    UPLOADING = "UPLOADING"
    REGISTERED = "REGISTERED"
    PROVISIONING = "PROVISIONING"
    PROVISIONED = "PROVISIONED"
    TESTING = "TESTING"
    LIVE = "LIVE"
    RETIRED = "RETIRED"
    ROLLED_BACK = "ROLLED_BACK"
    REJECTED = "REJECTED"
    FAILED = "FAILED"
    SUPERSEDED = "SUPERSEDED"


IN_FLIGHT = frozenset({Status.UPLOADING, Status.REGISTERED, Status.PROVISIONING, Status.PROVISIONED, Status.TESTING})
"""The statuses in which the platform still has work to do for a release. In all others the release has *ended*: its
developer has the answer, although a LIVE release may later become RETIRED or ROLLED_BACK."""

ReleaseStatus = Annotated[str, one_of(*Status)]

MessageStatus = Annotated[str, one_of("pending", "done", "failed")]
"""What has become of a message, or of it at one algorithm."""

TuningStatus = Annotated[str, one_of("RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED", "PENDING_REDRIVE")]
"""https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeExecution.html"""

AlgorithmType = Annotated[str, one_of("in", "out")]

QueueKind = Annotated[str, one_of("input", "deadLetters", "failedUploads")]
"""What a queue holds: documents for an algorithm, those it could not handle, uploads that could not be registered."""


def has_ended(status: str) -> bool:
    """Return whether nothing more happens to a release in this status by itself."""
    return status not in IN_FLIGHT

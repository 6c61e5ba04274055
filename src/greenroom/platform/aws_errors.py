"""What an error of AWS means: the one place where error codes are matched.

A service has more than one code for one thing, depending on the operation. Each function here names the thing; the
codes stay in this module.
"""

from __future__ import annotations

from botocore.exceptions import ClientError

_ABSENT_OBJECT = frozenset({"NoSuchKey", "404"})
"""https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html. HEAD has no body: botocore gives its status."""

_ABSENT_BUCKET = frozenset({"NoSuchBucket", "404"})
"""As above: a HEAD of a bucket that does not exist gives the status only."""

_TAKEN = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html"""

_DENIED = frozenset({"AccessDenied", "AccessDeniedException"})
"""https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html; S3 has the code without "Exception"."""


def code_of(error: ClientError) -> str:
    """Return the error's code, to show it."""
    return error.response["Error"]["Code"]


def is_absent(error: ClientError) -> bool:
    """Return whether the named resource of Lambda or CloudWatch Logs does not exist."""
    return code_of(error) == "ResourceNotFoundException"


def is_absent_object(error: ClientError) -> bool:
    """Return whether S3 has no object under the key."""
    return code_of(error) in _ABSENT_OBJECT


def is_absent_bucket(error: ClientError) -> bool:
    """Return whether S3 has no bucket of the name."""
    return code_of(error) in _ABSENT_BUCKET


def is_absent_stack(error: ClientError) -> bool:
    """Return whether CloudFormation has no stack of the name, for which it has no code of its own."""
    return code_of(error) == "ValidationError" and "does not exist" in _message_of(error)


def is_unchanged_stack(error: ClientError) -> bool:
    """Return whether a stack is already as an update asks for, for which CloudFormation has no code of its own."""
    return code_of(error) == "ValidationError" and "No updates are to be performed" in _message_of(error)


def is_denied(error: ClientError) -> bool:
    """Return whether IAM does not allow the call."""
    return code_of(error) in _DENIED


def is_taken(error: ClientError) -> bool:
    """Return whether a conditional write to S3 was refused: somebody else wrote first."""
    return code_of(error) in _TAKEN


def _message_of(error: ClientError) -> str:
    return error.response["Error"].get("Message", "")

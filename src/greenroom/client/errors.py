"""The errors of the HTTP API's client: what was wrong, where, and what to do.

For everybody who calls `greenroom.client`. Not for errors inside the platform, which arrive here as HTTP answers.
"""

from __future__ import annotations


class GreenroomError(Exception):
    """Something that a person can act on.

    Args:
        message: what was wrong, one sentence without a full stop.
        code: a short name for programs, the API's or S3's own; "" if there is none.
        where: the file, address or field it concerns, or "" when the message says it.
        hint: what to do about it, or "".
    """

    def __init__(self, message: str, *, code: str = "", where: str = "", hint: str = "") -> None:
        self.message = message
        self.code = code
        self.where = where
        self.hint = hint
        super().__init__(message)

    def __str__(self) -> str:
        where = f" ({self.where})" if self.where else ""
        hint = f". {self.hint}" if self.hint else ""
        return f"{self.message}{where}{hint}"


class Unreachable(GreenroomError):
    """No answer: the address is wrong, the platform is down, or the network between is."""


class WaitTimeout(GreenroomError):
    """What was waited for did not happen in time. The platform goes on with it."""


class UnexpectedAnswer(GreenroomError):
    """An answer came, but not one of Greenroom's HTTP API."""


class UploadRefused(GreenroomError):
    """S3 did not take the file. `code` is S3's own, for example `EntityTooLarge`."""


class ApiError(GreenroomError):
    """The HTTP API answered with an error.

    Args:
        status_code: the HTTP status; the other arguments are those of every GreenroomError.
    """

    def __init__(self, message: str, *, status_code: int, code: str = "", where: str = "", hint: str = "") -> None:
        super().__init__(message, code=code, where=where, hint=hint)
        self.status_code = status_code


class Unauthorized(ApiError):
    """401 or 403: the token is missing, wrong or not allowed to do this."""


class NotFound(ApiError):
    """404: the algorithm, release or message does not exist."""


class Conflict(ApiError):
    """409: the present state does not allow it, for example because there is nothing to roll back to."""


class RequestRefused(ApiError):
    """Any other 4xx."""


class PlatformFault(ApiError):
    """5xx: the platform's fault, not the caller's."""

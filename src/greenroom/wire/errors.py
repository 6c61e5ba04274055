"""The one shape of everything that went wrong: what was wrong, where, and what to do."""

from __future__ import annotations

from pydantic import Field

from greenroom.wire.base import Answer


class Problem(Answer):
    """What was wrong, where, and what to do."""

    code: str = Field(description="A short name for programs, such as `not_found`")
    message: str = Field(description="What was wrong")
    where: str = Field(default="", description="The file, field, route or place that it concerns; empty if unknown")
    hint: str = Field(default="", description="What to do about it; empty if there is nothing to say")


class ErrorAnswer(Answer):
    """The body of every answer that is an error."""

    error: Problem

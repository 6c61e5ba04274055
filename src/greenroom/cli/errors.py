"""How a command ends when it can't do what it was asked: the exit codes, and the error of a wrong command."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a script learns from a command; `greenroom --help` documents it."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    INTERRUPTED = 130


class UsageProblem(Exception):
    """A command that can't be run as it was given. Exit code 2.

    Args:
        message: what is wrong with it.
        where: the file or option, or "" when the message says it.
        hint: what to say instead.
    """

    def __init__(self, message: str, *, hint: str, where: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

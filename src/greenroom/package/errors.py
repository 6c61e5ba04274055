"""How a package's fault is reported: what was wrong, where, and what to do."""

from __future__ import annotations


class PackageError(ValueError):
    """A package that can't be accepted. The attributes `code`, `message`, `where` and `hint` are those of every error.

    Args:
        code: a short name for programs, such as `path_traversal`.
        where: the file or field.
        fault: what was found there, and what is allowed. With `where` before it, it is the message.
        hint: what the developer should do.
    """

    def __init__(self, *, code: str, where: str, fault: str, hint: str) -> None:
        self.code = code
        self.message = f"{where}: {fault}"
        self.where = where
        self.hint = hint
        super().__init__(f"{self.message}. {hint}")

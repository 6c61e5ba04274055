"""How a package's fault is told: what was wrong, where, and what to do."""

from __future__ import annotations


class PackageError(ValueError):
    """A package that can't be accepted.

    Args:
        code: a short name for programs, such as `path_traversal`.
        where: the file or field.
        what: what was found there, and what is allowed.
        todo: what the developer should do.
    """

    def __init__(self, *, code: str, where: str, what: str, todo: str) -> None:
        super().__init__(f"{where}: {what}. {todo}")
        self.code = code
        self.where = where
        self.what = what
        self.todo = todo

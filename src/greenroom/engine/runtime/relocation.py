"""Gives this process Lambda's paths: where its Python and the runtime are in the root that functions see.

A Python that was started in the machine's root has the machine's paths in its modules and functions, and a stack trace
would show them. Nothing has to be imported again: the names are all that changes.
"""

from __future__ import annotations

import _imp
import gc
import sys
from collections.abc import Mapping
from types import FunctionType

PREFIXES = ("prefix", "exec_prefix", "base_prefix", "base_exec_prefix", "executable", "_base_executable", "_stdlib_dir")


class Relocation:
    """New places of folders, by the old ones."""

    def __init__(self, moved: Mapping[str, str]) -> None:
        self._moved = {f"{old.rstrip('/')}/": f"{new}/" for old, new in moved.items()}

    def now(self, path: str) -> str:
        """Return where a file or folder is now."""
        for old, new in self._moved.items():
            if f"{path}/".startswith(old):
                return (new + f"{path}/"[len(old) :])[:-1]
        return path

    def rename(self, owner: object, *names: str) -> None:
        """Let an object's attributes name the new place, as far as they name an old one."""
        for name in names:
            value = getattr(owner, name, None)
            if isinstance(value, str) and self.now(value) != value:
                setattr(owner, name, self.now(value))


def relocate(moved: Mapping[str, str]) -> None:
    """Let every path, module and function of this process name the place where its file is now.

    Args:
        moved: the new place of each folder, by the old one.
    """
    relocation = Relocation(moved)
    sys.path[:] = [relocation.now(path) for path in sys.path]
    sys.path_importer_cache.clear()
    relocation.rename(sys, *PREFIXES)
    for module in list(sys.modules.values()):
        spec = getattr(module, "__spec__", None)
        relocation.rename(module, "__file__", "__cached__")
        relocation.rename(spec, "origin", "cached")
        relocation.rename(getattr(spec, "loader", None), "path")
        if isinstance(folders := getattr(module, "__path__", None), list):
            folders[:] = [relocation.now(path) for path in folders]
    for each in gc.get_objects():
        if isinstance(each, FunctionType):
            # What the import system does to a module that was compiled in another place.
            _imp._fix_co_filename(each.__code__, relocation.now(each.__code__.co_filename))  # type: ignore[attr-defined]

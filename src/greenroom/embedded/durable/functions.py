"""ministack's Lambda functions and layers, with their code in files that are named by their SHA-256.

Goes away with ministack's Lambda, in favour of `lambda_api`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from greenroom.embedded.durable.shelves import Shelf
from greenroom.store import Store
from greenroom.store.database import write_synced

FILE = "__file__"


class Functions:
    """The functions and layers of ministack's Lambda."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._shelves = (_CodeShelf("lambda_svc.functions", folder), _CodeShelf("lambda_svc.layers", folder))

    def install(self) -> None:
        """Have ministack note functions and layers."""
        from ministack.services import lambda_svc

        for shelf, container in zip(self._shelves, (lambda_svc._functions, lambda_svc._layers), strict=True):
            shelf.install(container)

    def load(self, store: Store) -> None:
        """Read functions and layers."""
        from ministack.services import lambda_svc

        for shelf in self._shelves:
            shelf.load(store)
            for key, value in list(shelf.held.items()):
                shelf.held.load(key, shelf.with_code(value))
        if lambda_svc._esms.has_any():
            lambda_svc._ensure_poller()


class _CodeShelf(Shelf):
    def __init__(self, room: str, folder: Path) -> None:
        super().__init__(room)
        self._folder = folder
        self._names: dict[int, tuple[bytes, str]] = {}

    def with_code(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            if FILE in value:
                return (self._folder / f"{value[FILE]}.zip").read_bytes()
            return {name: self.with_code(part) for name, part in value.items()}
        return [self.with_code(part) for part in value] if isinstance(value, list) else value

    def _written_part(self, value: Any) -> Any:
        if isinstance(value, bytes) and value:
            return {FILE: self._name(value)}
        if isinstance(value, Mapping):
            return {name: self._written_part(part) for name, part in value.items()}
        return [self._written_part(part) for part in value] if isinstance(value, list) else value

    def _name(self, code: bytes) -> str:
        if id(code) not in self._names:
            name = hashlib.sha256(code).hexdigest()
            file = self._folder / f"{name}.zip"
            if not file.exists():
                write_synced(file, code)
            self._names[id(code)] = (code, name)
        return self._names[id(code)][1]

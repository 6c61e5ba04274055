"""The parts of AWS that Lambda needs, as protocols. `embedded` implements them over the emulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class NoSuchObject(Exception):
    """An object can't be read: S3's code and message say why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Roles(Protocol):
    """IAM, where Lambda acts in a function's role."""

    def may(self, role: str, action: str, resource: str) -> bool:
        """Return whether a role's policies allow an action on a resource."""
        ...

    def assumable(self, role: str) -> bool:
        """Return whether there is such a role and its trust policy lets Lambda assume it."""
        ...


class Objects(Protocol):
    """S3."""

    def get(self, bucket: str, key: str, version: str | None) -> bytes:
        """Return an object's content, or raise NoSuchObject."""
        ...


@dataclass(frozen=True)
class Ports:
    """All of them."""

    roles: Roles
    objects: Objects

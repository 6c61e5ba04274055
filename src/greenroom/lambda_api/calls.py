"""The input and the output of an operation."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Call:
    """One call of an operation, with its parameters by the names of botocore's model.

    `principal` is the caller's ARN; empty for the account's own root.
    """

    operation: str
    parameters: Mapping[str, Any]
    principal: str = ""
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """The answer of an operation: a result by the model's output shape, or the bytes of a body.

    `status` is the model's unless it is given.
    """

    result: Mapping[str, Any] | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


Handler = Callable[[Call], Answer]


@dataclass(frozen=True)
class Response:
    """An answer as HTTP sends it."""

    status: int
    headers: Mapping[str, str]
    body: bytes

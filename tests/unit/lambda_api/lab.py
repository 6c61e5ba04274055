"""Lambda's API over a store of its own, with stand-ins for what else of AWS it needs."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from greenroom.engine import can_honour, can_run
from greenroom.lambda_api import LambdaApi, LambdaError, Settings
from greenroom.lambda_api.functions import CHANGE_S
from greenroom.lambda_api.ports import NoSuchObject, Ports
from greenroom.lambda_api.runtimes import Abilities
from greenroom.store import Store

ACCOUNT, REGION = "111111111111", "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/lambda"


@dataclass
class Iam:
    """Roles that may everything but what a test takes away."""

    refused: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)

    def may(self, role: str, action: str, resource: str) -> bool:
        return action not in self.refused

    def assumable(self, role: str) -> bool:
        return role not in self.unknown


@dataclass
class S3:
    """Objects by bucket and key."""

    objects: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def get(self, bucket: str, key: str, version: str | None) -> bytes:
        if (bucket, key) in self.objects:
            return self.objects[bucket, key]
        if any(bucket == known for known, _ in self.objects):
            raise NoSuchObject("NoSuchKey", "The specified key does not exist.")
        raise NoSuchObject("NoSuchBucket", "The specified bucket does not exist")


def zipped(source: str = "def handler(event, context): return event", name: str = "index.py") -> bytes:
    """A ZIP with one file."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), source)  # of a fixed date: the same source is the same ZIP
    return content.getvalue()


class Lab:
    """The API, and a short way to call it."""

    def __init__(self, folder: Path) -> None:
        self.iam, self.s3 = Iam(), S3()
        self.store = Store(folder / "records.sqlite")
        settings = Settings(ACCOUNT, REGION, folder, "http://127.0.0.1:4566")
        self.api = LambdaApi(self.store, Ports(self.iam, self.s3), settings, Abilities(can_run, can_honour))

    def call(self, operation: str, **parameters: Any) -> Mapping[str, Any]:
        return self.api.call(operation, parameters).result or {}

    def make(self, name: str = "f", *, settled: bool = True, **parameters: Any) -> Mapping[str, Any]:
        """Make a function; wait until it is active."""
        given = {"Runtime": "python3.12", "Handler": "index.handler", "Role": ROLE, "Code": {"ZipFile": zipped()}}
        made = self.call("CreateFunction", FunctionName=name, **{**given, **parameters})
        if settled:
            self.settle()
        return made

    def settle(self) -> None:
        """Wait until no function is changing."""
        time.sleep(CHANGE_S)

    def refused(self, operation: str, **parameters: Any) -> tuple[str, str | None, int]:
        """The code, message and status of the error that a call ends with."""
        try:
            answer = self.api.call(operation, parameters)
        except LambdaError as error:
            return error.code, error.message, error.status
        raise AssertionError(f"{operation} was not refused: {answer}")


@contextmanager
def lab(folder: Path) -> Iterator[Lab]:
    """A lab on a folder, closed at the end."""
    found = Lab(folder)
    try:
        yield found
    finally:
        found.store.close()

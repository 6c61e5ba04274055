"""The equipment's public classes: the same two calls in production and in a test."""

from __future__ import annotations

import os
from typing import Any

from aws_equipment import production, testing
from aws_equipment.errors import EquipmentError

TEST_ALIAS_PREFIX = "test-"

_instances: dict[type[Any], Any] = {}

if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    production.prepare()


class AlgorithmWorker:
    """Runs an algorithm on the event of its function.

    Args:
        cls: the algorithm's class; it is instantiated once per environment, and its `translate(document)` is called.
        event: the handler's event: messages of the algorithm's queue, or a test.
        context: the handler's context; the alias in its `invoked_function_arn` decides between the two.
    """

    def __init__(self, cls: type[Any], event: dict[str, Any], context: Any) -> None:
        self._cls, self._event, self._context = cls, event, context

    def runIn(self) -> dict[str, Any]:
        """Run an `in` algorithm: forward the answer to each document to the next algorithms."""
        return self._run("in")

    def runOut(self) -> dict[str, Any]:
        """Run an `out` algorithm: write the answer to each document to its bucket."""
        return self._run("out")

    def _run(self, kind: str) -> dict[str, Any]:
        _require_type(kind)
        # Only the invoked ARN turns an invocation into a test, never the event alone.
        if is_test(self._context):
            return testing.run(_instance(self._cls), self._event, kind)
        if isinstance(self._event, dict) and testing.EVENT_KEY in self._event:
            raise EquipmentError("a test was asked for through another alias than test-<MB>: nothing was run")
        return production.run(_instance(self._cls), self._event, self._context)


class algUnitTest(AlgorithmWorker):
    """Runs one of the package's own test cases, and nothing else, with the same methods."""

    def _run(self, kind: str) -> dict[str, Any]:
        if not is_test(self._context):
            raise EquipmentError("algUnitTest runs through an alias test-<MB> only; use AlgorithmWorker in a handler")
        return super()._run(kind)


def is_test(context: Any) -> bool:
    """Return whether the function was invoked through an alias `test-<MB>`."""
    parts = str(getattr(context, "invoked_function_arn", "")).split(":")
    return len(parts) == 8 and parts[7].startswith(TEST_ALIAS_PREFIX)


def _require_type(kind: str) -> None:
    declared = os.environ.get("GREENROOM_TYPE", kind)
    if declared != kind:
        raise EquipmentError(
            f"run{kind.capitalize()}() was called, and metadata.json says type {declared!r}: "
            f"call run{declared.capitalize()}(), or correct the type"
        )


def _instance(cls: type[Any]) -> Any:
    if cls not in _instances:
        if not callable(getattr(cls, "translate", None)):
            raise EquipmentError(f"class {cls.__name__} has no method translate(self, document)")
        _instances[cls] = cls()
    return _instances[cls]

"""The handler of every algorithm whose metadata names an `entry`. It finds the class once, at a cold start."""

from __future__ import annotations

import importlib
import os
from typing import Any

from aws_equipment.errors import EquipmentError
from aws_equipment.worker import AlgorithmWorker


def _load() -> type[Any]:
    module, _, name = os.environ["GREENROOM_ENTRY"].partition(":")
    found = getattr(importlib.import_module(module), name, None)
    if not isinstance(found, type):
        raise EquipmentError(f"entry {module}:{name} of metadata.json is not a class in module {module}")
    return found


_algorithm = _load()


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Run the algorithm on its documents, or on a test case."""
    worker = AlgorithmWorker(_algorithm, event, context)
    return worker.runOut() if os.environ["GREENROOM_TYPE"] == "out" else worker.runIn()

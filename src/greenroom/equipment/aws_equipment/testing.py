"""Runs a test case of the package in place of a message: its input goes in, the answer is compared with the expected.

It touches no service: no client is known here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

from aws_equipment import comparison, documents
from aws_equipment.documents import Answer
from aws_equipment.envelope import JSON, TEXT, Message
from aws_equipment.errors import EquipmentError

EVENT_KEY = "greenroomTest"
CASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MAX_TEST_FILE_BYTES = 16 * 1024 * 1024


def run(algorithm: Any, event: dict[str, Any], kind: str) -> dict[str, Any]:
    """Run the case that the event names. An exception of the algorithm passes through: Lambda reports it.

    Raises:
        EquipmentError: the event names no case, or the package has no such case, or the case can't be read.
    """
    test = event.get(EVENT_KEY) if isinstance(event, dict) else None
    if not isinstance(test, dict):
        raise EquipmentError("through an alias test-<MB> only tests are run: the event asks for none")
    case = test.get("case")
    if not isinstance(case, str) or not CASE.fullmatch(case):
        raise EquipmentError("the event's case is not up to 64 letters, digits and . _ -")
    folder = Path(os.environ["LAMBDA_TASK_ROOT"], "tests", case)
    given = _one(folder, "input")
    if given is None:
        raise EquipmentError(f"the package has no tests/{case}/input.*")
    answer = documents.encode(algorithm.translate(_read(given)))
    expected = _one(folder, "expected")
    difference = None if expected is None else _difference(answer, expected)
    return {
        "case": case,
        "passed": difference is None,
        "difference": difference,
        "outputSizeBytes": len(answer.body),
        "captured": _destination(answer, kind),
    }


def _destination(answer: Answer, kind: str) -> dict[str, Any]:
    """Return where the answer would have gone, and how."""
    next_ = sorted(json.loads(os.environ["GREENROOM_NEXT"]))
    if kind == "in" and next_:
        inline = documents.inline_body(Message("0" * 26, None, JSON), answer) is not None
        way = "message" if inline else "claim check"
        return {"to": "queues", "algorithms": next_, "contentType": answer.content_type, "as": way}
    return {"to": "bucket", "contentType": answer.content_type}


def _one(folder: Path, stem: str) -> Path | None:
    found = sorted(folder.glob(f"{stem}.*"))
    if len(found) > 1:
        raise EquipmentError(f"tests/{folder.name} has more than one {stem}.*")
    return found[0] if found else None


def _read(path: Path) -> Any:
    if path.stat().st_size > MAX_TEST_FILE_BYTES:
        raise EquipmentError(f"tests/{path.parent.name}/{path.name} is larger than {MAX_TEST_FILE_BYTES:,} bytes")
    return documents.decode(path.read_bytes(), JSON if path.suffix == ".json" else TEXT)


def _difference(answer: Answer, expected: Path) -> str | None:
    if expected.suffix != ".json":
        return comparison.text_difference(_read(expected), answer.body.decode())
    if _digest(answer.value) == _expected_digest(expected):
        return None
    # As the receiver reads it: numeric keys have become text, and tuples lists.
    return comparison.json_difference(_read(expected), documents.decode(answer.body, answer.content_type))


@cache
def _expected_digest(path: Path) -> bytes | None:
    # Once per environment: all that a test does is part of the durations that are measured.
    return _digest(_read(path))


def _digest(value: Any) -> bytes | None:
    """Return the SHA-256 of a value's sorted JSON. Equal digests mean equal values; 1 and 1.0 are equal without."""
    try:
        return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()
    except TypeError:  # keys of several types can't be sorted
        return None

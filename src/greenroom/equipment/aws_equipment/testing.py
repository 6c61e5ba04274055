"""A test case instead of the services: the package's own input goes in, the answer is compared with the expected."""

from __future__ import annotations

import difflib
import json
import os
from pathlib import Path
from typing import Any

from aws_equipment import documents
from aws_equipment.errors import EquipmentError

EVENT_KEY = "greenroomTest"
MAX_TEST_FILE_BYTES = 16 * 1024 * 1024
MAX_DIFFERENCE_CHARS = 16 * 1024
MAX_COMPARED_LINES = 5_000


def run(algorithm: Any, event: dict[str, Any], kind: str) -> dict[str, Any]:
    """Run the case that the event names. What the algorithm raises goes through: Lambda reports it."""
    test = event.get(EVENT_KEY) if isinstance(event, dict) else None
    case = test.get("case") if isinstance(test, dict) else None
    if not isinstance(case, str) or not case or "/" in case or case in (".", ".."):
        raise EquipmentError("through an alias test-<MB> only a test can be run: the event names no case of one")
    folder = Path(os.environ.get("LAMBDA_TASK_ROOT", "/var/task"), "tests", case)
    given = _one(folder, "input")
    if given is None:
        raise EquipmentError(f"the package has no tests/{case}/input.*")
    answer, content_type = documents.encode(algorithm.translate(_read(given)))
    expected = _one(folder, "expected")
    difference = None if expected is None else _difference(answer, content_type, expected)
    return {
        "case": case,
        "passed": difference is None,
        "difference": difference,
        "outputSizeBytes": len(answer),
        "captured": _destination(kind, content_type),
    }


def _destination(kind: str, content_type: str) -> dict[str, Any]:
    """Where the answer would have gone."""
    next_ = sorted(json.loads(os.environ.get("GREENROOM_NEXT", "{}")))
    if kind == "in" and next_:
        return {"to": "queues", "algorithms": next_, "contentType": content_type}
    return {"to": "bucket", "contentType": content_type}


def _one(folder: Path, stem: str) -> Path | None:
    found = sorted(folder.glob(f"{stem}.*"))
    if len(found) > 1:
        raise EquipmentError(f"tests/{folder.name} has more than one {stem}.*")
    return found[0] if found else None


def _read(path: Path) -> Any:
    if path.stat().st_size > MAX_TEST_FILE_BYTES:
        raise EquipmentError(f"tests/{path.parent.name}/{path.name} is larger than {MAX_TEST_FILE_BYTES:,} bytes")
    return documents.decode(path.read_bytes(), documents.JSON if path.suffix == ".json" else documents.TEXT)


def _difference(answer: bytes, content_type: str, expected: Path) -> str | None:
    wanted = _read(expected)
    if expected.suffix == ".json":
        given = documents.decode(answer, content_type)
        if _same(given, wanted):
            return None
        before, after = _pretty(wanted), _pretty(given)
    else:
        before, after = wanted.replace("\r\n", "\n"), answer.decode()
        # A file's last line ends with a newline, or does not: editors disagree.
        if before.rstrip("\n") == after.replace("\r\n", "\n").rstrip("\n"):
            return None
    lines = difflib.unified_diff(
        before.splitlines()[:MAX_COMPARED_LINES],
        after.splitlines()[:MAX_COMPARED_LINES],
        "expected",
        "actual",
        lineterm="",
    )
    text = "\n".join(lines) or "the difference is beyond the first lines"
    return text if len(text) <= MAX_DIFFERENCE_CHARS else text[:MAX_DIFFERENCE_CHARS] + "\n… cut"


def _same(given: Any, wanted: Any) -> bool:
    """Equality of JSON: true is not 1, as it is in Python."""
    if isinstance(given, bool) or isinstance(wanted, bool):
        return given is wanted
    if isinstance(given, dict) and isinstance(wanted, dict):
        return given.keys() == wanted.keys() and all(_same(given[key], wanted[key]) for key in given)
    if isinstance(given, list) and isinstance(wanted, list):
        return len(given) == len(wanted) and all(map(_same, given, wanted))
    return bool(given == wanted)


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)

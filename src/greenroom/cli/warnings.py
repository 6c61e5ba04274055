"""The warnings that an answer carries, for `send` to show next to where the answer goes.

An algorithm says in its answer what it could not do exactly: in JSON under `warnings` or `Metadata.Warnings`, each a
text or an object with `message`; in text in lines with the word WARNING. `docs/package-format.md` says so too.
"""

from __future__ import annotations

import json
from typing import Any

MARK = "WARNING"
SHOWN = 10
"""How many warnings of one answer are shown; the answer has all of them."""

PARTS = ("rule", "name", "object", "message", "effect")
"""What is shown of a warning that is an object, in this order."""


def warnings_of(answer: bytes) -> list[str]:
    """Return the warnings of an answer, one line each."""
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError):
        lines = answer.decode(errors="replace").splitlines()
        return [line[line.index(MARK) + len(MARK) :].strip(" :") for line in lines if MARK in line]
    if not isinstance(document, dict):
        return []
    metadata = document.get("Metadata")
    places = [document.get("warnings"), metadata.get("Warnings") if isinstance(metadata, dict) else None]
    return [_line(each) for found in places if isinstance(found, list) for each in found]


def _line(warning: Any) -> str:
    if not isinstance(warning, dict):
        return " ".join(str(warning).split())
    texts = (" ".join(str(warning[part]).split()) for part in PARTS if warning.get(part))
    return ": ".join(texts)


def summary(algorithm: str, warnings: list[str]) -> list[str]:
    """Return the lines that `send` prints about an answer's warnings; none where it has none."""
    if not warnings:
        return []
    head = f"{algorithm}: {len(warnings)} warning{'s' if len(warnings) > 1 else ''} in the answer"
    more = [f"  and {len(warnings) - SHOWN} more"] if len(warnings) > SHOWN else []
    return [head, *(f"  {warning}" for warning in warnings[:SHOWN]), *more]

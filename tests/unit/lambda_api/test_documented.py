"""docs/embedded.md says of every operation of AWS whether it is served, and why not."""

from __future__ import annotations

import re
from pathlib import Path

from greenroom.lambda_api import model
from greenroom.lambda_api.api import UNSERVED

PAGE = Path(__file__).parents[3] / "docs" / "embedded.md"


def rows(heading: str) -> list[tuple[list[str], str]]:
    """The rows of the table with this heading: the operations that each names, and the rest of it."""
    table = PAGE.read_text().partition(f"| {heading} |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [line.strip("| ").split(" | ") for line in table]
    return [(re.findall(r"`(\w+)`", cell[0]), cell[1].rstrip(" |") if len(cell) > 1 else "") for cell in cells]


def test_every_operation_that_is_served_is_in_the_table() -> None:
    named = [name for names, _ in rows("served") for name in names]
    assert sorted(named) == sorted(model.operation_names() - UNSERVED.keys())


def test_every_operation_that_is_refused_is_in_the_table_with_the_reason() -> None:
    assert {name: reason for names, reason in rows("refused") for name in names} == UNSERVED

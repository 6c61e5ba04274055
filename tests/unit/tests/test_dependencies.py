"""Dependencies are few, pinned, and each has its reason."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]


def declared() -> set[str]:
    """Return the names of all direct dependencies, of the platform and of its development."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    return {re.split(r"[\[<>=]", each)[0].lower() for each in wanted}


def test_each_dependency_has_its_reason_in_the_architecture() -> None:
    text = (REPOSITORY / "docs" / "architecture.md").read_text()
    reasons = text[text.index("## Dependencies, each with its reason") :].partition("\n## ")[0].lower()
    rows = [line.split("|")[1] for line in reasons.splitlines() if line.startswith("| `")]
    assert declared() == {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_each_dependency_is_pinned() -> None:
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()[1:]
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in lines}
    assert declared() <= pinned

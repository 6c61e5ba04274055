"""Every field that the page's JavaScript reads is one that the API sends, by TypeScript's own inference."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from greenroom.platform.handlers.api.platform import openapi_document
from tests.unit.web.declarations import FILE, declarations

REPOSITORY = Path(__file__).parents[3]
DENO = Path(sys.executable).parent / "deno"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A copy of the page that may be broken."""
    shutil.copytree(FILE.parent, tmp_path / "web", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "web"


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Deno keeps what it has worked out."""
    return tmp_path_factory.mktemp("deno")


def check(page: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """Check a page as `make page` does."""
    scripts = sorted((page / "static").glob("*.js"))
    command: list[str | Path] = [
        DENO,
        "check",
        "--quiet",
        "--no-remote",
        "--no-npm",
        "--config",
        REPOSITORY / "deno.jsonc",
        *scripts,
    ]
    environment = {"DENO_DIR": str(cache), "DENO_NO_UPDATE_CHECK": "1", "NO_COLOR": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_the_declarations_are_those_of_the_api() -> None:
    assert FILE.read_text() == declarations(openapi_document("")), (
        "the API has changed: run `python -m tests.unit.web.declarations`, then `make page`"
    )


@pytest.mark.parametrize(
    ("file", "change", "named"),
    [
        ("static/release.js", ("found.packageSizeBytes", "found.packageSizeByte"), "packageSizeByte"),
        ("static/algorithms.js", ("each.costUsdPerMillion)", "each.costUsd)"), "costUsd"),
        ("static/algorithm.js", ("`algorithms/${name}/queues`", "`algorithmen/${name}/queues`"), "NoSuchPath"),
        ("api.d.ts", ("  failedMemoryMb: ", "  failedAtMb: "), "failedMemoryMb"),
    ],
    ids=["a field is misspelt", "in a callback", "a path is misspelt", "the API renames a field"],
)
def test_a_field_that_is_not_sent_is_found(
    page: Path, cache: Path, file: str, change: tuple[str, str], named: str
) -> None:
    replace(page / file, *change)
    found = check(page, cache)
    assert found.returncode == 1
    assert named in found.stderr


def test_the_page_reads_what_is_sent(page: Path, cache: Path) -> None:
    found = check(page, cache)
    assert (found.returncode, found.stderr) == (0, "")

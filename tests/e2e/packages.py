"""Packages for the end-to-end tests: small algorithms written as text, zipped as a developer would."""

from __future__ import annotations

import io
import json
import sys
import textwrap
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"

GREET = """
class Algorithm:
    def translate(self, document):
        return {"greeting": "hello " + document["name"]}
"""

TESTS = {"ada/input.json": {"name": "Ada"}, "ada/expected.json": {"greeting": "hello Ada"}}


def package(
    name: str,
    source: str = GREET,
    *,
    tests: Mapping[str, Any] = TESTS,
    files: Mapping[str, str] | None = None,
    **metadata: Any,
) -> bytes:
    """Return the ZIP of an algorithm whose class `Algorithm` is in `source`. Its tests may have no expected answer."""
    values: dict[str, Any] = {
        "name": name,
        "type": "in",
        "entry": "algorithm.code:Algorithm",
        "runtime": RUNTIME,
        "powerValues": [128, 256, 512],
        "allowNotCompared": not any("expected." in path for path in tests),
        **metadata,
    }
    if values.get("handler"):
        del values["entry"]
    members = {"metadata.json": json.dumps(values), "algorithm/code.py": textwrap.dedent(source), **(files or {})}
    for path, value in tests.items():
        members[f"tests/{path}"] = value if isinstance(value, str) else json.dumps(value)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in members.items():
            archive.writestr(path, text)
    return buffer.getvalue()


def write(folder: Path, body: bytes, name: str = "package.zip") -> Path:
    """Write a package's bytes where a client can upload them from."""
    path = folder / name
    path.write_bytes(body)
    return path

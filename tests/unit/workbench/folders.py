"""Algorithms' folders and wheels for the tests of the workbench."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from tests.unit.package.zips import SOURCE

METADATA: dict[str, Any] = {"name": "sample", "type": "in", "entry": "sample.code:Translator"}
FILES = {
    "metadata.json": json.dumps(METADATA),
    "sample/__init__.py": "",
    "sample/code.py": SOURCE,
    "tests/one/input.json": "{}",
    "tests/one/expected.json": "{}",
}


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, body in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body.encode() if isinstance(body, str) else body)
    return folder


def names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def wheel(folder: Path, name: str, files: dict[str, str | bytes], tag: str = "py3-none-any", needs: str = "") -> Path:
    """A wheel, as a package index would offer it."""
    info = f"{name}-1.0.dist-info"
    every: dict[str, str | bytes] = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        + (f"Requires-Dist: {needs}\n" if needs else ""),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    record = "".join(f"{each},,\n" for each in [*every, f"{info}/RECORD"])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-1.0-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for each, body in {**every, f"{info}/RECORD": record}.items():
            archive.writestr(each, body)
    return path

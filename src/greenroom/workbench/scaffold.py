"""Write a folder to start an algorithm from, whose tests pass: `greenroom init`."""

from __future__ import annotations

import json
import keyword
import sys
from pathlib import Path
from typing import Any, Literal

from greenroom.package.errors import PackageError
from greenroom.package.metadata import validate_metadata

CODE = {
    "in": '''"""Reads one platform's export into the neutral model."""

from typing import Any


class Translator:
    """One is made for each execution environment; `translate` is called for each document."""

    def translate(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return the neutral model of an export. The sender of the document sees an exception that is raised here."""
        return {"version": 1, "hosts": sorted(host["name"] for host in document["hosts"])}
''',
    "out": '''"""Writes one platform's configuration from the neutral model."""

from typing import Any


class Translator:
    """One is made for each execution environment; `translate` is called for each document."""

    def translate(self, document: dict[str, Any]) -> str:
        """Return a configuration as text; a dict or a list would be written as JSON."""
        return "".join(f"host {name}\\n" for name in document["hosts"])
''',
}

TESTS: dict[str, dict[str, Any]] = {
    "in": {
        "input.json": {"hosts": [{"name": "web"}, {"name": "db"}]},
        "expected.json": {"version": 1, "hosts": ["db", "web"]},
    },
    "out": {"input.json": {"version": 1, "hosts": ["db", "web"]}, "expected.txt": "host db\nhost web\n"},
}

README = """# {name}

A Greenroom algorithm of type `{type}`.

    greenroom test .   run tests/ on this machine, with the code that runs them backstage
    greenroom push .   upload it; it goes live if it passes

* `metadata.json` describes it, and how it is tested.
* `{module}/translator.py` has `Translator.translate(document)`.
* `tests/<case>/input.*` and `tests/<case>/expected.*` are its tests. Without `expected.*` an answer is not compared.
* `requirements.txt` names its dependencies; `greenroom pack` installs them for Lambda.
"""


def init(directory: Path, name: str, type_: Literal["in", "out"]) -> list[Path]:
    """Write a new algorithm and return its files. Raises PackageError if the folder is not empty or the name is bad."""
    module = _module(name)
    metadata = {"name": name, "type": type_, "entry": f"{module}.translator:Translator"}
    validate_metadata({**metadata, "entry": "module:Class"})
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise PackageError(
            code="not_empty", where=str(directory), fault="is not an empty folder", hint="Name a new folder."
        )
    files = {
        "metadata.json": json.dumps(
            {**metadata, "powerValues": [128, 256, 512], "num": 10, "strategy": "cost"}, indent=2
        )
        + "\n",
        f"{module}/__init__.py": "",
        f"{module}/translator.py": CODE[type_],
        "requirements.txt": "# One dependency on each line; greenroom pack installs them for Lambda's platform.\n",
        "README.md": README.format(name=name, type=type_, module=module),
    }
    for file_name, value in TESTS[type_].items():
        files[f"tests/example/{file_name}"] = value if isinstance(value, str) else json.dumps(value, indent=2) + "\n"
    written = []
    for path, text in files.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8", newline="\n")
        written.append(target)
    return written


def _module(name: str) -> str:
    """Return a name for the algorithm's package that hides no other module."""
    module = name.replace("-", "_")
    taken = keyword.iskeyword(module) or module in sys.stdlib_module_names or module in ("tests", "boto3", "botocore")
    return f"{module}_algorithm" if taken or module == "aws_equipment" else module

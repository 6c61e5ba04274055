"""Commands that need no platform: init, pack, test."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from greenroom.cli.common import Panel, add_command, console, print_json
from greenroom.cli.errors import ExitCode

PackageJsonOption = Annotated[bool, typer.Option("--json", help="Print a JSON object instead, for scripts.")]


class AlgorithmType(StrEnum):
    IN = "in"
    OUT = "out"


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    panel = Panel.DEVELOP
    add_command(
        app,
        panel,
        init,
        "greenroom init my-algorithm",
        "greenroom init translators/asa --name cisco-asa --type out",
    )
    add_command(app, panel, pack, "greenroom pack my-algorithm/", "greenroom pack my-algorithm/ -o /tmp/it.zip")
    add_command(app, panel, test, "greenroom test my-algorithm/", "greenroom test my-algorithm.zip --json")


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder, or an empty one.", file_okay=False)],
    name: Annotated[
        str | None, typer.Option(help="The algorithm's name; by default the folder's.", show_default=False)
    ] = None,
    type_: Annotated[
        AlgorithmType,
        typer.Option(
            "--type", help="in: reads documents and forwards them. out: writes results.", case_sensitive=False
        ),
    ] = AlgorithmType.IN,
) -> None:
    """Write a small algorithm to start from. Its tests pass."""
    from greenroom.workbench.scaffold import init as write

    called = name or re.sub(r"[^a-z0-9]+", "-", directory.absolute().name.lower()).strip("-")
    files = write(directory, called, type_.value)
    out = console()
    for path in files:
        out.print(f"  {path}", style="dim", soft_wrap=True)
    out.print(f"\nNext:\n  greenroom test {directory}\n  greenroom push {directory}", soft_wrap=True)


def pack(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="The algorithm's folder.", exists=True, file_okay=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The ZIP to write; by default DIR.zip next to the folder.", dir_okay=False),
    ] = None,
    as_json: PackageJsonOption = False,
) -> None:
    """Build the package of an algorithm's folder, with its dependencies, and check it as the platform does.

    requirements.txt is installed for Lambda, not for this machine. The same files give the same ZIP, byte for byte.
    """
    from greenroom.workbench.build import pack as build

    folder = directory.resolve()
    zip_path = output or folder.with_name(f"{folder.name}.zip")
    result = build(directory, zip_path, progress(quiet=as_json))
    if as_json:
        report = result.report
        facts: dict[str, Any] = {
            "path": str(zip_path),
            "sha256": report.sha256,
            "sizeBytes": report.size_bytes,
            "unpackedBytes": report.unpacked_bytes,
            "files": report.files,
            "cases": [case.name for case in report.cases],
            "notCompared": [case.name for case in report.cases if not case.compared],
            "metadata": report.metadata.model_dump(mode="json", by_alias=True),
        }
        print_json(facts)
        return
    from greenroom.cli.text import size

    count = len(result.report.cases)
    unchecked = sum(not case.compared for case in result.report.cases)
    console().print(
        f"{zip_path}: {size(result.size_bytes)}, {result.report.files} files, "
        f"{count} test case{'' if count == 1 else 's'}{f', {unchecked} not compared' if unchecked else ''}\n"
        f"sha256 {result.sha256}",
        soft_wrap=True,
    )


def test(
    package: Annotated[
        Path, typer.Argument(metavar="DIR|ZIP", help="An algorithm's folder, or a package.", exists=True)
    ],
    as_json: PackageJsonOption = False,
) -> None:
    """Run an algorithm's tests on this machine, with the same code that runs them backstage.

    The exit code is 0 only if every case passed. Durations are those of this machine, not of Lambda.
    """
    from greenroom.workbench.local import run_tests

    results = run_tests(package, progress(quiet=as_json))
    if as_json:
        print_json({"cases": [camel_case(asdict(result)) for result in results]})
    else:
        from greenroom.cli.render.cases import local_cases

        console().print(local_cases(results))
    if not all(result.passed for result in results):
        raise typer.Exit(ExitCode.FAILED)


def progress(*, quiet: bool) -> Callable[[str], None]:
    """Return a function that prints each step on stderr, or nothing if `quiet`."""
    err = console(stderr=True)
    return lambda step: None if quiet else err.print(step, style="dim", soft_wrap=True)


def camel_case(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with its names in camelCase, as in all JSON of Greenroom."""
    return {re.sub(r"_(\w)", lambda found: found[1].upper(), name): value for name, value in document.items()}

"""What the platform's stack is made of: complete, reproducible, and without anything that does not belong."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from greenroom.deploy import artifacts
from greenroom.package.runtime_modules import SDK_MODULES

STARTING = {"subprocess", "multiprocessing", "pty", "pip"}
"""Modules that a function of the platform has no use for: they start programs."""


@pytest.fixture(scope="module")
def code() -> artifacts.Artifact:
    return artifacts.build_code("x86_64", for_this_machine=True)


def test_the_same_sources_give_the_same_bytes(code: artifacts.Artifact) -> None:
    assert artifacts.build_code("x86_64", for_this_machine=True) == code
    assert artifacts.build_equipment() == artifacts.build_equipment()


def test_every_handler_can_be_imported_from_the_code_alone(code: artifacts.Artifact, tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(code.body)) as archive:
        archive.extractall(tmp_path)
    handlers = set(re.findall(r"Handler: (\S+)\.handler\n", artifacts.template().body.decode()))
    assert handlers and all(name.startswith("greenroom.platform.handlers.") for name in handlers)
    # boto3 is Lambda's to bring; nothing else of this environment may be needed.
    program = f"""
import importlib, os, sys
sys.path.insert(0, {str(tmp_path)!r})
for name in {sorted(handlers)!r}:
    assert callable(importlib.import_module(name).handler), name
loaded = {{name.partition(".")[0] for name in sys.modules}}
for name in sorted(loaded & {{"pydantic", "ulid", "aws_lambda_powertools", "greenroom"}}):
    assert sys.modules[name].__file__.startswith({str(tmp_path)!r}), name
"""
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_code_holds_the_rooms_that_run_inside_aws_and_no_others(code: artifacts.Artifact) -> None:
    with zipfile.ZipFile(io.BytesIO(code.body)) as archive:
        rooms = {name.split("/")[1] for name in archive.namelist() if name.startswith("greenroom/")}
    assert {room for room in rooms if "." not in room} == {*artifacts.ROOMS, "__pycache__"}
    assert len(code.body) < 20 * 1024 * 1024


def test_nothing_that_starts_a_program_is_shipped_to_lambda(code: artifacts.Artifact) -> None:
    with zipfile.ZipFile(io.BytesIO(code.body)) as archive:
        own = {name: archive.read(name) for name in archive.namelist() if name.startswith("greenroom/")}
    assert not [name for name in own if "workbench" in name or "run_case" in name]
    sources = {name: ast.parse(source) for name, source in own.items() if name.endswith(".py")}
    starts = {name for name, tree in sources.items() if STARTING & set(imported(tree))}
    assert sources and not starts


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_the_layer_lies_where_lambda_looks_for_python() -> None:
    with zipfile.ZipFile(io.BytesIO(artifacts.build_equipment().body)) as archive:
        names = archive.namelist()
    assert "python/aws_equipment/__init__.py" in names
    assert all(name.startswith("python/aws_equipment/") for name in names)


@pytest.mark.parametrize("name", artifacts.STATE_MACHINES.values())
def test_a_state_machine_is_named_by_what_is_in_it(name: str) -> None:
    found = artifacts.state_machine(name)
    assert found.key.startswith(f"{name}-") and found.key.endswith(".asl.json")
    assert hashlib.sha256(found.body).hexdigest() in found.key
    assert "StartAt" in json.loads(found.body)


def test_every_artifact_that_the_template_names_is_built_and_no_other(code: artifacts.Artifact) -> None:
    named = set(re.findall(r"!Ref (\w+Key)\b", artifacts.template().body.decode()))
    assert named == set(artifacts.build("x86_64", for_this_machine=True))


def test_the_runtime_brings_what_the_engine_gives_a_function_as_its_sdk() -> None:
    from greenroom.engine.zygote import SDK_PACKAGES

    assert set(SDK_MODULES.values()) == set(SDK_PACKAGES)

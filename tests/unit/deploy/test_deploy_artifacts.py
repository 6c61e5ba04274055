"""What the platform's stack is made of: complete, reproducible, and without anything that does not belong."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from greenroom.deploy import artifacts


@pytest.fixture(scope="module")
def code() -> artifacts.Artifact:
    return artifacts.build_code("x86_64", for_this_machine=True)


def test_the_same_sources_give_the_same_bytes(code: artifacts.Artifact) -> None:
    assert artifacts.build_code("x86_64", for_this_machine=True) == code
    assert artifacts.build_equipment() == artifacts.build_equipment()


def test_every_handler_can_be_imported_from_the_code_alone(code: artifacts.Artifact, tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(code.body)) as archive:
        archive.extractall(tmp_path)
    handlers = sorted((tmp_path / "greenroom" / "platform" / "handlers").glob("[a-z]*.py"))
    assert len(handlers) == 15
    # boto3 is Lambda's to bring; nothing else of this environment may be needed.
    program = f"""
import importlib, os, sys
sys.path.insert(0, {str(tmp_path)!r})
for name in {[path.stem for path in handlers]!r}:
    importlib.import_module("greenroom.platform.handlers." + name)
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


def test_the_layer_lies_where_lambda_looks_for_python() -> None:
    with zipfile.ZipFile(io.BytesIO(artifacts.build_equipment().body)) as archive:
        names = archive.namelist()
    assert "python/aws_equipment/__init__.py" in names
    assert all(name.startswith("python/aws_equipment/") for name in names)


@pytest.mark.parametrize("name", ["provision", "backstage"])
def test_a_state_machine_is_named_by_what_is_in_it(name: str) -> None:
    found = artifacts.state_machine(name)
    assert found.key.startswith(f"{name}-") and found.key.endswith(".asl.json")
    assert b"StartAt" in found.body

"""Builds the artifacts of the platform's stack: the functions' code with its dependencies, the layer, the machines.

The same sources give the same bytes, so an artifact is named by its SHA-256 and uploaded once. The code is built for
the minor version of Python that runs here. On Linux the installed dependencies are those that Lambda needs; elsewhere
pip fetches Lambda's wheels. This module knows nothing of AWS.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import json
import platform
import py_compile
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from greenroom.package.runtime_modules import SDK_MODULES

ROOMS = ("messages", "package", "platform", "releases", "tuning", "web", "wire")
"""The rooms of Greenroom that run inside AWS."""

DEPENDENCIES = ("aws-lambda-powertools", "pydantic", "python-ulid")
"""The distributions that these rooms import, except boto3, which Lambda's Python runtimes bring along."""

STATE_MACHINES = {
    "ProvisionKey": "provision",
    "BackstageKey": "backstage",
    "FunctionTuningKey": "function_tuning",
}
"""The platform's state machines by the template's parameters that name their definitions in the bucket."""

EPOCH = (1980, 1, 1, 0, 0, 0)


class BuildError(RuntimeError):
    """An artifact could not be built; the message says why."""


@dataclass(frozen=True)
class Artifact:
    """A file to upload: its key in the artifacts bucket, which holds its SHA-256, and its bytes."""

    key: str
    body: bytes


def runtime() -> str:
    """Return the Lambda runtime that fits the artifacts: that of the Python that runs here."""
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


def build(architecture: str, *, for_this_machine: bool) -> dict[str, Artifact]:
    """Return everything that the platform's template names by a parameter, by that parameter.

    Args:
        architecture: of the platform's functions, `x86_64` or `arm64`.
        for_this_machine: the functions will run here and not in Lambda, so what is installed here is what they need.

    Raises:
        BuildError: the dependencies can't be had for Lambda.
    """
    return {
        "CodeKey": build_code(architecture, for_this_machine=for_this_machine),
        "EquipmentKey": build_equipment(),
        **{parameter: state_machine(name) for parameter, name in STATE_MACHINES.items()},
    }


def build_code(architecture: str, *, for_this_machine: bool) -> Artifact:
    """Return the code of all functions of the platform, with bytecode, so that a cold start compiles nothing.

    Args:
        architecture: `x86_64` or `arm64`, as Lambda is to run it.
        for_this_machine: it will run here and not in Lambda, so what is installed here is what it needs.

    Raises:
        BuildError: pip finds no wheels of the dependencies for Lambda.
    """
    files = dict(_own_sources())
    if for_this_machine or (sys.platform == "linux" and _machine() == architecture):
        files |= dict(_installed_dependencies())
    else:
        files |= dict(_downloaded_dependencies(architecture))
    files |= dict(_bytecode(files))
    return _artifact("code", _zip(files))


def build_equipment() -> Artifact:
    """Return the layer `aws_equipment`, which Lambda unpacks below /opt, for every Python it supports."""
    root = _package_root() / "equipment"
    files = {f"python/{path.relative_to(root)}": path.read_bytes() for path in _python_files(root / "aws_equipment")}
    return _artifact("equipment", _zip(files))


def state_machine(name: str) -> Artifact:
    """Return the definition of the state machine `name` in the Amazon States Language, which is JSON.

    It is written in YAML, whose anchors say once what states have in common; the key `Shared` holds these.
    """
    import yaml  # takes 50 ms, and only a deployment needs it

    source = resources.files("greenroom.platform").joinpath("machines", f"{name}.asl.yaml").read_text()
    definition = yaml.safe_load(source)
    definition.pop("Shared", None)
    body = json.dumps(definition, indent=1).encode()
    return Artifact(f"{name}-{hashlib.sha256(body).hexdigest()}.asl.json", body)


def template() -> Artifact:
    """Return the platform's template: too large to be sent to CloudFormation, which takes it from the bucket.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html (51,200 bytes)
    """
    body = resources.files("greenroom.platform").joinpath("template.yaml").read_bytes()
    return Artifact(f"template-{hashlib.sha256(body).hexdigest()}.yaml", body)


def _artifact(name: str, body: bytes) -> Artifact:
    return Artifact(f"{name}-{hashlib.sha256(body).hexdigest()}.zip", body)


def _package_root() -> Path:
    return Path(str(resources.files("greenroom")))


def _machine() -> str:
    return {"aarch64": "arm64"}.get(platform.machine(), platform.machine())


def _python_files(root: Path) -> Iterator[Path]:
    return (path for path in sorted(root.rglob("*.py")))


def _own_sources() -> Iterator[tuple[str, bytes]]:
    root = _package_root()
    yield "greenroom/__init__.py", (root / "__init__.py").read_bytes()
    for room in ROOMS:
        for path in sorted((root / room).rglob("*")):
            if path.suffix in (".py", ".yaml", ".json", ".html", ".js", ".css"):
                yield f"greenroom/{path.relative_to(root)}", path.read_bytes()


def _requirements() -> list[importlib.metadata.Distribution]:
    """Return the dependencies, and those of the dependencies, as installed."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, importlib.metadata.Distribution] = {}
    wanted = list(DEPENDENCIES)
    while wanted:
        name = canonicalize_name(wanted.pop())
        if name in found or name in SDK_MODULES:
            continue
        found[name] = importlib.metadata.distribution(name)
        for line in found[name].requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                wanted.append(requirement.name)
    return [found[name] for name in sorted(found)]


def _installed_dependencies() -> Iterator[tuple[str, bytes]]:
    for distribution in _requirements():
        for file in distribution.files or ():
            name = str(file)
            if name.startswith("..") or "__pycache__" in name or not _belongs(name):
                continue
            yield name, Path(str(distribution.locate_file(file))).read_bytes()


def _downloaded_dependencies(architecture: str) -> Iterator[tuple[str, bytes]]:
    pins = [f"{distribution.name}=={distribution.version}" for distribution in _requirements()]
    machine = {"arm64": "aarch64"}.get(architecture, architecture)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target", folder]
        command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={runtime()[6:]}"]
        command += [f"--platform=manylinux2014_{machine}", f"--platform=manylinux_2_28_{machine}", *pins]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BuildError(f"pip found no wheels of the platform's dependencies for Lambda:\n{done.stderr[-2000:]}")
        for path in sorted(Path(folder).rglob("*")):
            name = str(path.relative_to(folder))
            if path.is_file() and _belongs(name) and not name.startswith("bin/"):
                yield name, path.read_bytes()


def _belongs(name: str) -> bool:
    """Return whether a file is needed: in *.dist-info only METADATA, where packages look up their own version."""
    return ".dist-info/" not in name or name.endswith("/METADATA")


def _bytecode(files: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    # Unchecked: the file times in a ZIP mean nothing, and the sources next to it never change.
    tag = sys.implementation.cache_tag
    with tempfile.TemporaryDirectory() as folder:
        for name, source in files.items():
            if not name.endswith(".py"):
                continue
            path = Path(folder, "source.py")
            path.write_bytes(source)
            target = path.with_suffix(".pyc")
            try:
                py_compile.compile(
                    str(path),
                    str(target),
                    dfile=f"/var/task/{name}",
                    doraise=True,
                    invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
                )
            except py_compile.PyCompileError:
                continue  # a template or a test of a dependency: nothing imports it
            folder_name, _, file_name = name.rpartition("/")
            compiled = f"__pycache__/{file_name.removesuffix('.py')}.{tag}.pyc"
            yield f"{folder_name}/{compiled}" if folder_name else compiled, target.read_bytes()


def _zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name])
    return buffer.getvalue()

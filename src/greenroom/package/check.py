"""Whether a ZIP is a package: metadata, tests, and the Python in it, none of which is run."""

from __future__ import annotations

import ast
import hashlib
import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO

from greenroom.package.archive import Archive, Entry
from greenroom.package.errors import PackageError
from greenroom.package.metadata import MAX_METADATA_BYTES, Metadata, load_metadata

CASE_PATTERN = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
MAX_CASES = 200
MAX_TEST_FILE_BYTES = 16 * 1024 * 1024
MAX_SOURCE_BYTES = 2 * 1024 * 1024
EXTENSION = re.compile(
    r"\.(?:cpython-(\d)(\d+)|abi3|cp(\d)(\d+))?[^/]*?(x86_64|aarch64|arm64|darwin|win)?[^/]*\.(?:so|pyd)$"
)


@dataclass(frozen=True)
class Case:
    """A test case: `tests/<name>/input.*`, and `expected.*` where there is one."""

    name: str
    input_path: str
    expected_path: str | None


@dataclass(frozen=True)
class PackageReport:
    """A package that was accepted."""

    metadata: Metadata
    sha256: str
    size_bytes: int
    unpacked_bytes: int
    files: int
    cases: tuple[Case, ...]


def check_package(file: IO[bytes]) -> PackageReport:
    """Check a ZIP as a package.

    Args:
        file: the ZIP, seekable.

    Raises:
        PackageError: the ZIP, its metadata, its tests or its code is at fault (MetadataError for the metadata).
    """
    archive = Archive(file)
    metadata = _metadata(archive)
    entries = list(archive.entries())
    cases = _cases(entries)
    _check_sources(archive, entries, metadata)
    _check_extensions(entries, metadata)
    archive.verify()
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    return PackageReport(
        metadata=metadata,
        sha256=digest,
        size_bytes=file.tell(),
        unpacked_bytes=archive.total_bytes,
        files=len(entries),
        cases=cases,
    )


def _metadata(archive: Archive) -> Metadata:
    if "metadata.json" in archive:
        return load_metadata(archive.read("metadata.json", MAX_METADATA_BYTES))
    deeper = next((each.path for each in archive.entries() if PurePosixPath(each.path).name == "metadata.json"), None)
    hint = f"; there is one at {deeper}: zip what is in the folder, not the folder" if deeper else ""
    raise PackageError(
        code="no_metadata",
        where="metadata.json",
        what=f"is not at the top of the ZIP{hint}",
        todo="`greenroom init` makes one.",
    )


def _cases(entries: list[Entry]) -> tuple[Case, ...]:
    found: dict[str, dict[str, str]] = {}
    for entry in entries:
        path = PurePosixPath(entry.path)
        if path.parts[0] != "tests" or len(path.parts) != 3 or path.stem not in ("input", "expected"):
            continue
        name = path.parts[1]
        if not CASE_PATTERN.match(name):
            raise _case_error(entry.path, "has a case name with other characters than letters, digits, . _ -")
        if path.stem in found.setdefault(name, {}):
            raise _case_error(entry.path, f"is a second {path.stem} of case {name}")
        if entry.size_bytes > MAX_TEST_FILE_BYTES:
            raise _case_error(entry.path, f"is larger than {MAX_TEST_FILE_BYTES:,} bytes")
        found[name][path.stem] = entry.path
    for name, files in found.items():
        if "input" not in files:
            raise _case_error(f"tests/{name}", "has an expected.* but no input.*")
    if not found:
        raise _case_error("tests", "has no case: a package is tested by its own tests")
    if len(found) > MAX_CASES:
        raise _case_error("tests", f"has {len(found)} cases; at most {MAX_CASES} are allowed")
    return tuple(Case(name, files["input"], files.get("expected")) for name, files in sorted(found.items()))


def _check_sources(archive: Archive, entries: list[Entry], metadata: Metadata) -> None:
    """The algorithm's own modules must be Python that this version reads; dependencies are their authors' business."""
    target = metadata.entry.partition(":")[0] if metadata.entry else (metadata.handler or "").rpartition(".")[0]
    module = _module_path(archive, target)
    own_package = target.partition(".")[0]
    for entry in entries:
        path = PurePosixPath(entry.path)
        is_own = len(path.parts) == 1 or (path.parts[0] == own_package and module.startswith(f"{own_package}/"))
        if path.suffix == ".py" and is_own:
            tree = _parsed(archive, entry.path)
            if entry.path == module:
                wanted = (metadata.entry or "").partition(":")[2] or (metadata.handler or "").rpartition(".")[2]
                _require_name(tree, entry.path, wanted, is_class=metadata.entry is not None)


def _module_path(archive: Archive, module: str) -> str:
    path = module.replace(".", "/")
    for candidate in (f"{path}.py", f"{path}/__init__.py"):
        if candidate in archive:
            return candidate
    raise PackageError(
        code="no_module",
        where="metadata.json, field entry or handler",
        what=f"names module {module!r}, and the ZIP has no {path}.py",
        todo="Name a module that is in the package.",
    )


def _parsed(archive: Archive, path: str) -> ast.Module:
    source = archive.read(path, MAX_SOURCE_BYTES)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source, filename=path)
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        raise PackageError(
            code="syntax",
            where=f"{path}{line}",
            what=f"is not valid Python {sys.version_info.major}.{sys.version_info.minor}: {error.msg}",
            todo="Mend it.",
        ) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise PackageError(
            code="syntax", where=path, what=f"can't be parsed ({type(error).__name__}: {error})", todo="Mend it."
        ) from None


def _require_name(tree: ast.Module, path: str, wanted: str, *, is_class: bool) -> None:
    """Refuse an entry or handler that plainly is not there. What is imported or assigned is believed."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) if name == wanted:
                if is_class and node in tree.body and not node.bases and not _has_method(node, "translate"):
                    raise PackageError(
                        code="no_translate",
                        where=f"{path}, class {wanted}",
                        what="has no method translate",
                        todo="Add `def translate(self, document)`.",
                    )
                return
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if name == wanted:
                return
            case ast.alias(name=name, asname=asname) if wanted in (name, asname) or name == "*":
                return
            case ast.Name(id=name, ctx=ast.Store()) if name == wanted:
                return
    raise PackageError(
        code="no_entry",
        where=path,
        what=f"has no {'class' if is_class else 'function'} {wanted!r}, which metadata.json names",
        todo="Correct the name.",
    )


def _has_method(node: ast.ClassDef, name: str) -> bool:
    return any(isinstance(child, ast.FunctionDef | ast.Assign) and _defines(child, name) for child in node.body)


def _defines(node: ast.FunctionDef | ast.Assign, name: str) -> bool:
    if isinstance(node, ast.FunctionDef):
        return node.name == name
    return any(isinstance(target, ast.Name) and target.id == name for target in node.targets)


def _check_extensions(entries: list[Entry], metadata: Metadata) -> None:
    """Compiled modules of another Python or machine would only fail inside Lambda, and less clearly."""
    minor = metadata.runtime.rpartition(".")[2]
    machine = {"x86_64": "x86_64", "arm64": "aarch64"}[metadata.architecture]
    for entry in entries:
        found = EXTENSION.search(entry.path)
        if not found:
            continue
        version = found[2] or found[4]
        wrong_version = version is not None and version != minor
        wrong_machine = found[5] is not None and found[5] not in (machine, "arm64" if machine == "aarch64" else machine)
        if wrong_version or wrong_machine:
            raise PackageError(
                code="wrong_wheel",
                where=entry.path,
                what=f"is compiled for another Python or machine than {metadata.runtime} on {metadata.architecture}",
                todo="`greenroom pack` installs requirements.txt for Lambda's platform.",
            )


def _case_error(where: str, what: str) -> PackageError:
    return PackageError(
        code="bad_tests", where=where, what=what, todo="Tests are tests/<case>/input.* with an optional expected.*."
    )

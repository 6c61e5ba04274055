"""Check that a ZIP is a package: its metadata, its tests, and the Python in it, none of which is run.

A package that is certain to fail inside Lambda is refused here, with the reason; what can't be decided without running
the code is left to the tests backstage. The algorithm's own modules, that is those at the top of the ZIP and in the
package that holds entry or handler, have to be valid Python for the runtime. Other folders are dependencies: they may
hold templates and files for other versions of Python, which nothing imports.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any

from greenroom.package.archive import Archive, Entry, shown
from greenroom.package.errors import PackageError
from greenroom.package.metadata import MAX_METADATA_BYTES, Metadata, load_metadata

CASE_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MAX_CASES = 200
MAX_TEST_FILE_BYTES = 16 * 1024 * 1024

MAX_SOURCE_BYTES = 512 * 1024
"""CPython takes up to 800 bytes of memory to parse one byte of source."""

MAX_SOURCES_BYTES = 4 * 1024 * 1024
"""All of the algorithm's own modules: parsing them takes a fraction of the register function's time."""

EXTENSION = re.compile(r"\.(?:(?:cpython-|cp)(?P<version>\d+)[^.]*|abi3|pypy[^.]*)\.(?:so|pyd)$")
"""Names of compiled modules: https://peps.python.org/pep-3149/"""

ELF_MACHINES = {"x86_64": 62, "arm64": 183}
"""EM_X86_64 and EM_AARCH64: https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html"""

PLAIN = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Expr, ast.Pass)
"""The statements in a class's body that leave no doubt about the names of its methods."""

RESERVED = "aws_equipment"
"""A package's own files come before the layer's on Python's path, so this name would hide the layer."""


@dataclass(frozen=True)
class Case:
    """A test case: `tests/<name>/input.*`, and `expected.*` where there is one.

    `input_sha256` is that of the input as it is read: two packages with the same one are tested with the same input.
    """

    name: str
    input_sha256: str


@dataclass(frozen=True)
class PackageReport:
    """A package that was accepted, and what is in it."""

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
        PackageError: the ZIP, its metadata, its tests or its code has a fault (MetadataError for the metadata).
    """
    archive = Archive(file)
    metadata = _metadata(archive)
    entries = list(archive.entries())
    archive.verify()
    cases = _cases(archive, entries)
    _check_sources(archive, entries, metadata)
    _check_extensions(archive, entries, metadata)
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    return PackageReport(
        metadata=metadata,
        sha256=digest,
        size_bytes=archive.size_bytes,
        unpacked_bytes=archive.total_bytes,
        files=len(entries),
        cases=cases,
    )


def _metadata(archive: Archive) -> Metadata:
    if "metadata.json" in archive:
        return load_metadata(archive.read("metadata.json", MAX_METADATA_BYTES))
    deeper = next((each.path for each in archive.entries() if each.path.endswith("/metadata.json")), None)
    found = f"; it is at {shown(deeper)}: zip the content of the folder, not the folder" if deeper else ""
    raise PackageError(
        code="no_metadata",
        where="metadata.json",
        fault=f"is not at the top of the ZIP{found}",
        hint="`greenroom init` writes an algorithm with a metadata.json.",
    )


def _cases(archive: Archive, entries: list[Entry]) -> tuple[Case, ...]:
    found: dict[str, dict[str, Entry]] = {}
    for entry in entries:
        parts = entry.path.split("/")
        stem, dot, _ = parts[-1].partition(".")
        if len(parts) != 3 or parts[0] != "tests" or not dot or stem not in ("input", "expected"):
            continue
        name = parts[1]
        if not CASE_PATTERN.fullmatch(name):
            what = "has a wrong case name; allowed: up to 64 letters, digits and . _ -, a letter or digit first"
            raise _case_error(entry.path, what)
        if stem in found.setdefault(name, {}):
            raise _case_error(entry.path, f"is a second {stem}.* of case {name}")
        found[name][stem] = entry
    for name, files in found.items():
        if "input" not in files:
            raise _case_error(f"tests/{name}", "has an expected.* but no input.*")
    if not found:
        raise _case_error(
            "tests", "has no test case; at least one is needed, because a package is tested with its own cases"
        )
    if len(found) > MAX_CASES:
        raise _case_error("tests", f"has {len(found)} cases; at most {MAX_CASES} are allowed")
    digests = {entry: _check_document(archive, entry) for files in found.values() for entry in files.values()}
    return tuple(Case(name, digests[found[name]["input"]]) for name in sorted(found))


def _check_document(archive: Archive, entry: Entry) -> str:
    """Check that the equipment can read a test's file: JSON if its name ends in .json, otherwise text.

    Returns the SHA-256 of its content and of how it is read.
    """
    if entry.size_bytes > MAX_TEST_FILE_BYTES:
        raise _case_error(entry.path, f"has {entry.size_bytes:,} bytes; at most {MAX_TEST_FILE_BYTES:,} are allowed")
    try:
        body = archive.read(entry.path, MAX_TEST_FILE_BYTES)
        text = body.decode("utf-8-sig")
        if entry.path.endswith(".json"):
            json.loads(text, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise _case_error(entry.path, f"is not UTF-8 (byte {error.start:,})") from None
    except RecursionError:
        raise _case_error(entry.path, "is nested too deeply") from None
    except ValueError as error:
        raise _case_error(entry.path, f"is not JSON: {error}") from None
    kind = b"json" if entry.path.endswith(".json") else b"text"
    return hashlib.sha256(kind + b"\0" + body).hexdigest()


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number in JSON")


def _check_sources(archive: Archive, entries: list[Entry], metadata: Metadata) -> None:
    """Check the algorithm's own modules, and that entry or handler is in one of them."""
    if metadata.entry is not None:
        target, _, wanted = metadata.entry.partition(":")
    else:
        target, _, wanted = (metadata.handler or "").rpartition(".")
    module_path = _module_path(archive, target)
    top = module_path.partition("/")[0]
    total = 0
    for entry in entries:
        parts = PurePosixPath(entry.path).parts
        if parts[0] in (RESERVED, f"{RESERVED}.py"):
            raise PackageError(
                code="reserved",
                where=shown(entry.path),
                fault=f"would hide the layer {RESERVED}",
                hint="Leave it out: Lambda gets it from the layer. If it is your own module, rename it.",
            )
        if not entry.path.endswith(".py") or (len(parts) > 1 and parts[0] != top):
            continue
        total += entry.size_bytes
        if total > MAX_SOURCES_BYTES:
            raise PackageError(
                code="too_large",
                where=shown(entry.path),
                fault=f"makes the algorithm's own modules larger than {MAX_SOURCES_BYTES:,} bytes",
                hint="Put generated tables into data files, and dependencies into requirements.txt.",
            )
        _compile(archive, entry.path, metadata.runtime)
    if (tree := _compile(archive, module_path, metadata.runtime)) is not None:
        _require_name(tree, module_path, wanted, is_class=metadata.entry is not None)


def _module_path(archive: Archive, module: str) -> str:
    path = module.replace(".", "/")
    # A folder with __init__.py is found before a file of the same name, as in Python's own finder.
    for candidate in (f"{path}/__init__.py", f"{path}.py"):
        if candidate in archive:
            return candidate
    raise PackageError(
        code="no_module",
        where="metadata.json, field entry or handler",
        fault=f"names the module {module!r}, but the ZIP has no {path}.py",
        hint="Name a module that is in the package.",
    )


def _compile(archive: Archive, path: str, runtime: str) -> ast.Module | None:
    """Compile a module without running it. Return its tree, or None where only a newer Python can read it."""
    source = archive.read(path, MAX_SOURCE_BYTES)
    minor = int(runtime.rpartition(".")[2])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source, filename=path, feature_version=(3, min(minor, sys.version_info.minor)))
            # The compiler refuses more than the parser does, such as a return outside of a function.
            compile(source, path, "exec", dont_inherit=True)
    except SyntaxError as error:
        if minor > sys.version_info.minor and not isinstance(error, IndentationError):
            return None
        line = f", line {error.lineno}" if error.lineno else ""
        what = f"is not valid Python {runtime.removeprefix('python')}: {error.msg}"
        raise PackageError(
            code="syntax", where=f"{shown(path)}{line}", fault=what, hint="Correct the syntax."
        ) from None
    except (ValueError, RecursionError, MemoryError) as error:
        what = f"can't be parsed ({type(error).__name__}: {error})"
        raise PackageError(code="syntax", where=shown(path), fault=what, hint="Simplify it.") from None
    return tree


def _require_name(tree: ast.Module, path: str, wanted: str, *, is_class: bool) -> None:
    """Refuse an entry or handler that is certainly missing or can't be called. Imported names are accepted."""
    found: ast.stmt | None = None
    for node in _module_level(tree.body):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if name == "__getattr__":
                    return
                if name == wanted:
                    found = node
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                if any(wanted == (each.asname or each.name.partition(".")[0]) or each.name == "*" for each in names):
                    return
            case _ if any(
                isinstance(each, ast.Name) and each.id == wanted and isinstance(each.ctx, ast.Store)
                for each in ast.walk(node)
            ):
                return
    if found is None:
        kind = "class" if is_class else "function"
        what = f"has no {kind} {wanted!r} at its top level, but metadata.json names it"
        raise PackageError(code="no_entry", where=shown(path), fault=what, hint="Correct the name in metadata.json.")
    if is_class:
        _require_algorithm(found, path, wanted)
    else:
        _require_callable(found, f"{shown(path)}, function {wanted}", ("event", "context"))


def _module_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run when a module is imported, those in if, try, match and the like included."""
    for statement in body:
        yield statement
        for field in ("body", "orelse", "finalbody"):
            if not isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _module_level(getattr(statement, field, []))
        for branch in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
            yield from _module_level(branch.body)


def _require_algorithm(node: ast.stmt, path: str, wanted: str) -> None:
    where = f"{shown(path)}, class {wanted}"
    if not isinstance(node, ast.ClassDef):
        raise PackageError(
            code="no_entry",
            where=where,
            fault="is a function; a class is needed",
            hint="Name a class as entry, or the function as handler.",
        )
    if node.decorator_list or node.bases or node.keywords:
        return
    methods = {each.name: each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    if (init := methods.get("__init__")) is not None:
        _require_callable(init, f"{where}, __init__", ("self",))
    if (translate := methods.get("translate")) is not None:
        _require_callable(translate, f"{where}, translate", ("self", "document"))
    elif all(isinstance(each, PLAIN) for each in node.body):
        hint = "Add `def translate(self, document)`."
        raise PackageError(code="no_translate", where=where, fault="has no method translate", hint=hint)


def _require_callable(node: ast.stmt, where: str, given: tuple[str, ...]) -> None:
    """Refuse a function that can't be called with `given`. One with a decorator is accepted: it may change that."""
    hint = f"Greenroom calls it as {node.name if hasattr(node, 'name') else ''}({', '.join(given)})."
    if isinstance(node, ast.AsyncFunctionDef) and not node.decorator_list:
        raise PackageError(code="not_callable", where=where, fault="is async, but nothing awaits it", hint=hint)
    if not isinstance(node, ast.FunctionDef) or node.decorator_list:
        return
    arguments = node.args
    positional = len(arguments.posonlyargs) + len(arguments.args)
    needed = positional - len(arguments.defaults)
    keywords = [each.arg for each, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if not value]
    if needed > len(given) or (positional < len(given) and arguments.vararg is None) or keywords:
        shown_arguments = shown(ast.unparse(arguments))
        raise PackageError(code="not_callable", where=where, fault=f"takes ({shown_arguments})", hint=hint)


def _check_extensions(archive: Archive, entries: list[Entry], metadata: Metadata) -> None:
    """Refuse modules that are compiled for another Python or machine only: in Lambda they fail, and less clearly."""
    misfits: dict[str, tuple[str, str]] = {}
    fitting = set()
    for entry in entries:
        if (found := EXTENSION.search(entry.path)) is None:
            continue
        # A wheel may bring one module for several Pythons side by side.
        module = entry.path[: found.start()]
        if why := _misfit(archive, entry.path, found["version"], metadata):
            misfits.setdefault(module, (entry.path, why))
        else:
            fitting.add(module)
    for module, (path, why) in misfits.items():
        if module not in fitting:
            raise PackageError(
                code="wrong_wheel",
                where=shown(path),
                fault=f"is compiled for {why}; allowed: {metadata.runtime} on {metadata.architecture}, Linux",
                hint="`greenroom pack` installs requirements.txt for these; or change them in metadata.json.",
            )


def _misfit(archive: Archive, path: str, version: str | None, metadata: Metadata) -> str | None:
    minor = metadata.runtime.rpartition(".")[2]
    if version is not None and version != f"3{minor}":
        return f"Python {version[0]}.{version[1:]}"
    if "musl" in path.rpartition("/")[2]:
        return "musl, which Lambda does not have"
    if path.endswith(".pyd"):
        return "Windows"
    if "pypy" in path.rpartition("/")[2]:
        return "PyPy"
    head = archive.head(path)[:20]
    if not head.startswith(b"\x7fELF"):
        return "another system than Linux"
    machine = int.from_bytes(head[18:20], "little")
    if machine != ELF_MACHINES[metadata.architecture]:
        names = {number: name for name, number in ELF_MACHINES.items()}
        return names.get(machine, f"machine {machine} of the ELF list")
    return None


def _case_error(where: str, what: str) -> PackageError:
    hint = "A test case is tests/<case>/input.* with an optional tests/<case>/expected.*."
    return PackageError(code="bad_tests", where=shown(where), fault=what, hint=hint)

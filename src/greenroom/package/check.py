"""Check that a ZIP is a package: its metadata, its tests, and the Python in it, none of which is run.

A package that is certain to fail inside Lambda is refused here, with the reason; what can't be decided without running
the code is left to the tests backstage. The algorithm's own modules, that is those at the top of the ZIP and in the
package that holds entry or handler, have to be valid Python for the runtime. Other folders are dependencies: they may
hold templates and files for other versions of Python, which nothing imports.

What is checked is what runs: the upload is first written again (`Archive.rewrite`), and everything is read from that.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from functools import partial
from typing import IO, Any

from greenroom.package import apart
from greenroom.package.apart import At, Bounds
from greenroom.package.archive import Archive, Entry
from greenroom.package.cases import Case, read_cases, require_comparison
from greenroom.package.errors import PackageError
from greenroom.package.metadata import MAX_METADATA_BYTES, Metadata, MetadataError, load_metadata
from greenroom.package.paths import shown
from greenroom.package.sources import check_sources

EXTENSION = re.compile(r"\.(?:(?:cpython-|cp)(?P<version>\d+)[^.]*|abi3|pypy[^.]*)\.(?:so|pyd)$")
"""Names of compiled modules: https://peps.python.org/pep-3149/"""

ELF_MACHINES = {"x86_64": 62, "arm64": 183}
"""EM_X86_64 and EM_AARCH64: https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html"""

BOUNDS = Bounds(cpu_s=30, wall_s=45, memory_bytes=1024 * 1024 * 1024)
"""What a check may take. One of 207 MiB unpacked, in 5,000 files, took 3.3 s of processor time and 200 MB; the register
function has 60 s and 1,769 MB."""


@dataclass(frozen=True)
class PackageReport:
    """A package that was accepted, and what is in it.

    `sha256` and `size_bytes` are those of the ZIP that was written again, `upload_sha256` is that of the one that came.
    They are the same for a ZIP of `greenroom pack`.
    """

    metadata: Metadata
    upload_sha256: str
    sha256: str
    size_bytes: int
    unpacked_bytes: int
    files: int
    cases: tuple[Case, ...]


def check_package(upload: IO[bytes], kept: IO[bytes], *, to_go_live: bool = True) -> PackageReport:
    """Check a ZIP as a package, and write the ZIP that is to be kept of it.

    Args:
        upload: the ZIP as it came, seekable.
        kept: a file of the operating system's, empty, readable and writable. It gets the files that were checked.
        to_go_live: whether an answer has to be compared. On a developer's machine the first one is only looked at.

    Raises:
        PackageError: the ZIP, its metadata, its tests or its code has a fault (MetadataError for the metadata), or
            takes more than `BOUNDS` to check.
    """
    for file in (upload, kept):
        file.flush()
    try:
        answer = json.loads(apart.run(partial(_answer, upload, kept, to_go_live), BOUNDS))
    except apart.Ended as ended:
        raise PackageError(
            code="unreadable",
            where=shown(ended.place or "ZIP"),
            fault=f"{ended.why} to check" if ended.why.startswith("takes") else ended.why,
            hint="Simplify or split it. If it is small and simple, the machine was too busy: try again.",
        ) from None
    finally:
        # The other process has moved the files' positions, which these objects believe to know.
        for file in (upload, kept):
            file.seek(0, os.SEEK_END)
            file.seek(0)
    if "problems" in answer:
        raise MetadataError(answer["problems"])
    if "error" in answer:
        raise PackageError(**answer["error"])
    metadata = load_metadata(base64.b64decode(answer.pop("metadata")))
    cases = tuple(Case(**case) for case in answer.pop("cases"))
    return PackageReport(metadata=metadata, cases=cases, **answer)


def _answer(upload: IO[bytes], kept: IO[bytes], to_go_live: bool, at: At) -> bytes:
    """Check a package in the other process; return the report, or the fault, as JSON."""
    try:
        answer = _inspected(upload, kept, to_go_live, at)
    except MetadataError as error:
        answer = {"problems": error.problems}
    except PackageError as error:
        fault = error.message.removeprefix(f"{error.where}: ")
        answer = {"error": {"code": error.code, "where": error.where, "fault": fault, "hint": error.hint}}
    return json.dumps(answer).encode()


def _inspected(upload: IO[bytes], kept: IO[bytes], to_go_live: bool, at: At) -> dict[str, Any]:
    at("ZIP")
    Archive(upload).rewrite(kept)
    kept.flush()
    archive = Archive(kept)
    metadata_json = _metadata_json(archive)
    metadata = load_metadata(metadata_json)
    entries = list(archive.entries())
    cases = read_cases(archive, entries, at)
    if to_go_live:
        require_comparison(cases, allow_not_compared=metadata.allow_not_compared)
    check_sources(archive, entries, metadata, at)
    _check_extensions(archive, entries, metadata)
    return {
        "metadata": base64.b64encode(metadata_json).decode(),
        "upload_sha256": _sha256(upload),
        "sha256": _sha256(kept),
        "size_bytes": archive.size_bytes,
        "unpacked_bytes": archive.total_bytes,
        "files": len(entries),
        "cases": [asdict(case) for case in cases],
    }


def _sha256(file: IO[bytes]) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def _metadata_json(archive: Archive) -> bytes:
    if "metadata.json" in archive:
        return archive.read("metadata.json", MAX_METADATA_BYTES)
    deeper = next((each.path for each in archive.entries() if each.path.endswith("/metadata.json")), None)
    found = f"; it is at {shown(deeper)}: zip the content of the folder, not the folder" if deeper else ""
    raise PackageError(
        code="no_metadata",
        where="metadata.json",
        fault=f"is not at the top of the ZIP{found}",
        hint="`greenroom init` writes an algorithm with a metadata.json.",
    )


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

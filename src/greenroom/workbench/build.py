"""Build a package from a folder: the same files give the same ZIP, byte for byte.

The bytes are the same for one version of zlib and for the same wheels. So pin the requirements, or put a
`constraints.txt` next to them.
"""

from __future__ import annotations

import fnmatch
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from greenroom.package.check import PackageReport, check_package
from greenroom.package.directory import MAX_ENTRIES, MAX_UNPACKED_BYTES
from greenroom.package.errors import PackageError
from greenroom.package.metadata import MAX_METADATA_BYTES, Metadata, load_metadata
from greenroom.workbench.installing import install
from greenroom.workbench.requirements import CONSTRAINTS, FILE, has_requirements

IGNORED = (".*", "__pycache__", "*.pyc", "*.pyo", "*.egg-info", "*.whl", "node_modules")
"""Names that are left out of a package in every folder; `.greenroomignore` adds patterns."""

IGNORED_AT_TOP = ("build", "dist", FILE, CONSTRAINTS)

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a ZIP can hold."""

UNIX = 3
"""The system whose file modes are stored: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, 4.4.2"""

VARYING = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
"""Files in *.dist-info that differ between two installations of the same wheel."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class PackResult:
    """A package that was built, the report of its check, and its dependencies as `name-version`."""

    path: Path
    report: PackageReport
    dependencies: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """SHA-256 of the ZIP."""
        return self.report.sha256

    @property
    def size_bytes(self) -> int:
        """Size of the ZIP."""
        return self.report.size_bytes


def pack(directory: Path, output: Path, on_progress: Progress = lambda _: None) -> PackResult:
    """Build `output` from an algorithm's folder and check it as the platform does.

    Args:
        directory: the folder with metadata.json.
        output: the ZIP to write. An existing file is replaced only if everything succeeds.
        on_progress: called with each step.

    Raises:
        PackageError: the folder is not an algorithm, a dependency has no wheel for Lambda, or the package has a fault.
    """
    metadata = read_metadata(directory)
    files = _named(_own_files(directory, output), directory)
    with tempfile.TemporaryDirectory(prefix="greenroom-pack-") as folder:
        installed = Path(folder)
        if has_requirements(directory):
            on_progress(f"Installing requirements.txt for {metadata.runtime} on {metadata.architecture}")
            install(directory, installed, for_lambda=metadata)
            # The developer's own file wins over a dependency's of the same name.
            files = {**_named(_installed_files(installed), installed), **files}
        dependencies = tuple(sorted(path.name.removesuffix(".dist-info") for path in installed.glob("*.dist-info")))
        on_progress(f"Zipping {len(files)} files")
        return PackResult(output, _zip(files, output, on_progress), dependencies)


def pack_own_files(directory: Path, output: Path, *, to_go_live: bool = True) -> PackageReport:
    """Build and check a ZIP of an algorithm's own files, without its dependencies. Raises PackageError."""
    read_metadata(directory)
    return _zip(_named(_own_files(directory, output), directory), output, to_go_live=to_go_live)


def read_metadata(directory: Path) -> Metadata:
    """Read the metadata.json of an algorithm's folder. Raises PackageError."""
    path = directory / "metadata.json"
    try:
        with path.open("rb") as file:
            return load_metadata(file.read(MAX_METADATA_BYTES + 1))
    except OSError as error:
        raise PackageError(
            code="no_metadata",
            where=str(path),
            fault=f"can't be read ({error.strerror})",
            hint="Name an algorithm's folder; `greenroom init` writes a new one.",
        ) from None


def _named(paths: Iterator[Path], folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in paths}


def _own_files(directory: Path, output: Path) -> Iterator[Path]:
    patterns = [*IGNORED, *_ignore_file(directory)]
    results = {path.resolve() for path in (output, *_parts(output))}
    pending = [directory]
    while pending:
        folder = pending.pop()
        for path in sorted(folder.iterdir()):
            relative = path.relative_to(directory).as_posix()
            if any(fnmatch.fnmatchcase(each, pattern) for pattern in patterns for each in (path.name, relative)):
                continue
            if relative in IGNORED_AT_TOP or path.resolve() in results:
                continue
            if path.is_symlink() and (path.is_dir() or not path.resolve().is_relative_to(directory.resolve())):
                what = "is a link to a folder, or leads out of the algorithm's folder"
                raise PackageError(code="link", where=relative, fault=what, hint="Put a copy in its place.")
            if path.is_file():
                yield path
            # A virtual environment holds files for this machine, and can have any name.
            elif path.is_dir() and not (path / "pyvenv.cfg").exists():
                pending.append(path)


def _ignore_file(directory: Path) -> list[str]:
    path = directory / ".greenroomignore"
    if not path.is_file():
        return []
    lines = (line.strip().rstrip("/") for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _installed_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        varies = parts[0].endswith(".dist-info") and path.name in VARYING
        # Scripts in bin/ begin with this machine's path of Python, and tests/ is for the algorithm's own.
        if path.is_file() and not varies and "__pycache__" not in parts and parts[0] not in ("bin", "tests"):
            yield path


def _parts(output: Path) -> tuple[Path, Path]:
    return output.with_name(f"{output.name}.part"), output.with_name(f"{output.name}.kept")


def _zip(
    files: dict[str, Path], output: Path, on_progress: Progress = lambda _: None, *, to_go_live: bool = True
) -> PackageReport:
    """Write the ZIP next to its place and check it; then move it there."""
    _refuse_too_much(files)
    output.parent.mkdir(parents=True, exist_ok=True)
    part, kept = _parts(output)
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            for name in sorted(files):
                entry = zipfile.ZipInfo(name, EPOCH)
                entry.create_system = UNIX
                entry.compress_type = zipfile.ZIP_DEFLATED
                executable = files[name].stat().st_mode & 0o100
                entry.external_attr = (0o100755 if executable else 0o100644) << 16
                archive.writestr(entry, files[name].read_bytes())
        on_progress("Checking the package")
        with part.open("rb") as file, kept.open("w+b") as checked:
            report = check_package(file, checked, to_go_live=to_go_live)
        kept.replace(output)
    finally:
        part.unlink(missing_ok=True)
        kept.unlink(missing_ok=True)
    return report


def _refuse_too_much(files: dict[str, Path]) -> None:
    """Refuse a folder that is far too large before zipping it, and name its largest parts. Raises PackageError."""
    sizes: Counter[str] = Counter()
    for name, path in files.items():
        sizes[name.partition("/")[0]] += path.stat().st_size
    total = sizes.total()
    if total <= MAX_UNPACKED_BYTES and len(files) <= MAX_ENTRIES:
        return
    largest = ", ".join(f"{name} {size / 1024**2:,.0f} MB" for name, size in sizes.most_common(3))
    raise PackageError(
        code="too_large",
        where="the package",
        fault=f"would have {len(files):,} files of {total / 1024**2:,.0f} MB, most of it in {largest}; allowed: "
        f"{MAX_ENTRIES:,} files of {MAX_UNPACKED_BYTES / 1024**2:,.0f} MB",
        hint="Leave out what the algorithm does not need: list it in .greenroomignore.",
    )

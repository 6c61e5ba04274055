"""Building a package from a folder: the same files give the same ZIP, byte for byte.

`requirements.txt` is installed by pip for Lambda's platform, not for this machine: only wheels, for the runtime and
architecture that metadata.json names.
"""

from __future__ import annotations

import fnmatch
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from greenroom.package.check import PackageReport, check_package
from greenroom.package.errors import PackageError
from greenroom.package.metadata import MAX_METADATA_BYTES, Metadata, load_metadata

IGNORED = (
    ".*",
    "__pycache__",
    "*.pyc",
    "*.pyo",
    "*.egg-info",
    "node_modules",
    "venv",
    "build",
    "dist",
    "requirements.txt",
    "constraints.txt",
)
"""What never belongs into a package, whatever folder it is in; `.greenroomignore` adds patterns."""

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a ZIP can hold."""

VARYING = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
"""Files of *.dist-info that differ from one installation to the next."""

PLATFORMS = {
    "x86_64": ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_28_x86_64"),
    "arm64": ("manylinux2014_aarch64", "manylinux_2_17_aarch64", "manylinux_2_28_aarch64"),
}
"""Wheels that run on Amazon Linux 2023, whose glibc is 2.34:
https://docs.aws.amazon.com/linux/al2023/ug/compare-with-al2.html"""

PIP_TIMEOUT_S = 600

Progress = Callable[[str], None]


@dataclass(frozen=True)
class PackResult:
    """A package that was built, and what checking it found."""

    path: Path
    report: PackageReport

    @property
    def sha256(self) -> str:
        """SHA-256 of the ZIP."""
        return self.report.sha256

    @property
    def size_bytes(self) -> int:
        """Size of the ZIP."""
        return self.report.size_bytes


def pack(directory: Path, output: Path, on_progress: Progress = lambda _: None) -> PackResult:
    """Build `output` from an algorithm's folder and check it as the platform will.

    Raises:
        PackageError: the folder is no algorithm, a dependency has no wheel for Lambda, or the package is at fault.
    """
    metadata = read_metadata(directory)
    files = _named(_own_files(directory), directory)
    with tempfile.TemporaryDirectory(prefix="greenroom-pack-") as folder:
        if has_requirements(directory):
            on_progress("Installing requirements.txt for Lambda")
            install(directory, Path(folder), for_lambda=metadata)
            # The developer's own file wins over a dependency's of the same name.
            files = {**_named(_installed_files(Path(folder)), Path(folder)), **files}
        on_progress(f"Zipping {len(files)} files")
        _zip(files, output)
    on_progress("Checking the package")
    with output.open("rb") as file:
        return PackResult(output, check_package(file))


def pack_own_files(directory: Path, output: Path) -> None:
    """Build a ZIP of an algorithm's own files, without its dependencies. Raises PackageError."""
    read_metadata(directory)
    _zip(_named(_own_files(directory), directory), output)


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
            what=f"can't be read ({error.strerror})",
            todo="`greenroom init` makes an algorithm's folder.",
        ) from None


def has_requirements(directory: Path) -> bool:
    """Whether requirements.txt names anything."""
    path = directory / "requirements.txt"
    if not path.is_file():
        return False
    lines = (line.strip() for line in path.read_text(errors="replace").splitlines())
    return any(line and not line.startswith("#") for line in lines)


def install(directory: Path, target: Path, *, for_lambda: Metadata | None) -> None:
    """Install requirements.txt into a folder, for Lambda's platform or, with None, for this machine.

    Raises PackageError with the end of what pip said.
    """
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-compile", "--target", str(target), "--requirement", str(directory / "requirements.txt")]
    if (directory / "constraints.txt").is_file():
        command += ["--constraint", str(directory / "constraints.txt")]
    if for_lambda is not None:
        command += ["--only-binary=:all:", "--implementation=cp"]
        command += [f"--python-version={for_lambda.runtime.removeprefix('python')}"]
        command += [f"--platform={platform}" for platform in PLATFORMS[for_lambda.architecture]]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PIP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise _pip_failed(directory, f"pip did not end within {PIP_TIMEOUT_S} s", "Try again.") from None
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        said = "\n  ".join(errors[-6:] or done.stderr.splitlines()[-6:])
        where = f"{for_lambda.runtime} on {for_lambda.architecture}" if for_lambda else "this machine"
        raise _pip_failed(
            directory,
            f"can't be installed for {where}:\n  {said}",
            "A dependency needs a wheel for it: take a version that has one, or put the code into the folder.",
        )


def _pip_failed(directory: Path, what: str, todo: str) -> PackageError:
    return PackageError(code="requirements", where=str(directory / "requirements.txt"), what=what, todo=todo)


def _named(paths: Iterator[Path], folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in paths}


def _own_files(directory: Path) -> Iterator[Path]:
    patterns = [*IGNORED, *_ignore_file(directory)]
    pending = [directory]
    while pending:
        for path in sorted(pending.pop().iterdir()):
            relative = path.relative_to(directory).as_posix()
            if any(fnmatch.fnmatch(path.name, each) or fnmatch.fnmatch(relative, each) for each in patterns):
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(directory.resolve()):
                raise PackageError(
                    code="link", where=relative, what="is a link that leads out of the folder", todo="Copy the file."
                )
            if path.is_dir():
                pending.append(path)
            elif path.is_file():
                yield path


def _ignore_file(directory: Path) -> list[str]:
    path = directory / ".greenroomignore"
    if not path.is_file():
        return []
    lines = (line.strip().rstrip("/") for line in path.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _installed_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        varies = parts[0].endswith(".dist-info") and path.name in VARYING
        if path.is_file() and not varies and "__pycache__" not in parts and parts[0] != "bin":
            yield path


def _zip(files: dict[str, Path], output: Path) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(f"{output.name}.part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            executable = files[name].stat().st_mode & 0o100
            entry.external_attr = (0o100755 if executable else 0o100644) << 16
            archive.writestr(entry, files[name].read_bytes())
    part.replace(output)

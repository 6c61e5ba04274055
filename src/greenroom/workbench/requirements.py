"""Read requirements.txt: only what pip can install without running any code of what it installs.

pip runs the `setup.py` of a folder, of a git repository and of a source distribution on this machine, whatever
`--only-binary` says. So each line is read here, and pip is given a file that is written from what was understood. What
is left is a name that the index resolves to a wheel, or a wheel itself.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from greenroom.package.errors import PackageError

FILE, CONSTRAINTS = "requirements.txt", "constraints.txt"
MAX_FILE_BYTES = 1024 * 1024
MAX_FILES = 32

SHORT = {"-i": "--index-url", "-f": "--find-links", "-r": "--requirement", "-c": "--constraint", "-e": "--editable"}
WITH_VALUE = {"--index-url", "--extra-index-url", "--find-links", "--trusted-host", "--requirement", "--constraint"}
WITHOUT_VALUE = {"--no-index", "--pre", "--prefer-binary", "--require-hashes"}
"""Options of a file that change where pip looks and what it prefers, and never whether it builds something:
https://pip.pypa.io/en/stable/reference/requirements-file-format/#supported-options"""

COMMENT = re.compile(r"(^|\s+)#.*$")
NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?:\s*\[[A-Za-z0-9._,\s-]*\])?"
VERSION = r"(?:===|==|~=|!=|<=|>=|<|>)\s*[A-Za-z0-9.*+!_-]+"
FROM_INDEX = re.compile(rf"{NAME}\s*(?:\(?\s*{VERSION}(?:\s*,\s*{VERSION})*\s*,?\s*\)?)?")
"""A name, extras and versions: https://packaging.python.org/en/latest/specifications/dependency-specifiers/"""

AT_ADDRESS = re.compile(rf"(?P<name>{NAME})\s*@\s*(?P<target>\S+)")
ARCHIVE = re.compile(r"\.(?:zip|tar|tgz|tbz|txz|tlz|tar\.(?:gz|bz2|xz|lz|lzma))(?:\[.*)?$", re.IGNORECASE)
HASH = re.compile(r"--hash=[a-z0-9]+:[0-9a-f]+")
EXTRAS = re.compile(r"\[[A-Za-z0-9._,\s-]*\]$")

WHEEL = "Build a wheel with\n  pip wheel --no-deps --wheel-dir wheels {}\nand name the file, as ./wheels/<file>.whl."


@dataclass(frozen=True)
class Requirements:
    """What the files ask for, as lines for pip. Paths in them are absolute."""

    lines: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Line:
    """One line of a file, without its comment, and with those that it goes on in."""

    text: str
    file: Path
    number: int
    directory: Path

    def wrong(self, what: str, hint: str) -> PackageError:
        """Return the fault of this line."""
        name = self.file.relative_to(self.directory).as_posix()
        return PackageError(code="requirements", where=f"{name}, line {self.number}", fault=what, hint=hint)


def read_requirements(directory: Path) -> Requirements:
    """Read requirements.txt of an algorithm's folder, a constraints.txt next to it, and the files that they name.

    Raises PackageError if pip would have to run code to install what a line names.
    """
    directory = directory.resolve()
    found = Requirements()
    left = [(directory / FILE, False)]
    if (directory / CONSTRAINTS).is_file():
        left.append((directory / CONSTRAINTS, True))
    begun = set(left)
    while left:
        path, constrains = left.pop(0)
        lines = found.constraints if constrains else found.lines
        for line in _logical_lines(path, directory):
            if not line.text.replace("\t", " ").isprintable():
                raise line.wrong("has a character that is not printable", "Delete it.")
            if not line.text.startswith("-"):
                lines.append(_requirement(line))
                continue
            for name, value in _options(line):
                if name not in ("--requirement", "--constraint"):
                    lines.append(_option(line, name, value))
                    continue
                named = (_nested(line, value), constrains or name == "--constraint")
                if named not in begun:
                    begun.add(named)
                    left.append(named)
        if len(begun) > MAX_FILES:
            raise _file_fault(FILE, f"leads to more than {MAX_FILES} files", "Put them into one.")
    return found


def has_requirements(directory: Path) -> bool:
    """Return whether requirements.txt names anything."""
    directory = directory.resolve()
    path = directory / FILE
    return path.is_file() and any(True for _ in _logical_lines(path, directory))


def _logical_lines(path: Path, directory: Path) -> Iterator[_Line]:
    """Yield the lines that say something; a backslash at the end joins a line with the next one."""
    try:
        with path.open("rb") as file:
            body = file.read(MAX_FILE_BYTES + 1)
        text = body.decode("utf-8-sig")
    except OSError as error:
        raise _file_fault(path.name, f"can't be read ({error.strerror})", "Correct its name.") from None
    except UnicodeDecodeError:
        raise _file_fault(path.name, "is not UTF-8", "Save it as UTF-8.") from None
    if len(body) > MAX_FILE_BYTES:
        raise _file_fault(path.name, f"has more than {MAX_FILE_BYTES:,} bytes", "Leave out what is not needed.")
    begun, joined = 1, ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.endswith("\\") and not COMMENT.match(line):
            joined += line[:-1]
            continue
        if said := COMMENT.sub("", joined + line).strip():
            yield _Line(said, path, begun, directory)
        begun, joined = number + 1, ""
    if said := joined.strip():
        yield _Line(said, path, begun, directory)


def _options(line: _Line) -> Iterator[tuple[str, str]]:
    """Yield the options of a line, by their long names, each with its value."""
    try:
        words = shlex.split(line.text)
    except ValueError:
        raise line.wrong("has a quote that is not closed", "Close it.") from None
    while words:
        name, _, value = words.pop(0).partition("=")
        if name[:2] in SHORT and not name.startswith("--"):
            value, name = name[2:] + value, SHORT[name[:2]]
        if name == "--editable":
            what = f"is editable ({value or ' '.join(words[:1])}): the package would name a folder of this machine"
            raise line.wrong(what, WHEEL.format(shlex.quote(value or " ".join(words[:1]))))
        if name not in WITH_VALUE | WITHOUT_VALUE:
            allowed = ", ".join(sorted(WITH_VALUE | WITHOUT_VALUE))
            raise line.wrong(f"has the option {name}; allowed: {allowed}", "Leave it out.")
        if name in WITH_VALUE and not value:
            value = words.pop(0) if words else ""
        if (name in WITH_VALUE) != bool(value):
            raise line.wrong(f"has the option {name} with a wrong value", "Correct it.")
        yield name, value


def _option(line: _Line, name: str, value: str) -> str:
    _refuse_variables(line)
    if name == "--find-links" and "://" not in value:
        value = str(line.directory / value)
    return f"{name} {shlex.quote(value)}" if value else name


def _nested(line: _Line, value: str) -> Path:
    """Return the file that a line names, which begins in the folder of the file that it is in."""
    path = (line.file.parent / value).resolve()
    if "://" in value or not path.is_relative_to(line.directory):
        raise line.wrong(f"names {value}, which is not in the algorithm's folder", "Put the file into the folder.")
    return path


def _requirement(line: _Line) -> str:
    """Return a requirement as a line for pip."""
    _refuse_variables(line)
    words = re.split(r"\s+(?=--)", line.text)
    for option in words[1:]:
        if not HASH.fullmatch(re.sub(r"^--hash\s+", "--hash=", option)):
            raise line.wrong(f"has the option {option.partition('=')[0]}; allowed: --hash", "Leave it out.")
    target, semicolon, marker = _split_marker(words[0])
    if semicolon and not marker:
        raise line.wrong("has a semicolon, and no marker after it", "Leave it out.")
    if re.search(r"\s-", marker):
        raise line.wrong("has an option after its marker; allowed: --hash", "Leave it out.")
    options = "".join(f" {option}" for option in words[1:])
    ending = f" ; {marker}{options}" if semicolon else options
    if not ARCHIVE.search(target) and not target.lower().endswith(".whl") and FROM_INDEX.fullmatch(target):
        return target + ending
    if (at := AT_ADDRESS.fullmatch(target)) is not None:
        return f"{at['name']} @ {_wheel(line, at['target'])}{ending}"
    return _wheel(line, target) + ending


def _split_marker(text: str) -> tuple[str, str, str]:
    """Split off a marker. In an address a semicolon may be a part of it, so there a blank has to come first."""
    separator = r"\s;|;\s" if "://" in text else ";"
    parts = re.split(separator, text, maxsplit=1)
    return parts[0].strip(), ";" if len(parts) == 2 else "", parts[-1].strip()


def _wheel(line: _Line, target: str) -> str:
    """Return the wheel that a line names, as a path from the root or an address. Raises PackageError for another."""
    address = urlsplit(target)
    if "+" in address.scheme:
        kind = address.scheme.partition("+")[0]
        what = f"names a repository ({target}), which pip would build by running its own code"
        raise line.wrong(what, WHEEL.format(shlex.quote(target)) if kind == "git" else "Name a wheel of it.")
    is_address = "://" in target or address.scheme == "file"
    if address.scheme in ("http", "https") and unquote(address.path).lower().endswith(".whl"):
        return target
    extras = EXTRAS.search(target)
    path = unquote(address.path) if address.scheme == "file" else target
    name = path[: len(path) - len(extras[0])] if extras and not is_address else path
    place = line.directory / name
    if not (is_address and address.scheme != "file") and name.lower().endswith(".whl"):
        if not place.is_file():
            raise line.wrong(f"names {name}, which does not exist", "Correct the path, which begins in the folder.")
        return f"{place}{extras[0]}" if extras and not is_address else place.as_uri()
    if place.is_dir() and not is_address:
        what = f"names a folder ({target}), whose own code pip would run to build it"
        raise line.wrong(what, WHEEL.format(shlex.quote(target)) + "\nOr move its modules next to metadata.json.")
    what = f"is neither a requirement that an index resolves, such as name==1.0, nor a wheel: {target}"
    raise line.wrong(what, "pip would run the code of anything else. " + WHEEL.format("NAME"))


def _refuse_variables(line: _Line) -> None:
    if found := re.search(r"\$\{\w+\}", line.text):
        what = f"has the variable {found[0]}; pip gets no variables but its own settings"
        raise line.wrong(what, "Put an index that needs a password into pip's configuration, or into PIP_INDEX_URL.")


def _file_fault(name: str, what: str, hint: str) -> PackageError:
    return PackageError(code="requirements", where=name, fault=what, hint=hint)

"""requirements.txt with anything in it. What pip gets of it, pip reads as names of the index and wheels only."""

from __future__ import annotations

import os
import random
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from greenroom.package.errors import PackageError
from greenroom.workbench.requirements import read_requirements

WORDS = (
    *(
        "numpy",
        "evil",
        "./evil",
        "evil.zip",
        "evil-1.0.tar.gz",
        "./w/plain-1.0-py3-none-any.whl",
        ".",
        "..",
        "/",
        "a b",
    ),
    *(
        "==1.0",
        ">=1,<2",
        "[extra]",
        "[",
        "]",
        "(>=1)",
        "~=",
        "@",
        " @ ",
        ";",
        " ; ",
        "python_version>'3'",
        "sys_platform",
    ),
    *(
        "git+file:///evil",
        "file:///evil",
        "file:evil",
        "https://example.org/x.whl",
        "https://example.org/x.tar.gz",
        "#egg=x",
    ),
    *(
        "#",
        " # ",
        "\\",
        "\\\n",
        "\n",
        "\r",
        "\x0b",
        "\u2028",
        "\t",
        '"',
        "'",
        "${HOME}",
        "$HOME",
        "%20",
        "%2e",
        "\ufeff",
        "=",
        ",",
    ),
    *(
        "-e",
        "--editable=",
        "-r",
        "-c",
        "-f",
        "-i",
        "--pre",
        "--no-binary",
        ":all:",
        "--only-binary=:none:",
        "--hash=sha256:ab",
    ),
    *(
        "--config-settings=a=b",
        "--global-option=x",
        "-e./evil",
        "-revil",
        "--edit",
        "--",
        "-",
        " ",
        "  ",
        "é",
        "\u202e",
        "\0",
    ),
)


GOOD = (
    *("numpy\n", "numpy==1.0 ; python_version > '3'\n", "requests[socks]>=2,<3 --hash=sha256:ab\n", "--pre\n"),
    *(
        "./w/plain-1.0-py3-none-any.whl\n",
        "plain @ https://example.org/plain-1.0-py3-none-any.whl\n",
        "# said\n",
        "a (>=1)",
    ),
)


def attempt(rng: random.Random) -> str:
    """Write a file and hold what we read in it against what pip reads in what we write."""
    words = [rng.choice(WORDS) + rng.choice(("", " ", "", "\n")) for _ in range(rng.randint(0, 4))]
    for _ in range(rng.randint(0, 2)):
        words.insert(rng.randint(0, len(words)), rng.choice(GOOD))
    body = "".join(words)
    folder = _folder()
    (folder / "requirements.txt").write_text(body, encoding="utf-8", newline="")
    try:
        found = read_requirements(folder)
    except PackageError as error:
        return error.code
    written = folder / "empty" / "written.txt"
    written.write_text("".join(f"{line}\n" for line in found.lines + found.constraints), encoding="utf-8")
    for requirement in _as_pip_reads(written):
        link = requirement.link
        assert not requirement.editable, (body, found)
        assert link is None or (link.is_wheel and (not link.is_file or Path(link.file_path).is_file())), (body, found)
    return "read" if found.lines else "empty"


def _as_pip_reads(path: Path) -> list[Any]:
    from pip._internal.exceptions import InstallationError
    from pip._internal.network.session import PipSession
    from pip._internal.req.constructors import install_req_from_parsed_requirement
    from pip._internal.req.req_file import parse_requirements

    before = Path.cwd()
    os.chdir(path.parent)
    try:
        parsed = parse_requirements(str(path), session=PipSession())
        return [install_req_from_parsed_requirement(each) for each in parsed]
    except InstallationError:
        return []  # pip would refuse it as well
    finally:
        os.chdir(before)


@cache
def _folder() -> Path:
    """An algorithm's folder with something of everything that a line could name."""
    folder = Path(tempfile.mkdtemp(prefix="greenroom-hostile-"))
    for name in ("evil/setup.py", "evil.zip", "evil-1.0.tar.gz", "w/plain-1.0-py3-none-any.whl", "empty/written.txt"):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    return folder

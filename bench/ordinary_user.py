"""Runs a command of this project as an ordinary user, for root.

This Python, its packages and this checkout may lie where only root may read. They then appear, in mounts of the
command's own, below empty folders that everybody may enter.

    python -m bench.ordinary_user COMMAND...
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import tempfile
from pathlib import Path

NOBODY = 65534
CLONE_NEWNS = 0x00020000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18

REPOSITORY = Path(__file__).resolve().parents[1]
NEEDED = tuple({Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), REPOSITORY})


def mount(source: Path | None, target: Path, kind: str | None, flags: int, options: str | None = None) -> None:
    """mount(2)."""
    texts = [None if text is None else str(text).encode() for text in (source, target, kind)]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(*texts, flags, None if options is None else options.encode()) != 0:
        raise OSError(ctypes.get_errno(), f"mount on {target}: {os.strerror(ctypes.get_errno())}")


def closed(path: Path) -> Path | None:
    """Return the first folder on the way to a path that only its owner may enter."""
    return next((each for each in reversed(path.parents) if not each.stat().st_mode & 0o001), None)


def show(paths: tuple[Path, ...], stash: Path) -> None:
    """Make folders readable for everybody, in this process and those it starts."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    mount(None, Path("/"), None, MS_REC | MS_PRIVATE)
    hidden = {path: closed(path) for path in paths}
    kept = {}
    for number, path in enumerate(path for path in paths if hidden[path]):
        kept[path] = stash / str(number)
        kept[path].mkdir()
        mount(path, kept[path], None, MS_BIND | MS_REC)
    for folder in {folder for folder in hidden.values() if folder}:
        mount(Path("tmpfs"), folder, "tmpfs", 0, "mode=755")
    for path in sorted(kept):  # a folder before what is in it
        path.mkdir(parents=True, exist_ok=True)
        mount(kept[path], path, None, MS_BIND | MS_REC)


def main() -> None:
    """Become the user and run the command."""
    here = Path.cwd()
    home = tempfile.mkdtemp(prefix="ordinary-user-")
    os.chown(home, NOBODY, NOBODY)
    with tempfile.TemporaryDirectory() as stash:
        child = os.fork()
        if child == 0:
            show(NEEDED, Path(stash))
            os.chdir(here)
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            environment = {**os.environ, "HOME": home, "TMPDIR": home, "PYTHONDONTWRITEBYTECODE": "1"}
            os.execvpe(sys.argv[1], sys.argv[1:], environment)  # noqa: S606
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    shutil.rmtree(home, ignore_errors=True)
    sys.exit(status)


if __name__ == "__main__":
    main()

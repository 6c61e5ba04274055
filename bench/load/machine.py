"""What a platform takes of the machine: memory, processes, open files, control groups, disk."""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.crash.rig import descendants, groups


@dataclass(frozen=True)
class Taken:
    """What a server and its functions take."""

    memory_mb: float
    processes: int
    open_files: int
    control_groups: int
    disk_mb: float

    def __str__(self) -> str:
        return ", ".join(f"{name} {value:g}" for name, value in asdict(self).items())


def taken(pid: int, data: Path) -> Taken:
    """Look at a server now. The memory is its own, without its functions'."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Taken(
        memory_mb=round(pages * 4096 / 1e6, 1),
        processes=len(descendants(pid)),
        open_files=len([*Path(f"/proc/{pid}/fd").iterdir()]),
        control_groups=sum(path.name.startswith(f"{pid}-") for path in groups()),
        disk_mb=round(size_bytes(data) / 1e6, 1),
    )


def size_bytes(folder: Path) -> int:
    """Return how much is in a folder; files that go meanwhile don't count."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size if path.is_file() and not path.is_symlink() else 0
    return total

"""Where the engine's control groups are: below the root, in a group delegated to a user, in a container. A real kernel.

docs/engine.md says how to boot one whose groups are of version 2 where there is none.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from greenroom.engine import Engine, cgroup, isolation

REPOSITORY = Path(__file__).parents[3]
NOBODY = 65_534

grouped = pytest.mark.skipif(isolation().limits == "watcher", reason="this process may not make control groups")
version2 = pytest.mark.skipif(
    isolation().limits != "cgroup v2" or os.geteuid() != 0, reason="needs root and control groups of version 2"
)

LOOK = """
import json, sys
from pathlib import Path
from greenroom.engine import isolation
print(json.dumps([isolation().limits, isolation().cpus, Path("/proc/self/cgroup").read_text().strip()]))
"""

RUN = """
import json, tempfile
from pathlib import Path
from tests.integration.engine.lab import SPIN, Lab, answer
from greenroom.engine import isolation
with tempfile.TemporaryDirectory() as folder:
    lab = Lab(Path(folder))
    spans = [answer(lab.run(SPIN, 0.2, memory_mb=512)) for _ in range(3)]
    lab.engine.close()
print(json.dumps([isolation().limits, min(end - begin for begin, end in spans) / 0.2]))
"""

AS_USER = [sys.executable, "-m", "bench.ordinary_user"]
OWN_ROOT = 'umount /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"'
IN_CONTAINER = ["unshare", "--cgroup", "--mount", "sh", "-c", OWN_ROOT, "sh"]


class Delegated:
    """A group of version 2 as https://docs.kernel.org/admin-guide/cgroup-v2.html#model-of-delegation has it."""

    def __init__(self, parent: Path, owner: int) -> None:
        self.folder = parent / f"test-{uuid4().hex}"
        self.folder.mkdir()
        for name in ("", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"):
            os.chown(self.folder / name, owner, owner)

    def start(self, wrapper: list[str], program: str) -> subprocess.Popen[str]:
        """Start a Python program in the group."""
        enter = f'echo $$ > {self.folder}/cgroup.procs && exec "$@"'
        command = ["sh", "-c", enter, "sh", *wrapper, sys.executable, "-c", program]
        return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def remove(self) -> None:
        for folder in sorted((each for each in self.folder.rglob("*") if each.is_dir()), reverse=True):
            folder.rmdir()
        self.folder.rmdir()


@pytest.fixture(params=[pytest.param((AS_USER, NOBODY), id="user"), pytest.param((IN_CONTAINER, 0), id="container")])
def place(request: pytest.FixtureRequest) -> Iterator[tuple[Delegated, list[str]]]:
    wrapper, owner = request.param
    group = Delegated(cgroup.V2_ROOT, owner)
    yield group, wrapper
    group.remove()


def told(process: subprocess.Popen[str]) -> Any:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err[-4_000:]
    return json.loads(out)


@version2
def test_functions_have_their_share_in_a_delegated_group(place: tuple[Delegated, list[str]]) -> None:
    group, wrapper = place
    limits, slowdown = told(group.start(wrapper, RUN))
    assert limits == "cgroup v2"
    assert slowdown == pytest.approx(1_769 / 512, rel=0.15)
    assert sorted(each.name for each in group.folder.iterdir() if each.is_dir()) == [cgroup.HOME, cgroup.ENGINE]
    assert not [each for each in (group.folder / cgroup.HOME).iterdir() if each.is_dir()]


@version2
def test_engines_share_a_delegated_group(place: tuple[Delegated, list[str]]) -> None:
    group, wrapper = place
    found = [told(process) for process in [group.start(wrapper, LOOK) for _ in range(3)]]
    assert [limits for limits, _, _ in found] == ["cgroup v2"] * 3
    assert all(own.endswith(f"/{cgroup.ENGINE}") for _, _, own in found)


@version2
def test_what_an_engine_starts_uses_the_engines_group(place: tuple[Delegated, list[str]]) -> None:
    group, wrapper = place
    nested = (
        f"{LOOK}\nimport subprocess\nsys.stdout.flush()\nsubprocess.run([sys.executable, '-c', {LOOK!r}], check=True)"
    )
    process = group.start(wrapper, nested)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err[-4_000:]
    first, second = out.splitlines()
    assert first == second
    assert "cgroup v2" in first


@version2
def test_a_delegated_groups_own_limit_is_how_many_cpus_there_are(place: tuple[Delegated, list[str]]) -> None:
    group, wrapper = place
    (group.folder / "cpu.max").write_text("50000 100000")
    limits, cpus, _ = told(group.start(wrapper, LOOK))
    assert (limits, cpus) == ("cgroup v2", 0.5)


@version2
def test_nobody_is_moved_in_a_group_that_has_not_got_the_controllers() -> None:
    memory_only = Delegated(cgroup.V2_ROOT, 0)
    (memory_only.folder / "cgroup.subtree_control").write_text("+memory")
    group = Delegated(memory_only.folder, NOBODY)
    try:
        limits, _, own = told(group.start(AS_USER, LOOK))
        assert limits == "watcher"
        assert own.endswith(f"/{group.folder.name}")
    finally:
        memory_only.remove()


@version2
def test_no_folders_of_version_1_are_made_in_version_2() -> None:
    assert not [name for name in cgroup.V1_CONTROLLERS if (cgroup.V2_ROOT / name).exists()]


@grouped
def test_an_engine_removes_what_a_killed_one_left_and_nothing_of_one_that_lives(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    kind = cgroup.V1Group if isolation().limits == "cgroup v1" else cgroup.V2Group
    left, living = kind(f"{gone.pid}-{uuid4().hex}"), kind(f"{os.getpid()}-{uuid4().hex}")
    try:
        Engine(tmp_path).close()
        with pytest.raises(FileNotFoundError):
            left.throttled()
        assert living.throttled() == 0
    finally:
        living.remove()

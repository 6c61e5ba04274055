"""Where the engine's control groups are: below the root, in a group delegated to a user, in a container. A real kernel.

docs/engine.md says how to boot one whose groups are of version 2 where there is none.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from greenroom.engine import Engine, cgroup, isolation
from tests.integration.engine.lab import descendants, wait_for_end

REPOSITORY = Path(__file__).parents[3]
NOBODY = 65_534
PR_SET_CHILD_SUBREAPER = 36

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


LEAVE = """
import os, signal, sys
from greenroom.engine.cgroup import Branch
pid = os.fork()  # before there is a lock that it would have too
if pid == 0:
    signal.pause()
group = Branch().new_group()
group.add(pid)
group.freeze(True)
print(pid, flush=True)
signal.pause() if sys.argv[1] == "stay" else os.kill(os.getpid(), signal.SIGKILL)
"""


def leave(how: str) -> tuple[subprocess.Popen[str], int]:
    """Start an engine's process with a frozen environment, which ends at once or stays; return the environment's id."""
    process = subprocess.Popen([sys.executable, "-c", LEAVE, how], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        return process, int(process.stdout.readline())


def branches(pid: int) -> list[Path]:
    return [folder for home in cgroup.branch_homes().values() for folder in home.glob(f"{pid}{cgroup.BRANCH}*")]


@grouped
def test_an_engine_kills_and_removes_what_a_killed_one_left_and_nothing_of_one_that_lives(tmp_path: Path) -> None:
    killed, left = leave("end")
    assert killed.wait() == -signal.SIGKILL
    living, stays = leave("stay")
    try:
        assert branches(killed.pid) and Path(f"/proc/{left}").exists()
        Engine(tmp_path).close()
        wait_for_end(left)
        assert not branches(killed.pid)
        assert branches(living.pid) and Path(f"/proc/{stays}").exists()
    finally:
        living.kill()
        living.wait()
    Engine(tmp_path).close()
    wait_for_end(stays)
    assert not branches(living.pid)


@grouped
def test_nobody_else_may_look_into_the_groups_or_hold_up_an_engine() -> None:
    assert {stat.S_IMODE(home.stat().st_mode) & 0o077 for home in cgroup.branch_homes().values()} == {0}


@grouped
def test_all_functions_together_leave_the_machine_some_memory() -> None:
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    homes = cgroup.branch_homes()
    home, file = (homes[""], "memory.max") if "" in homes else (homes["memory"], "memory.limit_in_bytes")
    assert 0.8 * whole < int((home / file).read_text()) < 0.95 * whole


KILLED_MEANWHILE = """
import json, sys, threading
from pathlib import Path
from tests.integration.engine.lab import Lab
lab = Lab(Path(sys.argv[1]))
print("ready", flush=True)
def run(number):
    for turn in range(1000):
        print(turn, flush=True)
        lab.run(f"import os, time  # {number} {turn}\\ndef handler(event, context): os.fork() or time.sleep(60)")
for number in range(3):
    threading.Thread(target=run, args=(number,)).start()
"""


@pytest.fixture
def adopting() -> Iterator[None]:
    """Let this process adopt what its children leave behind, so that it can be found."""
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    yield
    prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def adopted() -> list[int]:
    """Return what below this process has not ended, and is none of its own."""
    found = []
    for pid in descendants([os.getpid()]):
        with contextlib.suppress(OSError):
            if b"zygote.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
            elif "State:\tZ" in Path(f"/proc/{pid}/status").read_text():
                os.waitpid(pid, os.WNOHANG)
    return found


@pytest.mark.usefixtures("adopting")
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_engines_that_are_killed_while_they_start_environments_leave_nothing(tmp_path: Path) -> None:
    killed = []
    for number in range(30):
        command = [sys.executable, "-c", KILLED_MEANWHILE, str(tmp_path / str(number))]
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE)
        assert process.stdout is not None
        with process.stdout:
            for _ in range(1 + 2 * (number % 6)):  # from before a prepared process starts until some stand still
                process.stdout.readline()
            time.sleep(0.01 * number)
            process.kill()
        process.wait()
        killed.append(process.pid)
    until = time.monotonic() + 20
    while (left := adopted()) and time.monotonic() < until:
        time.sleep(0.1)
    assert not left
    if isolation().limits != "watcher":
        Engine(tmp_path / "next").close()
        assert not [branch for pid in killed for branch in branches(pid)]

"""CPU share, memory ceiling, number of processes and freezing, through the kernel's control groups, version 1 or 2.

A function gets `MemorySize / 1769` of one vCPU: "At 1,769 MB, a function has the equivalent of one vCPU"
(https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html). The share is enforced over 20 ms, the period
measured on Lambda itself (Zhang et al., "Demystifying CPU throttling on AWS Lambda").

The groups of the environments of one prepared process are in a branch: a group that the engine holds a lock on. A
branch whose lock can be had belongs to an engine that is gone, and whatever is in it is killed and removed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, Protocol
from uuid import uuid4

MB_PER_VCPU = 1_769
"""`tuning` has the same figure, and may not import this; a test ties the two."""

PERIOD_US = 20_000
MIN_QUOTA_US = 1_000
"""The least that the kernel accepts: https://docs.kernel.org/scheduler/sched-bwc.html"""

TRY_TIMEOUT_S = 10
"""How long the attempt to make namespaces may take."""

V1_ROOT = Path("/sys/fs/cgroup")
V1_CONTROLLERS = ("cpu", "memory", "freezer")

V2_ROOT = Path("/sys/fs/cgroup")
V2_CONTROLLERS = "+cpu +memory"
PROCESSES = "pids"
"""The controller that is used where there is one; with it the kernel counts an environment's processes."""
HOME = "greenroom"
"""The group that has all branches."""
BRANCH = "-branch-"
"""What is in the name of a branch, and in no other group's."""
ENGINE = "greenroom-engine"
"""The group next to it for the engine: version 2 moves all there that was in the group above."""

V1_WEIGHT, V2_WEIGHT = 262_144, 10_000
"""The most that the kernel gives, of usually 1024 and 100: without it all functions together weigh as much as one
process. https://docs.kernel.org/scheduler/sched-design-CFS.html#cfs-group-scheduling,
https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files"""

MAX_PROCESSES = 1_024
"""https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html#function-configuration-deployment-and-execution"""

MEMORY_SHARE = 0.9
"""How much of the machine's memory all functions together may use."""

LOCK_WAIT_S = 5.0
"""How long another engine may be about to make or remove branches."""

END_WAIT_S = 5.0
"""How long processes may take to be gone once they are killed."""
MOVES = 20
"""How often processes are moved before the engine gives up: each time the last ones may have started new ones."""


def vcpus(memory_mb: int) -> float:
    """Return the share of CPU that a memory size gets: 5.79 at the largest, 10,240 MB."""
    return memory_mb / MB_PER_VCPU


def quota_us(memory_mb: int, cpus: float) -> int:
    """Return the CPU time in microseconds per period of 20 ms that a memory size has on a machine with `cpus` CPUs."""
    return max(MIN_QUOTA_US, round(PERIOD_US * min(vcpus(memory_mb), cpus)))


@dataclass(frozen=True)
class Isolation:
    """What this machine allows the engine: how it limits CPU and memory, and whether it keeps files apart."""

    limits: Literal["cgroup v1", "cgroup v2", "watcher"]
    namespaces: bool
    cpus: float

    def describe(self) -> str:
        """Return one sentence for people."""
        files = "files in namespaces" if self.namespaces else "files not kept apart"
        if self.limits == "watcher":
            return (
                "CPU by stopping processes on a 20 ms grid, right to about 3 % on average; memory by looking as often; "
                f"{files}; {self.cpus:g} CPUs"
            )
        return f"CPU by {self.limits}, right to about 1 %; memory by the kernel, exact; {files}; {self.cpus:g} CPUs"


class Group(Protocol):
    """The control group of one execution environment."""

    def add(self, pid: int) -> None:
        """Put a process, and all that it will start, into the group."""

    def limit_memory(self, limit_bytes: int) -> None:
        """Set the ceiling; the kernel kills a process that goes over it. And how many processes there may be."""

    def limit_cpu(self, share_us: int | None) -> None:
        """Set CPU time per period, or take the limit away."""

    def freeze(self, frozen: bool) -> None:
        """Freeze all processes, or thaw them."""

    def throttled(self) -> int:
        """Return how often the group has used up its share before the period was over."""

    def out_of_memory(self) -> bool:
        """Return whether the kernel has killed a process of the group for its memory."""

    def peak_bytes(self) -> int:
        """Return the most memory that the group has used."""

    def remove(self) -> None:
        """Kill what is left in the group and remove it."""


class V1Group:
    """A control group of version 1: one folder in each controller's hierarchy."""

    def __init__(self, parents: dict[str, Path], name: str) -> None:
        self._folders = {controller: parent / name for controller, parent in parents.items()}
        for folder in self._folders.values():
            folder.mkdir()
        # Texts, and made once: freezing and looking at them is on the way of every invocation.
        self._state = f"{self._folders['freezer']}/freezer.state"
        self._oom = f"{self._folders['memory']}/memory.oom_control"
        self._peak = f"{self._folders['memory']}/memory.max_usage_in_bytes"
        self._cpu = f"{self._folders['cpu']}/cpu.stat"

    def _write(self, controller: str, file: str, value: object) -> None:
        _write(f"{self._folders[controller]}/{file}", value)

    def add(self, pid: int) -> None:
        for controller in self._folders:
            self._write(controller, "cgroup.procs", pid)

    def limit_memory(self, limit_bytes: int) -> None:
        self._write("memory", "memory.limit_in_bytes", limit_bytes)
        with contextlib.suppress(OSError):  # absent where swap is not accounted for
            self._write("memory", "memory.memsw.limit_in_bytes", limit_bytes)
        if PROCESSES in self._folders:
            self._write(PROCESSES, "pids.max", MAX_PROCESSES)

    def limit_cpu(self, share_us: int | None) -> None:
        self._write("cpu", "cpu.cfs_quota_us", -1)
        if share_us is not None:
            self._write("cpu", "cpu.cfs_period_us", PERIOD_US)
            self._write("cpu", "cpu.cfs_quota_us", share_us)

    def freeze(self, frozen: bool) -> None:
        _write(self._state, "FROZEN" if frozen else "THAWED")

    def throttled(self) -> int:
        return _number(_read(self._cpu), b"nr_throttled ")

    def out_of_memory(self) -> bool:
        return _number(_read(self._oom), b"oom_kill ") > 0

    def peak_bytes(self) -> int:
        return int(_read(self._peak))

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self.freeze(False)
        _kill_all(self._folders["freezer"] / "cgroup.procs")
        for folder in self._folders.values():
            _remove(folder)


class V2Group:
    """A control group of version 2."""

    def __init__(self, parent: Path, name: str) -> None:
        self._folder = parent / name
        self._folder.mkdir()

    def _write(self, file: str, value: object) -> None:
        _write(f"{self._folder}/{file}", value)

    def add(self, pid: int) -> None:
        self._write("cgroup.procs", pid)

    def limit_memory(self, limit_bytes: int) -> None:
        self._write("memory.max", limit_bytes)
        with contextlib.suppress(OSError):
            self._write("memory.swap.max", 0)
        with contextlib.suppress(OSError):  # absent where the controller is not handed on
            self._write("pids.max", MAX_PROCESSES)

    def limit_cpu(self, share_us: int | None) -> None:
        self._write("cpu.max", f"{'max' if share_us is None else share_us} {PERIOD_US}")

    def freeze(self, frozen: bool) -> None:
        self._write("cgroup.freeze", int(frozen))

    def throttled(self) -> int:
        return _number(_read(f"{self._folder}/cpu.stat"), b"nr_throttled ")

    def out_of_memory(self) -> bool:
        return _number(_read(f"{self._folder}/memory.events"), b"oom_kill ") > 0

    def peak_bytes(self) -> int:
        try:
            return int(_read(f"{self._folder}/memory.peak"))
        except FileNotFoundError:  # before Linux 5.19
            return int(_read(f"{self._folder}/memory.current"))

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self._write("cgroup.kill", 1)
        _kill_all(self._folder / "cgroup.procs")
        _remove(self._folder)


def _write(path: str, value: object) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, str(value).encode())
    finally:
        os.close(descriptor)


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, 4_096)  # these files are smaller
    finally:
        os.close(descriptor)


def _number(text: bytes, name: bytes) -> int:
    """Return the number that follows a name at the beginning of a line; 0 if there is none."""
    return next((int(line[len(name) :]) for line in text.splitlines() if line.startswith(name)), 0)


class Branch:
    """The groups of one prepared process's environments.

    `folders` has its folder in each hierarchy: one with version 2.
    """

    def __init__(self) -> None:
        """Make it. Raises OSError where this process may not make any."""
        name = f"{os.getpid()}{BRANCH}{uuid4().hex}"
        homes = branch_homes()
        self._v1 = {controller: home / name for controller, home in homes.items()}
        self.folders = tuple(self._v1.values())
        with _locked(_locks_are_in(homes)):  # between the next two lines it looks as if nobody had it
            for folder in self.folders:
                folder.mkdir()
            self._lock = _try_lock(self._v1[_locks_are_in_controller(homes)])
        if "" in homes:
            _hand_on(self._v1[""])

    def new_group(self) -> Group:
        """Return a new control group for one environment."""
        return V2Group(self._v1[""], uuid4().hex) if "" in self._v1 else V1Group(self._v1, uuid4().hex)

    def remove(self) -> None:
        """Remove it, if nothing is in it any more, and let go of the lock."""
        for folder in self.folders:
            with contextlib.suppress(OSError):
                folder.rmdir()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def remove_leftovers() -> None:
    """Kill what engines that are gone have left in control groups, and remove the groups."""
    with contextlib.suppress(OSError):
        homes = branch_homes()
        locks = _locks_are_in(homes)
        with _locked(locks):
            names = {folder.name for home in homes.values() for folder in home.iterdir() if BRANCH in folder.name}
            for name in names:
                lock = _try_lock(locks / name)
                if lock is None and (locks / name).exists():
                    continue  # its engine lives
                _clear([home / name for home in homes.values()])
                if lock is not None:
                    os.close(lock)


def _clear(branch: list[Path]) -> None:
    """Thaw, kill and remove all groups of a branch."""
    groups = [each for folder in branch if folder.is_dir() for each in folder.iterdir() if each.is_dir()]
    until = time.monotonic() + END_WAIT_S
    while time.monotonic() < until:
        pids: set[str] = set()
        for group in groups:
            for file, value in (("freezer.state", "THAWED"), ("cgroup.kill", "1")):
                if (group / file).exists():
                    with contextlib.suppress(OSError):
                        (group / file).write_text(value)
            with contextlib.suppress(OSError):
                pids.update((group / "cgroup.procs").read_text().split())
        if not pids:
            break
        _kill(pids)
        time.sleep(0.005)
    for folder in (*groups, *branch):
        _remove(folder)


def branch_homes() -> dict[str, Path]:
    """Return the folder that has the branches in each hierarchy, by its controller; "" for that of version 2."""
    return _v1_homes() if isolation().limits == "cgroup v1" else {"": _v2_home()}


def _locks_are_in_controller(homes: dict[str, Path]) -> str:
    return "freezer" if "freezer" in homes else ""


def _locks_are_in(homes: dict[str, Path]) -> Path:
    return homes[_locks_are_in_controller(homes)]


def _try_lock(folder: Path) -> int | None:
    """Return a descriptor that has the lock on a folder, or None if another process has it. The kernel lets go of it
    when its process ends, however it ends; a process in another container sees it too."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Have a lock on a folder; raise OSError if another process has it for too long."""
    until = time.monotonic() + LOCK_WAIT_S
    while (descriptor := _try_lock(folder)) is None:
        if time.monotonic() > until:
            raise OSError(errno.EBUSY, f"another process holds the lock on {folder}")
        time.sleep(0.002)
    try:
        yield
    finally:
        os.close(descriptor)


@cache
def isolation() -> Isolation:
    """Find out, by trying, what this machine allows."""
    limits = _limits()
    return Isolation(limits, _may_have_namespaces(), usable_cpus(limits))


def _limits() -> Literal["cgroup v1", "cgroup v2", "watcher"]:
    with contextlib.suppress(OSError):
        _try_group(_v1_homes())
        return "cgroup v1"
    with contextlib.suppress(OSError):
        _try_group({"": _v2_home()})
        return "cgroup v2"
    return "watcher"


def _try_group(homes: dict[str, Path]) -> None:
    """Make a group and do all that is done with one. Raises OSError."""
    name = f"{os.getpid()}{BRANCH}{uuid4().hex}"
    with _locked(_locks_are_in(homes)):  # nobody takes it for a leftover meanwhile
        group = V2Group(homes[""], name) if "" in homes else V1Group(homes, name)
        try:
            group.limit_cpu(PERIOD_US)
            group.limit_memory(1 << 30)
            group.freeze(False)
        finally:
            group.remove()


def _may_have_namespaces() -> bool:
    """Return whether functions can have roots and process trees of their own."""
    if not Path("/proc/self/ns/mnt").exists():
        return False
    zygote = Path(__file__).parent / "runtime" / "zygote.py"
    command = [getattr(sys, "_base_executable", sys.executable), "-I", "-S", str(zygote), "--try"]
    return subprocess.run(command, capture_output=True, check=False, timeout=TRY_TIMEOUT_S).returncode == 0


def usable_cpus(limits: str) -> float:
    """Return how many CPUs functions may use: fewer than the machine has where a group above limits this process."""
    cpus = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    # In a container these are its own limits; on the machine itself there are none.
    with contextlib.suppress(OSError, ValueError):
        cpus = min(cpus, _v1_limit())
    with contextlib.suppress(OSError):
        group = _v2_home() if limits == "cgroup v2" else _v2_own()
        for folder in (group, *group.parents):
            with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
                quota, period = (folder / "cpu.max").read_text().split()
                cpus = min(cpus, int(quota) / int(period))
    return cpus


def _v1_limit() -> float:
    quota, period = (int((V1_ROOT / "cpu" / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
    return quota / period if quota > 0 else float("inf")


@cache
def _v1_homes() -> dict[str, Path]:
    """Return the folder for our groups in each controller's hierarchy. Raises OSError where there are none."""
    homes = {controller: V1_ROOT / controller / HOME for controller in (*V1_CONTROLLERS, PROCESSES)}
    if not (V1_ROOT / PROCESSES / "tasks").exists():
        del homes[PROCESSES]
    for home in homes.values():
        if not (home.parent / "tasks").exists():  # a folder of version 2 has no such file
            raise FileNotFoundError(f"{home.parent} is not a control group hierarchy of version 1")
    for home in homes.values():
        home.mkdir(exist_ok=True)
        home.chmod(0o700)  # who may open it may hold its lock
    with contextlib.suppress(OSError):  # a group can be had all the same
        _write(f"{homes['cpu']}/cpu.shares", V1_WEIGHT)
        _write(f"{homes['memory']}/memory.limit_in_bytes", _most_memory_bytes())
    return homes


@cache
def _v2_home() -> Path:
    """Return a folder of version 2's hierarchy whose children may use the controllers.

    It lies below the root, or below our own group. The second is for a group delegated to this user
    (https://systemd.io/CGROUP_DELEGATION/) and for containers, whose root is not the machine's. Raises OSError where
    neither is possible.
    """
    own = _v2_own()
    for group in (V2_ROOT, own.parent if own.name == ENGINE else own):
        home = group / HOME
        with contextlib.suppress(OSError):
            _pass_controllers_on(group)
            home.mkdir(exist_ok=True)
            home.chmod(0o700)  # who may open it may hold its lock
            _hand_on(home)
            with contextlib.suppress(OSError):  # a group can be had all the same
                _write(f"{home}/cpu.weight", V2_WEIGHT)
                _write(f"{home}/memory.max", _most_memory_bytes())
                if _v2_own().name != ENGINE:  # which therefore can't have a weight of its own, see `take_weight`
                    cpus = usable_cpus("watcher")
                    _write(f"{home}/cpu.max", f"{round(PERIOD_US * max(cpus - 1, cpus * 0.75))} {PERIOD_US}")
            return home
    raise PermissionError("this process may not make control groups of version 2")


def _hand_on(group: Path) -> None:
    """Let the children of an empty group of version 2 use the controllers."""
    (group / "cgroup.subtree_control").write_text(V2_CONTROLLERS)
    with contextlib.suppress(OSError):
        (group / "cgroup.subtree_control").write_text(f"+{PROCESSES}")


def take_weight() -> None:
    """Let this process weigh as much as all functions together, so that they can't keep it from running.

    Only where that takes it away from nobody: in version 1 systemd knows its services by another hierarchy; in version
    2 the engine has a group of its own only where the group was delegated to it. Elsewhere the functions have less than
    all CPUs (`_v2_home`).
    """
    with contextlib.suppress(OSError):
        if isolation().limits == "cgroup v1":
            engine = V1_ROOT / "cpu" / ENGINE
            engine.mkdir(exist_ok=True)
            (engine / "cpu.shares").write_text(str(V1_WEIGHT))
            (engine / "cgroup.procs").write_text(str(os.getpid()))
        elif isolation().limits == "cgroup v2" and (own := _v2_own()).name == ENGINE:
            (own / "cpu.weight").write_text(str(V2_WEIGHT))


def _most_memory_bytes() -> int:
    return int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * MEMORY_SHARE)


def _v2_own() -> Path:
    """Return the group of this process. Raises OSError where this machine does not use version 2."""
    if not (V2_ROOT / "cgroup.controllers").exists():
        raise FileNotFoundError("there is no control group hierarchy of version 2")
    return V2_ROOT / Path("/proc/self/cgroup").read_text().strip().rpartition("::")[2].lstrip("/")


def _pass_controllers_on(group: Path) -> None:
    """Let the children of a group use the controllers.

    A group other than the machine's root may do so only while there are no processes in it itself, so they move to a
    child of it: https://docs.kernel.org/admin-guide/cgroup-v2.html#no-internal-process-constraint
    """
    for _ in range(MOVES):
        try:
            _hand_on(group)
        except OSError as error:  # another error if it does not have the controllers itself: then nothing moves
            if error.errno != errno.EBUSY:
                raise
        else:
            return
        engine = group / ENGINE
        engine.mkdir(exist_ok=True)
        for pid in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                (engine / "cgroup.procs").write_text(pid)
    raise OSError(errno.EBUSY, f"processes are left in {group}")


def _kill_all(procs: Path) -> None:
    for _ in range(50):
        try:
            pids = procs.read_text().split()
        except OSError:
            return
        if not pids:
            return
        _kill(pids)
        time.sleep(0.002)


def _kill(pids: Iterable[str]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if pid != "0":  # a process that this one can't name: it is in a container of its own
                os.kill(int(pid), signal.SIGKILL)


def _remove(folder: Path) -> None:
    for _ in range(100):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.005)  # the kernel still counts a process that has just died
        else:
            return

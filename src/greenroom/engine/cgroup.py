"""CPU share, memory ceiling and freezing, through the kernel's control groups, version 1 or 2.

A function gets `MemorySize / 1769` of one vCPU: "At 1,769 MB, a function has the equivalent of one vCPU"
(https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html). The share is enforced over 20 ms, the period
measured on Lambda itself (Zhang et al., "Demystifying CPU throttling on AWS Lambda").
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
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
HOME = "greenroom"
"""The group whose children are the execution environments' groups."""
ENGINE = "greenroom-engine"
"""Version 2: the group next to it that the engine moves to, with all that was in the group above."""
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

    name: str

    def add(self, pid: int) -> None:
        """Put a process, and all that it will start, into the group."""

    def limit_memory(self, limit_bytes: int) -> None:
        """Set the ceiling; the kernel kills a process that goes over it."""

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

    def __init__(self, name: str) -> None:
        self.name = name
        self._folders = {controller: home / name for controller, home in _v1_homes().items()}
        for folder in self._folders.values():
            folder.mkdir()

    def _write(self, controller: str, file: str, value: object) -> None:
        (self._folders[controller] / file).write_text(str(value))

    def add(self, pid: int) -> None:
        for controller in V1_CONTROLLERS:
            self._write(controller, "cgroup.procs", pid)

    def limit_memory(self, limit_bytes: int) -> None:
        self._write("memory", "memory.limit_in_bytes", limit_bytes)
        with contextlib.suppress(OSError):  # absent where swap is not accounted for
            self._write("memory", "memory.memsw.limit_in_bytes", limit_bytes)

    def limit_cpu(self, share_us: int | None) -> None:
        self._write("cpu", "cpu.cfs_quota_us", -1)
        if share_us is not None:
            self._write("cpu", "cpu.cfs_period_us", PERIOD_US)
            self._write("cpu", "cpu.cfs_quota_us", share_us)

    def freeze(self, frozen: bool) -> None:
        self._write("freezer", "freezer.state", "FROZEN" if frozen else "THAWED")

    def throttled(self) -> int:
        return _throttled(self._folders["cpu"])

    def out_of_memory(self) -> bool:
        text = (self._folders["memory"] / "memory.oom_control").read_text()
        return any(line.startswith("oom_kill ") and line.split()[1] != "0" for line in text.splitlines())

    def peak_bytes(self) -> int:
        return int((self._folders["memory"] / "memory.max_usage_in_bytes").read_text())

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self.freeze(False)
        _kill_all(self._folders["freezer"] / "cgroup.procs")
        for folder in self._folders.values():
            _remove(folder)


class V2Group:
    """A control group of version 2."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._folder = _v2_home() / name
        self._folder.mkdir()

    def _write(self, file: str, value: object) -> None:
        (self._folder / file).write_text(str(value))

    def add(self, pid: int) -> None:
        self._write("cgroup.procs", pid)

    def limit_memory(self, limit_bytes: int) -> None:
        self._write("memory.max", limit_bytes)
        with contextlib.suppress(OSError):
            self._write("memory.swap.max", 0)

    def limit_cpu(self, share_us: int | None) -> None:
        self._write("cpu.max", f"{'max' if share_us is None else share_us} {PERIOD_US}")

    def freeze(self, frozen: bool) -> None:
        self._write("cgroup.freeze", int(frozen))

    def throttled(self) -> int:
        return _throttled(self._folder)

    def out_of_memory(self) -> bool:
        text = (self._folder / "memory.events").read_text()
        return any(line.startswith("oom_kill ") and line.split()[1] != "0" for line in text.splitlines())

    def peak_bytes(self) -> int:
        try:
            return int((self._folder / "memory.peak").read_text())
        except FileNotFoundError:  # before Linux 5.19
            return int((self._folder / "memory.current").read_text())

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self._write("cgroup.kill", 1)
        _kill_all(self._folder / "cgroup.procs")
        _remove(self._folder)


def new_group() -> Group:
    """Return a new control group for one environment. Raises OSError where this process may not make any."""
    return V1Group(_new_name()) if isolation().limits == "cgroup v1" else V2Group(_new_name())


def _new_name() -> str:
    """Return a name with this process's id, by which another engine's `remove_leftovers` knows whose group it is."""
    return f"{os.getpid()}-{uuid4().hex}"


def freezer_folder() -> str | None:
    """Return the folder of version 1's freezer groups; None with version 2 or without groups."""
    return str(_v1_homes()["freezer"]) if isolation().limits == "cgroup v1" else None


def remove_leftovers() -> None:
    """Remove the empty groups of engines that were killed."""
    limits = isolation().limits
    homes = [*_v1_homes().values()] if limits == "cgroup v1" else [_v2_home()] if limits == "cgroup v2" else []
    for folder in (each for home in homes for each in home.iterdir() if each.is_dir()):
        if Path("/proc", folder.name.partition("-")[0]).exists():
            continue  # it will be in use with that engine's next environment
        with contextlib.suppress(OSError):  # a group that has processes is in use
            folder.rmdir()


@cache
def isolation() -> Isolation:
    """Find out, by trying, what this machine allows."""
    limits = _limits()
    return Isolation(limits, _may_have_namespaces(), usable_cpus(limits))


def _limits() -> Literal["cgroup v1", "cgroup v2", "watcher"]:
    for kind in (V1Group, V2Group):
        try:
            group = kind(_new_name())
        except OSError:
            continue
        try:
            group.limit_cpu(PERIOD_US)
            group.limit_memory(1 << 30)
            group.freeze(False)
        except OSError:
            continue
        finally:
            group.remove()
        return "cgroup v1" if kind is V1Group else "cgroup v2"
    return "watcher"


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


def _throttled(folder: Path) -> int:
    lines = (folder / "cpu.stat").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("nr_throttled ")), 0)


@cache
def _v1_homes() -> dict[str, Path]:
    """Return the folder for our groups in each controller's hierarchy. Raises OSError where there are none."""
    homes = {controller: V1_ROOT / controller / HOME for controller in V1_CONTROLLERS}
    for home in homes.values():
        if not (home.parent / "tasks").exists():  # a folder of version 2 has no such file
            raise FileNotFoundError(f"{home.parent} is not a control group hierarchy of version 1")
    for home in homes.values():
        home.mkdir(exist_ok=True)
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
            (home / "cgroup.subtree_control").write_text(V2_CONTROLLERS)
            return home
    raise PermissionError("this process may not make control groups of version 2")


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
            (group / "cgroup.subtree_control").write_text(V2_CONTROLLERS)
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
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.002)


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

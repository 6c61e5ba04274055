"""A server that is started and killed: processes, their descendants, and what they leave on the machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import boto3

from greenroom.deploy import deploy_platform
from greenroom.embedded import EmbeddedAws
from tests.crash.eyes import Address

START_LIMIT_S = 120.0
CGROUPS = Path("/sys/fs/cgroup")

Process = tuple[int, str]
"""A process's id and when it began, in ticks since the machine was started: an id alone is used again."""


@dataclass
class Rig:
    """One data folder with a platform, whose server is killed and started again."""

    data: Path
    address: Address
    server: EmbeddedAws | None
    up: subprocess.Popen[bytes] | None = None
    pids: set[int] = field(default_factory=set)
    started: dict[int, set[Process]] = field(default_factory=dict)

    @classmethod
    def build(cls, data: Path) -> Rig:
        """Start a server on a folder, and deploy the platform there if it is not."""
        server = EmbeddedAws.start(data, port=0)
        session = boto3.Session(
            aws_access_key_id=server.access_key_id,
            aws_secret_access_key=server.secret_access_key,
            region_name=server.region,
        )
        made = deploy_platform(session, endpoint_url=server.endpoint_url, poll_s=0.1)
        address = Address(
            server.endpoint_url,
            made.url,
            made.token,
            server.access_key_id,
            server.secret_access_key,
            server.region,
            server.account_id,
            made.prefix,
        )
        return cls(data, address, server, pids={server.pid})

    @property
    def port(self) -> int:
        """The port, which stays the same."""
        return int(self.address.endpoint_url.rsplit(":", 1)[1])

    @property
    def pid(self) -> int:
        """The server's process."""
        if self.server is not None:
            return self.server.pid
        assert self.up is not None
        return next(pid for pid in children(self.up.pid) if b"greenroom.embedded.server" in command(pid))

    def start(self) -> float:
        """Start the server again; return how long it took."""
        began = time.monotonic()
        self.server = EmbeddedAws.start(self.data, port=self.port)
        self.pids.add(self.server.pid)
        return time.monotonic() - began

    def start_up(self) -> None:
        """Start `greenroom up` on the folder, and wait until it says that it is ready."""
        arguments = ["up", "--data", str(self.data), "--port", str(self.port)]
        self.up = subprocess.Popen(
            [sys.executable, "-c", "from greenroom.cli.main import main; main()", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        run_file = self.data / "run.json"
        until = time.monotonic() + START_LIMIT_S
        while not (run_file.exists() and json.loads(run_file.read_text())["pid"] == self.up.pid):
            assert self.up.poll() is None and time.monotonic() < until, "greenroom up did not start"
            time.sleep(0.05)
        self.server = None
        self.pids.add(self.pid)

    def note(self) -> None:
        """Remember every process that the server has started so far."""
        self._note(self.pid)

    def _note(self, server: int) -> None:
        self.started.setdefault(server, set()).update((pid, begun(pid)) for pid in descendants(server))

    def kill(self) -> None:
        """Kill the server, and nothing else."""
        self.note()
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        if self.server is not None and self.server._process is not None:
            self.server._process.wait(60)
        self.server = None
        if self.up is not None:
            self.up.wait(60)
            self.up = None

    def kill_while_starting(self, after_s: float) -> None:
        """Start the server as `start` does, and kill it after a moment, whether it answers then or not."""
        arguments = [sys.executable, "-m", "greenroom.embedded.server", str(self.data), str(self.port)]
        with (self.data / "aws.log").open("ab") as log:
            starting = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log)
        self.pids.add(starting.pid)
        time.sleep(after_s)
        self._note(starting.pid)
        starting.kill()
        starting.wait(60)

    def kill_up(self) -> None:
        """Kill `greenroom up`, and wait until the server has ended by itself."""
        self.note()
        assert self.up is not None
        server = self.pid
        self.up.kill()
        self.up.wait(60)
        self.up = None
        until = time.monotonic() + START_LIMIT_S
        while command(server):
            assert time.monotonic() < until, "the server goes on without greenroom up"
            time.sleep(0.05)

    def kill_engine(self, choose: float) -> None:
        """Kill one of the processes that the server has started itself; `choose` is from 0 to 1."""
        self.note()
        mine = sorted(children(self.pid))
        if mine:
            os.kill(mine[min(int(choose * len(mine)), len(mine) - 1)], signal.SIGKILL)

    def end(self) -> None:
        """Stop what runs."""
        if self.server is not None:
            self.server.stop()
        if self.up is not None:
            self.up.terminate()
            self.up.wait(60)

    def residue(self) -> list[str]:
        """Return what servers that are gone have left: processes, control groups, mounts."""
        gone = self.pids - {self.pid}
        left = [
            f"process {pid} of a killed server: {command(pid)[:80].decode(errors='replace')}"
            for server in gone
            for pid, begin in self.started.get(server, ())
            if begin and begun(pid) == begin
        ]
        left += [f"control group {path}" for path in groups() if _owner(path.name) in gone]
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        return left + [f"mount {line}" for line in mounts if f"{self.data}/" in line]


def groups() -> list[Path]:
    """The control groups of engines, in each hierarchy. Others come and go while they are looked for."""
    return [
        Path(folder, name)
        for folder, names, _ in os.walk(CGROUPS)
        if Path(folder).name == "greenroom"
        for name in names
    ]


def _owner(group: str) -> int:
    """The engine's process, which the name of an environment's group begins with (docs/engine.md)."""
    head = group.partition("-")[0]
    return int(head) if head.isdigit() else -1


def command(pid: int) -> bytes:
    """The command line of a process; nothing if it is gone or a zombie."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []


def begun(pid: int) -> str:
    """When a process began; "" if it is gone or a zombie."""
    stat = _stat(pid)
    return "" if not stat or stat[0] == "Z" else stat[19]


def parents() -> dict[int, int]:
    """The parent of every process."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))):
            found[int(entry.name)] = int(stat[1])
    return found


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [child for child, parent in parents().items() if parent == pid]


def descendants(pid: int) -> set[int]:
    """The processes that a process has started, and those that they have."""
    parent_of = parents()
    found: set[int] = set()
    border = {pid}
    while border:
        border = {child for child, parent in parent_of.items() if parent in border} - found
        found |= border
    return found

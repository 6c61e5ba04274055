"""The prepared process: has imported AWS's runtime client, and forks an execution environment on each request.

    python -I -S zygote.py SOCKET_FD
    python -I -S zygote.py --try           only find out whether this user may have namespaces

On Linux it first moves into a root of its own (`jail`), and forks each environment into a place that nobody else is in
(`place`), confined to what a function may do (`confine`). It lives as long as the engine holds its socket: when that
closes, however the engine ended, everything forked from here is killed, and the engine's control groups are removed.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from typing import Any

SOURCES = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, SOURCES)

import confine  # noqa: E402
import forwarder  # noqa: E402
import jail  # noqa: E402
import kernel  # noqa: E402
import place  # noqa: E402
import relocation  # noqa: E402
import watcher  # noqa: E402

OWN_MODULES = ("confine", "environment", "forwarder", "jail", "kernel", "place", "relocation", "watcher")
START_LIMIT_S = 60
"""How long the start may take before this process gives up: the engine, which waits less, may be gone by then."""
END_WAIT_S = 10.0
"""How long killed environments may take to be gone: those in a group that was frozen take longest."""


def fork_environment(own: place.Place | None, orders: int, program: bytes) -> int:
    """Fork an execution environment that waits for what it is to run; return its process id.

    Args:
        own: the namespaces that it gets; None where there are none.
        orders: the socket over which the engine says what to run.
        program: the filter of system calls.
    """
    if own:
        own.enter_tree()
    pid = os.fork()
    if pid:
        return pid
    try:
        be_environment(own, orders, program)
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(1)
    return 0


def be_environment(own: place.Place | None, orders: int, program: bytes) -> None:
    """Wait for what is to be run, confine this process, and run it. Never returns."""
    kernel.die_with_parent(signal.SIGKILL)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    os.setsid()
    kernel.close_all_but(orders, *(own.namespaces.values() if own else ()))
    if own:
        own.enter()
    with socket.socket(fileno=orders) as channel:
        received = receive(channel)
    if received is None:  # the engine is gone, or needs no environment
        os._exit(0)
    request, (control, log) = received
    os.dup2(log, 1)
    os.dup2(log, 2)
    if own:
        jail.move_in(request)
        jail.give_up_rights(own.user)
    else:
        give_up_rights_without_namespaces()
    if sys.platform == "linux":
        kernel.call("prctl", kernel.PR_SET_DUMPABLE, 1, 0, 0, 0)
        kernel.die_with_parent(signal.SIGKILL)
        confine.leave_keyrings()
        if program:
            confine.install_filter(program)
    kernel.close_all_but(control)
    import environment

    for name in OWN_MODULES:  # a function may have modules of these names
        sys.modules.pop(name, None)
    environment.run(request, control)


def give_up_rights_without_namespaces() -> None:
    """Become an ordinary user, if this is root, and set the limits that are counted right without namespaces."""
    root = os.geteuid() == 0
    confine.limit_resources(processes=root)
    if root:
        if sys.platform == "linux":
            confine.drop_bounding_set()
        confine.become(jail.FIRST_USER + os.getpid())


def receive(channel: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Receive a request with its descriptors, or None when the engine is gone."""
    data, ancillary, _, _ = channel.recvmsg(4, socket.CMSG_LEN(2 * array.array("i").itemsize))
    if len(data) < 4:
        return None
    (size,) = struct.unpack("!I", data)
    body = b""
    while len(body) < size:
        piece = channel.recv(size - len(body))
        if not piece:
            return None
        body += piece
    descriptors = array.array("i")
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(value)
    return json.loads(body), list(descriptors)


def send(channel: socket.socket, message: dict[str, Any]) -> None:
    """Send a message to the engine."""
    body = json.dumps(message).encode()
    channel.sendall(struct.pack("!I", len(body)) + body)


class Groups:
    """The control groups of this engine, a folder in each hierarchy, for when the engine is gone."""

    def __init__(self, folders: list[str]) -> None:
        # Opened before the root changes.
        self._folders = {os.open(path, os.O_RDONLY | os.O_DIRECTORY): os.path.basename(path) for path in folders}

    def kill(self) -> bool:
        """Thaw and kill all that is in them; return whether there was anything."""
        found = False
        for folder in self._folders:
            for name in self._names(folder):
                for file, value in (("freezer.state", "THAWED"), ("cgroup.kill", "1")):
                    with contextlib.suppress(OSError):
                        self._write(folder, f"{name}/{file}", value)
                for pid in self._processes(folder, name):
                    found = True
                    with contextlib.suppress(OSError):
                        os.kill(pid, signal.SIGKILL)
        return found

    def remove(self) -> None:
        """Remove those that are empty, and the engine's own when it is."""
        for folder, own in self._folders.items():
            with contextlib.suppress(OSError):
                for name in self._names(folder):
                    os.rmdir(name, dir_fd=folder)
                os.rmdir(f"../{own}", dir_fd=folder)

    @staticmethod
    def _names(folder: int) -> list[str]:
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        return []

    @staticmethod
    def _processes(folder: int, name: str) -> list[int]:
        try:
            descriptor = os.open(f"{name}/cgroup.procs", os.O_RDONLY, dir_fd=folder)
        except OSError:
            return []
        with contextlib.suppress(OSError), open(descriptor) as file:
            return [pid for pid in map(int, file) if pid]  # 0 is one that this process can't name
        return []

    @staticmethod
    def _write(folder: int, path: str, value: str) -> None:
        descriptor = os.open(path, os.O_WRONLY, dir_fd=folder)
        try:
            os.write(descriptor, value.encode())
        finally:
            os.close(descriptor)


class Forker:
    """Forks environments when the engine asks for them, watches over them, and reports their ends."""

    def __init__(self, channel: socket.socket, config: dict[str, Any]) -> None:
        jailed = config["jailed"]
        self._channel = channel
        # In this order: what holds the network of the machine, then the root, then what has a small process's memory.
        self._forwarding = forwarder.Forwarding(config) if config["own_network"] and config["endpoint_port"] else None
        self._groups = Groups(config["groups"])
        if jailed:
            jail.enter_root(config)
            if not jail.is_ordinary_user():
                confine.drop_bounding_set()
        elif sys.platform == "linux":
            kernel.call("prctl", kernel.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._maker = place.Maker(config) if jailed else None
        filter_ = confine.syscall_filter(os.uname().machine, unmapped_memory=bool(config["groups"]))
        self._program = filter_ or b""
        self._holders: dict[int, int] = {}  # the first process of each environment's tree, by its own process
        self._watcher = watcher.Watcher(self._holders)
        self._wake, wake_write = os.pipe()
        for end in (self._wake, wake_write):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def serve(self) -> None:
        """Do what the engine asks for, until it is gone."""
        send(self._channel, {"ready": os.getpid()})
        while True:
            readable, _, _ = select.select([self._channel.fileno(), self._wake], [], [], self._watcher.tick())
            if self._wake in readable and not self._report_ends():
                return
            if self._channel.fileno() in readable:
                received = receive(self._channel)
                if received is None:
                    return
                self._obey(*received)

    def end_all(self) -> None:
        """Kill all environments and remove their control groups."""
        until = time.monotonic() + END_WAIT_S
        while time.monotonic() < until:
            found = self._groups.kill() | self._kill_children()
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if not found:
                break
            time.sleep(0.005)
        self._groups.remove()

    def _kill_children(self) -> bool:
        """Kill what was forked from here or adopted; return whether there was anything."""
        known = [*self._holders, *filter(None, self._holders.values())]
        found = {pid for pid in watcher.descendants([os.getpid()]) or known if pid not in self._helpers()}
        watcher.send_signal(found, signal.SIGKILL)
        self._holders.clear()
        return bool(found)

    def _helpers(self) -> set[int]:
        """Return the processes that this one has for itself."""
        return {each.pid for each in (self._forwarding, self._maker) if each}

    def _report_ends(self) -> bool:
        """Tell the engine which environments have ended; return whether this process can go on without the others."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake, 4096)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return True
            if pid in self._helpers():
                return False
            if pid in self._holders:
                self._report_end(pid, os.waitstatus_to_exitcode(status))
            else:  # the first process of a tree, which has no number now that others may not get, or an orphan
                for environment in [each for each, holder in self._holders.items() if holder == pid]:
                    self._holders[environment] = 0

    def _report_end(self, pid: int, code: int) -> None:
        killed = self._watcher.forget(pid)  # with all that is left of it
        del self._holders[pid]
        if self._forwarding:
            self._forwarding.end(pid)
        send(self._channel, {"exit": pid, "status": code, "out_of_memory": killed})

    def _obey(self, request: dict[str, Any], descriptors: list[int]) -> None:
        if "watch" in request:
            self._watcher.add(request["watch"], request["limit_bytes"])
        elif "limit" in request:
            self._watcher.limit_cpu(request["limit"], request["share_us"])
        elif "freeze" in request:
            self._watcher.freeze(request["freeze"], request["frozen"])
        elif "kill" in request:
            self._watcher.kill(request["kill"])
        else:
            self._fork(*descriptors)

    def _fork(self, orders: int) -> None:
        try:
            own = self._maker.take() if self._maker else None
            try:
                pid = fork_environment(own, orders, self._program)
                self._holders[pid] = own.holder if own else 0
                if self._forwarding and own and own.listener is not None:
                    self._forwarding.add(pid, own.listener)
            finally:
                if own:
                    own.close()
        except OSError as error:
            send(self._channel, {"failed": str(error)})
        else:
            send(self._channel, {"pid": pid})
        finally:
            os.close(orders)


def main() -> None:
    """Prepare, then fork on request, until the engine is gone."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    first = receive(channel)
    if first is None:
        return
    config, _ = first
    os.setsid()
    os.umask(0o022)  # whatever the engine's is: functions are other users
    signal.alarm(START_LIMIT_S)
    forker = Forker(channel, config)
    try:
        prepare(config)
        signal.alarm(0)
        forker.serve()
    except OSError:
        pass  # the engine is gone
    finally:
        forker.end_all()


def prepare(config: dict[str, Any]) -> None:
    """Import what every environment needs, by the paths that functions see."""
    jailed = config["jailed"]
    if jailed:
        relocation.relocate({config["python_prefix"]: jail.PYTHON})
    folder = jail.RUNTIME if jailed else config["environment_folder"]
    sys.path[:] = [folder, *(path for path in sys.path if path != SOURCES)]
    sys.path.append("/var/runtime" if jailed else config["runtime_folder"])
    import environment  # noqa: F401

    for name in config["preload"]:
        __import__(name)
    sys.path.remove(folder)
    if jailed:
        relocation.relocate({SOURCES: "/var/runtime", folder: "/var/runtime"})


if __name__ == "__main__":
    jail.try_namespaces() if sys.argv[1] == "--try" else main()

"""The prepared process: has imported AWS's runtime client, and forks an execution environment on each request.

    python -I -S zygote.py SOCKET_FD
    python -I -S zygote.py --try           only find out whether this user may have namespaces

On Linux it first moves into a root of its own, which holds the system, this Python and Lambda's runtime packages under
/var/runtime, and nothing else of the machine: as root, or as an ordinary user in a user namespace, where the machine
lets users have any (https://man7.org/linux/man-pages/man7/user_namespaces.7.html). It lives as long as the engine holds
its socket: when that closes, however the engine ended, everything forked from here is killed.
"""

from __future__ import annotations

import array
import ctypes
import json
import os
import select
import signal
import socket
import struct
import sys
from typing import Any

CLONE_NEWNS = 0x00020000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38
CAPABILITIES = struct.pack("=Ii", 0x20080522, 0)  # version 3, this process: capset(2)
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
NOBODY = 65534
CODE = "/.greenroom-code"
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
ETC = ("resolv.conf", "hosts", "nsswitch.conf", "ssl", "ca-certificates", "passwd", "group", "localtime", "ld.so.cache")
DEVICES = ("null", "zero", "full", "random", "urandom")

libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: Any) -> None:
    """Call a function of libc; raise OSError if it fails."""
    values = [value.encode() if isinstance(value, str) else value for value in arguments]
    if getattr(libc, name)(*values) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}{arguments}: {os.strerror(number)}")


def bind(source: str, target: str, *, read_only: bool = True) -> None:
    """Make `source` appear at `target` too."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    elif not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        open(target, "w").close()
    call("mount", source, target, None, MS_BIND | MS_REC, None)
    if read_only:
        # In a user namespace the flags that a mount has can't be taken from it.
        kept = os.statvfs(target).f_flag & (MS_NODEV | MS_NOEXEC)
        call("mount", None, target, None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | kept, None)


def is_ordinary_user() -> bool:
    """Return whether this process has root's rights in a user namespace only, where it keeps its own user id."""
    return os.geteuid() != 0


def enter_namespaces() -> None:
    """Give this process mounts of its own; an ordinary user needs a user namespace for that."""
    if is_ordinary_user():
        uid, gid = os.geteuid(), os.getegid()
        call("unshare", CLONE_NEWUSER | CLONE_NEWNS)
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
        call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    else:
        call("unshare", CLONE_NEWNS)
    call("mount", None, "/", None, MS_REC | MS_PRIVATE, None)


def try_namespaces() -> None:
    """Try everything that a machine may refuse an ordinary user. Raises OSError."""
    enter_namespaces()
    call("mount", "tmpfs", "/tmp", "tmpfs", MS_NOSUID, None)
    call("unshare", CLONE_NEWPID)
    pid = os.fork()
    if pid == 0:
        try:
            call("unshare", CLONE_NEWNS | CLONE_NEWIPC)
            call("mount", "proc", "/proc", "proc", MS_NOSUID | MS_NODEV, None)
        except OSError:
            os._exit(1)
        os._exit(0)
    if os.waitpid(pid, 0)[1] != 0:
        raise OSError("a process tree's own /proc can't be mounted")


def enter_root(config: dict[str, Any]) -> None:
    """Move this process into a root that holds only what functions may see, and the code store, which they may not."""
    enter_namespaces()
    root = config["root"]
    call("mount", "tmpfs", root, "tmpfs", MS_NOSUID, "mode=755,size=16m")
    show_system(root)
    show_runtime(root, config)
    bind("/proc", root + "/proc", read_only=False)
    for name in ("tmp", "var/task", "opt", ".old"):
        os.makedirs(f"{root}/{name}", exist_ok=True)
    pivot_into(root)


def show_system(root: str) -> None:
    """Make the system's programs, libraries, settings and harmless devices appear below a root."""
    for path in SYSTEM:
        if os.path.islink(path):
            os.symlink(os.readlink(path), root + path)
        elif os.path.isdir(path):
            bind(path, root + path)
    for name in ETC:
        if os.path.exists(f"/etc/{name}"):
            bind(f"/etc/{name}", f"{root}/etc/{name}")
    for name in DEVICES:
        bind(f"/dev/{name}", f"{root}/dev/{name}", read_only=False)


def show_runtime(root: str, config: dict[str, Any]) -> None:
    """Make this Python, Lambda's runtime packages and the code store appear below a root."""
    for path in config["python_folders"]:
        if not path.startswith("/usr"):
            bind(path, root + path)
    for name, path in config["runtime_packages"].items():
        bind(path, f"{root}/var/runtime/{name}")
    bind(config["code_folder"], root + CODE)


def pivot_into(root: str) -> None:
    """Make `root` this process's root, and let go of the old one."""
    if libc.syscall(PIVOT_ROOT[os.uname().machine], root.encode(), f"{root}/.old".encode()) != 0:
        raise OSError(ctypes.get_errno(), "pivot_root")
    os.chdir("/")
    call("umount2", "/.old", MNT_DETACH)
    os.rmdir("/.old")


def enter_environment(request: dict[str, Any]) -> None:
    """Give a forked environment a /var/task, /opt, /tmp, /proc and shared memory of its own, and drop its rights."""
    call("unshare", CLONE_NEWNS | CLONE_NEWIPC)
    call("mount", "proc", "/proc", "proc", MS_NOSUID | MS_NODEV, None)
    bind(CODE + "/" + request["task"], "/var/task")
    if request["opt"]:
        bind(CODE + "/" + request["opt"], "/opt")
    options = f"mode=1777,size={request['ephemeral_storage_mb']}m"
    call("mount", "tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, options)
    call("umount2", CODE, MNT_DETACH)
    call("mount", None, "/", None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID, None)
    if is_ordinary_user():
        call("capset", ctypes.create_string_buffer(CAPABILITIES), bytes(24))
    else:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def fork_into_own_tree() -> int:
    """Fork into a process tree of its own: 0 there, the new process's id here. Raises OSError."""
    return fork_by_another() if is_ordinary_user() else fork_and_come_back()


def fork_and_come_back() -> int:
    """As root: let the next child be the first of a new tree, and those after it be of this process's tree again."""
    own = os.open("/proc/self/ns/pid", os.O_RDONLY)
    call("unshare", CLONE_NEWPID)
    pid = os.fork()
    if pid:
        call("setns", own, CLONE_NEWPID)
    os.close(own)
    return pid


def fork_by_another() -> int:
    """As an ordinary user, who may not come back: another process forks, ends, and leaves its child to this one."""
    reader, writer = os.pipe()
    another = os.fork()
    if another == 0:
        try:
            call("unshare", CLONE_NEWPID)
            pid = os.fork()
        except BaseException:
            os._exit(1)
        if pid:
            os.write(writer, struct.pack("=i", pid))
            os._exit(0)
        os.close(reader)
        os.close(writer)
        return 0
    os.close(writer)
    os.waitpid(another, 0)
    sent = os.read(reader, 4)
    os.close(reader)
    if not sent:
        raise OSError("a process tree of its own could not be made")
    (pid,) = struct.unpack("=i", sent)
    return int(pid)


def fork_environment(request: dict[str, Any], control: int, log: int, jailed: bool, unwanted: list[int]) -> int:
    """Fork an execution environment and return its process id."""
    pid = fork_into_own_tree() if jailed else os.fork()
    if pid:
        return pid
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for descriptor in unwanted:
            os.close(descriptor)
        os.setsid()
        os.read(control, 1)  # until the engine has put us into our control group
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        if jailed:
            enter_environment(request)
        if sys.platform == "linux":
            # Here, since a change of user takes it back.
            call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        import environment

        environment.run(request, control)
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(1)
    return 0


def thaw(freezer: int, group: str) -> None:
    """Thaw the processes of a control group, if the group is still there."""
    try:
        state = os.open(f"{group}/freezer.state", os.O_WRONLY, dir_fd=freezer)
    except FileNotFoundError:
        return
    os.write(state, b"THAWED")
    os.close(state)


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


def prepare(config: dict[str, Any]) -> None:
    """Enter the root where there is one, and import what every environment needs."""
    jailed = config["jailed"]
    sys.path.insert(0, config["environment_folder"])
    sys.path.append("/var/runtime" if jailed else config["runtime_folder"])
    if jailed:
        enter_root(config)
    import environment  # noqa: F401
    import watcher  # noqa: F401

    for name in config["preload"]:
        __import__(name)
    sys.path.remove(config["environment_folder"])


class Forker:
    """Forks environments when the engine asks for them, watches over them, and reports their ends."""

    def __init__(self, channel: socket.socket, freezer: int, jailed: bool) -> None:
        from watcher import Watcher

        self._channel = channel
        self._freezer = freezer
        self._jailed = jailed
        self._watcher = Watcher()
        self._groups: dict[int, str] = {}  # of each environment, by its process id
        self._wake, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        os.set_blocking(self._wake, False)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def serve(self) -> None:
        """Do what the engine asks for, until it is gone."""
        send(self._channel, {"ready": os.getpid()})
        while True:
            readable, _, _ = select.select([self._channel.fileno(), self._wake], [], [], self._watcher.tick())
            if self._wake in readable:
                self._report_ends()
            if self._channel.fileno() in readable:
                received = receive(self._channel)
                if received is None:
                    return
                self._obey(*received)

    def end_all(self) -> None:
        """Kill all environments."""
        for pid, group in self._groups.items():
            os.kill(pid, signal.SIGKILL)
            if self._freezer >= 0:
                thaw(self._freezer, group)

    def _report_ends(self) -> None:
        os.read(self._wake, 4096)
        while self._groups:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            self._groups.pop(pid, None)
            killed = self._watcher.forget(pid)
            send(self._channel, {"exit": pid, "status": os.waitstatus_to_exitcode(status), "out_of_memory": killed})

    def _obey(self, request: dict[str, Any], descriptors: list[int]) -> None:
        if "watch" in request:
            self._watcher.add(request["watch"], request["limit_bytes"])
        elif "limit" in request:
            self._watcher.limit_cpu(request["limit"], request["share_us"])
        elif "freeze" in request:
            self._watcher.freeze(request["freeze"], request["frozen"])
        else:
            self._fork(request, *descriptors)

    def _fork(self, request: dict[str, Any], control: int, log: int) -> None:
        unwanted = [self._channel.fileno(), self._wake, self._wake_write]
        if self._freezer >= 0:
            unwanted.append(self._freezer)
        pid = fork_environment(request, control, log, self._jailed, unwanted)
        self._groups[pid] = request["group"]
        os.close(control)
        os.close(log)
        send(self._channel, {"pid": pid})


def main() -> None:
    """Prepare, then fork on request, until the engine is gone."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    first = receive(channel)
    if first is None:
        return
    config, _ = first
    os.setsid()
    # Opened before the root changes: a frozen process in a group of version 1 dies only once it is thawed.
    freezer = os.open(config["freezer"], os.O_RDONLY) if config["freezer"] else -1
    prepare(config)
    forker = Forker(channel, freezer, config["jailed"])
    forker.serve()
    forker.end_all()


if __name__ == "__main__":
    try_namespaces() if sys.argv[1] == "--try" else main()

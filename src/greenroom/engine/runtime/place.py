"""Places: the namespaces of an execution environment, made before they are needed, each held by a process of its own.

A place has a process tree, a network, mounts, a host name and shared memory that nobody else is in. Its first process
is `hold`: it takes care of orphans, as the first process of a tree has to, so that the function need not be that (a
first process gets no signal that it does not handle: https://man7.org/linux/man-pages/man7/pid_namespaces.7.html).
When it ends the kernel ends all others of the place. It ends with the prepared process.

The maker is a process that was forked while the prepared process was small, and stays so. Each place is made by a
child of the maker that ends at once, since a process can leave its process tree only once.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import struct
from dataclasses import dataclass
from typing import Any

import confine
import jail
import kernel
from kernel import call

KINDS = (
    ("pid", kernel.CLONE_NEWPID),
    ("mnt", kernel.CLONE_NEWNS),
    ("ipc", kernel.CLONE_NEWIPC),
    ("uts", kernel.CLONE_NEWUTS),
    ("net", kernel.CLONE_NEWNET),
)
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1
BACKLOG = 128
MAX_MESSAGE = 4_096
STOCK = 2
"""How many places are kept ready."""
WAIT_S = 20.0
"""How long one may take: milliseconds on any machine that is not stuck."""


@dataclass(frozen=True)
class Place:
    """The namespaces of one environment. `holder` is the first process of its tree."""

    holder: int
    user: int
    namespaces: dict[str, int]
    listener: int | None

    def enter_tree(self) -> None:
        """Let the next fork of this process be in the place's process tree."""
        call("setns", self.namespaces["pid"], kernel.CLONE_NEWPID)

    def enter(self) -> None:
        """Move this process into the place's other namespaces."""
        for kind, flag in KINDS:
            if kind != "pid" and kind in self.namespaces:
                call("setns", self.namespaces[kind], flag)

    def close(self) -> None:
        """Let go of the namespaces, which live as long as their processes."""
        for descriptor in self.namespaces.values():
            os.close(descriptor)
        if self.listener is not None:
            os.close(self.listener)


class Maker:
    """The prepared process's end of the process that makes places."""

    def __init__(self, config: dict[str, Any]) -> None:
        """Start it. From here on this process adopts what its children leave behind."""
        call("prctl", kernel.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Whoever holds the reading end learns that this process is gone.
        alive, self._life = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                kernel.die_with_parent(signal.SIGKILL)
                kernel.close_all_but(theirs.fileno(), alive)
                make_on_demand(theirs, alive, config)
            finally:
                os._exit(1)
        theirs.close()
        os.close(alive)
        self._channel.settimeout(WAIT_S)
        for _ in range(STOCK):
            self._channel.send(b"1")

    def take(self) -> Place:
        """Return a place, and let another one be made. Raises OSError."""
        self._channel.send(b"1")
        data, descriptors, _, _ = socket.recv_fds(self._channel, MAX_MESSAGE, len(KINDS) + 1)
        if not data:
            raise OSError(0, "the process that makes namespaces has ended")
        message = json.loads(data)
        if "failed" in message:
            raise OSError(0, f"namespaces could not be made: {message['failed']}")
        namespaces = dict(zip(message["kinds"], descriptors, strict=False))
        listener = descriptors[-1] if len(descriptors) > len(namespaces) else None
        return Place(message["holder"], message["user"], namespaces, listener)


def make_on_demand(channel: socket.socket, alive: int, config: dict[str, Any]) -> None:
    """Make a place for each message, until there are no more."""
    while channel.recv(1):
        pid = os.fork()
        if pid == 0:
            make(channel, alive, config)
        os.waitpid(pid, 0)


def make(channel: socket.socket, alive: int, config: dict[str, Any]) -> None:
    """Make a place, whose first process stays, and end."""
    try:
        flags = kernel.CLONE_NEWPID | kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
        call("unshare", flags | (kernel.CLONE_NEWNET if config["own_network"] else 0))
        if os.fork() == 0:
            hold(channel, alive, config)
    except OSError as error:
        channel.send(json.dumps({"failed": str(error)}).encode())
    finally:
        os._exit(0)


def hold(channel: socket.socket, alive: int, config: dict[str, Any]) -> None:
    """As the first process of a place: furnish it, hand it over, and take care of it until nobody needs it."""
    try:
        pid = int(os.readlink("/proc/self"))  # its number outside: /proc is still that of the prepared process
        user = jail.USER_IN_NAMESPACE if jail.is_ordinary_user() else jail.FIRST_USER + pid
        jail.furnish_place(user)
        kinds = [kind for kind, _ in KINDS if kind != "net" or config["own_network"]]
        descriptors = [os.open(f"/proc/self/ns/{kind}", os.O_RDONLY) for kind in kinds]
        if config["own_network"]:
            switch_loopback_on()
            if config["endpoint_port"]:
                descriptors.append(listen(config["endpoint_port"]).detach())
        confine.drop_capabilities() if jail.is_ordinary_user() else confine.become(user)
        call("prctl", kernel.PR_SET_DUMPABLE, 0, 0, 0, 0)
        message = json.dumps({"holder": pid, "user": user, "kinds": kinds}).encode()
        socket.send_fds(channel, [message], descriptors)
        kernel.close_all_but(alive)
        reap(alive)
    except OSError as error:
        with contextlib.suppress(OSError):
            channel.send(json.dumps({"failed": str(error)}).encode())
    finally:
        os._exit(0)


def switch_loopback_on() -> None:
    """Let a new network have its loopback interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))


def listen(port: int) -> socket.socket:
    """Listen on a port of this process's network."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(BACKLOG)
    return listener


def reap(alive: int) -> None:
    """Take care of orphans until the prepared process is gone."""
    wake, wake_write = os.pipe()
    for end in (wake, wake_write):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        readable, _, _ = select.select([alive, wake], [], [])
        if alive in readable:
            return
        os.read(wake, 4_096)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass

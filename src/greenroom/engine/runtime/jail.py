"""The root that functions see instead of the machine's, and the place in it that each execution environment has.

The prepared process moves into a root of its own, as root, or as an ordinary user in a user namespace, where the
machine lets users have any (https://man7.org/linux/man-pages/man7/user_namespaces.7.html).
"""

from __future__ import annotations

import os
from typing import Any

import confine
from kernel import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    call,
    libc,
)

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
CODE = "/.greenroom-code"
RUNTIME = "/.greenroom-runtime"
PYTHON = "/var/lang"
"""Where Lambda's Python runtimes have their Python, as recorded stack traces show."""
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
ETC = ("ssl", "ca-certificates", "localtime", "ld.so.cache", "alternatives")
ETC_FOR_NETWORK = ("resolv.conf", "hosts", "nsswitch.conf")
ETC_WITHOUT_NETWORK = {
    "resolv.conf": "",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
"""Names other than localhost are unknown at once, where asking a server would take its time to fail."""
DEVICES = ("null", "zero", "full", "random", "urandom")

FIRST_USER = 0x70000000
"""Users of environments begin here: nobody else's users do (https://systemd.io/UIDS-GIDS/). The number of a process
is added, which no other living process has: so no two environments are the same user."""
USER_NAME = "sbx_user1051"
"""The name of Lambda's own."""
USER_IN_NAMESPACE = 993
"""What an ordinary user is in an environment."""


def bind(source: str, target: str, *, read_only: bool = True) -> None:
    """Make `source` appear at `target` too."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    elif not os.path.exists(target):
        write(target, "")
    call("mount", source, target, None, MS_BIND | MS_REC, None)
    if read_only:
        # In a user namespace the flags that a mount has can't be taken from it.
        kept = os.statvfs(target).f_flag & (MS_NODEV | MS_NOEXEC)
        call("mount", None, target, None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | kept, None)


def write(path: str, text: str) -> None:
    """Write a file that everybody may read, and make the folders on the way to it."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, 0o644)


def is_ordinary_user() -> bool:
    """Return whether this process has root's rights in a user namespace only, where it keeps its own user id."""
    return os.geteuid() != 0


def become_in_namespace(inside: int | None = None) -> None:
    """Move into a user namespace, as the user `inside`; by default as the same one."""
    uid, gid = os.geteuid(), os.getegid()
    call("unshare", CLONE_NEWUSER)
    maps = ("uid_map", inside or uid, uid), ("gid_map", inside or gid, gid)
    for name, text in (("setgroups", "deny"), *((name, f"{here} {there} 1") for name, here, there in maps)):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def enter_namespaces() -> None:
    """Give this process mounts of its own; an ordinary user needs a user namespace for that."""
    if is_ordinary_user():
        become_in_namespace()
    call("unshare", CLONE_NEWNS)
    call("mount", None, "/", None, MS_REC | MS_PRIVATE, None)


def enter_root(config: dict[str, Any]) -> None:
    """Move this process into a root that holds only what functions may see, and the code store, which they may not."""
    enter_namespaces()
    root = config["root"]
    call("mount", "tmpfs", root, "tmpfs", MS_NOSUID, "mode=755,size=16m")
    show_system(root)
    show_settings(root, own_network=config["own_network"])
    show_runtime(root, config)
    bind("/proc", root + "/proc", read_only=False)
    for name in ("tmp", "var/task", "opt", ".old"):
        os.makedirs(f"{root}/{name}", exist_ok=True)
    pivot_into(root)


def show_system(root: str) -> None:
    """Make the system's programs, libraries and harmless devices appear below a root."""
    for path in SYSTEM:
        if os.path.islink(path):
            os.symlink(os.readlink(path), root + path)
        elif os.path.isdir(path):
            bind(path, root + path)
    for name in DEVICES:
        bind(f"/dev/{name}", f"{root}/dev/{name}", read_only=False)


def show_settings(root: str, *, own_network: bool) -> None:
    """Make an /etc below a root, with what programs need of the machine's and nothing that names its users."""
    for name in (*ETC, *(() if own_network else ETC_FOR_NETWORK)):
        if os.path.exists(f"/etc/{name}"):
            bind(f"/etc/{name}", f"{root}/etc/{name}")
    for name, text in {**(ETC_WITHOUT_NETWORK if own_network else {}), "passwd": "", "group": ""}.items():
        write(f"{root}/etc/{name}", text)


def show_runtime(root: str, config: dict[str, Any]) -> None:
    """Make this Python, Lambda's runtime packages, the engine's own modules and the code store appear below a root."""
    bind(config["python_prefix"], root + PYTHON)
    for name, path in config["runtime_packages"].items():
        bind(path, f"{root}/var/runtime/{name}")
    for place, path in config["shown"].items():
        if not f"{place}/".startswith("/usr/"):
            bind(path, root + place)
    bind(config["environment_folder"], root + RUNTIME)
    bind(config["code_folder"], root + CODE)


def pivot_into(root: str) -> None:
    """Make `root` this process's root, and let go of the old one."""
    if libc.syscall(PIVOT_ROOT[os.uname().machine], root.encode(), f"{root}/.old".encode()) != 0:
        raise OSError(0, "pivot_root failed")
    os.chdir("/")
    call("umount2", "/.old", MNT_DETACH)
    os.rmdir("/.old")


def furnish_place(user: int) -> None:
    """In new namespaces: give them a /proc, a /tmp, and users of their own. The first process of a tree does this."""
    call("mount", "proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None)
    call("mount", "tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=1m")
    for name, text in (
        ("passwd", f"root:x:0:0:root:/root:/sbin/nologin\n{USER_NAME}:x:{user}:{user}::/tmp:/sbin/nologin\n"),
        ("group", f"root:x:0:\n{USER_NAME}:x:{user}:\n"),
    ):
        write(f"/tmp/{name}", text)
        bind(f"/tmp/{name}", f"/etc/{name}")
        os.unlink(f"/tmp/{name}")  # it stays where it was bound to
    call("sethostname", "localhost", len("localhost"))
    call("mount", None, "/", None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID, None)


def move_in(request: dict[str, Any]) -> None:
    """In an environment's place: show its code, size its /tmp, and let go of all other code."""
    bind(CODE + "/" + request["task"], "/var/task")
    if request["opt"]:
        bind(CODE + "/" + request["opt"], "/opt")
    options = f"mode=1777,size={request['ephemeral_storage_mb']}m"
    call("mount", None, "/tmp", None, MS_REMOUNT | MS_NOSUID | MS_NODEV, options)
    call("umount2", CODE, MNT_DETACH)
    call("umount2", RUNTIME, MNT_DETACH)


def give_up_rights(user: int) -> None:
    """Become the environment's user, who has no rights and can get none."""
    if is_ordinary_user():
        become_in_namespace(user)  # of its own, so that the kernel counts its processes apart
        confine.drop_bounding_set()
        confine.limit_resources(processes=confine.counts_processes_by_namespace())
        confine.drop_capabilities()
    else:
        confine.limit_resources(processes=True)
        confine.become(user)


def try_namespaces() -> None:
    """Try everything that a machine may refuse. Raises OSError."""
    enter_namespaces()
    call("mount", "tmpfs", "/tmp", "tmpfs", MS_NOSUID, None)
    call("unshare", CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC)
    pid = os.fork()
    if pid == 0:
        try:
            call("unshare", CLONE_NEWNS)
            call("mount", "proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None)
            give_up_rights(USER_IN_NAMESPACE if is_ordinary_user() else FIRST_USER)
        except OSError:
            os._exit(1)
        os._exit(0)
    if os.waitpid(pid, 0)[1] != 0:
        raise OSError(0, "a process tree's own /proc can't be mounted, or its user not be changed")

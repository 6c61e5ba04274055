"""What an execution environment may not do: rights, system calls, limits. For its process and all that it starts.

A filter of system calls (https://docs.kernel.org/userspace-api/seccomp_filter.html) closes the parts of the kernel
that no function needs and that attacks on it begin with: namespaces, mounts, keyrings, io_uring, BPF. It costs
nothing for a call whose answer does not depend on its arguments: the kernel keeps a table of those.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import struct
import sys

import kernel
from kernel import call

LAMBDA_LIMIT = 1_024
"""Descriptors, and processes with threads.
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html#function-configuration-deployment-and-execution"""

OWN_COUNT_SINCE = (5, 14)
"""Since when RLIMIT_NPROC counts a user's processes in each user namespace:
https://man7.org/linux/man-pages/man2/getrlimit.2.html"""

CAPABILITIES = struct.pack("=Ii", 0x20080522, 0)  # version 3, this process: capset(2)
PR_CAPBSET_DROP = 24
LAST_CAPABILITY = "/proc/sys/kernel/cap_last_cap"

SECCOMP_SET_MODE_FILTER = 1
SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4
"""Without it kernels before 5.16 make the process slower: https://man7.org/linux/man-pages/man2/seccomp.2.html"""

ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""The kernel's name for each (include/uapi/linux/audit.h), and its column in `CALLS`."""

X32 = 0x40000000
"""From here on x86_64 has the same calls once more, for the ABI x32."""

CALLS = {
    "seccomp": (317, 277),
    "clone": (56, 220),
    "clone3": (435, 435),
    "unshare": (272, 97),
    "socket": (41, 198),
    "memfd_create": (319, 279),
    "keyctl": (250, 219),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "fanotify_init": (300, 262),
    "open_by_handle_at": (304, 265),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "quotactl": (179, 60),
    "acct": (163, 89),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
}
"""Numbers of system calls: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h in Linux."""

CONDITIONAL = ("seccomp", "clone", "unshare", "socket", "memfd_create")
"""Calls that are not refused as such."""

ABSENT = ("clone3", "io_uring_setup", "io_uring_enter", "io_uring_register")
"""Calls that look as if the kernel had none: who tries them then does without. The arguments of clone3 are in memory,
where a filter can't look."""

NAMESPACES = (
    kernel.CLONE_NEWNS
    | kernel.CLONE_NEWCGROUP
    | kernel.CLONE_NEWUTS
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUSER
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNET
)

FAMILIES = (1, 2, 10, 16)
"""Unix, IPv4, IPv6 and netlink (which lists network interfaces). Others reach the hypervisor (vsock is not part of a
network namespace), or the kernel's ciphers."""

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER_AT, ARCHITECTURE_AT, FIRST_ARGUMENT_AT = 0, 4, 16  # struct seccomp_data, on little-endian machines
ALLOW, REFUSE = 0x7FFF0000, 0x00050000
KEYCTL_JOIN_SESSION_KEYRING = 1


def _step(code: int, value: int, if_so: int = 0, if_not: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_so, if_not, value)


def _refuse(number: int) -> bytes:
    return _step(RETURN, REFUSE | number)


def _when_called(number: int, *steps: bytes) -> bytes:
    """Return a filter's part that only one system call runs into; its steps end with an answer."""
    return _step(EQUAL, number, 0, len(steps)) + b"".join(steps)


def syscall_filter(machine: str, *, unmapped_memory: bool) -> bytes | None:
    """Return the program that judges each system call; None for a machine whose calls are not known here.

    Args:
        machine: the kernel's name of this architecture (`uname -m`).
        unmapped_memory: whether memory may be had that belongs to no process: who counts memory by looking at
            processes would not see it.
    """
    if machine not in ARCHITECTURES:
        return None
    architecture, column = ARCHITECTURES[machine]
    number = {name: numbers[column] for name, numbers in CALLS.items()}
    steps = [
        _step(LOAD, ARCHITECTURE_AT),
        _step(EQUAL, architecture, 1, 0),
        _refuse(errno.ENOSYS),
        _step(LOAD, NUMBER_AT),
        _step(AT_LEAST, X32, 0, 1),
        _refuse(errno.ENOSYS),
    ]
    steps += [
        _when_called(number[name], _refuse(errno.ENOSYS if name in ABSENT else errno.EPERM))
        for name in number
        if name not in CONDITIONAL
    ]
    if not unmapped_memory:
        steps.append(_when_called(number["memfd_create"], _refuse(errno.ENOSYS)))
    for name, mask in (("clone", NAMESPACES), ("unshare", NAMESPACES | kernel.CLONE_NEWTIME)):
        test = _step(LOAD, FIRST_ARGUMENT_AT), _step(ANY_BIT, mask, 0, 1), _refuse(errno.EPERM), _step(RETURN, ALLOW)
        steps.append(_when_called(number[name], *test))
    allowed = [_step(EQUAL, family, len(FAMILIES) - at) for at, family in enumerate(FAMILIES)]
    answers = _refuse(errno.EAFNOSUPPORT), _step(RETURN, ALLOW)
    steps.append(_when_called(number["socket"], _step(LOAD, FIRST_ARGUMENT_AT), *allowed, *answers))
    steps.append(_step(RETURN, ALLOW))
    return b"".join(steps)


def install_filter(program: bytes) -> None:
    """Judge each system call of this process, and of all that it starts, by a program. Not to be undone."""
    call("prctl", kernel.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    column = ARCHITECTURES[os.uname().machine][1]
    buffer = ctypes.create_string_buffer(program, len(program))
    whole = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer)))
    number = CALLS["seccomp"][column]
    if kernel.libc.syscall(number, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, whole) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


def leave_keyrings() -> None:
    """Let go of the keys of the session that this process was started in."""
    machine = os.uname().machine
    if machine in ARCHITECTURES:
        number = CALLS["keyctl"][ARCHITECTURES[machine][1]]
        kernel.libc.syscall(number, KEYCTL_JOIN_SESSION_KEYRING, None)  # a kernel without keys has none to leave


def drop_bounding_set() -> None:
    """See to it that no program can give this process rights again. What it has now it keeps."""
    with open(LAST_CAPABILITY) as file:
        last = int(file.read())
    for capability in range(last + 1):
        call("prctl", PR_CAPBSET_DROP, capability, 0, 0, 0)


def drop_capabilities() -> None:
    """Give up all rights that an ordinary user has not got."""
    call("capset", ctypes.create_string_buffer(CAPABILITIES), bytes(24))


def become(user: int) -> None:
    """Become an ordinary user, in the group of the same number and no other."""
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)


def limit_resources(*, processes: bool) -> None:
    """Set Lambda's limits for this process and what it starts; that on processes only where they are counted right."""
    limits = [(resource.RLIMIT_NOFILE, LAMBDA_LIMIT), (resource.RLIMIT_CORE, 0)]
    if processes:
        limits.append((resource.RLIMIT_NPROC, LAMBDA_LIMIT))
    for which, most in limits:
        hard = resource.getrlimit(which)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (most, most))


def counts_processes_by_namespace() -> bool:
    """Return whether this kernel counts a user's processes apart in each user namespace."""
    if sys.platform != "linux":
        return False
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int("".join(takewhile_digits(minor)))) >= OWN_COUNT_SINCE


def takewhile_digits(text: str) -> str:
    """Return the digits that a text begins with; "0" if there are none."""
    end = next((at for at, each in enumerate(text) if not each.isdigit()), len(text))
    return text[:end] or "0"

"""The checks of `greenroom doctor`: this machine, the data folder, and the platform that the environment names.

A check changes nothing.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from greenroom.cli import run_file

OK, WARNING, FAILED = "ok", "warning", "failed"

FREE_DISK_MB = 2048
"""An algorithm takes up to 250 MB unpacked (Lambda's limit), so this holds some releases of a few algorithms."""

DEFAULT_PORT = 4566


@dataclass(frozen=True)
class Check:
    """The result of one check: its name, ok | warning | failed, what was found, and what to do about it."""

    name: str
    status: str
    detail: str
    hint: str = ""

    def to_json(self) -> dict[str, str]:
        return asdict(self)


def examine(data_dir: Path, url: str | None, token: str | None) -> list[Check]:
    """Run every check."""
    return [*machine(), *data_folder(data_dir), platform(url, token)]


def machine() -> Iterator[Check]:
    yield python()
    yield pip()
    yield ministack()
    yield limits()
    yield files()


def python() -> Check:
    """Check whether this Python is a runtime of Lambda: the platform's functions run on the same minor version."""
    from greenroom.package.metadata import SUPPORTED_RUNTIMES

    major, minor, micro = sys.version_info[:3]
    if f"python{major}.{minor}" in SUPPORTED_RUNTIMES:
        return Check("python", OK, f"Python {major}.{minor}.{micro}, a runtime of Lambda")
    detail = f"Python {major}.{minor}.{micro} is not a runtime of Lambda that Greenroom supports"
    return Check("python", FAILED, detail, f"Install Greenroom with one of these: {', '.join(SUPPORTED_RUNTIMES)}.")


def pip() -> Check:
    if importlib.util.find_spec("pip"):
        return Check("pip", OK, f"{metadata.version('pip')}: `greenroom pack` can install requirements.txt")
    hint = f"{sys.executable} -m ensurepip"
    return Check("pip", WARNING, "not installed: `greenroom pack` can't install requirements.txt", hint)


def ministack() -> Check:
    wanted = next(
        (need.split("==")[1] for need in metadata.requires("greenroom") or [] if need.startswith("ministack==")), ""
    )
    try:
        found = metadata.version("ministack")
    except metadata.PackageNotFoundError:
        return Check("embedded AWS", FAILED, "ministack is not installed", f"pip install ministack=={wanted}")
    if wanted in ("", found):
        return Check("embedded AWS", OK, f"ministack {found}")
    detail = f"ministack {found} is installed; Greenroom needs {wanted}"
    return Check("embedded AWS", FAILED, detail, f"pip install ministack=={wanted}")


def limits() -> Check:
    """Check whether memory sizes are real limits here."""
    from greenroom.engine import isolation

    found = isolation()
    if found.limits != "watcher":
        return Check("memory limits", OK, found.describe())
    return Check("memory limits", WARNING, found.describe(), _how_to_get_control_groups())


def _how_to_get_control_groups() -> str:
    if sys.platform != "linux":
        return "Durations still fall with memory as on Lambda, but less exactly. Exact limits need Linux."
    user_id = os.getuid()
    users = Path(f"/sys/fs/cgroup/user.slice/user-{user_id}.slice/user@{user_id}.service/cgroup.controllers")
    controllers = users.read_text() if shutil.which("systemd-run") and users.exists() else None
    return control_groups_hint(user_id, controllers, os.environ.get("XDG_RUNTIME_DIR"))


def control_groups_hint(user_id: int, controllers: str | None, runtime_dir: str | None) -> str:
    """Return what an ordinary user has to do to get control groups.

    Args:
        user_id: the id of the user.
        controllers: the controllers that systemd has delegated to the user; None without a login or without systemd.
        runtime_dir: XDG_RUNTIME_DIR, which leads to the user's systemd; `su` does not change it.
    """
    if controllers is None:
        return "Run Greenroom as root, or as a user with control groups of version 2 (docs/engine.md)."
    own_dir = f"/run/user/{user_id}"
    setting = "" if runtime_dir == own_dir else f"XDG_RUNTIME_DIR={own_dir} "
    command = f"{setting}systemd-run --user --scope -p Delegate=yes greenroom up"
    if missing := {"cpu", "memory"} - set(controllers.split()):
        # Older versions of systemd delegate memory and pids only: Delegate= in their own user@.service.
        return (
            f"systemd does not delegate the controller {' and '.join(sorted(missing))} to users here. As root, write "
            "the lines [Service] and Delegate=cpu memory pids to /etc/systemd/system/user@.service.d/delegate.conf and "
            f"run systemctl daemon-reload. Then log this user out and in, and run: {command}"
        )
    return f"To give Greenroom control groups of its own, run: {command}"


def files() -> Check:
    """Check whether a function can reach its own files only."""
    from greenroom.engine import isolation

    if isolation().namespaces:
        return Check("isolation", OK, "each function has files, a network and a user of its own")
    detail = "functions can reach this user's files, each other's, and every service on this machine"
    if sys.platform != "linux":
        return Check(
            "isolation", WARNING, detail, "Run only code that you trust. Isolation needs namespaces, which Linux has."
        )
    hint = (
        "Allow users to make namespaces (sysctl kernel.unprivileged_userns_clone=1, on Ubuntu "
        "kernel.apparmor_restrict_unprivileged_userns=0), or run Greenroom as root."
    )
    return Check("isolation", WARNING, detail, hint)


def data_folder(data_dir: Path) -> Iterator[Check]:
    run = run_file.read(data_dir)
    if run:
        yield Check("this machine", OK, f"a platform runs on {data_dir}, port {run.port}, process {run.pid}")
    elif port_is_free(DEFAULT_PORT):
        yield Check("this machine", OK, f"port {DEFAULT_PORT} is free for `greenroom up`")
    else:
        hint = "Take a free port: greenroom up --port 0"
        yield Check("this machine", WARNING, f"another program listens on port {DEFAULT_PORT}", hint)
    if run:
        yield durability(run.endpointUrl)
    nearest = next(folder for folder in [data_dir.absolute(), *data_dir.absolute().parents] if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        yield Check("data folder", FAILED, f"{nearest} is not writable", "Name another folder with --data.")
        return
    free_mb = shutil.disk_usage(nearest).free // (1024 * 1024)
    if free_mb < FREE_DISK_MB:
        yield Check(
            "data folder",
            WARNING,
            f"only {free_mb:,} MB are free on {nearest}",
            f"Free some: {FREE_DISK_MB:,} MB are enough.",
        )
    else:
        yield Check("data folder", OK, f"{data_dir}, {free_mb:,} MB free")


def durability(endpoint_url: str) -> Check:
    """Check whether what the embedded AWS answers is on disk, and since when, if it is not."""
    from greenroom.embedded.process import durable_state

    state = durable_state(endpoint_url)
    if state is None:
        return Check("durability", WARNING, "the embedded AWS does not say what is on disk", "Try again in a moment.")
    if state.trouble:
        detail = f"nothing can be kept since {state.age_s:.0f} s: {state.trouble}"
        return Check("durability", FAILED, detail, "Make space in the data folder: it goes on by itself.")
    return Check("durability", OK, f"everything that was answered is on disk, as of {state.age_s:.1f} s ago")


def port_is_free(port: int) -> bool:
    """Return whether no program listens on a port of the loopback interface."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def platform(url: str | None, token: str | None) -> Check:
    """Check whether the platform that the environment names answers, and accepts the token."""
    if not url or not token:
        hint = 'For the platform on this machine: eval "$(greenroom env)"'
        return Check("platform", WARNING, "GREENROOM_URL and GREENROOM_TOKEN are not both set", hint)
    from greenroom.client import GreenroomClient, GreenroomError, Timing

    try:
        with GreenroomClient(url, token, timing=Timing(timeout_s=10, attempts=1)) as client:
            status = client.status()
    except GreenroomError as error:
        return Check("platform", FAILED, f"{error.message} ({error.where})", error.hint)
    said = f"Greenroom {status.platform.version or ''} answers at {url} and accepts the token"
    if status.differences:
        count = len(status.differences)
        said += f"; {count} thing{'' if count == 1 else 's'} of its algorithms are not as its registry says"
        return Check("platform", WARNING, said, "`greenroom status` lists them, with what to do.")
    return Check("platform", OK, said)

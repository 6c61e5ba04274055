"""Starts, finds and stops the embedded AWS, which is a process of its own.

Unless it is detached it ends with the process that started it, however that ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from greenroom.embedded import credentials, folder
from greenroom.store import StoreError
from greenroom.store.database import sync_folder, write_synced

REGION = "us-east-1"
ACCOUNT_ID = "000000000000"
START_TIMEOUT_S = 60.0
"""How long the server may take until it answers: a few seconds on a busy machine, more with a large state."""

STOP_TIMEOUT_S = 30.0
"""How long it may take to save its state and end, before it is killed; and to be gone after that."""

LOG_FILE = "aws.log"

STORE_PATH = "/_greenroom/store"
"""Where the server says up to when everything is on disk."""
LOG_TAIL_CHARS = 1_000


class StartFailed(RuntimeError):
    """The embedded AWS did not come up; the message says why and what to do."""


class StopFailed(RuntimeError):
    """The embedded AWS could not be ended."""


@dataclass(frozen=True)
class DurableState:
    """Up to when everything is on disk: how long ago that was, and why nothing can be kept, if so."""

    age_s: float
    trouble: str | None


@dataclass
class EmbeddedAws:
    """A running embedded AWS, and the credentials of its root. A context manager that stops it."""

    data_dir: Path
    port: int
    pid: int
    access_key_id: str
    secret_access_key: str
    region: str = REGION
    account_id: str = ACCOUNT_ID
    _process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint_url(self) -> str:
        """Return the address at which all of its services answer."""
        return f"http://127.0.0.1:{self.port}"

    @classmethod
    def start(
        cls,
        data_dir: Path,
        port: int = 0,
        *,
        detach: bool = False,
        iam_log: bool = False,
        host_network: bool = False,
    ) -> EmbeddedAws:
        """Start the embedded AWS on a data folder and wait until it answers.

        Args:
            data_dir: folder for its state; made if absent. One server at a time may use it.
            port: port on 127.0.0.1; 0 takes a free one.
            detach: let it go on running when this process ends.
            iam_log: record every authorization in `iam-log.jsonl` in the data folder.
            host_network: let functions use this machine's network; without it they reach the embedded AWS only.

        Raises:
            StartFailed: the port or the folder is in use, or the server did not come up.
        """
        data_dir = data_dir.resolve()
        try:
            folder.require_whole(data_dir)
        except StoreError as error:
            raise StartFailed(str(error)) from error
        close_to_others(data_dir)
        sync_folder(data_dir.parent)
        access_key_id, secret_access_key = _root_credentials(data_dir)
        command = [sys.executable, "-m", "greenroom.embedded.server", str(data_dir), str(port)]
        if detach:
            command.append("--detached")
        if iam_log:
            command.append("--iam-log")
        if host_network:
            command.append("--host-network")
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "GREENROOM_"))}
        log_path = data_dir / LOG_FILE
        with os.fdopen(os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL if detach else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                env=environment,
            )
        port = _await_ready(process, log_path)
        return cls(data_dir, port, process.pid, access_key_id, secret_access_key, _process=None if detach else process)

    def stop(self) -> None:
        """Save the state and end."""
        stop(self.pid, self._process)

    def alive(self) -> bool:
        """Return whether the server still runs."""
        return self._process.poll() is None if self._process else is_alive(self.pid)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()


def close_to_others(data_dir: Path) -> None:
    """Make a data folder if there is none, and let nobody but its owner into it and what lies in it.

    The engine's folder says itself who gets at what in it, since functions are other users.
    """
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    data_dir.chmod(0o700)
    for each in data_dir.iterdir():
        if not each.is_symlink() and each.name != "engine":
            each.chmod(0o700 if each.is_dir() else 0o600)


def durable_state(endpoint_url: str) -> DurableState | None:
    """Return what an embedded AWS says of its store; None if none answers there."""
    import httpx

    try:
        answer = httpx.get(f"{endpoint_url}{STORE_PATH}", timeout=5.0, trust_env=False)
        told = answer.raise_for_status().json()
        return DurableState(float(told["ageS"]), told["trouble"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None


def _await_ready(process: subprocess.Popen[bytes], log_path: Path) -> int:
    """Return the port that the server listens on, once it answers. Raises StartFailed after ending the process."""
    assert process.stdout is not None  # noqa: S101 -- asked for at the start
    with process.stdout as stdout:
        line, in_time = _first_line(stdout.fileno(), time.monotonic() + START_TIMEOUT_S)
    ready: dict[str, Any] = {}
    with contextlib.suppress(ValueError):
        ready = json.loads(line)
    if "port" in ready:
        return int(ready["port"])
    process.kill()
    process.wait()
    if "error" in ready:
        raise StartFailed(ready["error"])
    how = "did not start" if in_time else f"did not answer within {START_TIMEOUT_S:g} s and was ended"
    tail = log_path.read_text(errors="replace")[-LOG_TAIL_CHARS:].strip()
    raise StartFailed(f"the embedded AWS {how}; the end of {log_path} says:\n{tail or '(nothing)'}")


def _first_line(descriptor: int, until: float) -> tuple[bytes, bool]:
    """Read up to the first newline or the end; return what was read, and whether that was in time."""
    line = b""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while not line.endswith(b"\n"):
        if not poll.poll(max(0.0, until - time.monotonic()) * 1_000):
            return line, False
        piece = os.read(descriptor, 4_096)
        if not piece:
            break
        line += piece
    return line, True


def is_alive(pid: int) -> bool:
    """Return whether `pid` is a running embedded AWS."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False
    command = Path(f"/proc/{pid}/cmdline")
    return not command.parent.parent.joinpath("self").exists() or b"greenroom" in command.read_bytes()


def stop(pid: int, process: subprocess.Popen[bytes] | None = None) -> None:
    """End a server and wait for it; kill it if it does not end in time.

    Raises:
        StopFailed: it was killed, and is there still: the kernel waits for something, perhaps a disk.
    """
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, signal_number)
        except ProcessLookupError:
            break
        until = time.monotonic() + STOP_TIMEOUT_S
        while time.monotonic() < until:
            if process.poll() is not None if process else not is_alive(pid):
                return
            time.sleep(0.05)
    else:
        raise StopFailed(f"process {pid}, the embedded AWS, is still there {STOP_TIMEOUT_S:g} s after it was killed")
    if process:
        process.wait(STOP_TIMEOUT_S)


def _root_credentials(data_dir: Path) -> tuple[str, str]:
    """Return the root's keys, which the first start makes."""
    path = data_dir / "credentials.json"
    if path.exists():
        try:
            kept = json.loads(path.read_text())
            return kept["accessKeyId"], kept["secretAccessKey"]
        except (ValueError, KeyError, TypeError) as error:
            raise StartFailed(f"{path} is damaged. {folder.HOW_TO_RESTORE.format(data_dir)}") from error
    if (data_dir / folder.FORMAT_FILE).exists():
        raise StartFailed(f"{path} is missing. {folder.HOW_TO_RESTORE.format(data_dir)}")
    access_key_id = credentials.access_key_id("AKIA")
    secret_access_key = secrets.token_urlsafe(30)
    write_synced(path, json.dumps({"accessKeyId": access_key_id, "secretAccessKey": secret_access_key}).encode())
    return access_key_id, secret_access_key

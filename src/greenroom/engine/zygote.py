"""The engine's end of the prepared processes: starts them, asks them for environments, and learns how those ended.

`runtime/zygote.py` is the other end, and says what a prepared process is.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greenroom.engine.cgroup import Branch, Group
from greenroom.engine.interpreters import Interpreter

RUNTIME_PACKAGES = ("awslambdaric", "snapshot_restore_py", "simplejson")
SDK_PACKAGES = ("boto3", "botocore", "s3transfer", "jmespath", "urllib3", "dateutil", "six")
"""What Lambda's Python runtimes bring along in addition to the standard library.
https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html#python-sdk-included"""

PRELOAD = ("awslambdaric.lambda_context", "awslambdaric.lambda_runtime_log_utils", "awslambdaric.lambda_literals")
PRELOAD_SDK = ("boto3", "boto3.session", "botocore.client", "botocore.httpsession", "botocore.signers", "urllib3")

NODE_MODULES = "/var/runtime/node_modules"

SOURCES = Path(__file__).parent / "runtime"

ELSEWHERE = "folder-for-functions"
"""The file in an engine's data folder that names the folder which its functions can get at."""

START_TIMEOUT_S = 30.0
"""How long a prepared process may take to start: a second on a busy machine, most of it the imports."""

STOCK = 2
"""How many environments wait ahead for what they are to run, of each prepared process."""

STOCK_AFTER_S = 0.03
"""How long the stock waits for more while it has some: the environment that was just taken is in its init phase."""

FORK_TIMEOUT_S = 30.0
"""How long it may take to fork an environment: milliseconds. One that takes longer hangs, and is ended."""


class ZygoteFailed(RuntimeError):
    """A prepared process could not be started or has died."""


@dataclass(frozen=True)
class Layout:
    """How an engine's environments are kept apart.

    `code` is the folder of unpacked code, `scratch` a place to build the functions' root on. `jailed` gives them
    namespaces, among them a network of their own that reaches `endpoint_port` of this machine and nothing else, unless
    they are to have the machine's (`host_network`). `control_groups` limits them by the kernel, not by a watcher.
    """

    code: Path
    scratch: Path
    jailed: bool
    control_groups: bool = False
    host_network: bool = False
    endpoint_port: int = 0

    @property
    def own_network(self) -> bool:
        """Return whether environments have networks of their own."""
        return self.jailed and not self.host_network


def folder_for_functions(data_dir: Path, *, jailed: bool) -> Path:
    """Return the folder for code and runtime: the data folder itself, where functions can get at what is below it.

    Without namespaces root's functions become another user, for whom the data folder is shut. They get a folder among
    the temporary ones; the data folder remembers which, so that the next start removes it if this one can't.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    if jailed or os.geteuid() != 0:
        return data_dir
    remembered = data_dir / ELSEWHERE
    with contextlib.suppress(OSError):
        shutil.rmtree(remembered.read_text(), ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix="greenroom-engine-"))
    folder.chmod(0o711)
    remembered.write_text(str(folder))
    return folder


class Prepared:
    """An environment's process that waits in its namespaces, and in its control group, for what it is to run.

    Moving a process into a group takes the kernel up to a dozen milliseconds, so that is done ahead. `group` is None
    where it is to be watched instead.
    """

    def __init__(self, pid: int, group: Group | None, orders: socket.socket) -> None:
        self.pid = pid
        self.group = group
        self._orders = orders

    def run(self, request: dict[str, Any], control: int, log: int) -> None:
        """Let it run a function that talks over `control` and writes to `log`. Raises OSError if it has ended."""
        with self._orders:
            _send(self._orders, request, control, log)

    def drop(self) -> None:
        """End it unused."""
        self._orders.close()
        if self.group:
            self.group.remove()


class Zygote:
    """One prepared process of one Python, with the SDK imported or without.

    `shown` are more folders that functions see, by their paths there.
    """

    def __init__(
        self, layout: Layout, interpreter: Interpreter, *, sdk: bool, shown: Mapping[str, str] | None = None
    ) -> None:
        root = layout.scratch / f"root-{interpreter.runtime}-{'sdk' if sdk else 'bare'}"
        root.mkdir(parents=True, exist_ok=True)
        packages = _runtime_packages()
        runtime_folder = layout.scratch / "runtime"
        if not layout.jailed:
            modules = {"node_modules": shown[NODE_MODULES]} if shown and NODE_MODULES in shown else {}
            _link_packages(runtime_folder, {**packages, **modules})
        self._branch = Branch() if layout.control_groups else None
        config = {
            "jailed": layout.jailed,
            "own_network": layout.own_network,
            "endpoint_port": layout.endpoint_port,
            "root": str(root),
            "code_folder": str(layout.code),
            "python_prefix": interpreter.prefix,
            "shown": dict(shown or {}),
            "runtime_packages": packages,
            "runtime_folder": str(runtime_folder),
            "environment_folder": str(SOURCES),
            "groups": [str(folder) for folder in self._branch.folders] if self._branch else [],
            "preload": [*PRELOAD, *(PRELOAD_SDK if sdk else ())],
        }
        # However this end goes, the lock on the branch is let go.
        self._remove_branch = weakref.finalize(self, self._branch.remove if self._branch else lambda: None)
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [interpreter.executable, "-I", "-S", "zygote.py", str(theirs.fileno())],
                cwd=SOURCES,  # and not in the command line, which functions can read
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={"PATH": os.defpath, "LANG": "C.UTF-8"},
            )
        self._channel = ours
        self._lock = threading.Lock()
        self._replies: list[dict[str, Any]] = []
        self._replied = threading.Semaphore(0)
        self._exits: dict[int, int] = {}
        self._exited = threading.Condition()
        self.out_of_memory: set[int] = set()
        self._dead = False
        self._stock: list[Prepared] = []
        self._stocking = threading.Lock()
        self._wanted = threading.Event()
        self._wanted.set()
        self._await_start(config, interpreter.executable)
        self.baseline_bytes = _resident_bytes(self._process.pid)
        for work in (self._listen, self._keep_stock):
            threading.Thread(target=work, name="greenroom-zygote", daemon=True).start()

    def _await_start(self, config: dict[str, Any], executable: str) -> None:
        begin = time.monotonic()
        self._channel.settimeout(START_TIMEOUT_S)
        with contextlib.suppress(OSError):
            # Over the socket and not as an argument, which every function could read in /proc.
            _send(self._channel, config)
            if self._receive() is not None:
                self._channel.settimeout(None)
                return
        in_time = time.monotonic() - begin < START_TIMEOUT_S
        self._process.kill()
        self._process.wait()
        self._channel.close()
        self._remove_branch()
        how = "ended while it started" if in_time else f"did not start within {START_TIMEOUT_S:g} s"
        raise ZygoteFailed(f"the prepared process of {executable} {how}; its standard error says why")

    @property
    def alive(self) -> bool:
        """Return whether environments can still be forked from it."""
        return not self._dead

    def tell(self, message: dict[str, Any]) -> None:
        """Send the watcher in the prepared process a message about an environment, unless the process is gone."""
        with self._lock, contextlib.suppress(OSError):
            _send(self._channel, message)

    def take(self) -> Prepared:
        """Return a process for an environment, from the stock if there is one.

        Raises ZygoteFailed if the prepared process is gone, or does not answer and therefore was ended.
        """
        try:
            while True:
                prepared = self._stock.pop()
                if not self.has_ended(prepared.pid):
                    return prepared
                prepared.drop()
        except IndexError:
            return self._prepare()
        finally:
            self._wanted.set()

    def _prepare(self) -> Prepared:
        group = self._branch.new_group() if self._branch else None
        ours, theirs = socket.socketpair()
        prepared = None
        try:
            with theirs:
                prepared = Prepared(self._fork(theirs.fileno()), group, ours)
            if group:
                group.add(prepared.pid)
        except BaseException:
            ours.close()  # which ends the process
            if group:
                group.remove()
            raise
        return prepared

    def _keep_stock(self) -> None:
        """Prepare environments ahead, until the prepared process is gone."""
        while True:
            self._wanted.wait()
            self._wanted.clear()
            if self._stock:
                self._wanted.wait(STOCK_AFTER_S)
            with self._stocking, contextlib.suppress(OSError, ZygoteFailed):
                while len(self._stock) < STOCK and not self._dead:
                    self._stock.append(self._prepare())
            if self._dead:
                return

    def _drop_stock(self) -> None:
        self._dead = True
        self._wanted.set()
        with self._stocking:
            while self._stock:
                self._stock.pop().drop()

    def _fork(self, orders: int) -> int:
        """Fork an environment that waits for orders; return its process id."""
        with self._lock:
            try:
                _send(self._channel, {}, orders)
            except OSError as error:
                raise ZygoteFailed(f"the prepared process is gone: {error}") from error
            if not self._replied.acquire(timeout=FORK_TIMEOUT_S):
                self._dead = True
                self._process.kill()  # a late reply would be taken for the answer to another request
                raise ZygoteFailed(f"the prepared process did not answer within {FORK_TIMEOUT_S:g} s and was ended")
            if not self._replies:
                raise ZygoteFailed("the prepared process is gone")
            reply = self._replies.pop(0)
        if "failed" in reply:
            raise ZygoteFailed(f"the prepared process could not fork an environment: {reply['failed']}")
        return int(reply["pid"])

    def has_ended(self, pid: int) -> bool:
        """Return whether an environment can no longer be used."""
        with self._exited:
            return pid in self._exits or self._dead or self._process.poll() is not None

    def exit_code(self, pid: int, timeout_s: float) -> int | None:
        """Return how an environment ended, negative for a signal; None if it has not."""
        with self._exited:
            self._exited.wait_for(lambda: pid in self._exits or self._dead, timeout_s)
            return self._exits.pop(pid, None)

    def close(self) -> None:
        """End the prepared process and all that was forked from it."""
        self._drop_stock()
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._channel.close()
        self._remove_branch()

    def _receive(self) -> dict[str, Any] | None:
        head = self._read(4)
        body = self._read(struct.unpack("!I", head)[0]) if head else None
        message: dict[str, Any] | None = json.loads(body) if body else None
        return message

    def _read(self, size: int) -> bytes | None:
        data = b""
        while len(data) < size:
            try:
                piece = self._channel.recv(size - len(data))
            except OSError:
                return None
            if not piece:
                return None
            data += piece
        return data

    def _listen(self) -> None:
        while (message := self._receive()) is not None:
            if "pid" in message or "failed" in message:
                self._replies.append(message)
                self._replied.release()
            elif "exit" in message:
                with self._exited:
                    if message["out_of_memory"]:
                        self.out_of_memory.add(message["exit"])
                    self._exits[message["exit"]] = message["status"]
                    self._exited.notify_all()
        with self._exited:
            self._dead = True
            self._exited.notify_all()
        self._replied.release()
        self._drop_stock()


def _send(channel: socket.socket, message: dict[str, Any], *descriptors: int) -> None:
    body = json.dumps(message).encode()
    socket.send_fds(channel, [struct.pack("!I", len(body))], descriptors)
    channel.sendall(body)


def _runtime_packages() -> dict[str, str]:
    """Return where each package of Lambda's runtime is installed, by its name in a folder of packages."""
    found: dict[str, str] = {}
    for name in (*RUNTIME_PACKAGES, *SDK_PACKAGES):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise ZygoteFailed(f"package {name} is not installed: install Greenroom again")
        path = Path(spec.origin)
        if path.name == "__init__.py":
            path = path.parent
        found[path.name] = str(path)
    return {**found, "index.mjs": str(SOURCES / "node.mjs")}


def _link_packages(folder: Path, packages: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in packages.items():
        with contextlib.suppress(FileExistsError):  # of another prepared process of this engine
            (folder / name).symlink_to(path)


def _resident_bytes(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")

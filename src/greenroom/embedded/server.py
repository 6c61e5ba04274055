"""The embedded AWS as a process: `python -m greenroom.embedded.server DATA_DIR PORT [--detached] [--iam-log]`.

It prints one line of JSON when it is ready, or the reason why it can't be. It ends cleanly on SIGTERM, on SIGINT and,
unless detached, when its standard input closes, which happens however its parent ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

from greenroom.embedded import folder
from greenroom.embedded.process import ACCOUNT_ID, LOG_FILE, REGION
from greenroom.store import DamagedStore, Store, StoreError

READY_TIMEOUT_S = 50.0
"""How long ministack may take until it answers: less than the starting process waits, so that the log says why."""


def main(arguments: list[str]) -> int:
    """Serve until a signal, or the end of the parent, says to stop."""
    data_dir, port = Path(arguments[0]), int(arguments[1])
    os.umask(0o077)
    lock = (data_dir / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return _fail(f"the data folder {data_dir} is in use by another embedded AWS: stop it, or take another folder")
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Inherited by every connection: an answer leaves at once instead of waiting for the client's delayed ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        return _fail(
            f"port {port} on 127.0.0.1 can't be used ({error.strerror}): take another with --port, or 0 for any"
        )
    port = listener.getsockname()[1]
    _settle_environment(data_dir, port)
    try:
        store = folder.open_store(data_dir)
        asyncio.run(_serve(data_dir, store, listener, arguments[2:]))
    except StoreError as error:
        _fail(str(error))
        # Threads that have begun already must not keep the process.
        os._exit(1)
    return 0


def _settle_environment(data_dir: Path, port: int) -> None:
    """Set ministack's settings, which it reads when it is imported: that has not happened yet."""
    kept = json.loads((data_dir / "credentials.json").read_text())
    os.environ.update(
        {
            "AUTH": "true",
            "AWS_ACCESS_KEY_ID": kept["accessKeyId"],
            "AWS_SECRET_ACCESS_KEY": kept["secretAccessKey"],
            "DOCKER_HOST": "unix:///nonexistent",
            "GATEWAY_PORT": str(port),
            "IOT_MTLS_ENABLED": "0",
            "LOG_LEVEL": os.environ.get("LOG_LEVEL", "WARNING"),
            "MINISTACK_ACCOUNT_ID": ACCOUNT_ID,
            "MINISTACK_REGION": REGION,
            # What ministack would write itself: the store has it (`durable`).
            "PERSIST_STATE": "0",
            "S3_PERSIST": "0",
            "SFTP_ENABLED": "0",
            "STATE_DIR": str(data_dir / "state"),
        }
    )


async def _serve(data_dir: Path, store: Store, listener: socket.socket, options: list[str]) -> None:
    from greenroom.embedded import conditions, error_log, iam, iam_log, lambda_wiring, previous, retention
    from greenroom.embedded.durable import DurableAnswers, Effects
    from greenroom.embedded.front import Front
    from greenroom.embedded.front import listener as listening
    from greenroom.engine import Engine

    endpoint_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    engine = Engine(
        data_dir / "engine",
        environment={"AWS_ENDPOINT_URL": endpoint_url, "AWS_EC2_METADATA_DISABLED": "true"},
        host_network="--host-network" in options,
    )
    with folder.saying_what_to_do(data_dir):
        folder.require_code(data_dir)
        functions = lambda_wiring.install(engine, store, data_dir, endpoint_url)
        if missing := functions.api.functions.missing_code():
            raise DamagedStore(f"{data_dir / 'code'} has no ZIP with the SHA-256 {missing[0]}, which a function needs")
        effects = Effects(store, data_dir)
        iam.install()
        conditions.install()
        retention.install()
        effects.load()
        previous.migrate(effects, data_dir)
    if "--iam-log" in options:
        iam_log.record_to(data_dir / iam_log.FILE)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    if "--detached" not in options:
        _watch_parent(loop, stopping)
    app = DurableAnswers(Front(listener.getsockname()[1], functions.api), effects)
    server = asyncio.create_task(listening.serve(app, listener, stopping))
    await _until_ready(endpoint_url, server)
    functions.room.start()
    keeping = asyncio.create_task(effects.keep_up())
    forgetting = asyncio.create_task(retention.Retention(effects).keep_up())
    shortening = asyncio.create_task(error_log.keep_short(data_dir / LOG_FILE))
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    await server
    keeping.cancel()
    forgetting.cancel()
    shortening.cancel()
    functions.room.close()
    engine.close()
    effects.end()
    store.close()
    # Threads of flows that wait for something would keep the process until they are done.
    sys.stdout.flush()
    os._exit(0)


async def _until_ready(endpoint_url: str, server: asyncio.Task[Any]) -> None:
    import httpx

    until = time.monotonic() + READY_TIMEOUT_S
    async with httpx.AsyncClient() as client:
        while not server.done():
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(f"{endpoint_url}/_ministack/health")).is_success:
                    return
            if time.monotonic() > until:
                raise TimeoutError(f"ministack did not answer at {endpoint_url} within {READY_TIMEOUT_S:g} s")
            await asyncio.sleep(0.02)
    await server


def _watch_parent(loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
    def wait() -> None:
        sys.stdin.buffer.read()
        loop.call_soon_threadsafe(stopping.set)

    threading.Thread(target=wait, name="greenroom-parent", daemon=True).start()


def _fail(message: str) -> int:
    print(json.dumps({"error": message}), flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

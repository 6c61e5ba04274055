"""The Lambda engine: does a memory size mean what it says, and what does an invocation cost in addition to the handler?

    python -m bench.engine [--runs N] [--soak SECONDS] [--json]
    python -m bench.engine --quick         only what an invocation costs: seconds

* CPU-bound handlers: wall time over CPU time at each size, against 1769 / MemorySize; with control groups, where this
  process may make them, and with the watcher, as an ordinary user. Two threads at 3538 MB.
* 1,000,000 chained SHA-256 hashes at each size, as a ratio to 1769 MB, against the ratios published for AWS.
* Warm invocations of an empty handler and cold starts, p50 and p99.
* Warm invocations through boto3, and through plain ministack of the same version in the same run.
* 64 concurrent invocations of 8 functions: which answers were lost or mixed up, and what memory and processes are left.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import io
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
from botocore.config import Config

from greenroom.embedded import EmbeddedAws
from greenroom.engine import Engine, FunctionSpec, Invocation, Limits, isolation

RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
SIZES_MB = (128, 192, 256, 512, 1024, 1769)

PUBLISHED_MS = {128: 5122.5, 256: 2604.0, 512: 1288.4, 1024: 623.2, 1769: 383.1, 2048: 358.2}
"""1,000,000 chained SHA-256 hashes on AWS Lambda: Python 3.14, x86_64, warm, November 2025."""

SPIN = """
import time
def handler(event, context):
    begin, until = time.perf_counter(), time.process_time() + 0.25
    while time.process_time() < until:
        pass
    return (time.perf_counter() - begin) / 0.25
"""

HASHES = """
import hashlib
def handler(event, context):
    digest, sha256 = b"", hashlib.sha256
    for _ in range(event):
        digest = sha256(digest).digest()
"""

TWO_THREADS = """
import hashlib, threading, time
BLOCK = bytes(1 << 20)  # while a block this large is hashed other threads run
def work(until):
    while time.process_time() < until:
        hashlib.sha256(BLOCK)
def handler(event, context):
    wall, cpu = time.perf_counter(), time.process_time()
    threads = [threading.Thread(target=work, args=(cpu + 0.5,)) for _ in range(2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    return (time.process_time() - cpu) / (time.perf_counter() - wall)
"""

ECHO = "import time\ndef handler(event, context):\n    time.sleep(0.02)\n    return [FUNCTION, event]"
SOAK_THREADS, SOAK_FUNCTIONS = 64, 8
IDLE_WAIT_S = 60
"""How long unused environments may take to end: the reaper looks for them every 5 s."""

START_WAIT_S, STOP_WAIT_S = 30, 10
"""How long plain ministack may take to start, and to stop."""

EMPTY = "def handler(event, context): return None"
WITH_SDK = "import boto3\ndef handler(event, context): return None"


def zipped(source: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("app.py"), source)
    return buffer.getvalue()


def invoke(engine: Engine, source: str, memory_mb: int, event: Any = None, mark: str = "") -> Any:
    """Run a handler once; `mark` makes it another function, which starts cold."""
    code = zipped(f"{source}\n# {mark}")
    spec = FunctionSpec(
        arn="arn:aws:lambda:us-east-1:000000000000:function:bench",
        name="bench",
        version="1",
        runtime=RUNTIME,
        handler="app.handler",
        memory_mb=memory_mb,
        timeout_s=60,
        code_sha256=base64.b64encode(hashlib.sha256(code).digest()).decode(),
        revision=str(memory_mb),
        log_group="/aws/lambda/bench",
    )
    payload = json.dumps(event).encode()
    result = engine.invoke(Invocation(spec, payload, spec.arn, request_id=str(uuid4()), code=lambda: code))
    if result.function_error:
        raise SystemExit(f"the handler failed: {result.payload.decode()}")
    return result


def timed_ms(call: Callable[[int], Any], runs: int) -> dict[str, float]:
    """Return p50 and p99 of a call, in milliseconds."""
    found = []
    for number in range(runs):
        begin = time.perf_counter()
        call(number)
        found.append((time.perf_counter() - begin) * 1_000)
    found.sort()
    return {"p50": statistics.median(found), "p99": found[int(len(found) * 0.99)]}


def cpu_share(engine: Engine, runs: int) -> dict[int, dict[str, float]]:
    """Measure wall time over CPU time at each size, and compare it with what it should be."""
    found = {}
    for memory_mb in SIZES_MB:
        ratios = [json.loads(invoke(engine, SPIN, memory_mb).payload) for _ in range(runs)]
        expected = 1_769 / memory_mb
        ratio = statistics.median(ratios)
        found[memory_mb] = {"ratio": ratio, "expected": expected, "off": ratio / expected - 1}
    return found


def watcher_share(runs: int) -> dict[str, Any]:
    """Measure CPU shares without control groups."""
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(Path(folder), control_groups=False)
        try:
            return {f"cpu share, watcher, by user {os.geteuid()}": cpu_share(engine, runs)}
        finally:
            engine.close()


def as_ordinary_user(runs: int) -> dict[str, Any]:
    """Do the same as an ordinary user."""
    command = [sys.executable, "-m", "bench.engine", "--watcher", "--json", "--runs", str(runs)]
    user = [sys.executable, "-m", "bench.ordinary_user", *command]
    found: dict[str, Any] = json.loads(subprocess.run(user, check=True, stdout=subprocess.PIPE).stdout)
    return found


def hash_curve(engine: Engine, runs: int) -> dict[int, dict[str, float]]:
    """Measure the hash loop at each size as a ratio to 1769 MB, and compare it with the published ratios."""
    times = {}
    for memory_mb in PUBLISHED_MS:
        durations = [invoke(engine, HASHES, memory_mb, 1_000_000).duration_ms for _ in range(runs + 1)]
        times[memory_mb] = statistics.median(durations[1:])
    base, published = times[1769], PUBLISHED_MS[1769]
    return {
        memory_mb: {
            "ms": times[memory_mb],
            "ratio": times[memory_mb] / base,
            "aws": PUBLISHED_MS[memory_mb] / published,
            "off": times[memory_mb] / base / (PUBLISHED_MS[memory_mb] / published) - 1,
        }
        for memory_mb in times
    }


def cost_of_an_invocation(engine: Engine) -> dict[str, dict[str, float]]:
    """Time warm invocations of an empty handler, and cold starts without and with the SDK."""
    invoke(engine, EMPTY, 1769)
    warm = timed_ms(lambda _: invoke(engine, EMPTY, 1769), 1_000)
    cold = timed_ms(lambda n: invoke(engine, EMPTY, 1769, mark=f"cold {n}"), 50)
    invoke(engine, WITH_SDK, 1769)
    with_sdk = timed_ms(lambda n: invoke(engine, WITH_SDK, 1769, mark=f"s {n}"), 50)
    return {"warm, engine alone (ms)": warm, "cold, empty handler (ms)": cold, "cold, imports boto3 (ms)": with_sdk}


def quick() -> dict[str, Any]:
    """Time invocations, and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(Path(folder))
        try:
            return {"isolation": isolation().describe(), **cost_of_an_invocation(engine)}
        finally:
            engine.close()


def processes_below(pid: int) -> list[int]:
    """Return a process and all that it has started, directly or not."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def memory_mb(pids: list[int]) -> float:
    """Return the memory that processes use; what they share counts once."""
    lines = [line for pid in pids for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def soak(folder: Path, seconds: float) -> dict[str, float]:
    """Invoke several functions concurrently; return counts, and memory and processes before and after."""
    engine = Engine(folder, limits=Limits(idle_s=1.0))
    try:
        invoke(engine, EMPTY, 256)
        wait_for_idle(engine)
        before = processes_below(os.getpid())
        memory_before = memory_mb(before)
        until = time.monotonic() + seconds
        answers: list[tuple[int, int]] = []

        def work(thread: int) -> None:
            function, made, wrong = thread % SOAK_FUNCTIONS, 0, 0
            while time.monotonic() < until:
                sent = [thread, made]
                got = invoke(engine, ECHO.replace("FUNCTION", str(function)), 256, sent)
                wrong += got.throttled or json.loads(got.payload) != [function, sent]
                made += 1
            answers.append((made, wrong))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(SOAK_THREADS)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        wait_for_idle(engine)
        after = processes_below(os.getpid())
        found = {
            "invocations": sum(made for made, _ in answers),
            "lost or mixed up": sum(wrong for _, wrong in answers) + SOAK_THREADS - len(answers),
            "memory before (MB)": memory_before,
            "memory after (MB)": memory_mb(after),
            "processes before": len(before),
            "processes after": len(after),
        }
    finally:
        engine.close()
    return {**found, "processes when closed": len(processes_below(os.getpid())) - 1}


def wait_for_idle(engine: Engine) -> None:
    """Wait until every environment has been ended, and its process is gone."""
    until = time.monotonic() + IDLE_WAIT_S
    while engine.environments:
        if time.monotonic() > until:
            raise SystemExit(f"{engine.environments} environments have not ended within {IDLE_WAIT_S} s")
        time.sleep(0.1)
    time.sleep(1)


def through_boto3(endpoint_url: str, key: str, secret: str, runs: int) -> dict[str, float]:
    """Time warm invocations of an empty handler through boto3."""
    session = boto3.Session(key, secret, region_name="us-east-1")
    config = Config(retries={"total_max_attempts": 1})
    client = session.client("lambda", endpoint_url=endpoint_url, config=config)
    role = "arn:aws:iam::000000000000:role/bench"
    iam = session.client("iam", endpoint_url=endpoint_url)
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName="bench", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
    client.create_function(
        FunctionName="bench",
        Runtime=RUNTIME,  # type: ignore[arg-type]
        Handler="app.handler",
        Role=role,
        Code={"ZipFile": zipped(EMPTY)},
        MemorySize=1769,
    )
    client.get_waiter("function_active_v2").wait(FunctionName="bench")
    for _ in range(5):
        client.invoke(FunctionName="bench")["Payload"].read()
    return timed_ms(lambda _: client.invoke(FunctionName="bench")["Payload"].read(), runs)


def plain_ministack(runs: int) -> dict[str, float]:
    """Do the same through ministack with its own executor."""
    with plain_server() as endpoint_url:
        return through_boto3(endpoint_url, "test", "test", runs)


@contextlib.contextmanager
def plain_server() -> Iterator[str]:
    """Run ministack with its own executor, and give its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
    }
    process = subprocess.Popen([sys.executable, "-m", "ministack"], env=environment, stdout=subprocess.DEVNULL)
    try:
        await_port(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(STOP_WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until something listens on a port of this machine."""
    until = time.monotonic() + START_WAIT_S
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit(f"ministack did not listen on port {port} within {START_WAIT_S} s")


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=30, help="runs of each CPU-bound handler (default 30)")
    parser.add_argument("--soak", type=float, default=60, help="seconds of concurrent invocations (default 60)")
    parser.add_argument("--watcher", action="store_true", help="only the CPU shares that the watcher gives")
    parser.add_argument("--quick", action="store_true", help="only warm invocations and cold starts: seconds")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if options.watcher:
        show(watcher_share(options.runs), options.json)
        return 0
    if options.quick:
        show(quick(), options.json)
        return 0
    found: dict[str, Any] = {"isolation": isolation().describe()}
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(Path(folder, "engine"))
        try:
            found[f"cpu share, {isolation().limits}"] = cpu_share(engine, options.runs)
            cores = [json.loads(invoke(engine, TWO_THREADS, 3538).payload) for _ in range(options.runs)]
            found["cores that two threads use at 3538 MB"] = {"median": statistics.median(cores)}
            found["hash loop"] = hash_curve(engine, max(1, options.runs // 6))
            found |= cost_of_an_invocation(engine)
        finally:
            engine.close()
        found |= watcher_share(options.runs) if os.geteuid() else as_ordinary_user(options.runs)
        found[f"{SOAK_THREADS} at once, {SOAK_FUNCTIONS} functions, {options.soak:g} s"] = soak(
            Path(folder, "soak"), options.soak
        )
        command = [sys.executable, "-c", "import boto3"]
        found["python -c 'import boto3' (ms)"] = timed_ms(lambda _: subprocess.run(command, check=True), 10)
        with EmbeddedAws.start(Path(folder, "aws"), port=0) as aws:
            keys = aws.access_key_id, aws.secret_access_key
            found["warm, through boto3 (ms)"] = through_boto3(aws.endpoint_url, *keys, 500)
        found["warm, through boto3, plain ministack (ms)"] = plain_ministack(500)
    show(found, options.json)
    return 0


def show(found: dict[str, Any], as_json: bool) -> None:
    """Print what was measured."""
    if as_json:
        print(json.dumps(found, indent=2))
        return
    print(found.pop("isolation", ""))
    for name, values in found.items():
        print(f"\n{name}")
        for key, value in values.items():
            shown = "  ".join(f"{k} {v:.3f}" for k, v in value.items()) if isinstance(value, dict) else f"{value:.3f}"
            print(f"  {key:>6}  {shown}")


if __name__ == "__main__":
    sys.exit(main())

"""What durability costs: two platforms side by side, one of which keeps nothing, asked for the same in turn.

    python -m bench.durability [--runs N] [--json]

The second platform is the same code with a store that writes nothing and waits for nothing. Measured are a warm
invocation, a write to each service, a document through an algorithm, and a release.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

from bench.flow import measure
from greenroom.client import GreenroomClient
from greenroom.deploy import Deployment, deploy_platform
from greenroom.embedded import EmbeddedAws

KEEP_NOTHING = """
import sys
if "greenroom.embedded.server" in sys.orig_argv:
    from greenroom.embedded.durable.effects import Effects, Written
    from greenroom.store.store import Store

    async def barrier_async(self, upto=None):
        pass

    Effects.write = lambda self, found, in_background=False: Written(False, 0)
    Store._hand_over = lambda self, changes: None
    Store.barrier = lambda self, upto=None: None
    Store.barrier_async = barrier_async
"""
"""What Python runs first in the second platform's server: it takes the store's effect away."""

OPERATIONS = 200


@dataclass
class Side:
    """One of the two platforms, and what was measured on it, in milliseconds."""

    name: str
    aws: EmbeddedAws
    deployment: Deployment
    client: GreenroomClient
    times_ms: dict[str, list[float]] = field(default_factory=dict)

    def service(self, name: str) -> Any:
        session = boto3.Session(self.aws.access_key_id, self.aws.secret_access_key, region_name=self.aws.region)
        return session.client(name, endpoint_url=self.aws.endpoint_url)  # type: ignore[call-overload]

    def time(self, what: str, call: Callable[[], Any]) -> None:
        begin = time.perf_counter()
        call()
        self.times_ms.setdefault(what, []).append((time.perf_counter() - begin) * 1_000)


def start(name: str, folder: Path, stack: ExitStack, *, keeps: bool) -> Side:
    """Start a platform in a folder."""
    path = os.environ.get("PYTHONPATH")
    if not keeps:
        hook = folder / "hook"
        hook.mkdir(parents=True)
        (hook / "sitecustomize.py").write_text(KEEP_NOTHING)
        os.environ["PYTHONPATH"] = f"{hook}{os.pathsep}{path or ''}"
    try:
        aws = stack.enter_context(EmbeddedAws.start(folder / "data"))
    finally:
        os.environ.pop("PYTHONPATH", None)
        if path is not None:
            os.environ["PYTHONPATH"] = path
    session = boto3.Session(aws.access_key_id, aws.secret_access_key, region_name=aws.region)
    deployment = deploy_platform(session, endpoint_url=aws.endpoint_url, poll_s=0.1)
    client = stack.enter_context(GreenroomClient(deployment.url, deployment.token))
    return Side(name, aws, deployment, client)


def operations(side: Side) -> dict[str, Callable[[int], Any]]:
    """Return what is asked for in turn: by name, a call that takes a number."""
    s3, sqs, table, functions = (side.service(name) for name in ("s3", "sqs", "dynamodb", "lambda"))
    s3.create_bucket(Bucket="bench")
    url = sqs.create_queue(QueueName="bench")["QueueUrl"]
    table.create_table(
        TableName="bench",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    name = f"{side.deployment.prefix}-alg-trivial"
    event = json.dumps({"greenroom": 1}).encode()
    return {
        "warm invocation": lambda _: functions.invoke(FunctionName=name, Payload=event)["Payload"].read(),
        "SQS SendMessage": lambda number: sqs.send_message(QueueUrl=url, MessageBody=str(number)),
        "DynamoDB PutItem": lambda number: table.put_item(TableName="bench", Item={"id": {"S": str(number)}}),
        "DynamoDB GetItem": lambda number: table.get_item(TableName="bench", Key={"id": {"S": str(number)}}),
        "S3 PutObject, 1 KB": lambda number: s3.put_object(Bucket="bench", Key=str(number), Body=bytes(1_000)),
        "S3 PutObject, 1 MB": lambda _: s3.put_object(Bucket="bench", Key="large", Body=bytes(1_000_000)),
    }


def document(side: Side, path: Path) -> None:
    """Send a document and wait for the answer."""
    side.client.wait_for_message("trivial", side.client.send("trivial", path).message_id)


def memory_mb(pid: int) -> float:
    """Return how much memory a process has."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def run(folder: Path, runs: int) -> dict[str, Any]:
    """Measure both platforms in turn."""
    with ExitStack() as stack:
        sides = [
            start("durable", folder / "durable", stack, keeps=True),
            start("keeps nothing", folder / "nothing", stack, keeps=False),
        ]
        found = {side.name: side for side in sides}
        for number in range(runs + 1):
            for side in sides:
                place = folder / f"{side.name}-{number}"
                place.mkdir()
                states = side.service("stepfunctions")
                took = measure(side.client, states, side.deployment, place, number)
                if number:
                    side.times_ms.setdefault("release", []).append(took["whole"] * 1_000)
        asked = {side.name: operations(side) for side in sides}
        for what in asked["durable"]:
            for number in range(OPERATIONS):
                for side in sides:
                    call = asked[side.name][what]
                    side.time(what, lambda call=call, number=number: call(number))  # type: ignore[misc]
        path = folder / "document.json"
        path.write_text('{"a": 1}')
        for _ in range(OPERATIONS // 4):
            for side in sides:
                side.time("document and its answer", lambda side=side: document(side, path))  # type: ignore[misc]
        return {
            name: {
                "medianMs": {what: statistics.median(times) for what, times in side.times_ms.items()},
                "memoryMB": memory_mb(side.aws.pid),
            }
            for name, side in found.items()
        }


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="releases on each side (default 5)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), options.runs)
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    durable, nothing = found["durable"], found["keeps nothing"]
    print(f"{'ms, median':28}{'durable':>12}{'nothing':>12}{'price':>9}")
    for what, time_ms in durable["medianMs"].items():
        other_ms = nothing["medianMs"][what]
        print(f"{what:28}{time_ms:12.2f}{other_ms:12.2f}{time_ms / other_ms - 1:9.0%}")
    print(f"{'memory, MB':28}{durable['memoryMB']:12.0f}{nothing['memoryMB']:12.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

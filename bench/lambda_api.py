"""Lambda's API: what an invocation through it costs, alone and 32 at once, next to plain ministack in the same run.

    python -m bench.lambda_api [--rounds N] [--only ours|plain] [--json]

* Warm Invoke of an empty handler through boto3, by 1, 8 and 32 callers: p50, p99, invocations a second.
* From SendMessage to the function's first line, p50 and p99; and 200 messages, sent at once, a second.
* A Map of Step Functions over 100 items, 10 at once.

The rounds of the two alternate, and each line is the median of its rounds. Callers and server share the machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
from botocore.config import Config

from bench.engine.__main__ import EMPTY, RUNTIME, plain_server, zipped
from greenroom.embedded import EmbeddedAws

TELLER = """
import json, os, time, boto3
sqs = boto3.client("sqs")
def handler(event, context):
    now = time.time()
    for record in event["Records"]:
        sent = json.loads(record["body"])
        sqs.send_message(QueueUrl=sent["answer"], MessageBody=json.dumps(now - sent["at"]))
"""

EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}
INVOCATIONS = {1: 400, 8: 1_200, 32: 1_600}
MESSAGES = 60
MANY = 200
"""How many messages are sent at once."""


class Target:
    """A server that is measured, with a function of each kind."""

    def __init__(self, endpoint_url: str, key: str, secret: str) -> None:
        self._session = boto3.Session(key, secret, region_name="us-east-1")
        self._endpoint_url = endpoint_url
        self.role = self._role()
        self.empty = self._function(EMPTY)
        self.teller = self._function(TELLER)
        sqs = self.client("sqs")
        self.queue = sqs.create_queue(QueueName=f"bench-{uuid4().hex}", Attributes={"VisibilityTimeout": "60"})[
            "QueueUrl"
        ]
        self.answers = sqs.create_queue(QueueName=f"bench-{uuid4().hex}")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        self.client("lambda").create_event_source_mapping(FunctionName=self.teller, EventSourceArn=arn)
        self.machine = self._machine()

    def client(self, service: str) -> Any:
        """Return a client that never tries twice by itself."""
        config = Config(retries={"total_max_attempts": 1}, max_pool_connections=40)
        return self._session.client(service, endpoint_url=self._endpoint_url, config=config)  # type: ignore[call-overload]

    def _role(self) -> str:
        iam, name = self.client("iam"), f"bench-{uuid4().hex}"
        services = ["lambda.amazonaws.com", "states.amazonaws.com"]
        trust = {"Effect": "Allow", "Principal": {"Service": services}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        policy = json.dumps({"Version": "2012-10-17", "Statement": [EVERYTHING]})
        iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=policy)
        return arn

    def _function(self, source: str) -> str:
        client, name = self.client("lambda"), f"bench-{uuid4().hex}"
        client.create_function(
            FunctionName=name,
            Runtime=RUNTIME,
            Handler="app.handler",
            Role=self.role,
            Code={"ZipFile": zipped(source)},
            MemorySize=1769,
            Timeout=30,
        )
        client.get_waiter("function_active_v2").wait(FunctionName=name)
        return name

    def _machine(self) -> str:
        function = self.client("lambda").get_function_configuration(FunctionName=self.empty)["FunctionArn"]
        task = {"Type": "Task", "Resource": function, "End": True}
        items = {
            "Type": "Map",
            "MaxConcurrency": 10,
            "ItemProcessor": {"StartAt": "t", "States": {"t": task}},
            "End": True,
        }
        definition = json.dumps({"StartAt": "m", "States": {"m": items}})
        made = self.client("stepfunctions").create_state_machine(
            name=f"bench-{uuid4().hex}", definition=definition, roleArn=self.role
        )
        return str(made["stateMachineArn"])


def invocations(target: Target, callers: int) -> dict[str, float]:
    """Time warm invocations by several callers at once."""
    client, each = target.client("lambda"), INVOCATIONS[callers] // callers
    times: list[float] = []

    def call() -> float:
        begin = time.perf_counter()
        client.invoke(FunctionName=target.empty)["Payload"].read()
        return (time.perf_counter() - begin) * 1_000

    def work(count: int) -> None:
        found = [call() for _ in range(count)]
        times.extend(found)

    def run(count: int) -> float:
        threads = [threading.Thread(target=work, args=(count,)) for _ in range(callers)]
        begin = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - begin

    run(3)
    times.clear()
    took_s = run(each)
    return {"p50 ms": statistics.median(times), "p99 ms": percentile(times, 0.99), "a second": len(times) / took_s}


def messages(target: Target) -> dict[str, float]:
    """Time messages one by one, then many at once."""
    sqs = target.client("sqs")

    def send(count: int) -> None:
        for number in range(0, count, 10):
            bodies = [json.dumps({"answer": target.answers, "at": time.time()}) for _ in range(min(10, count - number))]
            entries = [{"Id": str(at), "MessageBody": body} for at, body in enumerate(bodies)]
            sqs.send_message_batch(QueueUrl=target.queue, Entries=entries)

    def answers(count: int) -> list[float]:
        found: list[float] = []
        while len(found) < count:
            got = sqs.receive_message(QueueUrl=target.answers, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            for message in got.get("Messages", []):
                sqs.delete_message(QueueUrl=target.answers, ReceiptHandle=message["ReceiptHandle"])
                found.append(float(message["Body"]) * 1_000)
        return found

    send(1)
    answers(1)
    times = []
    for _ in range(MESSAGES):
        send(1)
        times += answers(1)
    begin = time.perf_counter()
    send(MANY)
    answers(MANY)
    many_s = time.perf_counter() - begin
    return {"p50 ms": statistics.median(times), "p99 ms": percentile(times, 0.99), "a second": MANY / many_s}


def mapped(target: Target) -> dict[str, float]:
    """Time a Map over 100 items."""
    states = target.client("stepfunctions")
    begin = time.perf_counter()
    execution = states.start_execution(stateMachineArn=target.machine, input=json.dumps(list(range(100))))[
        "executionArn"
    ]
    while (found := states.describe_execution(executionArn=execution))["status"] == "RUNNING":
        time.sleep(0.005)
    if found["status"] != "SUCCEEDED":
        raise SystemExit(f"the state machine ended as {found}")
    return {"s": time.perf_counter() - begin}


LINES: dict[str, Callable[[Target], dict[str, float]]] = {
    "Invoke, 1 caller": lambda target: invocations(target, 1),
    "Invoke, 8 callers": lambda target: invocations(target, 8),
    "Invoke, 32 callers": lambda target: invocations(target, 32),
    "SQS to function": messages,
    "Map of 100": mapped,
}


def percentile(values: list[float], share: float) -> float:
    """Return the value that a share of all are below."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


@contextmanager
def ours() -> Iterator[Target]:
    """Start the embedded AWS."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedAws.start(Path(folder, "aws"), port=0) as aws:
        yield Target(aws.endpoint_url, aws.access_key_id, aws.secret_access_key)


@contextmanager
def plain() -> Iterator[Target]:
    """Start ministack with its own executor."""
    with plain_server() as endpoint_url:
        yield Target(endpoint_url, "test", "test")


SERVERS = {"ours": ours, "plain": plain}


def measure(names: list[str], rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    """Measure each line of each server, the servers in turn; return medians by line and server."""
    found: dict[str, dict[str, list[dict[str, float]]]] = {line: {name: [] for name in names} for line in LINES}
    for _ in range(rounds):
        for name in names:
            with SERVERS[name]() as target:
                for line, call in LINES.items():
                    found[line][name].append(call(target))
    return {
        line: {
            name: {key: statistics.median(each[key] for each in runs) for key in runs[0]} for name, runs in by.items()
        }
        for line, by in found.items()
    }


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each server (default 3)")
    parser.add_argument("--only", choices=list(SERVERS), help="measure one server alone")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    found = measure([options.only] if options.only else list(SERVERS), options.rounds)
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    for line, by in found.items():
        print(f"\n{line}")
        for name, values in by.items():
            print(f"  {name:>6}  " + "  ".join(f"{key} {value:.2f}" for key, value in values.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

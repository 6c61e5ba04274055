"""From upload to LIVE: how long a trivial algorithm takes, and where the time goes.

    python -m bench.flow [--runs N] [--json]

Starts the embedded AWS in a temporary folder, deploys the platform, warms it up with one release, then pushes further
releases of a trivial algorithm (three power values, 10 invocations each) and reads the stages' times from the release's
history and from its state machine's history. The platform's own share is the whole less the invocations' own time,
which is what Lambda bills for them, as far as they did not run side by side.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import tempfile
import time
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3

from greenroom.client import GreenroomClient
from greenroom.deploy import Deployment, deploy_platform
from greenroom.embedded import EmbeddedAws

NAME = "trivial"
STEPS = ("Lock", "Publish", "Plan", "Execute", "Decide", "Promote", "AttachQueue", "AwaitStack", "Clean")


def package(number: int) -> bytes:
    """A trivial algorithm; each number another release."""
    metadata = {"name": NAME, "type": "in", "entry": "hello.algorithm:Hello", "description": str(number)}
    members = {
        "metadata.json": json.dumps(metadata),
        "hello/algorithm.py": "class Hello:\n    def translate(self, document):\n        return document\n",
        "tests/echo/input.json": '{"a": 1}',
        "tests/echo/expected.json": '{"a": 1}',
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def seconds(earlier: datetime | None, later: datetime | None) -> float:
    """Seconds between two times of a release's history."""
    if earlier is None or later is None:
        raise SystemExit("the release's history has no times")
    return (later - earlier).total_seconds()


def steps_s(states: Any, deployment: Deployment, release_id: str) -> dict[str, float]:
    """Seconds in each step of the backstage flow, from its execution's history."""
    arn = (
        f"arn:aws:states:{deployment.region}:{deployment.account_id}:execution:"
        f"{deployment.prefix}-backstage:{release_id}-provisioned"
    )
    entered: dict[str, float] = {}
    spent: dict[str, float] = {}
    for page in states.get_paginator("get_execution_history").paginate(executionArn=arn):
        for event in page["events"]:
            at = event["timestamp"].timestamp()
            if name := event.get("stateEnteredEventDetails", {}).get("name"):
                entered.setdefault(name, at)
            elif (name := event.get("stateExitedEventDetails", {}).get("name")) and name in entered:
                spent[name] = spent.get(name, 0.0) + at - entered.pop(name)
    return {name: spent[name] for name in STEPS if name in spent}


def measure(
    client: GreenroomClient, states: Any, deployment: Deployment, folder: Path, number: int
) -> dict[str, float]:
    """Push one release, wait until it is live, and return seconds by stage."""
    path = folder / f"{number}.zip"
    path.write_bytes(package(number))
    begin = time.perf_counter()
    release_id = client.upload_package(path)
    uploaded = time.perf_counter()
    release = client.wait_for_release(release_id)
    if release.status != "LIVE":
        raise SystemExit(f"release {release_id} ended as {release.status}: {release.reason}")
    at = {entry.status: entry.at for entry in release.history}
    whole = seconds(at["UPLOADING"], at["LIVE"])
    by_memory: dict[int, float] = {}
    for each in client.measurements(release_id):
        by_memory[each.memory_mb] = by_memory.get(each.memory_mb, 0.0) + (each.billed_duration_ms or 0) / 1_000
    invocations = max(by_memory.values())
    return {
        "upload": uploaded - begin,
        "register": seconds(at["UPLOADING"], at["REGISTERED"]),
        "wait for provisioning": seconds(at["REGISTERED"], at["PROVISIONING"]),
        "provision": seconds(at["PROVISIONING"], at["PROVISIONED"]),
        "wait for the test": seconds(at["PROVISIONED"], at["TESTING"]),
        "test": seconds(at["TESTING"], at["LIVE"]),
        **{f"  {name}": spent for name, spent in steps_s(states, deployment, release_id).items()},
        "whole": whole,
        "invocations (slowest power value)": invocations,
        "platform's own share": whole - invocations,
    }


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="releases that are measured (default 5)")
    parser.add_argument("--json", action="store_true", help="print seconds by stage as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, EmbeddedAws.start(Path(folder, "data"), port=0) as aws:
        session = boto3.Session(aws.access_key_id, aws.secret_access_key, region_name=aws.region)
        deployment = deploy_platform(session, endpoint_url=aws.endpoint_url, poll_s=0.1)
        states = session.client("stepfunctions", endpoint_url=aws.endpoint_url)
        with GreenroomClient(deployment.url, deployment.token) as client:
            first = measure(client, states, deployment, Path(folder), 0)
            runs = [measure(client, states, deployment, Path(folder), number + 1) for number in range(options.runs)]
    medians = {stage: statistics.median(run[stage] for run in runs) for stage in runs[0]}
    if options.json:
        print(json.dumps({"first": first, "runs": runs, "median": medians}, indent=2))
        return 0
    print(f"{'seconds':36}{'first':>10}{'median':>10}{'min':>10}{'max':>10}   ({len(runs)} runs)")
    for stage, median in medians.items():
        values = [run[stage] for run in runs]
        print(f"{stage:36}{first.get(stage, 0):10.3f}{median:10.3f}{min(values):10.3f}{max(values):10.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

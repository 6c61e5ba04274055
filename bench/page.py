"""The page and the calls behind it with 500 algorithms, and 1,000 releases of one: how long each takes.

    python -m bench.page [--algorithms N] [--releases N] [--runs N] [--json]

Starts the embedded AWS in a temporary folder, deploys the platform, and fills the registry through its own methods with
algorithms that are live and some whose newest release failed. The stream that would start the flows is cut off first:
nothing of the seeded is provisioned. Then the calls are made over HTTP, and the page is opened in Chromium where one is
installed: bytes over the wire, and milliseconds until a row of the list can be clicked.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import boto3
import httpx

from greenroom.deploy import Deployment, deploy_platform
from greenroom.embedded import EmbeddedAws
from greenroom.releases import Registry, Status, new_release_id

WAY = (Status.UPLOADING, Status.REGISTERED, Status.PROVISIONING, Status.PROVISIONED, Status.TESTING)
BUSY = "algorithm-000"
FAILS_EVERY = 5


def seed(registry: Registry, algorithms: int, releases: int) -> str:
    """Fill a registry: `algorithms` of them, the first with `releases` releases. Return its last release's id."""
    for number in range(1, algorithms):
        name = f"algorithm-{number:03d}"
        release(registry, name, number)
        release(registry, name, number)
        if number % FAILS_EVERY == 0:
            release(registry, name, number, passes=False)
    last = ""
    for number in range(releases):
        last = release(registry, BUSY, number, passes=number % FAILS_EVERY != 1)
    return last


def release(registry: Registry, name: str, number: int, *, passes: bool = True) -> str:
    """One release of an algorithm, to its end."""
    release_id = new_release_id()
    registry.create_release(release_id, f"{name}.zip", author="Ada")
    metadata = {"name": name, "type": "in", "entry": "code:Algorithm", "next": [], "powerValues": [128, 256, 512]}
    values = {
        "algorithm": name,
        "type": "in",
        "metadata": json.dumps(metadata),
        "cases": ["one", "two"],
        "packageKey": f"packages/{release_id}/0.zip",
        "packageSha256": "0" * 64,
        "packageSizeBytes": 10_000 + number,
    }
    registry.register(release_id, values)
    for before, after in itertools.pairwise(WAY[1:]):
        registry.change_status(release_id, after, before=before)
    if passes:
        registry.record_choice(
            release_id, version=str(number + 1), memory_mb=256, cost_usd_per_million=1 + number / 100
        )
        registry.go_live(registry.release(release_id))
    else:
        registry.change_status(
            release_id, Status.FAILED, before=Status.TESTING, reason="case 'one' gave a wrong answer"
        )
    return release_id


def cut_off_stream(session: boto3.Session, aws: EmbeddedAws, deployment: Deployment) -> None:
    """Keep the platform from working on what is seeded."""
    client = session.client("lambda", endpoint_url=aws.endpoint_url)
    mappings = client.list_event_source_mappings(FunctionName=f"{deployment.prefix}-dispatch")["EventSourceMappings"]
    for mapping in mappings:
        client.delete_event_source_mapping(UUID=mapping["UUID"])


def time_calls(deployment: Deployment, last: str, runs: int) -> dict[str, list[float]]:
    """Milliseconds of each call of the list and of the history, and how they answer."""
    paths = {
        "GET /algorithms": "/algorithms",
        "GET /algorithms/NAME": f"/algorithms/{BUSY}",
        "GET /algorithms/NAME/releases": f"/algorithms/{BUSY}/releases",
        "GET /algorithms/NAME/releases?limit=200": f"/algorithms/{BUSY}/releases?limit=200",
        "GET /releases/ID": f"/releases/{last}",
    }
    headers = {"Authorization": f"Bearer {deployment.token}"}
    found: dict[str, list[float]] = {}
    with httpx.Client(headers=headers, trust_env=False) as client:
        for name, path in paths.items():
            times = []
            for _ in range(runs + 1):
                begin = time.perf_counter()
                client.get(f"{deployment.url}{path}").raise_for_status()
                times.append((time.perf_counter() - begin) * 1_000)
            found[name] = times[1:]
    return found


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algorithms", type=int, default=500, help="how many algorithms (default 500)")
    parser.add_argument("--releases", type=int, default=1_000, help="how many releases of the first (default 1,000)")
    parser.add_argument("--runs", type=int, default=20, help="how often each call is made (default 20)")
    parser.add_argument("--json", action="store_true", help="print all times as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, EmbeddedAws.start(Path(folder, "data"), port=0) as aws:
        session = boto3.Session(aws.access_key_id, aws.secret_access_key, region_name=aws.region)
        deployment = deploy_platform(session, endpoint_url=aws.endpoint_url, poll_s=0.1)
        cut_off_stream(session, aws, deployment)
        dynamodb: Any = session.client("dynamodb", endpoint_url=aws.endpoint_url)
        begin = time.perf_counter()
        last = seed(Registry(dynamodb, f"{deployment.prefix}-registry"), options.algorithms, options.releases)
        print(f"seeded in {time.perf_counter() - begin:.0f} s", file=sys.stderr)
        calls = time_calls(deployment, last, options.runs)
    print(f"{'milliseconds':46}{'median':>10}{'max':>10}   ({options.runs} runs)")
    for name, times in calls.items():
        print(f"{name:46}{statistics.median(times):10.1f}{max(times):10.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

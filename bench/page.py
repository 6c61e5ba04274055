"""The page and the calls behind it with 500 algorithms, and 1,000 releases of one: how long each takes.

    python -m bench.page [--algorithms N] [--releases N] [--runs N] [--json]

Starts the embedded AWS in a temporary folder, deploys the platform, and fills the registry through its own methods
with algorithms that are live and some whose newest release failed. The stream that would start the flows is cut off
first, so that no stack is made for them. Then the calls are made over HTTP, and the page is opened in Chromium if one
is installed: bytes over the wire, and milliseconds until a row of the list can be clicked. Before all that, the page is
opened on a platform whose functions have not run yet, and releases are pushed while their pages are open: how long
after each change of status the page shows it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import boto3
import httpx
from playwright.sync_api import Browser, sync_playwright

from bench.flow import package
from greenroom.client import GreenroomClient
from greenroom.deploy import Deployment, deploy_platform
from greenroom.embedded import EmbeddedAws
from greenroom.package.metadata import Metadata
from greenroom.releases import Registration, Registry, Status, new_id

WAY = (Status.UPLOADING, Status.REGISTERED, Status.PROVISIONING, Status.PROVISIONED, Status.TESTING)
BUSY = "algorithm-000"
FAILS_EVERY = 5
WATCHED = 5
FLAGS = ["--no-sandbox", "--disable-gpu"]


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
    """Make one release of an algorithm, to its end."""
    release_id = new_id()
    registry.create_upload(release_id, f"{name}.zip", author="Ada")
    registration = Registration(
        metadata=Metadata.model_validate({"name": name, "type": "in", "entry": "code:Algorithm"}),
        case_inputs={"one": "1" * 64, "two": "2" * 64},
        not_compared=(),
        cost_at_most_usd=0.01,
        package_key=f"packages/{release_id}/0.zip",
        package_sha256="0" * 64,
        upload_sha256="0" * 64,
        package_size_bytes=10_000 + number,
    )
    registry.register(release_id, registration)
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
    """Keep the platform from working on the releases that are made here."""
    client = session.client("lambda", endpoint_url=aws.endpoint_url)
    mappings = client.list_event_source_mappings(FunctionName=f"{deployment.prefix}-dispatch")["EventSourceMappings"]
    for mapping in mappings:
        client.delete_event_source_mapping(UUID=mapping["UUID"])


def time_calls(deployment: Deployment, last: str, runs: int) -> dict[str, list[float]]:
    """Return the milliseconds of each call of the lists, of one algorithm and of one release."""
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


USABLE = """new MutationObserver((_, observer) => {
    if (!document.querySelector("main h1")) return;
    observer.disconnect();
    requestAnimationFrame(() => setTimeout(() => { window.usableMs = performance.now(); }));
}).observe(document, { childList: true, subtree: true });"""
"""Notes when the view has been drawn completely, and the page can take a click."""


SHOWN_AT = """new MutationObserver(() => {
    const status = document.querySelector("h1 .badge")?.textContent;
    if (status) (window.shownAt ??= {})[status] ??= Date.now();
}).observe(document, { childList: true, subtree: true });"""
"""Notes when a release's page has first shown a status, in milliseconds since 1970."""


def watch_releases(executable: str, deployment: Deployment, folder: Path, runs: int) -> list[float]:
    """Push a trivial release `runs` times with its page open; return the milliseconds until each status is shown.

    A status that is over before the page asks is left out: the page shows it in the history, at once with the next.
    """
    late: list[float] = []
    with GreenroomClient(deployment.url, deployment.token) as client, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        for number in range(runs):
            path = folder / f"{number}.zip"
            path.write_bytes(package(number))
            page = browser.new_page()
            page.add_init_script(SHOWN_AT)
            page.goto(client.sign_in_link())
            release_id = client.upload_package(path)
            page.goto(f"{deployment.url}/#/releases/{release_id}")
            page.wait_for_selector("h1 .badge.LIVE", timeout=60_000)
            opened, *shown = page.evaluate("Object.entries(window.shownAt)")
            at = {entry.status: entry.at.timestamp() * 1_000 for entry in client.release(release_id).history}
            late += [shown_ms - at[status] for status, shown_ms in shown if status != opened[0]]
            page.close()
    return late


WHEN_USABLE = """new Promise((resolve) => {
    const look = () => (window.usableMs ? resolve(window.usableMs) : setTimeout(look, 5));
    look();
})"""


def open_page(browser: Browser, deployment: Deployment) -> dict[str, float]:
    """Sign in by the link in a session of its own; return what was loaded, and when the list could be used."""
    context = browser.new_context()
    page = context.new_page()
    wire = context.new_cdp_session(page)
    wire.send("Network.enable")
    sizes: list[float] = []
    wire.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.add_init_script(USABLE)
    with GreenroomClient(deployment.url, deployment.token) as client:
        link = client.sign_in_link()
    page.goto(link, wait_until="commit")
    page.wait_for_selector("main h1")
    usable_ms = page.evaluate(WHEN_USABLE)
    page.wait_for_load_state("networkidle")
    context.close()
    return {"usable, ms": usable_ms, "over the wire, KB": sum(sizes) / 1_000, "requests": len(sizes)}


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algorithms", type=int, default=500, help="how many algorithms (default 500)")
    parser.add_argument("--releases", type=int, default=1_000, help="how many releases of the first (default 1,000)")
    parser.add_argument("--runs", type=int, default=20, help="how often each call is made (default 20)")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, EmbeddedAws.start(Path(folder, "data"), port=0) as aws:
        session = boto3.Session(aws.access_key_id, aws.secret_access_key, region_name=aws.region)
        deployment = deploy_platform(session, endpoint_url=aws.endpoint_url, poll_s=0.1)
        executable = chromium()
        views = time_views(executable, deployment, 1) if executable else []
        late = watch_releases(executable, deployment, Path(folder), WATCHED) if executable else []
        cut_off_stream(session, aws, deployment)
        dynamodb: Any = session.client("dynamodb", endpoint_url=aws.endpoint_url)
        last = seed(Registry(dynamodb, f"{deployment.prefix}-registry"), options.algorithms, options.releases)
        views += time_views(executable, deployment, options.runs) if executable else []
        calls = time_calls(deployment, last, options.runs)
    if options.json:
        print(json.dumps({"calls": calls, "views": views, "shown after, ms": late}, indent=2))
        return 0
    print(f"{'milliseconds':46}{'median':>10}{'max':>10}   ({options.runs} runs)")
    for name, times in calls.items():
        print(f"{name:46}{statistics.median(times):10.1f}{max(times):10.1f}")
    if not views:
        print("The page was not opened: no Chromium is installed.")
        return 0
    print(f"\n{'the page, first view':46}{'cold':>10}{'median':>10}{'max':>10}")
    for name in views[0]:
        values = [view[name] for view in views[1:]]
        print(f"{name:46}{views[0][name]:10.1f}{statistics.median(values):10.1f}{max(values):10.1f}")
    print(f"{'a change of status is shown after, ms':56}{statistics.median(late):10.1f}{max(late):10.1f}")
    return 0


def chromium() -> str | None:
    """Return where an installed Chromium or Chrome is."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def time_views(executable: str, deployment: Deployment, runs: int) -> list[dict[str, float]]:
    """Open the page `runs` times, each in a browser session of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        return [open_page(browser, deployment) for _ in range(runs)]


if __name__ == "__main__":
    sys.exit(main())

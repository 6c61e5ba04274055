"""Pictures of the page's main views, for the README.

    python -m tests.browser.screenshots FOLDER

Starts the embedded AWS in a temporary folder, deploys the platform, brings two of the examples live, one of them
several times and once broken, sends a document through them, and takes a picture of each view in Chromium.
`make screenshots` writes them where the README looks for them.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from greenroom.client import GreenroomClient
from greenroom.workbench.build import pack
from tests.browser.chromium import FLAGS, installed_chromium
from tests.e2e.stage import Platform, eventually, running_platform

EXAMPLES = Path(__file__).parents[2] / "examples"
WIDE, PHONE = ViewportSize(width=1280, height=800), ViewportSize(width=390, height=844)
SOON_MS = 120_000


def example(platform: Platform, name: str, *, author: str, broken: bool = False, **metadata: object) -> str:
    """Push an example as somebody, with other metadata, and return the release's id once it has ended."""
    folder = Path(tempfile.mkdtemp(dir=platform.folder))
    shutil.copytree(EXAMPLES / name, folder / name)
    described = folder / name / "metadata.json"
    described.write_text(json.dumps(json.loads(described.read_text()) | metadata))
    if broken:
        services = folder / name / "nsx" / "services.py"
        # Only the first range of ports is looked at.
        services.write_text(
            services.read_text().replace("list(each) for each in ranges]", "list(each) for each in ranges[:1]]")
        )
    path = folder / f"{name}.zip"
    pack(folder / name, path)
    with GreenroomClient(platform.deployment.url, platform.deployment.token, author=author) as client:
        release_id = client.upload_package(path)
    platform.ended(release_id)
    return release_id


def leave_failures(platform: Platform) -> None:
    """Send what can't be handled, and wait until it is in the dead-letter queue."""
    queue = platform.service("sqs").get_queue_url(QueueName=f"{platform.function('aws-sg')}-input")["QueueUrl"]
    platform.service("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "1"})
    documents: list[Any] = [[], {"rules": 5}]
    for document in documents:
        platform.send("aws-sg", document)
    eventually(lambda: platform.client.failures("aws-sg").total == 2)


def opened(browser: Browser, platform: Platform, *, size: ViewportSize, dark: bool = False) -> Page:
    """A page that is signed in."""
    page = browser.new_page(
        viewport=size,
        color_scheme="dark" if dark else "light",
        locale="en-GB",
        timezone_id="Europe/Berlin",
    )
    page.goto(platform.client.sign_in_link())
    return page


def take(folder: Path) -> None:
    """Take all pictures."""
    with (
        tempfile.TemporaryDirectory() as data,
        tempfile.TemporaryDirectory() as files,
        running_platform(Path(data), Path(files)) as platform,
        sync_playwright() as playwright,
    ):
        example(platform, "aws_sg", author="Grace")
        earlier = example(platform, "nsx_in", author="Ada", next="aws-sg", num=5)
        live = example(platform, "nsx_in", author="Ada", next="aws-sg", powerValues=[128, 256, 512, 1024, 1769])
        failed = example(platform, "nsx_in", author="Grace", next="aws-sg", broken=True)
        browser = playwright.chromium.launch(executable_path=installed_chromium(), args=FLAGS)
        page = opened(browser, platform, size=WIDE)

        def picture(name: str, heading: str, view: str, text: str = "") -> None:
            page.goto(f"{platform.deployment.url}/#/{view}")
            expect(page.get_by_role("heading", name=heading).first).to_be_visible()
            expect(page.locator("main")).to_contain_text(text)
            page.screenshot(path=folder / f"{name}.png")

        picture("page-algorithms", "Algorithms", "")
        picture("page-failed", "What was wrong", f"releases/{failed}")
        picture("page-algorithm", "Queues", "algorithms/nsx-in", "No failures.")
        page.goto(f"{platform.deployment.url}/#/send/nsx-in")
        document = EXAMPLES / "nsx_in" / "tests" / "services_to_ports" / "input.json"
        page.get_by_label("Drop a document here").set_input_files(document)
        page.get_by_role("button", name="Send", exact=True).click()
        expect(page.get_by_role("button", name="Download")).to_be_visible(timeout=SOON_MS)
        page.screenshot(path=folder / "page-send.png", full_page=True)
        leave_failures(platform)
        picture("page-failures", "Failures of aws-sg", "failures/aws-sg", "not a neutral firewall policy")
        picture("page-comparison", "Side by side", f"compare/{live}/{earlier}")
        phone = opened(browser, platform, size=PHONE, dark=True)
        for where, name in ((page, "page-release"), (phone, "page-release-phone")):
            where.goto(f"{platform.deployment.url}/#/releases/{live}")
            expect(where.get_by_role("heading", name="The test")).to_be_visible()
            where.screenshot(path=folder / f"{name}.png", full_page=where is page)
        browser.close()


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    take(target)

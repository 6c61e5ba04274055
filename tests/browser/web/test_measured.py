"""How soon the page shows what happens, and that nothing moves on it. Runs alone, see tests/scheduling.py."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import FilePayload, Page, ViewportSize, expect

from tests.browser.web.test_page import SOON_MS, go
from tests.e2e.packages import GREET, package
from tests.e2e.stage import Platform, new_upload

AT_ONCE_MS = 1_000


@pytest.mark.parametrize("size", [{"width": 1280, "height": 720}, {"width": 390, "height": 800}], ids=["wide", "phone"])
def test_nothing_jumps_while_a_release_is_watched(page: Page, platform: Platform, size: ViewportSize) -> None:
    page.set_viewport_size(size)
    # All that is before its package is there is on the page first, and no input excuses what moves afterwards.
    body = package(f"steady-{size['width']}", GREET, num=6)
    release = new_upload(platform, "steady.zip", len(body))
    go(page, platform, f"releases/{release['releaseId']}")
    expect(page.get_by_role("heading", name=re.compile(r"steady\.zip.*UPLOADING"))).to_be_visible()
    page.evaluate(
        """window.shifts = 0; new PerformanceObserver((list) => {
            for (const entry of list.getEntries()) window.shifts += entry.value;
        }).observe({ type: "layout-shift" });"""
    )
    file = FilePayload(name="steady.zip", mimeType="application/zip", buffer=body)
    page.request.post(release["upload"]["url"], multipart={**release["upload"]["fields"], "file": file})
    expect(page.get_by_role("heading", name=re.compile("steady.*LIVE"))).to_be_visible(timeout=SOON_MS)
    expect(page.get_by_role("heading", name="The package")).to_be_attached()
    # A tenth of it is what the Web Vitals call good, https://web.dev/articles/cls
    assert page.evaluate("window.shifts") < 0.01


def test_what_happens_shows_within_a_second(page: Page, platform: Platform) -> None:
    # The best of three: what else runs on this machine can only slow it down.
    for attempt in range(3):
        release_id = platform.push(package(f"in-time-{attempt}", num=1))
        go(page, platform, f"releases/{release_id}")
        release = platform.ended(release_id)
        page.locator("h1 .badge.LIVE").wait_for(timeout=SOON_MS)
        shown = page.evaluate("Date.now()") / 1_000
        assert release.updated_at is not None
        late_s = shown - release.updated_at.timestamp()
        if late_s < AT_ONCE_MS / 1_000:
            break
    assert late_s < AT_ONCE_MS / 1_000

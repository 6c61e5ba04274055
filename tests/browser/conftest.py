"""The page in a real browser, against the real platform on the embedded AWS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.chromium import FLAGS, installed_chromium
from tests.e2e.stage import Platform, running_platform


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """An installed Chromium or Chrome."""
    found = installed_chromium()
    if found is None:
        pytest.skip("no Chromium is installed: on Debian, apt-get install chromium")
    expect.set_options(timeout=30_000)  # a busy machine is slow to show what it shows in the end
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The platform, deployed once for these tests."""
    with running_platform(tmp_path_factory.mktemp("aws"), tmp_path_factory.mktemp("files")) as platform:
        yield platform


@pytest.fixture
def page(browser: Browser, platform: Platform) -> Iterator[Page]:
    """A page in a browser session of its own, signed in by the link that `greenroom up` prints."""
    context = browser.new_context()
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(platform.client.sign_in_link())
    yield page
    context.close()
    assert errors == []

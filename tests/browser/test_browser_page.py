"""What a developer does on the page."""

from __future__ import annotations

import re

from packages import GREET, package, write
from playwright.sync_api import Browser, Page, expect
from stage import Platform

SOON_MS = 60_000


def test_the_link_signs_in_and_the_token_leaves_the_address(page: Page, platform: Platform) -> None:
    expect(page.get_by_role("heading", name="Algorithms")).to_be_visible()
    assert platform.deployment.token not in page.url


def test_without_the_token_nothing_is_shown(browser: Browser, platform: Platform) -> None:
    page = browser.new_page()
    page.goto(f"{platform.deployment.url}/")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("The token is wrong")
    page.close()


def test_a_package_is_uploaded_and_watched_until_it_is_live(page: Page, platform: Platform) -> None:
    page.get_by_role("link", name="Upload", exact=True).click()
    path = write(platform.folder, package("by-page", num=3), "by-page.zip")
    page.get_by_label("Drop a package here").set_input_files(path)
    expect(page.get_by_role("heading", name=re.compile("by-page.*LIVE"))).to_be_visible(timeout=SOON_MS)
    expect(page.get_by_role("heading", name="The test")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("← chosen"))).to_have_count(1)
    expect(page.get_by_role("img", name=re.compile("Cost and duration"))).to_be_visible()


def test_a_failing_release_says_first_what_was_wrong(page: Page, platform: Platform) -> None:
    release_id = platform.push(package("fails-on-page", GREET.replace("hello ", "<b>goodbye</b> "), num=1))
    page.goto(f"{platform.deployment.url}/#/releases/{release_id}")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("What was wrong", timeout=SOON_MS)
    expect(alert).to_contain_text("ada")
    # What a package says is text on the page, whatever it looks like.
    expect(page.locator("pre").first).to_contain_text("<b>goodbye</b>")
    assert page.locator("pre b").count() == 0


def test_a_release_is_rolled_back_after_a_question(page: Page, platform: Platform) -> None:
    first = platform.push_and_wait(package("back-on-page", num=1))
    second = platform.push_and_wait(package("back-on-page", num=2))
    assert (first.status, second.status) == ("LIVE", "LIVE")
    page.get_by_role("link", name="Algorithms", exact=True).click()
    page.reload()
    page.get_by_role("link", name="back-on-page").click()
    page.get_by_role("button", name="Roll back…").click()
    expect(page.get_by_role("dialog")).to_contain_text(f"Version {first.version}")
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    expect(page.get_by_role("status")).to_contain_text("rolled back")
    assert platform.client.release(first.release_id).status == "LIVE"


def test_a_file_that_is_no_zip_is_refused_before_it_is_sent(page: Page, platform: Platform) -> None:
    page.get_by_role("link", name="Upload", exact=True).click()
    page.get_by_label("Drop a package here").set_input_files(write(platform.folder, b"text", "x.zip"))
    expect(page.get_by_role("alert")).to_contain_text("is no ZIP")

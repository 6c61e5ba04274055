"""What a developer does on the page."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import re
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from botocore.config import Config
from playwright.sync_api import Browser, Error, Locator, Page, expect

from greenroom.package.archive import MAX_ZIP_BYTES
from greenroom.package.check import check_package
from greenroom.package.errors import PackageError
from tests.e2e.packages import GREET, package, write
from tests.e2e.stage import Platform, denied, eventually, retried_at_once

SOON_MS = 60_000

COUNT = """
class Algorithm:
    def translate(self, document):
        return {"things": len(document["things"])}
"""
COUNT_TESTS = {"two/input.json": {"things": [1, 2]}, "two/expected.json": {"things": 2}}

PASS_ON = """
class Algorithm:
    def translate(self, document):
        return document
"""
PASS_ON_TESTS: dict[str, Any] = {"one/input.json": {"things": []}, "one/expected.json": {"things": []}}


def go(page: Page, platform: Platform, view: str) -> None:
    page.goto(f"{platform.deployment.url}/#/{view}")


def signed_in(browser: Browser, platform: Platform, **options: Any) -> Page:
    """A page whose errors in the console are nobody's business."""
    page = browser.new_page(**options)
    page.goto(platform.client.sign_in_link())
    expect(page.get_by_role("heading", name="Algorithms")).to_be_visible()
    return page


def file_input(page: Page) -> Locator:
    return page.locator("input[type=file]")


@pytest.fixture(scope="module")
def route(platform: Platform) -> Platform:
    """An algorithm that forwards to another; both are live."""
    for body in (
        package("page-out", COUNT, tests=COUNT_TESTS, type="out", num=1),
        package("page-in", PASS_ON, tests=PASS_ON_TESTS, num=1, next="page-out"),
    ):
        release = platform.push_and_wait(body)
        assert release.status == "LIVE", release.reason
    queue = platform.service("sqs").get_queue_url(QueueName=f"{platform.function('page-out')}-input")["QueueUrl"]
    platform.service("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "1"})
    return platform


# Access


def test_the_link_signs_in_and_the_token_leaves_the_address(page: Page, platform: Platform) -> None:
    expect(page.get_by_role("heading", name="Algorithms")).to_be_visible()
    assert platform.deployment.token not in page.url
    assert platform.deployment.token not in page.evaluate("JSON.stringify(localStorage)")


def test_without_the_token_nothing_is_shown(browser: Browser, platform: Platform) -> None:
    page = browser.new_page()
    page.goto(f"{platform.deployment.url}/")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_role("navigation")).to_be_hidden()
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("The token is wrong")
    expect(page.get_by_role("navigation")).to_be_hidden()
    assert page.evaluate("sessionStorage.length") == 0
    page.get_by_label("Token").fill(platform.deployment.token)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Algorithms")).to_be_visible()
    page.close()


def test_the_policy_stops_a_script_that_is_not_the_page_s_own(browser: Browser, platform: Platform) -> None:
    page = signed_in(browser, platform)
    expect(page.get_by_role("heading", name="Algorithms")).to_be_visible()
    ran = page.evaluate(
        """() => new Promise((resolve) => {
            document.addEventListener("securitypolicyviolation", (event) => resolve(event.violatedDirective));
            const script = document.createElement("script");
            script.textContent = "window.ran = true";
            document.body.append(script);
            setTimeout(() => resolve(window.ran), 1000);
        })"""
    )
    assert ran == "script-src-elem"
    page.close()


# Upload and a release


def test_a_package_is_uploaded_and_watched_until_it_is_live(page: Page, platform: Platform) -> None:
    page.get_by_role("link", name="Upload", exact=True).click()
    page.get_by_label("Your name").fill("Ada <b>Lovelace</b>")
    slow = GREET.replace("return", "__import__('time').sleep(0.3); return")
    file_input(page).set_input_files(write(platform.folder, package("by-page", slow, num=6), "by-page.zip"))
    # Measurements show while they are made: some of six, at more than one size.
    expect(page.get_by_text(re.compile("[1-5] of 6")).first).to_be_visible(timeout=SOON_MS)
    expect(page.get_by_role("img", name=re.compile(r"128 MB: \d+ ms")).first).to_be_visible()
    expect(page.get_by_role("heading", name=re.compile("by-page.*LIVE"))).to_be_visible(timeout=SOON_MS)
    expect(page.get_by_role("row", name=re.compile("chosen"))).to_have_count(1)
    steps = page.get_by_role("listitem")
    for step in ("Upload", "Received and registered", "Provisioned", "Test begun", "Size chosen", "Live"):
        expect(steps.filter(has_text=step).first).to_be_visible()
    expect(steps.first).to_contain_text("by Ada <b>Lovelace</b>")
    expect(page.get_by_text(re.compile(r"The test cost \$0\.0"))).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("ada passed"))).to_be_visible()


def test_the_plot_is_read_with_the_keys_and_with_the_mouse(page: Page, platform: Platform) -> None:
    release = platform.push_and_wait(package("plotted", num=3))
    go(page, platform, f"releases/{release.release_id}")
    duration = page.get_by_role("figure").filter(has_text="Duration")
    point = duration.get_by_role("img", name=re.compile("^256 MB"))
    point.focus()
    readout = duration.locator(".readout")
    expect(readout).to_contain_text(re.compile(r"^256 MB.*: [\d.]+ ms \([\d.]+ ms to [\d.]+ ms, 95 %\)$"))
    page.keyboard.press("ArrowRight")
    expect(readout).to_contain_text("512 MB")
    page.keyboard.press("ArrowRight")
    expect(readout).to_contain_text("128 MB")
    duration.get_by_role("img", name=re.compile("^512 MB")).hover()
    expect(readout).to_contain_text("512 MB")


def test_a_failing_release_says_first_what_was_wrong(page: Page, platform: Platform) -> None:
    source = GREET.replace("hello ", "<b>goodbye</b> ").replace("return", "print('on the way'); return")
    release_id = platform.push(package("fails-on-page", source, num=1))
    go(page, platform, f"releases/{release_id}")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Test case ada gave another answer than expected", timeout=SOON_MS)
    expect(alert).to_contain_text("tests/ada, at 128 MB, in the answer at $.greeting")
    expect(alert).to_contain_text("What to do")
    assert alert.bounding_box()["y"] < page.get_by_role("list").first.bounding_box()["y"]  # type: ignore[index]
    # What a package says is text on the page, whatever it looks like.
    difference = alert.get_by_role("table")
    expect(difference.locator("del")).to_contain_text('"greeting": "hello Ada"')
    expect(difference.locator("ins")).to_contain_text('"greeting": "<b>goodbye</b> Ada"')
    assert page.locator("main b").count() == 0
    alert.get_by_text("Log of the failing invocation").click()
    expect(alert.locator("pre")).to_contain_text("on the way")


def test_an_exception_and_a_rejection_are_told_too(page: Page, platform: Platform) -> None:
    raises = platform.push_and_wait(package("raises-on-page", GREET.replace('"name"', '"nome"'), num=1))
    go(page, platform, f"releases/{raises.release_id}")
    expect(page.get_by_role("alert")).to_contain_text("raised an exception: KeyError: 'nome'")
    rejected = platform.push_and_wait(package("Bad Name", num=1))
    go(page, platform, f"releases/{rejected.release_id}")
    expect(page.get_by_role("alert")).to_contain_text("Then upload the package again")
    expect(page.get_by_role("alert")).to_contain_text("name")


def zipped(**members: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "body",
    [
        b"text",
        b"",
        zipped(readme="nothing"),
        zipped(**{"folder/metadata.json": "{}", "folder/code.py": ""}),
        zipped(**{"folder \u00e9/metadata.json": "{}"}),
        zipped(readme="nothing")[:-2] + b"\2\0PK",
        zipped(readme="nothing") + b"more",
        bytes(MAX_ZIP_BYTES + 1),
    ],
    ids=[
        "no ZIP",
        "empty",
        "no metadata",
        "a folder too deep",
        "a folder too deep, with a name that is not ASCII",
        "with a comment",
        "with bytes after its end",
        "too large",
    ],
)
def test_a_file_that_is_no_package_is_refused_before_it_is_sent_in_the_platform_s_words(
    page: Page, platform: Platform, body: bytes, tmp_path: Path
) -> None:
    with pytest.raises(PackageError) as refused, tempfile.TemporaryFile() as kept:
        check_package(io.BytesIO(body), kept)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.get_by_role("link", name="Upload", exact=True).click()
    file_input(page).set_input_files(write(tmp_path, body, "x.zip"))
    expect(page.get_by_role("alert")).to_contain_text(f"x.zip: {refused.value}")
    assert sent == []


def test_a_package_can_be_dropped(page: Page, platform: Platform) -> None:
    page.get_by_role("link", name="Upload", exact=True).click()
    body = list(package("dropped-on-page", num=1))
    transfer = page.evaluate_handle(
        """(bytes) => {
            const found = new DataTransfer();
            found.items.add(new File([new Uint8Array(bytes)], "dropped.zip"));
            return found;
        }""",
        body,
    )
    page.locator(".drop").dispatch_event("drop", {"dataTransfer": transfer})
    expect(page.get_by_role("heading", name=re.compile("dropped-on-page.*LIVE"))).to_be_visible(timeout=SOON_MS)


# Algorithms


def test_releases_are_compared_and_rolled_back_after_a_question(page: Page, platform: Platform) -> None:
    first = platform.push_and_wait(package("back-on-page", num=3))
    second = platform.push_and_wait(package("back-on-page", num=4))
    assert (first.status, second.status) == ("LIVE", "LIVE")
    page.get_by_role("link", name="Algorithms", exact=True).click()
    page.reload()
    page.get_by_role("link", name="back-on-page").click()
    expect(page.get_by_text("0 waiting, 0 being handled. No failures.")).to_be_visible()
    for release in (first, second):
        page.get_by_label(f"Compare release {release.release_id}").check()
    page.get_by_role("button", name="Compare two").click()
    expect(page.get_by_text(re.compile("^The first is .* and .*"))).to_be_visible()
    expect(page.get_by_role("row", name="num 4 3")).to_be_visible()
    page.go_back()
    page.get_by_role("button", name="Roll back…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"Version {first.version} of release {first.release_id} will be live again")
    dialog.get_by_role("button", name="Cancel").click()
    assert platform.client.release(second.release_id).status == "LIVE"
    page.get_by_role("button", name="Roll back…").click()
    dialog.get_by_label("Your name").fill("Grace")
    dialog.get_by_role("button", name="Roll back").click()
    expect(page.get_by_role("status")).to_contain_text("rolled back")
    assert platform.client.release(first.release_id).status == "LIVE"
    expect(page.get_by_role("row", name=re.compile(f"{second.release_id}.*ROLLED_BACK.*by Grace"))).to_be_visible()


def test_a_page_that_is_open_says_what_is_new_and_rolls_back_what_is_live_now(page: Page, platform: Platform) -> None:
    first = platform.push_and_wait(package("open-page", num=1))
    second = platform.push_and_wait(package("open-page", num=2))
    go(page, platform, "algorithms/open-page")
    expect(page.get_by_text("Tick two releases")).to_be_visible()
    third = platform.push_and_wait(package("open-page", num=3))
    assert (first.status, second.status, third.status) == ("LIVE", "LIVE", "LIVE")
    changed = page.get_by_role("button", name="Show what has changed")
    expect(changed).to_be_visible()
    expect(page.get_by_role("row")).to_have_count(3)
    page.get_by_role("button", name="Roll back…").click()
    expect(page.get_by_role("dialog")).to_contain_text(
        f"version {third.version} of release {third.release_id} no longer"
    )
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    changed.click()
    expect(page.get_by_role("row", name=re.compile(f"{third.release_id}.*LIVE"))).to_be_visible()
    expect(page.get_by_text("Tick two releases")).to_be_visible()


def test_algorithms_are_found_by_name(page: Page, platform: Platform) -> None:
    rows = [{"name": f"algorithm-{number:03d}", "type": "in", "latestReleaseId": "0" * 26, "latestStatus": "LIVE",
             "updatedAt": "2026-01-01T00:00:00.000Z", "next": [], "trend": []} for number in range(500)]  # fmt: skip
    page.route("**/algorithms", lambda route: route.fulfill(json={"algorithms": rows}))
    page.reload()
    expect(page.get_by_role("row")).to_have_count(501)
    page.get_by_label("Filter by name").fill("-42")
    expect(page.get_by_role("row")).to_have_count(11)
    expect(page.get_by_role("status")).to_contain_text("10 of 500")


# Documents


def test_a_document_goes_through_two_algorithms_and_its_answer_is_downloaded(page: Page, route: Platform) -> None:
    go(page, route, "send/page-in")
    expect(page.get_by_label("page-out")).to_be_checked()
    document = page.get_by_label("Document", exact=True)
    document.fill('{"things": [1, 2, }')
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert")).to_contain_text("This is not JSON")
    document.fill('{"things": [1, 2, 3]}')
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_label("Answer of page-out")).to_contain_text('"things": 3', timeout=SOON_MS)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "page-out.json"
    assert json.loads(Path(download.value.path()).read_text()) == {"things": 3}


def test_what_could_not_be_handled_is_looked_at_sent_again_and_deleted(page: Page, route: Platform) -> None:
    for content in ({"nothing": "<i>counted</i>"}, {"nothing": 2}):
        message = route.send("page-in", content)
        assert message.status == "failed"
    eventually(lambda: route.client.failures("page-out").total == 2)
    go(page, route, "failures")
    expect(page.get_by_role("heading", name="Failures")).to_be_visible()
    page.get_by_role("link", name="page-out").click()
    cards = page.locator("section.card").filter(has=page.get_by_text("Document"))
    expect(cards).to_have_count(2)
    expect(cards.first).to_contain_text("KeyError: 'things'")
    cards.first.get_by_text("Document").click()
    expect(cards.first.get_by_label("Document")).to_contain_text("<i>counted</i>")
    assert page.locator("main i").count() == 0
    mended = COUNT.replace('document["things"]', 'document.get("things", [])')
    assert route.push_and_wait(package("page-out", mended, tests=COUNT_TESTS, type="out", num=1)).status == "LIVE"
    cards.first.get_by_role("button", name=re.compile("through again")).click()
    expect(page.get_by_role("status")).to_contain_text("1 on the way again through page-out")
    expect(cards).to_have_count(1)
    cards.first.get_by_role("button", name=re.compile("^Delete")).click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Nothing has failed")).to_be_visible()
    assert route.client.failures("page-out").total == 0


def test_uploads_that_could_not_be_registered_are_looked_at_and_registered_again(
    page: Page, platform: Platform
) -> None:
    with retried_at_once(platform, "ingest"):
        with denied(platform, "register", "s3:PutObject"):
            release_id = platform.push(package("page-rests", num=1))
            go(page, platform, f"releases/{release_id}")
            eventually(lambda: platform.client.failures(None).total == 1)
            go(page, platform, "failures")
            expect(page.get_by_role("alert")).to_contain_text("1 upload could not be registered")
            page.get_by_role("link", name="See it").click()
            expect(page.get_by_role("heading", name=re.compile("AccessDenied"))).to_be_visible()
            expect(page.get_by_role("link", name=release_id)).to_be_visible()
            page.get_by_text("Event", exact=True).click()
            expect(page.get_by_label("Event")).to_contain_text(f"uploads/{release_id}.zip")
            assert [each["impact"] for each in Axe().run(page).response["violations"]] == []
        page.get_by_role("button", name=f"Register upload {release_id} again").click()
        expect(page.get_by_role("status")).to_contain_text("1 on the way to be registered again")
        expect(page.get_by_text("Every upload was registered")).to_be_visible()
        assert platform.ended(release_id).status == "LIVE"


# Craft


@pytest.mark.parametrize("screen", list(itertools.product(("light", "dark"), (360, 1280))), ids="{0[0]}-{0[1]}".format)
def test_axe_finds_nothing_serious_and_nothing_is_cut_off(
    page: Page, route: Platform, screen: tuple[Any, int], failing: str, live: str
) -> None:
    scheme, width = screen
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    views = {
        "": "Algorithms",
        "algorithms/page-in": "Releases",
        f"releases/{failing}": "What was wrong",
        f"releases/{live}": "The test",
        f"compare/{live}/{failing}": "Side by side",
        "upload": "Upload a package",
        "send": "Send a document",
        "failures": "Failures",
        "failures/page-in": "Nothing has failed",
    }
    found: dict[str, list[str]] = {}
    for view, heading in views.items():
        go(page, route, view)
        expect(page.get_by_role("heading", name=heading).first).to_be_visible()
        page.wait_for_timeout(100)  # one frame, in which tables learn whether they scroll
        violations = Axe().run(page).response["violations"]
        serious = [each for each in violations if each["impact"] in ("serious", "critical")]
        if serious:
            found[view] = [f"{each['id']}: {each['nodes'][0]['html'][:150]}" for each in serious]
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, f"{view} is {overflow} pixels wider than the screen"
    assert found == {}


@pytest.fixture(scope="module")
def failing(platform: Platform) -> str:
    return platform.push_and_wait(package("page-fails", GREET.replace("hello", "bye"), num=1)).release_id


@pytest.fixture(scope="module")
def live(platform: Platform) -> str:
    return platform.push_and_wait(package("page-lives", num=2)).release_id


def test_everything_is_reached_with_the_keyboard(page: Page, platform: Platform, live: str) -> None:
    go(page, platform, f"releases/{live}")
    expect(page.get_by_role("heading", name="The test")).to_be_visible()
    page.get_by_role("link", name="To the content").focus()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.dataset.key ?? document.activeElement.textContent"))
    assert "page-lives" in reached
    assert any(each.startswith("Duration, ms") for each in reached)
    assert any("metadata.json" in each for each in reached)


def test_times_are_in_the_reader_s_zone(browser: Browser, platform: Platform, live: str) -> None:
    release = platform.client.release(live)
    assert release.created_at is not None
    shown = set()
    for zone in ("Asia/Tokyo", "America/New_York"):
        page = signed_in(browser, platform, timezone_id=zone, locale="en-GB")
        go(page, platform, f"releases/{live}")
        shown.add(page.locator("time").first.inner_text())
        page.close()
    assert len(shown) == 2


def test_with_nothing_there_the_page_teaches(page: Page, platform: Platform) -> None:
    page.route("**/algorithms", lambda route: route.fulfill(json={"algorithms": []}))
    page.reload()
    expect(page.get_by_text("greenroom init my-algorithm")).to_be_visible()
    page.get_by_role("link", name="Send").click()
    expect(page.get_by_role("heading", name="Nothing is live yet")).to_be_visible()


def test_a_platform_that_is_away_for_a_moment_is_waited_for(browser: Browser, platform: Platform) -> None:
    page = signed_in(browser, platform)
    release_id = platform.push(package("away", GREET.replace("return", "__import__('time').sleep(0.2); return"), num=4))
    go(page, platform, f"releases/{release_id}")
    expect(page.locator("h1 .badge")).to_be_visible()
    page.context.set_offline(True)
    eventually(lambda: "can't be reached" in page.get_by_role("status").inner_text())
    page.context.set_offline(False)
    expect(page.get_by_role("heading", name=re.compile("LIVE"))).to_be_visible(timeout=SOON_MS)
    page.close()


READS_THE_TOKEN = "<title>still</title><script>document.title = sessionStorage.getItem('greenroom-token')</script>"


def test_a_result_that_is_a_page_reads_no_token(browser: Browser, platform: Platform) -> None:
    """It did, opened in the tab of the page: both have one address on the embedded AWS."""
    page = signed_in(browser, platform)
    s3 = platform.service("s3", config=Config(signature_version="s3v4"))
    s3.create_bucket(Bucket="results-of-somebody")
    kept = {"Bucket": "results-of-somebody", "Body": READS_THE_TOKEN.encode(), "ContentType": "text/html"}
    s3.put_object(**kept, Key="x")
    s3.put_object(**kept, Key="inline", ContentDisposition="inline")

    def address(key: str) -> str:
        made: str = s3.generate_presigned_url("get_object", {"Bucket": "results-of-somebody", "Key": key})
        return made

    with page.expect_download(), contextlib.suppress(Error):
        page.goto(address("x"))
    # Even where the algorithm asks that it be shown.
    page.goto(address("inline"))
    assert page.title() == "still"
    page.close()


def test_a_link_that_was_used_says_what_to_do(browser: Browser, platform: Platform) -> None:
    page = browser.new_page()
    link = platform.client.sign_in_link()
    page.goto(link)
    expect(page.get_by_role("heading", name="Algorithms")).to_be_visible()
    assert "#" not in page.url
    page.close()
    page = browser.new_page()
    page.goto(link)
    expect(page.get_by_text("has been used, or has expired")).to_be_visible()
    page.close()

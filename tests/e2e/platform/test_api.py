"""The HTTP API as a stranger meets it: closed without the token, strict with it, and it says what it is."""

from __future__ import annotations

import io
from typing import Any

import httpx
import pytest

from greenroom.package.archive import MAX_ZIP_BYTES
from tests.e2e.packages import GREET, package
from tests.e2e.stage import Platform, new_upload, request

ROUNDING = 0.5e-5
"""How much a ratio that the API answers may differ from the one that was computed: five digits are sent."""


def call(platform: Platform, method: str, path: str, *, token: str | None = None, **options: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token or platform.deployment.token}"} if token != "" else {}
    return request(method, f"{platform.deployment.url}{path}", headers=headers, **options)


def post(upload: Any, body: bytes, **changed: str) -> httpx.Response:
    fields = {**upload["fields"], **changed}
    return request("POST", upload["url"], data=fields, files={"file": ("x.zip", io.BytesIO(body))})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/algorithms"),
        ("GET", "/status"),
        ("POST", "/releases"),
        ("GET", "/releases/01JD0000000000000000000000"),
        ("POST", "/algorithms/x/rollback"),
        ("GET", "/algorithms/x/failures"),
        ("POST", "/algorithms/x/failures/delete"),
        ("GET", "/uploads/failures"),
        ("POST", "/uploads/failures/redrive"),
        ("GET", "/no/such/route"),
    ],
)
@pytest.mark.parametrize("token", ["", "wrong"])
def test_without_the_token_nothing_answers(platform: Platform, method: str, path: str, token: str) -> None:
    answer = call(platform, method, path, token=token)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["code"] == "unauthorized"


def test_it_describes_itself_without_a_token(platform: Platform) -> None:
    document = request("GET", f"{platform.deployment.url}/openapi.json").raise_for_status().json()
    assert document["info"]["title"] == "Greenroom"
    assert {"/releases", "/algorithms", "/algorithms/{name}/rollback", "/status"} <= set(document["paths"])
    schema = request("GET", f"{platform.deployment.url}/schema/metadata.json").raise_for_status().json()
    assert "powerValues" in schema["properties"]


def test_a_long_answer_is_compressed_for_whoever_takes_it(platform: Platform) -> None:
    path = f"{platform.deployment.url}/openapi.json"
    packed = request("GET", path, headers={"Accept-Encoding": "gzip"})
    plain = request("GET", path, headers={"Accept-Encoding": "identity"})
    assert (packed.headers.get("content-encoding"), plain.headers.get("content-encoding")) == ("gzip", None)
    assert packed.json() == plain.json()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/releases", {}),
        ("/releases", {"fileName": "x.zip", "sizeBytes": "10"}),
        ("/releases", {"fileName": "x.zip", "sizeBytes": MAX_ZIP_BYTES + 1}),
        ("/releases", {"fileName": "", "sizeBytes": 1}),
        ("/releases", {"fileName": "x.zip", "sizeBytes": 1, "extra": True}),
        ("/releases", [1]),
        ("/algorithms/x/messages", {"fileName": "x", "sizeBytes": 1, "contentType": "image/png"}),
        ("/algorithms/x/rollback", {"toReleaseId": "../.."}),
        ("/algorithms/x/failures/redrive", {"failureIds": []}),
        ("/algorithms/x/failures/delete", {"failureIds": ["../.."]}),
        ("/uploads/failures/delete", {"failureIds": "all"}),
    ],
)
def test_a_body_that_is_not_as_described_is_refused_with_the_field(platform: Platform, path: str, body: Any) -> None:
    answer = call(platform, "POST", path, json=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "invalid_request"
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[" * 10_000, b'{"sizeBytes": ' + b"9" * 5_000 + b"}"])
def test_a_body_that_is_not_json_is_refused_and_is_not_an_error_of_ours(platform: Platform, body: bytes) -> None:
    answer = call(platform, "POST", "/releases", content=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["where"]) == ("unreadable_body", "body")


@pytest.mark.parametrize(
    "path",
    [
        "/algorithms/nobody",
        "/algorithms/nobody/failures",
        "/algorithms/nobody/queues",
        "/uploads/failures/nothing",
        "/releases/01JD0000000000000000000000",
        "/no/such/route",
    ],
)
def test_what_is_not_there_is_not_found(platform: Platform, path: str) -> None:
    answer = call(platform, "GET", path)
    assert answer.status_code == 404
    assert answer.json()["error"]["message"]


def test_an_error_says_what_was_wrong_where_and_what_to_do(platform: Platform) -> None:
    answer = call(platform, "POST", "/releases", json={"fileName": "x.zip", "sizeBytes": 0})
    error = answer.json()["error"]
    assert (error["code"], error["where"]) == ("invalid_request", "body.sizeBytes")
    assert error["message"] and error["hint"]
    absent = call(platform, "GET", "/algorithms/nobody").json()["error"]
    assert absent["where"] == "GET /algorithms/nobody"


@pytest.mark.parametrize(("method", "path"), [("PUT", "/releases"), ("DELETE", "/algorithms/x"), ("POST", "/status")])
def test_a_wrong_method_is_told_with_those_that_are_allowed(platform: Platform, method: str, path: str) -> None:
    answer = call(platform, method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] in ("GET", "POST")
    assert answer.json()["error"]["code"] == "method_not_allowed"


def test_a_body_that_is_not_announced_as_json_is_refused(platform: Platform) -> None:
    answer = call(platform, "POST", "/releases", data={"fileName": "x.zip"})
    assert answer.status_code == 415
    assert answer.json()["error"]["where"] == "the header Content-Type"


def test_an_input_that_is_too_long_is_refused(platform: Platform) -> None:
    answer = call(platform, "POST", "/tunings", json={"lambdaARN": "nobody", "payload": "x" * 300_000})
    assert answer.status_code == 413
    assert "payloadS3" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("Ada%20Lovelace", "Ada Lovelace"),
        ("%E7%8E%8B%20Jos%C3%A9", "王 José"),
        ("%00%0a%1b[31m", "[31m"),
        ("x" * 500, "x" * 80),
        ("%ff", "\N{REPLACEMENT CHARACTER}"),
        ("", None),
    ],
)
def test_the_history_names_who_says_to_have_uploaded(platform: Platform, given: str, shown: str | None) -> None:
    headers = {"Authorization": f"Bearer {platform.deployment.token}", "X-Greenroom-Author": given}
    body = {"fileName": "x.zip", "sizeBytes": 10}
    created = (
        request("POST", f"{platform.deployment.url}/releases", headers=headers, json=body).raise_for_status().json()
    )
    release = platform.client.release(created["releaseId"])
    assert (release.author, release.history[0].by) == (shown, shown)


def test_two_releases_are_compared(platform: Platform) -> None:
    one, other = (platform.push_and_wait(package("compared", num=num)) for num in (3, 4))
    failed = platform.push_and_wait(package("compared", GREET.replace("hello", "bye"), num=1))
    assert failed.status == "FAILED" and failed.problem
    assert failed.problem.code == "wrong_answer"
    assert failed.problem.where.startswith("tests/ada, at ")

    def compare(first: str, second: str) -> Any:
        path = f"/releases/{first}/comparison?with={second}"
        return call(platform, "GET", path).raise_for_status().json()

    found = compare(other.release_id, one.release_id)
    assert [each["releaseId"] for each in found["releases"]] == [other.release_id, one.release_id]
    back = compare(one.release_id, other.release_id)["comparison"]
    ratio, reverse = found["comparison"]["duration"]["ratio"], back["duration"]["ratio"]
    assert ratio * reverse == pytest.approx(1, abs=ROUNDING * (ratio + reverse))
    assert found["comparison"]["sentence"].startswith("The first is ")
    assert compare(other.release_id, failed.release_id)["comparison"] is None
    live = platform.client.algorithm("compared")
    assert [point["releaseId"] for point in live.to_json()["trend"]] == [one.release_id, other.release_id]
    assert live.latest_status == "FAILED"


def test_an_upload_goes_to_its_own_key_and_nowhere_else(platform: Platform) -> None:
    allowed = new_upload(platform)
    assert post(allowed["upload"], b"x", key="uploads/01JD0000000000000000000000.zip").status_code == 403
    assert post(allowed["upload"], b"x", **{"Content-Type": "text/html"}).status_code == 403
    assert post(allowed["upload"], b"").status_code == 400
    assert platform.client.release(allowed["releaseId"]).status == "UPLOADING"


def test_an_upload_over_the_limit_is_refused_by_s3_itself(platform: Platform) -> None:
    answer = post(new_upload(platform)["upload"], bytes(MAX_ZIP_BYTES + 1))
    assert answer.status_code == 400
    assert "EntityTooLarge" in answer.text


def test_a_second_upload_by_the_same_form_changes_nothing(platform: Platform) -> None:
    allowed = new_upload(platform)
    assert post(allowed["upload"], package("once", num=1)).status_code == 204
    first = platform.ended(allowed["releaseId"])
    assert first.status == "LIVE", first.reason
    assert post(allowed["upload"], package("another", num=1)).status_code == 204
    marker = platform.push_and_wait(package("after", num=1))
    assert marker.status == "LIVE"
    assert platform.client.release(allowed["releaseId"]).to_json() == first.to_json()


def test_a_sign_in_link_is_good_once(platform: Platform) -> None:
    """It was the token itself, which stayed in the browser's history and in a log."""
    link = platform.client.sign_in_link()
    assert platform.deployment.token not in link
    code = link.rpartition("#code=")[2]
    address = f"{platform.deployment.url}/sign-ins"
    assert httpx.post(address, json={"code": code}).json() == {"token": platform.deployment.token}
    again = httpx.post(address, json={"code": code})
    assert again.status_code == 401 and "greenroom page" in again.json()["error"]["hint"]
    assert httpx.post(address, json={"code": "A" * 43}).status_code == 401
    assert httpx.post(f"{platform.deployment.url}/sign-in-codes").status_code == 401

"""What reaches S3 when a package or a document is uploaded, and what the client makes of S3's refusals."""

from __future__ import annotations

import itertools
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greenroom.client import GreenroomClient, GreenroomError, Unreachable, UploadRefused
from tests.unit.client.stand_in_api import BUCKET_PATH, RELEASE_ID, TOKEN, Answer, StandInApi, parts_of

FIELDS = {
    "key": f"uploads/{RELEASE_ID}.zip",
    "Content-Type": "application/zip",
    "x-amz-meta-note": 'ünï "quoted"\n',
    "policy": "eyJ9",
    "x-amz-signature": "abc=",
}


Offer = Callable[..., None]


@pytest.fixture
def offer(api: StandInApi) -> Offer:
    """The platform answers POST /releases with a presigned POST of the stand-in's bucket."""

    def offered(**more: object) -> None:
        upload = {"url": api.origin + BUCKET_PATH, "fields": FIELDS}
        api.on(
            "POST",
            "/releases",
            Answer(201, {"releaseId": RELEASE_ID, "upload": upload, "maxSizeBytes": 1 << 30} | more),
        )
        api.on("POST", BUCKET_PATH, Answer(204, b""))

    offered()
    return offered


@pytest.fixture
def package(tmp_path: Path) -> Path:
    path = tmp_path / "nsx.zip"
    path.write_bytes(bytes(range(256)) * 3000 + b"\r\n--the end")
    return path


def test_the_fields_come_exactly_as_given_and_the_file_comes_last(
    api: StandInApi, client: GreenroomClient, offer: Offer, package: Path
) -> None:
    release_id = client.upload_package(package)

    assert release_id == RELEASE_ID
    assert api.seen[0].json == {"fileName": "nsx.zip", "sizeBytes": package.stat().st_size}
    upload = api.to("POST", BUCKET_PATH)[0]
    parts = parts_of(upload)
    assert [(part.name, part.content.decode()) for part in parts[:-1]] == list(FIELDS.items())
    assert (parts[-1].name, parts[-1].file_name) == ("file", "nsx.zip")
    assert parts[-1].content == package.read_bytes()


def test_the_length_is_said_beforehand_and_the_token_is_not_shown_to_s3(
    api: StandInApi, client: GreenroomClient, offer: Offer, package: Path
) -> None:
    client.upload_package(package)

    upload = api.to("POST", BUCKET_PATH)[0]
    assert int(upload.headers["content-length"]) == len(upload.body)
    assert "transfer-encoding" not in upload.headers
    assert "authorization" not in upload.headers


def test_progress_goes_up_to_the_whole_size_in_bounded_steps(
    client: GreenroomClient, offer: Offer, package: Path
) -> None:
    calls: list[tuple[int, int]] = []

    client.upload_package(package, lambda sent, total: calls.append((sent, total)))

    size = package.stat().st_size
    sent = [0] + [call[0] for call in calls]
    assert {call[1] for call in calls} == {size}
    assert sent[-1] == size
    assert all(0 < b - a <= 256 * 1024 for a, b in itertools.pairwise(sent))


def test_a_large_file_is_never_in_memory(
    api: StandInApi, client: GreenroomClient, offer: Offer, tmp_path: Path
) -> None:
    path = tmp_path / "large.zip"
    with path.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    api.on("POST", BUCKET_PATH, Answer(204, b"", keep_body=False))

    tracemalloc.start()
    client.upload_package(path)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert int(api.to("POST", BUCKET_PATH)[0].headers["content-length"]) > path.stat().st_size
    assert peak_bytes < 2 * 1024 * 1024


def test_a_file_name_cannot_break_out_of_its_header(
    api: StandInApi, client: GreenroomClient, offer: Offer, tmp_path: Path
) -> None:
    path = tmp_path / 'a"\r\nX-Evil: 1.zip'
    path.write_bytes(b"x")

    client.upload_package(path)

    assert b'filename="a%22%0D%0AX-Evil: 1.zip"' in api.to("POST", BUCKET_PATH)[0].body


def test_an_upload_that_broke_off_is_tried_again_from_the_beginning(
    api: StandInApi, client: GreenroomClient, offer: Offer, package: Path
) -> None:
    api.on("POST", BUCKET_PATH, Answer(drop=True), Answer(503, b"<Error/>"), Answer(204, b""))

    client.upload_package(package)

    assert len(api.to("POST", BUCKET_PATH)) == 3
    assert parts_of(api.seen[-1])[-1].content == package.read_bytes()


def test_a_bucket_that_never_answers_is_unreachable(
    api: StandInApi, client: GreenroomClient, offer: Offer, package: Path
) -> None:
    api.on("POST", BUCKET_PATH, Answer(drop=True))

    with pytest.raises(Unreachable) as caught:
        client.upload_package(package)

    assert caught.value.where == api.origin + BUCKET_PATH


@pytest.mark.usefixtures("offer")
@pytest.mark.parametrize(
    ("status", "said", "hint"),
    [
        (400, ("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size"), "smaller"),
        (403, ("AccessDenied", "Invalid according to Policy: Policy expired."), "Start again"),
        (403, ("SignatureDoesNotMatch", "The key &lt;a&gt; &amp; more"), ""),
    ],
)
def test_s3s_refusal_is_told_in_its_own_words(
    api: StandInApi, package: Path, status: int, said: tuple[str, str], hint: str
) -> None:
    code, message = said
    xml = f'<?xml version="1.0"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
    api.on("POST", BUCKET_PATH, Answer(status, xml.encode()))

    with GreenroomClient(api.url, TOKEN) as client, pytest.raises(UploadRefused) as caught:
        client.upload_package(package)

    assert caught.value.code == code
    assert message.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") in caught.value.message
    assert hint in caught.value.hint and caught.value.where == str(package)


@pytest.mark.parametrize("body", [b"", b"\xff" * 200_000, b"<Error><Code>" + b"x" * 100_000])
def test_a_refusal_without_words_is_told_by_its_number(
    api: StandInApi, client: GreenroomClient, offer: Offer, package: Path, body: Any
) -> None:
    api.on("POST", BUCKET_PATH, Answer(400, body))

    with pytest.raises(UploadRefused, match="HTTP 400"):
        client.upload_package(package)


def test_a_refusal_given_before_the_file_is_read_is_still_told(
    api: StandInApi, client: GreenroomClient, offer: Offer, tmp_path: Path
) -> None:
    path = tmp_path / "large.zip"
    with path.open("wb") as file:
        file.truncate(32 * 1024 * 1024)
    xml = b"<Error><Code>EntityTooLarge</Code><Message>too large</Message></Error>"
    api.on("POST", BUCKET_PATH, Answer(400, xml, read_body=False))

    # Whether the answer or the broken connection is seen first is the operating system's choice; both are told.
    with pytest.raises((UploadRefused, Unreachable)):
        client.upload_package(path)


def test_a_file_above_the_platforms_limit_is_not_sent(
    api: StandInApi, client: GreenroomClient, offer: Offer, package: Path
) -> None:
    offer(maxSizeBytes=1000)

    with pytest.raises(UploadRefused, match="1,000 are allowed"):
        client.upload_package(package)

    assert not api.to("POST", BUCKET_PATH)


def test_a_file_that_shrinks_while_it_is_sent_is_an_error_of_the_file(
    client: GreenroomClient, offer: Offer, package: Path
) -> None:
    with pytest.raises(GreenroomError, match="became shorter") as caught:
        client.upload_package(package, lambda sent, total: os.truncate(package, 10))

    assert caught.value.where == str(package)


def test_of_a_file_that_grows_while_it_is_sent_only_its_first_size_is_sent(
    api: StandInApi, client: GreenroomClient, offer: Offer, package: Path
) -> None:
    content = package.read_bytes()

    def grow(sent: int, total: int) -> None:
        with package.open("ab") as file:
            file.write(b"more")

    client.upload_package(package, grow)

    assert parts_of(api.to("POST", BUCKET_PATH)[0])[-1].content == content


@pytest.mark.parametrize("kind", ["absent", "empty", "folder"])
def test_what_is_no_file_is_refused_before_anything_is_sent(
    api: StandInApi, client: GreenroomClient, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / kind
    if kind == "empty":
        path.touch()
    if kind == "folder":
        path.mkdir()

    with pytest.raises(GreenroomError) as caught:
        client.upload_package(path)

    assert caught.value.where == str(path) and not api.seen


@pytest.mark.parametrize(("file_name", "content_type"), [("a.JSON", "application/json"), ("a.txt", "text/plain")])
def test_a_document_is_uploaded_and_then_submitted(
    api: StandInApi, client: GreenroomClient, tmp_path: Path, file_name: str, content_type: str
) -> None:
    path = tmp_path / file_name
    path.write_bytes(b'{"rules": []}')
    upload = {"url": api.origin + BUCKET_PATH, "fields": FIELDS}
    api.on("POST", "/algorithms/nsx-in/messages", Answer(201, {"messageId": "M1", "upload": upload}))
    api.on("POST", BUCKET_PATH, Answer(204, b""))
    api.on(
        "POST",
        "/algorithms/nsx-in/messages/M1/submit",
        Answer(202, {"messageId": "M1", "results": [{"algorithm": "asa"}]}),
    )

    message = client.send("nsx-in", path, to=["asa"])

    assert (message.message_id, message.results[0].algorithm, message.ended) == ("M1", "asa", False)
    about = {"fileName": file_name, "contentType": content_type, "to": ["asa"]}
    assert api.seen[0].json == {**about, "sizeBytes": 13}
    assert parts_of(api.seen[1])[-1].content == path.read_bytes()
    assert api.seen[2].json == about


def test_without_a_route_the_algorithm_chooses(api: StandInApi, client: GreenroomClient, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"{}")
    api.on(
        "POST",
        "/algorithms/nsx-in/messages",
        Answer(201, {"messageId": "M1", "upload": {"url": api.origin + BUCKET_PATH, "fields": {}}}),
    )
    api.on("POST", BUCKET_PATH, Answer(204, b""))
    api.on("POST", "/algorithms/nsx-in/messages/M1/submit", Answer(202, {"messageId": "M1"}))

    client.send("nsx-in", path)

    assert api.seen[0].json["to"] is None


def test_an_upload_that_was_asked_for_without_an_answer_is_asked_for_again_as_the_same_request(
    api: StandInApi, client: GreenroomClient, offer: Offer, package: Path
) -> None:
    upload = {"url": api.origin + BUCKET_PATH, "fields": FIELDS}
    made = {"releaseId": RELEASE_ID, "upload": upload, "maxSizeBytes": 1 << 30}
    api.on("POST", "/releases", Answer(drop=True), Answer(502, {}), Answer(201, made))

    client.upload_package(package)

    keys = [request.headers["idempotency-key"] for request in api.to("POST", "/releases")]
    assert len(keys) == 3
    assert len(set(keys)) == 1
    client.upload_package(package)
    assert api.to("POST", "/releases")[-1].headers["idempotency-key"] not in keys

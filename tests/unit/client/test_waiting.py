"""Waiting: how often the client asks, what it lives through, and when it gives up."""

from __future__ import annotations

import io

import pytest

from greenroom.client import GreenroomClient, GreenroomError, PlatformFault, Unauthorized, UploadRefused, WaitTimeout
from greenroom.wire.models import MessageResult
from tests.unit.client.conftest import Clock
from tests.unit.client.stand_in_api import RELEASE_ID, TOKEN, Answer, StandInApi, release

PATH = f"/releases/{RELEASE_ID}"


@pytest.mark.parametrize("status", ["LIVE", "FAILED", "REJECTED", "SUPERSEDED", "RETIRED", "ROLLED_BACK"])
def test_a_wait_ends_with_the_release(api: StandInApi, client: GreenroomClient, status: str) -> None:
    api.on("GET", PATH, Answer(body=release("TESTING")), Answer(body=release(status)))

    assert client.wait_for_release(RELEASE_ID).status == status
    assert len(api.seen) == 2


def test_every_answer_is_handed_on(api: StandInApi, client: GreenroomClient) -> None:
    seen: list[str] = []
    statuses = ["UPLOADING", "REGISTERED", "PROVISIONING", "PROVISIONED", "TESTING", "LIVE"]
    api.on("GET", PATH, *(Answer(body=release(status)) for status in statuses))

    client.wait_for_release(RELEASE_ID, lambda release: seen.append(release.status))

    assert seen == statuses


def test_asking_becomes_slower_while_nothing_changes_and_quick_again_after_a_change(
    api: StandInApi, client: GreenroomClient, clock: Clock
) -> None:
    answers = [Answer(body=release("TESTING"))] * 12 + [Answer(body=release("PROVISIONED"))]
    api.on("GET", PATH, *answers, Answer(body=release("LIVE")))

    client.wait_for_release(RELEASE_ID)

    assert clock.slept_s[0] == pytest.approx(0.3)
    assert clock.slept_s[:12] == sorted(clock.slept_s[:12])
    assert clock.slept_s[11] == 2.0
    assert clock.slept_s[12] == pytest.approx(0.3)


def test_a_wait_lives_through_a_short_outage(api: StandInApi, client: GreenroomClient) -> None:
    api.on("GET", PATH, *[Answer(drop=True)] * 6, Answer(500, {}), Answer(body=release("LIVE")))

    assert client.wait_for_release(RELEASE_ID, timeout_s=600).status == "LIVE"


def test_a_wait_does_not_live_through_a_long_outage(api: StandInApi, client: GreenroomClient, clock: Clock) -> None:
    api.on("GET", PATH, Answer(body=release("TESTING")), Answer(500, {}))

    with pytest.raises(PlatformFault):
        client.wait_for_release(RELEASE_ID)

    assert 30 < clock() - 1000 < 60


def test_a_wrong_token_ends_a_wait_at_once(api: StandInApi, client: GreenroomClient) -> None:
    api.on("GET", PATH, Answer(401, {}))

    with pytest.raises(Unauthorized):
        client.wait_for_release(RELEASE_ID)

    assert len(api.seen) == 1


def test_a_wait_that_runs_out_says_how_far_it_got_and_that_the_release_goes_on(
    api: StandInApi, client: GreenroomClient, clock: Clock
) -> None:
    api.on("GET", PATH, Answer(body=release("PROVISIONING")))

    with pytest.raises(WaitTimeout, match="PROVISIONING after 10 s") as caught:
        client.wait_for_release(RELEASE_ID, timeout_s=10)

    assert f"greenroom show {RELEASE_ID}" in caught.value.hint
    assert clock() - 1000 == pytest.approx(10)


def message(*statuses: str) -> dict[str, object]:
    ended = all(status != "pending" for status in statuses)
    names = ["asa", "aws-sg"]
    return {
        "messageId": "M1",
        "status": "done" if ended else "pending",
        "results": [{"algorithm": n, "status": s} for n, s in zip(names, statuses, strict=False)],
    }


def test_a_message_is_waited_for_with_the_route_it_took(api: StandInApi, client: GreenroomClient) -> None:
    path = "/algorithms/nsx-in/messages/M1"
    api.on("GET", path, Answer(body=message("done", "pending")), Answer(body=message("done", "done")))

    answer = client.wait_for_message("nsx-in", "M1", to=["asa", "aws-sg"])

    assert [result.status for result in answer.results] == ["done", "done"]
    assert {seen.query["to"] for seen in api.seen} == {"asa,aws-sg"}


def test_a_message_without_an_answer_is_said_to_wait_for_whom(api: StandInApi, client: GreenroomClient) -> None:
    api.on("GET", "/algorithms/nsx-in/messages/M1", Answer(body=message("done", "pending")))

    with pytest.raises(WaitTimeout, match="M1 has no answer yet of aws-sg after 3 s"):
        client.wait_for_message("nsx-in", "M1", timeout_s=3)


def test_a_result_is_downloaded_as_it_is_and_without_the_token(api: StandInApi, client: GreenroomClient) -> None:
    document = b"\x00\xff" * 400_000
    api.on("GET", "/results/one", Answer(200, document))
    into = io.BytesIO()
    result = MessageResult(algorithm="asa", status="done", url=f"{api.origin}/results/one?X-Amz-Signature=a%2Fb")

    count = client.download(result, into)

    assert (count, into.getvalue()) == (len(document), document)
    assert "authorization" not in api.seen[0].headers and TOKEN not in str(api.seen[0].headers)
    assert api.seen[0].query == {"X-Amz-Signature": "a/b"}


def test_a_result_that_s3_does_not_give_is_told_in_its_words(api: StandInApi, client: GreenroomClient) -> None:
    api.on("GET", "/results/one", Answer(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"))

    with pytest.raises(UploadRefused, match="did not give the document: AccessDenied: no"):
        client.download(MessageResult(algorithm="asa", url=f"{api.origin}/results/one"), io.BytesIO())


def test_a_result_that_is_not_there_yet_cannot_be_downloaded(client: GreenroomClient) -> None:
    with pytest.raises(GreenroomError, match="asa has no document yet"):
        client.download(MessageResult(algorithm="asa", status="pending"), io.BytesIO())

"""What the client asks, and how it reads the answers."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from greenroom.client import (
    ApiError,
    Conflict,
    GreenroomClient,
    GreenroomError,
    NotFound,
    PlatformFault,
    RequestRefused,
    Timing,
    Unauthorized,
    UnexpectedAnswer,
    Unreachable,
)
from tests.unit.client.conftest import Clock
from tests.unit.client.stand_in_api import RELEASE_ID, TOKEN, Answer, Seen, StandInApi, release


def error(code: str, message: str, hint: str = "") -> dict[str, object]:
    return {"error": {"code": code, "message": message, "hint": hint}}


def test_every_request_carries_the_token_and_keeps_the_path_of_the_address(
    api: StandInApi, client: GreenroomClient
) -> None:
    api.on("GET", "/status", Answer(body={"algorithms": 3, "deadLetters": 2}))

    status = client.status()

    assert (status.algorithms, status.dead_letters) == (3, 2)
    assert api.seen[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_a_slash_at_the_end_of_the_address_changes_nothing(api: StandInApi) -> None:
    api.on("GET", "/algorithms", Answer(body={"algorithms": [{"name": "nsx-in"}]}))

    with GreenroomClient(api.url + "/", TOKEN) as client:
        assert [algorithm.name for algorithm in client.algorithms()] == ["nsx-in"]


def test_a_release_keeps_fields_it_does_not_know_and_lives_without_those_it_expects(
    api: StandInApi, client: GreenroomClient
) -> None:
    answer = {
        "releaseId": RELEASE_ID,
        "status": "LIVE",
        "shine": {"deep": [1]},
        "summary": {"powerValues": [{"memoryMb": 256, "p50Ms": 71.5, "sparkle": True}]},
    }
    api.on("GET", f"/releases/{RELEASE_ID}", Answer(body=answer))

    release = client.release(RELEASE_ID)

    assert release.summary and release.summary.power_values[0].p50_ms == 71.5
    assert release.progress == [] and release.metadata is None
    assert release.to_json() == answer


def test_a_null_where_the_contract_allows_one_is_read(api: StandInApi, client: GreenroomClient) -> None:
    nulls = dict.fromkeys(["algorithm", "reason", "metadata", "version", "memoryMb", "summary"])
    api.on("GET", f"/releases/{RELEASE_ID}", Answer(body=release("REJECTED") | nulls))

    assert client.release(RELEASE_ID).algorithm is None


def test_names_are_quoted_so_that_none_reaches_another_path(api: StandInApi, client: GreenroomClient) -> None:
    with pytest.raises(NotFound):
        client.algorithm("../status?x")

    assert api.seen[0].path == "/algorithms/..%2Fstatus%3Fx"


def test_releases_are_read_over_all_pages_and_never_more_than_the_limit(
    api: StandInApi, client: GreenroomClient
) -> None:
    def page(seen: Seen) -> Answer:
        first = "cursor" not in seen.query
        ids = ["A", "B"] if first else ["C", "D"]
        return Answer(
            body={
                "releases": [{"releaseId": i, "status": "LIVE"} for i in ids],
                "cursor": "next" if first else None,
            }
        )

    api.on("GET", "/algorithms/nsx-in/releases", page)

    assert [r.release_id for r in client.every_release("nsx-in")] == ["A", "B", "C", "D"]
    assert [r.release_id for r in client.every_release("nsx-in", limit=3)] == ["A", "B", "C"]
    assert [seen.query["limit"] for seen in api.seen[:2]] == ["200", "200"]
    assert [seen.query for seen in api.seen[2:]] == [{"limit": "3"}, {"limit": "1", "cursor": "next"}]


def test_a_cursor_that_does_not_move_does_not_go_on_for_ever(api: StandInApi, client: GreenroomClient) -> None:
    api.on(
        "GET",
        "/algorithms/nsx-in/releases",
        Answer(body={"releases": [{"releaseId": "A", "status": "LIVE"}], "cursor": "same"}),
    )

    assert len(list(client.every_release("nsx-in"))) == 2


def test_measurements_and_logs_are_asked_for_with_their_filters(api: StandInApi, client: GreenroomClient) -> None:
    api.on(
        "GET",
        f"/releases/{RELEASE_ID}/measurements",
        Answer(body={"measurements": [{"memoryMb": 256, "durationMs": 12.5}]}),
    )
    api.on("GET", f"/releases/{RELEASE_ID}/logs", Answer(body={"events": [{"message": "START"}]}))

    assert client.measurements(RELEASE_ID, memory_mb=256)[0].duration_ms == 12.5
    assert client.logs(RELEASE_ID, limit=5)[0].message == "START"
    assert [seen.query for seen in api.seen] == [{"memoryMb": "256"}, {"limit": "5"}]


def test_rollback_names_a_release_only_when_one_is_given(api: StandInApi, client: GreenroomClient) -> None:
    api.on(
        "POST",
        "/algorithms/nsx-in/rollback",
        Answer(body={"releaseId": "A", "rolledBackReleaseId": "B", "version": "7"}),
    )

    assert client.rollback("nsx-in").release_id == "A"
    client.rollback("nsx-in", to_release_id="A")

    assert [seen.json for seen in api.seen] == [{}, {"toReleaseId": "A"}]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RequestRefused),
        (401, Unauthorized),
        (403, Unauthorized),
        (404, NotFound),
        (409, Conflict),
        (413, RequestRefused),
        (500, PlatformFault),
    ],
)
def test_an_error_says_what_the_platform_said_and_what_to_do(
    api: StandInApi, client: GreenroomClient, status: int, kind: type[ApiError]
) -> None:
    api.on("POST", "/algorithms/nsx-in/rollback", Answer(status, error("Some", "it is so", "Do this instead")))

    with pytest.raises(kind) as caught:
        client.rollback("nsx-in")

    assert "it is so" in caught.value.message
    assert caught.value.hint == "Do this instead"
    assert (caught.value.code, caught.value.status_code) == ("Some", status)
    assert TOKEN not in str(caught.value)


def test_an_error_says_where_as_the_platform_did_and_else_which_request_it_was(
    api: StandInApi, client: GreenroomClient
) -> None:
    named = {"error": {"code": "invalid_request", "message": "too small", "where": "body.sizeBytes", "hint": ""}}
    api.on("GET", "/status", Answer(422, named), Answer(422, error("Some", "it is so")))

    for where in ("body.sizeBytes", f"GET {api.url}/status"):
        with pytest.raises(RequestRefused) as caught:
            client.status()
        assert caught.value.where == where


@pytest.mark.parametrize("body", [{"message": "Unauthorized"}, b"<html>", b"\xff\xfe", [1], {"error": "text"}])
def test_a_wrong_token_is_named_whoever_refuses_it(api: StandInApi, client: GreenroomClient, body: Any) -> None:
    api.on("GET", "/status", Answer(401, body))

    with pytest.raises(Unauthorized, match="token was refused") as caught:
        client.status()

    assert "GREENROOM_TOKEN" in caught.value.hint


@pytest.mark.parametrize("body", [b"<html>hello</html>", [1, 2], {"releaseId": 5}, b"", {"status": None}])
def test_an_answer_that_is_not_the_apis_is_an_error_of_its_own(
    api: StandInApi, client: GreenroomClient, body: Any
) -> None:
    api.on("GET", f"/releases/{RELEASE_ID}", Answer(200, body))

    with pytest.raises(UnexpectedAnswer, match="not one of Greenroom") as caught:
        client.release(RELEASE_ID)

    assert api.url in caught.value.where


def test_a_redirect_is_not_followed_with_the_token(api: StandInApi, client: GreenroomClient) -> None:
    api.on("GET", "/status", Answer(302, {}, {"Location": f"{api.origin}/elsewhere"}))

    with pytest.raises(UnexpectedAnswer):
        client.status()

    assert not api.to("GET", "/elsewhere")


def test_a_read_is_repeated_when_the_platform_stumbles(api: StandInApi, client: GreenroomClient, clock: Clock) -> None:
    api.on(
        "GET",
        "/status",
        Answer(503, {}),
        Answer(drop=True),
        Answer(429, {}, {"Retry-After": "2"}),
        Answer(body={"algorithms": 1}),
    )

    assert client.status().algorithms == 1
    assert clock.slept_s == [0.2, 0.5, 2.0]


def test_a_read_is_not_repeated_for_ever(api: StandInApi, client: GreenroomClient) -> None:
    api.on("GET", "/status", Answer(502, {}))

    with pytest.raises(PlatformFault):
        client.status()

    assert len(api.seen) == 4


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_platform_is_given_half_a_minute(
    api: StandInApi, client: GreenroomClient, clock: Clock, status: int
) -> None:
    api.on("GET", "/status", *[Answer(status, {})] * 7, Answer(body={"algorithms": 1}))

    assert client.status().algorithms == 1
    assert clock.slept_s == [0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0]


def test_what_changes_something_is_not_repeated_when_it_may_have_arrived(
    api: StandInApi, client: GreenroomClient
) -> None:
    api.on("POST", "/algorithms/nsx-in/rollback", Answer(drop=True))

    with pytest.raises(Unreachable):
        client.rollback("nsx-in")

    assert len(api.seen) == 1


def test_a_platform_that_is_not_there_is_said_to_be_unreachable(clock: Clock) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and never listening: nobody else gets this port meanwhile
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with (
            GreenroomClient(url, TOKEN, timing=Timing(sleep=clock.sleep)) as client,
            pytest.raises(Unreachable, match="can't be reached") as caught,
        ):
            client.status()

    assert caught.value.where == url
    assert "greenroom up" in caught.value.hint


def test_an_answer_that_does_not_come_in_time_is_said_to_be_late(clock: Clock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        with (
            GreenroomClient(url, TOKEN, timing=Timing(timeout_s=0.05, sleep=clock.sleep)) as client,
            pytest.raises(Unreachable, match="did not answer in time"),
        ):
            client.status()


def test_a_proxy_of_the_environment_does_not_stand_before_the_machine_itself(
    api: StandInApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    api.on("GET", "/status", Answer(body={}))

    with GreenroomClient(api.url, TOKEN) as client:
        client.status()

    assert len(api.seen) == 1


@pytest.mark.parametrize("url", ["", "127.0.0.1:4566", "ftp://host/", "http://", "http://host/?x=1"])
def test_an_address_that_cannot_be_one_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(GreenroomError, match="not an http or https address") as caught:
        GreenroomClient(url, TOKEN)

    assert caught.value.where == url


@pytest.mark.parametrize("token", ["", "a b", "a\nb", "tökén"])
def test_a_token_that_cannot_be_one_is_refused_and_not_printed(token: str) -> None:
    with pytest.raises(GreenroomError, match="token is empty or has characters") as caught:
        GreenroomClient("http://127.0.0.1:1", token)

    assert not token or token not in str(caught.value)


def test_no_error_text_ends_without_what_where_and_what_to_do() -> None:
    error = GreenroomError("the file is empty", where="a.zip", hint="Give another")

    assert str(error) == "the file is empty (a.zip). Give another"

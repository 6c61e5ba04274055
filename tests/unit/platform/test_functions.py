"""How the facade over Lambda waits: boto3's waiters judge the answers, by a clock and pauses that are passed in.

The embedded AWS is done too soon to show it and never fails, so Lambda's answers come from a server of this file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import boto3
import pytest

from greenroom.platform import functions
from greenroom.platform.functions import Configuration, Functions, NotReady

SHOP = {
    "FunctionName": "shop",
    "RevisionId": "r1",
    "MemorySize": 192,
    "Timeout": 10,
    "Description": "sells things",
    "State": "Active",
    "LastUpdateStatus": "Successful",
}
BUSY = {**SHOP, "LastUpdateStatus": "InProgress"}


class Lambda:
    """Answers what it was given, one after the other and the last for ever, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str, Any]] = []
        facade = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                facade.requests.append((self.command, self.path, body))
                answer = facade.answers.pop(0) if len(facade.answers) > 1 else facade.answers[0]
                content = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_PUT = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)


class Time:
    """A clock that only its own pauses move."""

    def __init__(self) -> None:
        self.pauses_s: list[float] = []

    def clock(self) -> float:
        return sum(self.pauses_s)

    def sleep(self, seconds: float) -> None:
        self.pauses_s.append(seconds)


@pytest.fixture
def aws() -> Iterator[Lambda]:
    """Lambda, which answers as a test says."""
    lambda_ = Lambda()
    Thread(target=lambda_.server.serve_forever, args=(0.01,), daemon=True).start()
    yield lambda_
    lambda_.server.shutdown()
    lambda_.server.server_close()


@pytest.fixture
def ours() -> Time:
    """Time as the facade takes it."""
    return Time()


@pytest.fixture
def facade(aws: Lambda, ours: Time) -> Functions:
    """The facade over it."""
    url = f"http://127.0.0.1:{aws.server.server_port}"
    client = boto3.Session("key", "secret", region_name="us-east-1").client("lambda", endpoint_url=url)
    return Functions(client, sleep=ours.sleep, clock=ours.clock)


def test_it_looks_until_the_update_has_succeeded_and_pauses_longer_each_time(
    aws: Lambda, ours: Time, facade: Functions
) -> None:
    aws.answers = [BUSY] * 8 + [{**SHOP, "MemorySize": 512}]
    assert facade.updated("shop").memory_mb == 512
    assert ours.pauses_s == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]
    assert {path for _, path, _ in aws.requests} == {"/2015-03-31/functions/shop/configuration?Qualifier=%24LATEST"}


def test_it_gives_up_by_the_clock_and_says_what_lambda_was_doing(aws: Lambda, ours: Time, facade: Functions) -> None:
    aws.answers = [BUSY]
    with pytest.raises(NotReady, match=r"not done with shop:\$LATEST after 120 s: .*last update InProgress"):
        facade.updated("shop")
    assert functions.READY_WITHIN_S <= sum(ours.pauses_s) <= functions.READY_WITHIN_S + functions.LONGEST_PAUSE_S


def test_an_update_that_fails_says_why(aws: Lambda, facade: Functions) -> None:
    aws.answers = [BUSY, {**SHOP, "LastUpdateStatus": "Failed", "LastUpdateStatusReason": "the role is gone"}]
    with pytest.raises(NotReady, match=r"Lambda failed to update shop:\$LATEST: the role is gone"):
        facade.updated("shop")


def test_a_version_is_used_once_it_is_active(aws: Lambda, ours: Time, facade: Functions) -> None:
    pending = {**SHOP, "Version": "7", "State": "Pending"}
    aws.answers = [pending, pending, pending, {**pending, "State": "Active"}]
    assert facade.publish("shop", configuration(), "made") == "7"
    assert len(ours.pauses_s) == 2
    assert aws.requests[-1][1].endswith("?Qualifier=7")


def test_a_version_that_fails_says_why(aws: Lambda, facade: Functions) -> None:
    aws.answers = [{**SHOP, "Version": "7", "State": "Failed", "StateReason": "the image is gone"}]
    with pytest.raises(NotReady, match="Lambda failed to update shop:7: the image is gone"):
        facade.publish("shop", configuration(), "made")


def test_publishing_names_the_revision_so_that_nothing_else_is_published(aws: Lambda, facade: Functions) -> None:
    aws.answers = [{**SHOP, "Version": "7"}]
    facade.publish("shop", configuration(), "made")
    method, path, body = aws.requests[0]
    assert (method, path) == ("POST", "/2015-03-31/functions/shop/versions")
    assert body == {"RevisionId": "r1", "Description": "made"}


def test_only_what_differs_is_configured(aws: Lambda, facade: Functions) -> None:
    aws.answers = [SHOP]
    facade.configure("shop", configuration(), memory_mb=192, description="sells things")
    assert aws.requests == []
    facade.configure("shop", configuration(), memory_mb=256, description="sells things")
    assert aws.requests[0][2] == {"MemorySize": 256}


def configuration() -> Configuration:
    """The function as it was seen."""
    return Configuration("r1", 192, 10, "x86_64", 512, "sells things", {})

"""What the platform's clients are made with."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlsplit

import pytest

from greenroom.platform.services import Services, Settings

BUCKET = "greenroom-packages-111111111111-here"


def signed_hosts(region: str) -> set[str]:
    """Return where a form and a link that the platform signs in a region lead to."""
    s3 = Services(Settings("greenroom", region, "111111111111", {})).s3
    form = s3.generate_presigned_post(BUCKET, "uploads/x")["url"]
    link = s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "results/x"})
    return {urlsplit(form).netloc, urlsplit(link).netloc}


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.mark.parametrize(
    ("region", "suffix"),
    [
        ("eu-central-1", "amazonaws.com"),
        ("eu-west-1", "amazonaws.com"),
        ("us-west-2", "amazonaws.com"),
        ("ap-southeast-3", "amazonaws.com"),  # newer than March 2019, as the next two
        ("eu-south-2", "amazonaws.com"),
        ("il-central-1", "amazonaws.com"),
        ("us-gov-west-1", "amazonaws.com"),
        ("cn-north-1", "amazonaws.com.cn"),
    ],
)
def test_a_form_and_a_link_lead_to_the_buckets_own_region(region: str, suffix: str) -> None:
    assert signed_hosts(region) == {f"{BUCKET}.s3.{region}.{suffix}"}


def test_in_the_region_of_the_global_endpoint_either_name_is_right() -> None:
    assert signed_hosts("us-east-1") <= {f"{BUCKET}.s3.us-east-1.amazonaws.com", f"{BUCKET}.s3.amazonaws.com"}


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_on_an_endpoint_of_its_own_the_bucket_stays_in_the_path(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:4566")
    assert signed_hosts("eu-central-1") == {"127.0.0.1:4566"}


def test_only_what_measures_asks_for_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    class Lambda(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.headers.get("X-Greenroom-Measured"))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Lambda) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        services = Services(Settings("greenroom", "eu-central-1", "111111111111", {}))
        services.invoker(5).invoke(FunctionName="f")
        services.lambda_.invoke(FunctionName="f")
        server.shutdown()
    assert asked == ["1", None]

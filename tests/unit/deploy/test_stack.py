"""What is refused before anything is deployed, and which names go into the template."""

from __future__ import annotations

import boto3
import pytest

from greenroom.deploy import DeployError, PlatformSettings, deploy_platform
from greenroom.deploy.stack import _parameters, _Place

AWS = _Place("aws", "eu-central-1", "123456789012", None)
HERE = _Place("aws", "us-east-1", "000000000000", "http://127.0.0.1:4566")


@pytest.mark.parametrize("prefix", ["", "-", "Green", "a_b", "grün", "fourteen-chars", "a\n"])
def test_a_prefix_that_no_bucket_could_be_named_with_is_refused_before_anything_is_asked(prefix: str) -> None:
    with pytest.raises(DeployError, match="is not usable: take 1 to 13 lower-case letters"):
        deploy_platform(boto3.Session(region_name="eu-central-1"), PlatformSettings(prefix=prefix))


def test_a_region_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(DeployError, match="set AWS_REGION"):
        deploy_platform(boto3.Session(), PlatformSettings())


def test_what_may_be_tuned_is_named_by_every_arn_that_iam_knows_it_by() -> None:
    settings = PlatformSettings(tunable=["shop-*", "checkout"], tunable_payloads=["events/*.json"])
    given = _parameters(settings, AWS)
    lambdas = "arn:aws:lambda:eu-central-1:123456789012:function:"
    assert given["TunableFunctionArns"].split(",") == [
        f"{lambdas}shop-*",
        f"{lambdas}shop-*:*",
        f"{lambdas}checkout",
        f"{lambdas}checkout:*",
    ]
    assert "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/checkout:*" in given["TunableLogArns"]
    assert given["TunablePayloadArns"] == "arn:aws:s3:::events/*.json"


def test_nothing_but_algorithms_may_be_tuned_on_aws_unless_it_is_named_and_everything_on_this_machine() -> None:
    assert _parameters(PlatformSettings(), AWS)["TunableFunctionArns"] == ""
    assert _parameters(PlatformSettings(), AWS)["MaxConcurrency"] == "5"
    assert _parameters(PlatformSettings(), HERE)["TunableFunctionArns"].endswith("function:*:*")
    assert _parameters(PlatformSettings(max_concurrency=7), HERE)["MaxConcurrency"] == "7"


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        (PlatformSettings(tunable=["a,b"]), "tunable function 'a,b' is not usable"),
        (PlatformSettings(tunable=["arn:aws:lambda:x"]), "give a function's name"),
        (PlatformSettings(tunable_payloads=["bucket/a b"]), "give bucket/key"),
    ],
)
def test_a_name_that_would_say_something_else_inside_an_arn_is_refused(settings: PlatformSettings, fault: str) -> None:
    with pytest.raises(DeployError, match=fault):
        _parameters(settings, AWS)


def test_cloudformation_takes_the_template_from_the_region_it_is_in() -> None:
    china = _Place("aws-cn", "cn-north-1", "123456789012", None)
    assert AWS.object_url("bucket", "key") == "https://bucket.s3.eu-central-1.amazonaws.com/key"
    assert china.object_url("bucket", "key") == "https://bucket.s3.cn-north-1.amazonaws.com.cn/key"
    assert HERE.object_url("bucket", "key") == "http://127.0.0.1:4566/bucket/key"

"""One platform for all end-to-end tests: the embedded AWS with IAM enforced, and the real platform deployed on it."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from stage import Platform

from greenroom.client import GreenroomClient
from greenroom.deploy import deploy_platform
from greenroom.embedded import EmbeddedAws


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The platform, deployed once for all tests."""
    data = tmp_path_factory.mktemp("greenroom")
    with EmbeddedAws.start(data / "data", port=0, iam_log=True) as aws:
        session = boto3.Session(
            aws_access_key_id=aws.access_key_id,
            aws_secret_access_key=aws.secret_access_key,
            region_name=aws.region,
        )
        deployment = deploy_platform(session, endpoint_url=aws.endpoint_url, poll_s=0.1)
        with GreenroomClient(deployment.url, deployment.token) as client:
            yield Platform(aws, session, deployment, client, tmp_path_factory.mktemp("files"))

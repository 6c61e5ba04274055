"""One platform for all end-to-end tests: the embedded AWS with IAM enforced, and the real platform deployed on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.stage import Platform, running_platform


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The platform, deployed once for all tests."""
    with running_platform(tmp_path_factory.mktemp("aws"), tmp_path_factory.mktemp("files")) as platform:
        yield platform

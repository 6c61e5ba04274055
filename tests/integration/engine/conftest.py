"""An engine for all tests of a file: once with control groups, once with the watcher in their place."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.engine.lab import Lab, grouped


@pytest.fixture(
    scope="module", params=[pytest.param(True, marks=grouped, id="groups"), pytest.param(False, id="watcher")]
)
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(
        tmp_path_factory.mktemp("engine"),
        environment={"AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
        control_groups=request.param,
    )
    yield lab
    lab.engine.close()

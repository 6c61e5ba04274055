"""An embedded AWS for all tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from greenroom.embedded import EmbeddedAws
from tests.conformance.invoke.box import Box


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    with EmbeddedAws.start(tmp_path_factory.mktemp("aws"), port=0) as aws:
        yield Box(aws)

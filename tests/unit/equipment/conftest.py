"""The equipment as Lambda sees it: its folder on the path (`pythonpath` in pyproject.toml), its variables set."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

LAYER = str(resources.files("greenroom") / "equipment")

ARN = "arn:aws:lambda:eu-central-1:000000000000:function:greenroom-alg-sample"


@pytest.fixture
def layer() -> str:
    """The folder that Lambda would have on its path as /opt/python."""
    return LAYER


@pytest.fixture
def context_of() -> Callable[..., Any]:
    """Makes the context that a handler gets, for an alias, a version, or neither."""

    def make(qualifier: str | None = "prod", remaining_ms: int = 60_000) -> Any:
        arn = ARN if qualifier is None else f"{ARN}:{qualifier}"
        return SimpleNamespace(invoked_function_arn=arn, get_remaining_time_in_millis=lambda: remaining_ms)

    return make


@pytest.fixture
def task_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package's folder with nothing in it yet, in the environment of an `in` algorithm without a next."""
    for name, value in {
        "LAMBDA_TASK_ROOT": str(tmp_path),
        "GREENROOM_ALGORITHM": "sample",
        "GREENROOM_TYPE": "in",
        "GREENROOM_RELEASE": "01JRELEASE",
        "GREENROOM_BUCKET": "greenroom-sample",
        "GREENROOM_NEXT": "{}",
        "AWS_LAMBDA_FUNCTION_VERSION": "7",
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path

"""What holds for all kinds of tests."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let a test that judges by what all others have left run after them, wherever its file lies."""
    items.sort(key=lambda item: item.get_closest_marker("after_all_others") is not None)

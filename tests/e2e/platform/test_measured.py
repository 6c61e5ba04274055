"""What a release's measurements say of memory. What measures runs alone, see tests/scheduling.py."""

from __future__ import annotations

from tests.e2e.packages import package
from tests.e2e.stage import Platform


def test_durations_fall_as_memory_grows(platform: Platform) -> None:
    source = """
    import hashlib

    class Algorithm:
        def translate(self, document):
            digest = b""
            for _ in range(60_000):
                digest = hashlib.sha256(digest).digest()
            return {"greeting": "hello " + document["name"]}
    """
    release = platform.push_and_wait(package("hashing", source, powerValues=[128, 512, 1769], num=5))
    assert release.status == "LIVE", release.reason
    assert release.summary is not None
    small, middle, large = (value.min_ms or 0 for value in release.summary.power_values)
    # The whole machine's worth at 1769 MB depends on what else runs on it; below one CPU little does.
    assert small > 2 * middle
    assert middle > large > 0

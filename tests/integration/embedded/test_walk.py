"""Nothing but what its role allows comes through to a service, however it is written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_an_algorithm_reaches_nothing_but_what_its_role_allows_in_any_spelling(tmp_path: Path) -> None:
    """Every operation of every service that the emulator serves, signed properly; all spellings of those passed on."""
    command = [sys.executable, "-m", "tests.integration.embedded.walk", str(tmp_path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=250)
    found = json.loads(done.stdout)
    print(f"{found['requests']} requests of {found['operations']} operations: {found['statuses']}")
    assert found["operations"] > 6_000 and found["requests"] > 30_000
    # AWS lets nobody be denied this one.
    assert found["reached"] == ["sts call_service GetCallerIdentity as GetCallerIdentity: /"]
    assert [each for each in found["not refused"] if not each.startswith("200 sts GetCallerIdentity / ")] == []
    assert found["badly signed"] == []
    # Written as an SDK does, each served operation is refused for want of the right and for no other reason.
    assert len(found["asked"]) > 280
    other_reasons = {name: said for name, said in found["asked"].items() if not said.startswith("403 ")}
    assert set(other_reasons) == {"sts GetCallerIdentity"}, other_reasons

"""The server's log of errors does not grow without end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from greenroom.embedded.error_log import OLD_SUFFIX, rotate


def test_a_long_log_begins_again_under_the_processes_that_write_to_it(tmp_path: Path) -> None:
    log = tmp_path / "aws.log"
    script = "import sys; e = sys.stderr; e.write('x' * 5_000 + '\\nlast\\n'); e.flush(); input(); e.write('after\\n')"
    with log.open("ab") as file:
        writer = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stderr=file, text=True)
    while not log.read_text().endswith("last\n"):
        pass
    rotate(log, most_bytes=1_000)
    assert log.read_text() == ""
    writer.communicate("\n")
    assert log.read_text() == "after\n"
    old = log.with_name(log.name + OLD_SUFFIX).read_text()
    assert len(old) == 1_000
    assert old.endswith("last\n")


def test_a_short_log_and_a_missing_one_stay(tmp_path: Path) -> None:
    log = tmp_path / "aws.log"
    rotate(log)
    log.write_text("short")
    rotate(log)
    assert log.read_text() == "short"

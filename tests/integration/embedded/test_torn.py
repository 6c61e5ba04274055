"""A sample of `python -m tests.crash.torn`: power cuts and damaged files."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest


@pytest.mark.skipif(shutil.which("cc") is None, reason="the shim needs a C compiler")
def test_what_was_answered_survives_a_power_cut_and_damage_is_refused() -> None:
    command = [sys.executable, "-m", "tests.crash.torn", "--cases", "30", "--seed", "11"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stdout
    assert "30 of 30 right" in done.stdout

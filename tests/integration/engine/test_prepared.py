"""The prepared process that environments are forked from, when it hangs, dies, or loses its engine. Real processes."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from greenroom.engine import zygote
from greenroom.engine.interpreters import Interpreter
from greenroom.engine.zygote import Layout, Zygote, ZygoteFailed
from tests.integration.engine.lab import Lab, answer


def start(folder: Path, script: str) -> Zygote:
    """Start a prepared process whose Python is a shell script."""
    executable = folder / "python"
    executable.write_text(f"#!/bin/sh\n{script}\n")
    executable.chmod(0o755)
    interpreter = Interpreter(str(executable), sys.base_prefix, (sys.version_info.major, sys.version_info.minor))
    return Zygote(Layout(folder / "code", folder / "scratch", jailed=False), interpreter, sdk=False)


def test_one_that_hangs_at_its_start_is_ended_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zygote, "START_TIMEOUT_S", 2.0)
    with pytest.raises(ZygoteFailed, match="did not start within 2 s"):
        start(tmp_path, f"echo $$ > {tmp_path}/pid\nexec sleep 60")
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()


def test_one_that_ends_at_its_start_says_so(tmp_path: Path) -> None:
    with pytest.raises(ZygoteFailed, match="ended while it started"):
        start(tmp_path, "exit 1")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.engine.close()


def test_one_that_hangs_later_fails_an_invocation_and_the_next_gets_another(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "def handler(event, context): return 1"
    assert answer(lab.run(source)) == 1
    (hanging,) = lab.engine._zygotes.values()
    os.kill(hanging._process.pid, signal.SIGSTOP)
    monkeypatch.setattr(zygote, "FORK_TIMEOUT_S", 1.0)
    with pytest.raises(ZygoteFailed, match=r"did not answer within 1 s|is gone"):
        for number in range(zygote.STOCK + 1):  # those that were prepared before it hung still run
            lab.run(source, version=f"before {number}")
    monkeypatch.undo()
    assert hanging._process.wait(10) == -signal.SIGKILL
    assert answer(lab.run(source, version="8")) == 1
    assert answer(lab.run(source)) == 1


def test_one_whose_engine_dies_in_the_middle_of_a_message_ends() -> None:
    ours, theirs = socket.socketpair()
    script = Path(zygote.__file__).parent / "runtime" / "zygote.py"
    with ours, theirs:
        command = [sys.executable, "-I", "-S", str(script), str(theirs.fileno())]
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        ours.sendall(struct.pack("!I", 100) + b"{")
    try:
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()

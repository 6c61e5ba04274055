"""Where this machine does not keep functions apart: what still holds, and who has to agree. A real kernel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.engine.lab import REPOSITORY, for_root

pytestmark = [for_root, pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")]

CAP_SYS_ADMIN, PR_CAPBSET_DROP = 21, 24

AS_IN_A_CONTAINER = f"""
import ctypes, os, sys, tempfile
from pathlib import Path
from bench import ordinary_user
ordinary_user.show(ordinary_user.NEEDED, Path(tempfile.mkdtemp()))
ctypes.CDLL(None).prctl({PR_CAPBSET_DROP}, {CAP_SYS_ADMIN}, 0, 0, 0)
os.chdir({str(REPOSITORY)!r})
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""

LOOK = """
import json, subprocess, sys, tempfile, time
from pathlib import Path
from greenroom.engine import isolation
from tests.integration.engine.lab import Lab, answer
lab = Lab(Path(tempfile.mkdtemp()), control_groups=sys.argv[1] == "groups")
source = '''
import os, resource, subprocess, sys
import lzma  # is read from the disk, as another user
def handler(event, context):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    with open("/proc/self/status") as file:
        rights = [int(line.split()[1], 16) for line in file if line.startswith(("CapEff", "CapBnd", "Seccomp:"))]
    return [os.getuid(), rights, resource.getrlimit(resource.RLIMIT_NOFILE)[0], child.pid, __file__]
'''
first, second = answer(lab.run(source)), answer(lab.run(source + "# another"))
lab.engine.close()
time.sleep(0.2)
left = [pid for pid in (first[3], second[3]) if Path(f"/proc/{pid}").exists()]
print(json.dumps([isolation().namespaces, first, second, left, Path(first[4]).exists()]))
"""


def in_a_container(*command: str) -> subprocess.CompletedProcess[str]:
    """Run this Python as root is in a container: without the right to make namespaces."""
    whole = [sys.executable, "-c", AS_IN_A_CONTAINER, *command]
    return subprocess.run(whole, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("how", ["groups", "watcher"])
def test_functions_of_root_are_another_user_each_and_nothing_outlives_the_engine(how: str) -> None:
    done = in_a_container("-c", LOOK, how)
    assert done.returncode == 0, done.stderr[-3_000:]
    namespaces, first, second, left, code_left = json.loads(done.stdout.splitlines()[-1])
    assert not namespaces
    assert first[0] not in (0, os.getuid()) and first[0] != second[0]
    assert first[1] == [0, 0, 2]  # no rights, none to get, a filter of system calls
    assert first[2] == 1_024
    assert (left, code_left) == ([], False)


def test_the_platform_starts_only_if_somebody_agrees(tmp_path: Path) -> None:
    command = ["-m", "greenroom.cli.main", "up", "--data", str(tmp_path / "data"), "--port", "0"]
    refused = in_a_container(*command)
    assert refused.returncode == 2
    assert "functions are not kept apart here" in " ".join(refused.stderr.split())
    assert "--unsafe" in refused.stderr
    assert not (tmp_path / "data" / "credentials.json").exists()

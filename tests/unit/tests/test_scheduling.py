"""The scheduling of these tests: what measures runs when nothing else does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.scheduling import ALONE, JUDGED_FILES, JUDGEMENT, group_of, rank_of

REPOSITORY = Path(__file__).parents[3]

NOTES_ITS_TIMES = """
import json, os, time
from pathlib import Path
import pytest

@pytest.mark.parametrize("number", range(3))
def test_it(number, request):
    begin = time.monotonic()
    time.sleep(0.1)
    with Path("times").open("a") as file:
        file.write(f"{request.path.name} {os.environ['PYTEST_XDIST_WORKER']} {begin} {time.monotonic()}\\n")
"""


def test_what_measures_runs_alone_and_the_tests_of_a_file_on_one_worker(tmp_path: Path) -> None:
    for name in ("a/test_one.py", "a/test_two.py", "a/test_measured.py", "b/test_measured.py", "b/test_three.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(NOTES_ITS_TIMES)
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    command = [sys.executable, "-m", "pytest", "-q", "-n", "3", "-p", "no:cacheprovider", "--import-mode=importlib"]
    command += ["-o", f"pythonpath={REPOSITORY}", "--rootdir", str(tmp_path), "-c", "/dev/null", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "15 passed" in done.stdout, done.stdout + done.stderr
    ran = [line.split() for line in (tmp_path / "times").read_text().splitlines()]
    others_end = max(float(end) for file, _, _, end in ran if file != "test_measured.py")
    assert all(float(begin) >= others_end for file, _, begin, _ in ran if file == "test_measured.py")
    for file in ("test_one.py", "test_two.py", "test_three.py", "test_measured.py"):
        assert len({worker for name, worker, _, _ in ran if name == file}) == 1
    assert len({worker for _, worker, _, _ in ran}) == 3


def test_the_roles_are_judged_after_all_that_they_are_judged_by() -> None:
    assert group_of(f"{JUDGEMENT}::test_x[a::b]") == group_of("tests/unit/web/test_measured.py::test_x") == ALONE
    assert all(rank_of(f"{file}::test_x") < rank_of(f"{JUDGEMENT}::test_x") for file in JUDGED_FILES)
    assert all((REPOSITORY / file).is_file() for file in (*JUDGED_FILES, JUDGEMENT))

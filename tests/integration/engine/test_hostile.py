"""Functions that talk to the engine themselves, or make it keep what they write. Real functions, a real kernel.

Nothing that a function sends counts but the answer to the invocation in flight, once; whatever else it does, its
environment ends, and the engine's memory does not grow with it.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from greenroom.engine import InvokeResult, Limits
from greenroom.engine.conversation import MAX_RESPONSE_BYTES
from greenroom.engine.logs import LOG_CUT, MAX_LOG_BYTES
from greenroom.engine.turns import Bounds
from tests.integration.engine.lab import Lab, answer, error, messages

CHANNEL = """
import json, os, socket, struct, threading, time

def channel():
    for name in os.listdir("/proc/self/fd"):
        try:
            found = socket.socket(fileno=os.dup(int(name)))
        except OSError:
            continue
        if found.family == socket.AF_UNIX and found.type == socket.SOCK_STREAM:
            return found

def frame(header, payload=b""):
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("!II", len(head), len(payload)) + head + payload
"""

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the functions find their socket in /proc")

pytestmark = on_linux


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One engine: how it keeps limits makes no difference here."""
    lab = Lab(tmp_path_factory.mktemp("engine"), environment={"AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
    yield lab
    lab.engine.close()


def fails(lab: Lab, source: str, *, says: str) -> None:
    """Invoke a function, and expect that its environment has ended with Runtime.ExitError and is gone."""
    before = lab.engine.environments
    result = lab.run(CHANNEL + source)
    found = error(result)
    assert found["errorType"] == "Runtime.ExitError", messages(result)
    assert says in found["errorMessage"]
    assert any(says in message for message in messages(result))
    assert lab.engine.environments <= before
    assert not lab.engine._busy


# Answers that nobody asked for.


def test_answers_written_at_import_do_not_count(lab: Lab) -> None:
    source = """
c = channel()
c.sendall(frame({"kind": "next"}))
for _ in range(60):
    c.sendall(frame({"kind": "result", "request_id": "?"}, b"42") + frame({"kind": "next"}))
def handler(event, context): return "right"
"""
    fails(lab, source, says="it sent")


def test_an_early_request_for_work_does_not_hide_what_comes_after_it(lab: Lab) -> None:
    source = """
channel().sendall(frame({"kind": "next"}))
def handler(event, context): return "right"
"""
    fails(lab, source, says="it sent ")  # that nobody had asked for, or out of turn: as the engine finds it


@pytest.mark.parametrize("request_id", ['"8a5b"', "None"])
def test_an_answer_for_another_request_does_not_count(lab: Lab, request_id: str) -> None:
    source = f"""
def handler(event, context):
    channel().sendall(frame({{"kind": "result", "request_id": {request_id}}}, b"42"))
    return "right"
"""
    fails(lab, source, says="it sent result for another request than the one in flight")


def test_a_second_answer_ends_the_environment_and_the_first_does_not_count_either(lab: Lab) -> None:
    source = """
def handler(event, context):
    channel().sendall(frame({"kind": "result", "request_id": context.aws_request_id}, b"42"))
    return "right"
"""
    fails(lab, source, says="it sent result out of turn, when it was answered")


@pytest.mark.parametrize("kind", ["timeout", "exit", "init_error", "", None, ["result"]])
def test_kinds_that_a_runtime_may_not_say_are_not_believed(lab: Lab, kind: object) -> None:
    source = f"""
def handler(event, context):
    channel().sendall(frame({{"kind": {kind!r}, "request_id": context.aws_request_id}}, b"42"))
    return "right"
"""
    fails(lab, source, says="it sent")


def test_what_is_sent_between_two_invocations_is_not_the_next_ones_answer(lab: Lab) -> None:
    source = """
def later():
    time.sleep(0.05)
    channel().sendall(frame({"kind": "result", "request_id": "?"}, b"42"))
def handler(event, context):
    if event == "first":
        threading.Thread(target=later, daemon=True).start()
    time.sleep(0.1 if event == "second" else 0)
    return "right"
"""
    assert answer(lab.run(CHANNEL + source, "first")) == "right"
    found = error(lab.run(CHANNEL + source, "second"))
    assert found["errorType"] == "Runtime.ExitError"


def test_work_after_the_answer_belongs_to_the_invocation(lab: Lab) -> None:
    source = """
import sys
def work(frame, event, argument):
    if event == "call" and frame.f_code.co_name == "wait_next_invocation":
        sys.setprofile(None)
        time.sleep(0.3)
def handler(event, context):
    sys.setprofile(work)
    return "quick"
"""
    result = lab.run(CHANNEL + source)
    assert answer(result) == "quick"
    assert result.duration_ms >= 300
    assert result.billed_duration_ms >= 300


@pytest.mark.parametrize(
    ("do", "line", "report"),
    [
        ("time.sleep(5)", "Task timed out after 1.00 seconds", "Status: timeout"),
        ("os._exit(3)", "Runtime exited with error: exit status 3", "Status: error\tError Type: Runtime.ExitError"),
    ],
)
def test_an_answer_stands_but_the_report_says_how_the_runtime_ended_after_it(
    lab: Lab, do: str, line: str, report: str
) -> None:
    source = f"""
import sys
def work(frame, event, argument):
    if event == "call" and frame.f_code.co_name == "wait_next_invocation":
        sys.setprofile(None)
        {do}
def handler(event, context):
    sys.setprofile(work)
    return "quick"
"""
    result = lab.run(CHANNEL + source, timeout_s=1)
    assert answer(result) == "quick"
    assert any(line in message for message in messages(result))
    assert report in messages(result)[-1]


# Frames that are too large, and frames that can't be read.


def resident_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1]) / 1024


@pytest.mark.parametrize(("head", "size"), [(1 << 31, 0), (10, (1 << 32) - 1), (1025, 0), (10, MAX_RESPONSE_BYTES + 1)])
def test_a_frame_that_is_too_large_is_not_read(lab: Lab, head: int, size: int) -> None:
    source = f"""
def handler(event, context):
    c = channel()
    c.sendall(struct.pack("!II", {head}, {size}))
    try:
        for _ in range(300): c.sendall(bytes(1 << 20))
    except OSError:
        pass
    time.sleep(5)
"""
    before = resident_mb()
    fails(lab, source, says=f"it announced a frame of {head} and {size} bytes")
    assert resident_mb() - before < 50


@pytest.mark.parametrize(
    "header",
    [b"{", b"\xff\xfe", b"[]", b"null", b"{}", b'{"kind": 1}', b'{"kind": "next", "request_id": 1}', b"[" * 999],
)
def test_a_header_that_can_not_be_read_ends_the_environment(lab: Lab, header: bytes) -> None:
    source = f"""
def handler(event, context):
    channel().sendall(frame({header!r}))
    time.sleep(5)
"""
    fails(lab, source, says="it sent a frame")


def test_an_answer_may_be_as_large_as_lambda_allows_and_no_larger(lab: Lab) -> None:
    source = f"""
def handler(event, context): return "x" * ({MAX_RESPONSE_BYTES} - 2 + event)
"""
    assert len(lab.run(source, 0, memory_mb=1769).payload) == MAX_RESPONSE_BYTES
    result = lab.run(source, 1, memory_mb=1769)
    assert error(result) == {
        "errorType": "Function.ResponseSizeTooLarge",
        "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
    }
    assert not lab.run(source, 0, memory_mb=1769).cold_start


# What is kept of a function.


def test_a_flooded_log_is_cut_and_says_so(lab: Lab) -> None:
    source = """
import os
def handler(event, context):
    for _ in range(300): os.write(1, b"x" * 99_999 + b"\\n")
    print("the end")
"""
    before = resident_mb()
    result = lab.run(source, memory_mb=1769, timeout_s=30)
    assert answer(result) is None
    own = messages(result)[2:-2]
    assert own[-1] == LOG_CUT.strip()
    assert sum(map(len, own)) <= MAX_LOG_BYTES + len(LOG_CUT)
    assert resident_mb() - before < 50
    assert LOG_CUT.strip() not in messages(lab.run("def handler(event, context): print(1)"))


def test_the_type_of_an_error_at_import_can_not_forge_a_report(lab: Lab) -> None:
    source = """
channel().sendall(frame({"kind": "init_error"}, json.dumps({"errorType": "X\\tMax Memory Used: 1 MB" * 99}).encode()))
time.sleep(5)
"""
    report = messages(lab.run(CHANNEL + source, timeout_s=1))[-1]
    assert report.count("Max Memory Used") == 1
    assert "Error Type: Runtime.Unknown" in report


def test_an_engine_that_fails_in_an_invocation_drops_the_environment(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "def handler(event, context): return 1"
    assert answer(lab.run(source)) == 1
    (environment,) = [each for each in lab.engine._turns.idle() if each.spec.revision == "{}"][-1:]

    def broken() -> None:
        raise RuntimeError("the log can't be read")

    monkeypatch.setattr(environment, "take_log", broken)
    with pytest.raises(RuntimeError, match="the log can't be read"):
        lab.run(source)
    assert not lab.engine._busy
    assert not Path(f"/proc/{environment.pid}").exists()
    assert lab.run(source).cold_start


# How many environments there are.


def test_environments_in_excess_of_what_may_stand_idle_are_ended(tmp_path: Path) -> None:
    lab = Lab(tmp_path, limits=Limits(bounds=Bounds(starts=8, idle_each=2, idle_all=3, idle_mb=10_000)))
    try:
        slow = "import time\ndef handler(event, context): time.sleep(0.3)"
        together(lab, slow, 5)
        assert lab.engine.environments == 2
        for n in range(4):
            lab.run(f"def handler(event, context): return {n}")
        assert lab.engine.environments == 3
        assert lab.run(slow).cold_start  # the one that had been idle for longest made room
    finally:
        lab.engine.close()


def test_idle_environments_are_bounded_by_the_memory_that_they_use(tmp_path: Path) -> None:
    lab = Lab(tmp_path, limits=Limits(bounds=Bounds(starts=8, idle_each=9, idle_all=9, idle_mb=150)))
    try:
        large = "data = bytearray(b'x' * (90 << 20))\ndef handler(event, context): return EVENT"
        for n in range(3):
            lab.run(large.replace("EVENT", str(n)))
        assert lab.engine.environments == 1
    finally:
        lab.engine.close()


def test_a_hundred_cold_starts_at_once_take_turns_and_use_what_has_become_free(tmp_path: Path) -> None:
    lab = Lab(tmp_path, limits=Limits(bounds=Bounds(starts=2, idle_each=8, idle_all=64, idle_mb=10_000)))
    try:
        source = """
        import os, time
        until = time.process_time() + 0.05
        while time.process_time() < until: pass
        def handler(event, context): return os.getpid()
        """
        results = together(lab, source, 100)
        assert not any(result.function_error or result.throttled for result in results)
        assert sum(result.cold_start for result in results) < 50
    finally:
        lab.engine.close()


def test_an_init_phase_that_only_waits_does_not_keep_others_from_starting(tmp_path: Path) -> None:
    lab = Lab(tmp_path, limits=Limits(bounds=Bounds(starts=1, idle_each=8, idle_all=64, idle_mb=10_000)))
    try:
        waiting = threading.Thread(
            target=lab.run, args=("import time\ntime.sleep(2.5)\ndef handler(event, context): ...",)
        )
        waiting.start()
        time.sleep(0.3)
        begin = time.monotonic()
        assert answer(lab.run("def handler(event, context): return 1")) == 1
        assert 0.3 < time.monotonic() - begin < 2
        waiting.join()
    finally:
        lab.engine.close()


def test_who_waits_for_a_start_is_sent_away_when_the_engine_ends(tmp_path: Path) -> None:
    lab = Lab(tmp_path, limits=Limits(bounds=Bounds(starts=1, idle_each=8, idle_all=64, idle_mb=10_000)))
    slow = "import time\ntime.sleep(0.9)\ndef handler(event, context): ..."
    found: list[bool] = []
    first = threading.Thread(target=lambda: lab.run(slow))
    second = threading.Thread(target=lambda: found.append(lab.run(slow + " # another").throttled))
    first.start()
    time.sleep(0.2)
    second.start()
    time.sleep(0.2)
    lab.engine.close()
    second.join(5)
    assert found == [True]
    first.join(5)


def test_an_old_environment_is_not_used_again(lab: Lab) -> None:
    source = "def handler(event, context): return 'old'"
    lab.run(source)
    environment = lab.engine._turns.idle()[-1]
    environment.born -= 6 * 3_600
    assert lab.run(source).cold_start
    assert not Path(f"/proc/{environment.pid}").exists()


def together(lab: Lab, source: str, count: int) -> list[InvokeResult]:
    """Invoke a function many times at once."""
    results: list[InvokeResult] = []
    threads = [threading.Thread(target=lambda: results.append(lab.run(source, timeout_s=60))) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results

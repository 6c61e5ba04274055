"""The two views of a release while it happens."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from greenroom.cli.live import LineView, TerminalView, view_of_release
from tests.unit.cli.sample_releases import LIVE, history, release

PROGRESS = [{"memoryMb": 256, "done": 12, "total": 30, "failed": 2}, {"memoryMb": 128, "done": 30, "total": 30}]


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100, highlight=False, markup=False, _environ={})


def pipe() -> Console:
    return Console(file=io.StringIO(), width=110, highlight=False, markup=False, _environ={})


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def shown(view: TerminalView) -> str:
    console = Console(file=io.StringIO(), width=100, color_system=None, _environ={})
    console.print(view.render())
    return written(console)


def test_the_view_fits_where_the_output_goes() -> None:
    assert isinstance(view_of_release(terminal(), "nsx.zip"), TerminalView)
    assert isinstance(view_of_release(pipe(), "nsx.zip"), LineView)
    dumb = Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"})
    assert isinstance(view_of_release(dumb, "nsx.zip"), LineView)


def test_the_upload_has_a_bar_with_its_speed(clock: Clock) -> None:
    view = TerminalView(terminal(), "nsx.zip", clock)
    clock.now_s += 2
    view.uploading(1024 * 1024, 4 * 1024 * 1024)

    assert "1.0 MB of 4.0 MB, 512.0 KB/s" in shown(view)


def test_past_stages_have_the_platforms_times_and_the_running_one_has_ours(clock: Clock) -> None:
    view = TerminalView(terminal(), "nsx.zip", clock)
    running = LIVE | {
        "status": "TESTING",
        "history": history(("UPLOADING", 0), ("PROVISIONING", 1), ("TESTING", 3.3)),
    }
    view.update(release(running))
    clock.now_s += 4.5
    view.update(release(running))

    lines = shown(view).split("\n")
    assert "2.30 s" in next(line for line in lines if "PROVISIONING" in line)
    assert "4.50 s" in next(line for line in lines if "TESTING" in line)


def test_each_power_value_has_its_bar_its_failures_and_its_mean(clock: Clock) -> None:
    view = TerminalView(terminal(), "nsx.zip", clock)
    view.update(release(LIVE | {"status": "TESTING", "progress": PROGRESS}))
    view.measured(128, 412.3, 143)

    lines = shown(view).split("\n")
    assert any("128 MB" in line and "30/30" in line and "412 ms trimmed mean, 143 MB used" in line for line in lines)
    assert any("256 MB" in line and "12/30" in line and "2 failed" in line for line in lines)


def test_a_release_without_a_history_can_be_shown(clock: Clock) -> None:
    view = TerminalView(terminal(), "nsx.zip", clock)
    view.update(release({"releaseId": "A", "status": "UPLOADING"}))

    assert "UPLOADING" in shown(view)


def test_the_terminal_is_left_clean_and_with_its_cursor() -> None:
    console = terminal()
    with TerminalView(console, "nsx.zip") as view:
        view.update(release(LIVE))

    hide, show, up_and_erase = "\x1b[?25l", "\x1b[?25h", "\x1b[1A\x1b[2K"
    assert written(console).rindex(show) > written(console).rindex(hide)
    assert written(console).endswith(up_and_erase)


def test_plain_lines_have_no_control_codes_and_tell_every_event_once_even_a_status_nobody_saw(clock: Clock) -> None:
    console = pipe()
    with LineView(console, "nsx\x1b.zip", clock) as view:
        for sent in (500, 1000, 2048):
            view.uploading(sent, 2048)
        past = history(("UPLOADING", 0), ("REGISTERED", 0.1), ("TESTING", 0.2))
        for seen in (1, 1, 3, 3):
            clock.now_s += 1
            view.update(release(LIVE | {"status": past[seen - 1]["status"], "history": past[:seen]}))
        testing = LIVE | {"status": "TESTING", "history": past, "progress": PROGRESS}
        view.update(release(testing))
        view.update(release(testing))
        view.measured(128, 412.3, 143)

    lines = written(console).split("\n")
    assert "\x1b" not in written(console)
    assert lines[0].endswith(r"uploaded nsx\x1b.zip: 2.0 KB")
    assert [line.split("  ")[-1].strip() for line in lines[1:-1]] == [
        f"release {LIVE['releaseId']}",
        "UPLOADING: waiting for the package",
        "REGISTERED: package read and checked",
        "TESTING: tested backstage, next to the live version",
        "128 MB: 30 of 30",
        "256 MB: 12 of 30, 2 failed",
        "128 MB: 412 ms trimmed mean, 143 MB used",
    ]
    assert lines[3].startswith("   3.0 s")


STUCK = LIVE | {
    "status": "UPLOADING",
    "history": history(("UPLOADING", 0)),
    "reason": "It waits\x1b with the failures.",
}


def test_a_reason_to_wait_is_shown_while_it_waits(clock: Clock) -> None:
    view = TerminalView(terminal(), "nsx.zip", clock)
    view.update(release(STUCK))
    assert r"It waits\x1b with the failures." in shown(view)
    view.update(release(STUCK | {"status": "REGISTERED", "reason": None}))
    assert "It waits" not in shown(view)


def test_a_reason_to_wait_is_reported_once(clock: Clock) -> None:
    console = pipe()
    with LineView(console, "nsx.zip", clock) as view:
        for _ in range(2):
            view.update(release(STUCK))
        # At the end it is the result that tells it.
        view.update(release(STUCK | {"status": "FAILED", "reason": "Push it again."}))

    assert written(console).count("It waits") == 1 and "Push it again." not in written(console)

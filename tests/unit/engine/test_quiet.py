"""Cores for measured invocations, and what the kernel's figures say about what was taken from one."""

from __future__ import annotations

import threading
import time

import pytest

from greenroom.engine.quiet import Cores, Usage, taken_ms

IDLE = Usage({"1": (1_000.0, 500.0)}, throttled=3, stolen_ms=70.0)


def after(*threads: tuple[float, float], throttled: int = 0, stolen_ms: float = 0.0) -> Usage:
    """What the kernel has counted since IDLE: of thread 1, and of threads that started since."""
    had_ms, waited_ms = IDLE.threads["1"]
    counted = {"1": (had_ms + threads[0][0], waited_ms + threads[0][1])}
    counted |= {str(number): thread for number, thread in enumerate(threads[1:], 2)}
    return Usage(counted, IDLE.throttled + throttled, IDLE.stolen_ms + stolen_ms)


def test_waiting_while_the_share_allowed_running_is_taken() -> None:
    assert taken_ms(IDLE, after((60.0, 40.0)), 100.0, vcpus=1.0, cpus=2) == pytest.approx(40.0)


@pytest.mark.parametrize(("waited_ms", "taken"), [(4.9, None), (5.1, 5.1)])
def test_up_to_a_twentieth_of_the_duration_is_noise(waited_ms: float, taken: float | None) -> None:
    assert taken_ms(IDLE, after((90.0, waited_ms)), 100.0, vcpus=1.0, cpus=2) == pytest.approx(taken)


def test_what_waking_costs_is_noise_however_short_the_invocation_is() -> None:
    assert taken_ms(IDLE, after((0.1, 0.29)), 0.5, vcpus=1.0, cpus=2) is None
    assert taken_ms(IDLE, after((0.1, 0.31)), 0.5, vcpus=1.0, cpus=2) == pytest.approx(0.31)


def test_waiting_for_the_next_period_is_the_functions_own() -> None:
    """At half a CPU 100 ms of work wait 100 ms for their share, give or take a period."""
    assert taken_ms(IDLE, after((100.0, 119.0), throttled=5), 240.0, vcpus=0.5, cpus=2) is None
    assert taken_ms(IDLE, after((100.0, 125.0), throttled=5), 240.0, vcpus=0.5, cpus=2) == pytest.approx(25.0)
    assert taken_ms(IDLE, after((100.0, 119.0)), 240.0, vcpus=0.5, cpus=2) == pytest.approx(119.0)


def test_waiting_for_its_other_threads_is_the_functions_own() -> None:
    two = after((50.0, 50.0), (50.0, 50.0))
    assert taken_ms(IDLE, two, 100.0, vcpus=1.0, cpus=2) is None
    assert taken_ms(IDLE, two, 100.0, vcpus=2.0, cpus=2) == pytest.approx(50.0)  # at most what one thread did not run
    assert taken_ms(IDLE, two, 100.0, vcpus=2.0, cpus=1) is None


def test_a_thread_that_has_hardly_run_is_not_busy() -> None:
    assert taken_ms(IDLE, after((50.0, 50.0), (0.2, 0.0)), 100.0, vcpus=1.0, cpus=2) == pytest.approx(50.0)


def test_stolen_time_is_attributed_in_proportion_to_the_cpu_that_was_used() -> None:
    assert taken_ms(IDLE, after((50.0, 0.0), stolen_ms=40.0), 100.0, vcpus=1.0, cpus=2) == pytest.approx(10.0)
    assert taken_ms(IDLE, after((50.0, 0.0), stolen_ms=40.0), 100.0, vcpus=1.0, cpus=1) == pytest.approx(20.0)


def test_no_more_is_taken_than_there_was_time_without_running() -> None:
    assert taken_ms(IDLE, after((80.0, 500.0)), 100.0, vcpus=1.0, cpus=2) == pytest.approx(20.0)
    assert taken_ms(IDLE, Usage({}, IDLE.throttled, IDLE.stolen_ms), 100.0, vcpus=1.0, cpus=2) is None


@pytest.mark.parametrize(
    ("cpus", "vcpus", "needed"), [(4, 0.07, 1), (4, 1.0, 1), (4, 1.01, 2), (4, 5.79, 3), (1, 5.79, 1)]
)
def test_a_share_takes_whole_cores_and_one_is_left_for_everything_else(cpus: int, vcpus: float, needed: int) -> None:
    assert Cores(cpus).needed(vcpus) == needed


def test_cores_are_taken_until_there_are_no_more() -> None:
    cores = Cores(3)
    assert cores.take(1, 0) and cores.take(1, 0)
    assert not cores.take(1, 0.01)
    cores.give_back(1)
    assert cores.take(1, 0)


def test_who_waits_for_many_cores_is_not_overtaken_by_who_wants_one() -> None:
    cores = Cores(3)
    assert cores.take(1, 0)
    order: list[str] = []

    def take(count: int, name: str) -> None:
        assert cores.take(count, 10)
        order.append(name)
        cores.give_back(count)

    many = threading.Thread(target=take, args=(2, "many"))
    many.start()
    until = time.monotonic() + 5
    while not cores._waiting and time.monotonic() < until:
        time.sleep(0.001)
    one = threading.Thread(target=take, args=(1, "one"))
    one.start()
    one.join(0.1)
    assert order == []
    cores.give_back(1)
    many.join(5)
    one.join(5)
    assert order == ["many", "one"]


def test_who_gives_up_waiting_lets_the_next_one_have_its_turn() -> None:
    cores = Cores(3)
    assert cores.take(1, 0)
    assert not cores.take(2, 0.01)
    assert cores.take(1, 0)

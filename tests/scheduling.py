"""In which order tests run, and how they are shared out among the workers of `pytest -n 3`.

A file's tests run on one worker, in their order. Those that need a deployed platform are two chains: on a small machine
a third platform that measures releases would only disturb the other two, which then measure again. Files called
`test_measured.py` measure time, CPU or layout: they run at the end, when every other worker has gone, and with it
everything that it has started. After them what the platforms' roles were asked for is judged, of all workers together.
"""

from __future__ import annotations

from typing import Any

from xdist.scheduler import LoadScopeScheduling

ALONE = "alone"
JUDGED_FILES = [
    f"tests/e2e/platform/test_{each}.py"
    for each in ("api", "carry_on", "faults", "function_tuning", "production", "release", "sweep")
]
"""What they ask for shows which statements the platform's roles need."""

JUDGEMENT = "tests/e2e/platform/test_roles.py"

FIRST_CHAIN = [
    f"tests/e2e/platform/test_{each}.py" for each in ("faults", "function_tuning", "production", "release", "sweep")
]
SECOND_CHAIN = ("tests/e2e/", "tests/browser/", "tests/crash/")

LONGEST_FIRST = (*FIRST_CHAIN, *SECOND_CHAIN, "tests/integration/", "tests/firewall/")
"""Long files begin first, so that the short ones fill the gaps at the end."""


def group_of(nodeid: str) -> str:
    """Return what a test runs together with on one worker."""
    file = nodeid.partition("::")[0]
    if file.endswith("/test_measured.py") or file == JUDGEMENT:
        return ALONE
    if file in FIRST_CHAIN:
        return "first chain"
    return "second chain" if file.startswith(SECOND_CHAIN) else file


def rank_of(nodeid: str) -> tuple[bool, bool, int]:
    """Return a test's place in the order: what measures last, and then the judgement."""
    place = next((at for at, start in enumerate(LONGEST_FIRST) if nodeid.startswith(start)), len(LONGEST_FIRST))
    return group_of(nodeid) == ALONE, nodeid.startswith(JUDGEMENT), place


class MeasuredLast(LoadScopeScheduling):  # type: ignore[misc]
    """Groups of tests at the same time, except what measures: that runs alone, on the last worker that is left.

    pytest-xdist's own groups (`--dist loadgroup`) are none with pytest 9.2, and would not wait for each other:
    https://github.com/pytest-dev/pytest-xdist/issues/1386
    """

    def __init__(self, config: Any, log: Any = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # `rank_of` knows better than the number of tests does

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)

    def _assign_work_unit(self, node: Any) -> None:
        if list(self.workqueue) != [ALONE] or self.nodes == [node]:
            super()._assign_work_unit(node)
        elif any(not other.shutting_down for other in self.nodes if other is not node):
            node.shutdown()
        # Otherwise it is the last one, and goes on when the others have gone.

    def remove_node(self, node: Any) -> str | None:
        """Forget a worker that has ended, and let those that are left go on."""
        crashed: str | None = super().remove_node(node)
        if self.workqueue:
            for other in self.nodes:
                self._reschedule(other)
        return crashed

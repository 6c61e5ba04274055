"""In which order tests run, and how they are shared out among the workers of `pytest -n 3`.

A file's tests run on one worker, in their order. The files that ask for what the platform's roles are judged by run on
one worker, and then the judgement: it is by what one platform has recorded. Files called `test_measured.py` measure
time, CPU or layout: they run at the end, when every other worker has gone, and with it everything that it has started.
"""

from __future__ import annotations

from typing import Any

from xdist.scheduler import LoadScopeScheduling

MEASURED = "measured"
JUDGED = "judged"
JUDGED_FILES = [
    f"tests/e2e/platform/test_{each}.py" for each in ("faults", "production", "release", "sweep", "function_tuning")
]
"""What they ask for shows which statements the platform's roles need."""

JUDGEMENT = "tests/e2e/platform/test_roles.py"

LONGEST_FIRST = ("tests/e2e/platform/", "tests/browser/", "tests/e2e/", "tests/integration/", "tests/firewall/")
"""Long files begin first, so that the short ones fill the gaps at the end."""


def group_of(nodeid: str) -> str:
    """Return what a test runs together with on one worker."""
    file = nodeid.partition("::")[0]
    if file.endswith("/test_measured.py"):
        return MEASURED
    return JUDGED if file in (*JUDGED_FILES, JUDGEMENT) else file


def rank_of(nodeid: str) -> tuple[bool, bool, bool, int]:
    """Return a test's place in the order: what is judged first, then the judgement, what measures last."""
    group = group_of(nodeid)
    place = next((at for at, start in enumerate(LONGEST_FIRST) if nodeid.startswith(start)), len(LONGEST_FIRST))
    return group == MEASURED, group != JUDGED, nodeid.startswith(JUDGEMENT), place


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
        if list(self.workqueue) != [MEASURED] or self.nodes == [node]:
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

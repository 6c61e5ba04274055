"""One test case of a package, run in Lambda: the event that asks the equipment for it, and the verdict it answers."""

from __future__ import annotations

import json
from functools import partial

from greenroom.platform.measuring import Invocation, Verdict

MAX_ANSWER_BYTES = 4_096
"""How much of an answer is shown that is not a verdict."""


def invocation(alias: str, case: str, memory_mb: int, index: int, version: str | None = None) -> Invocation:
    """Return the invocation that runs a case through an alias for tests.

    `memory_mb` is the version's memory, `index` the number of the invocation, `version` where the alias has to lead to.
    """
    return Invocation(
        alias=alias,
        event=json.dumps({"greenroomTest": {"case": case}}).encode(),
        memory_mb=memory_mb,
        case=case,
        index=index,
        version=version,
        judge=partial(_verdict, case),
    )


def _verdict(case: str, payload: bytes) -> Verdict | None:
    answer = json.loads(payload)
    if isinstance(answer, dict) and answer.get("passed") is True:
        return None
    difference = answer.get("difference") if isinstance(answer, dict) else None
    return Verdict(
        error="wrong_answer",
        message=f"case {case!r} gave another answer than expected",
        difference=str(difference or payload[:MAX_ANSWER_BYTES].decode(errors="replace")),
    )

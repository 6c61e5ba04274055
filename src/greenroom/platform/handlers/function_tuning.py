"""The steps of a function tuning: one function, so that one role alone may touch what is not the platform's."""

from __future__ import annotations

from typing import Any

from greenroom.platform.campaign import Publication
from greenroom.platform.findings import batch_from
from greenroom.platform.function_tuning import steps
from greenroom.platform.services import services


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle {"step", "tuningId"} with what the step needs; answer what `function_tuning.asl.yaml` goes on with."""
    return _STEPS[event["step"]](event["tuningId"], event)


def _begin(tuning_id: str, event: dict[str, Any]) -> dict[str, Any]:
    steps.begin(services(), tuning_id, event["input"])
    return {}


def _plan(tuning_id: str, event: dict[str, Any]) -> dict[str, Any]:
    found = steps.plan(services(), tuning_id, event["round"])
    return found.answer(event, int(services().settings["MAX_CONCURRENCY"]))


def _publish(tuning_id: str, event: dict[str, Any]) -> dict[str, Any]:
    return {"version": steps.publish(services(), tuning_id, Publication.from_document(event["publish"]))}


def _execute(tuning_id: str, event: dict[str, Any]) -> dict[str, Any]:
    steps.execute(services(), tuning_id, event["round"], batch_from(event["batch"]))
    return {}


def _decide(tuning_id: str, event: dict[str, Any]) -> dict[str, Any]:
    found = steps.decide(services(), tuning_id, event["transitions"])
    return {"passed": found.reason is None, "reason": found.reason, "output": found.output}


def _optimize(tuning_id: str, _: dict[str, Any]) -> dict[str, Any]:
    steps.optimize(services(), tuning_id)
    return {}


def _clean(tuning_id: str, _: dict[str, Any]) -> dict[str, Any]:
    steps.clean(services(), tuning_id)
    return {}


_STEPS = {
    "begin": _begin,
    "plan": _plan,
    "publish": _publish,
    "execute": _execute,
    "decide": _decide,
    "optimize": _optimize,
    "clean": _clean,
}

"""The steps that tune a function of the account: one function, so that one role alone may touch what is not ours."""

from __future__ import annotations

from typing import Any

from greenroom.platform import transitions, tuner
from greenroom.platform.services import services
from greenroom.tuning import Batch


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle {"step", "tuningId"} with what the step needs; answer what `function_tuning.asl.yaml` goes on with."""
    return _STEPS[event["step"]](event["tuningId"], event)


def _begin(tuning_id: str, event: dict[str, Any]) -> dict[str, Any]:
    tuner.begin(services(), tuning_id, event["input"])
    return {}


def _plan(tuning_id: str, event: dict[str, Any]) -> dict[str, Any]:
    publish, batches = tuner.plan(services(), tuning_id, event["round"])
    return {
        "done": not batches,
        "publishes": bool(publish),
        "publish": publish,
        "batches": [batch.to_dict() for batch in batches],
        "round": event["round"],
        "nextRound": event["round"] + 1,
        "transitions": event["transitions"] + transitions.of_round(publish, batches),
        "maxConcurrency": int(services().settings["MAX_CONCURRENCY"]),
    }


def _publish(tuning_id: str, event: dict[str, Any]) -> dict[str, Any]:
    tuner.publish(services(), tuning_id, event["publish"])
    return {}


def _execute(tuning_id: str, event: dict[str, Any]) -> dict[str, Any]:
    tuner.execute(services(), tuning_id, event["round"], Batch.from_dict(event["batch"]))
    return {}


def _decide(tuning_id: str, event: dict[str, Any]) -> dict[str, Any]:
    return {"output": tuner.analyze(services(), tuning_id, event["transitions"])}


def _optimize(tuning_id: str, _: dict[str, Any]) -> dict[str, Any]:
    tuner.optimize(services(), tuning_id)
    return {}


def _clean(tuning_id: str, _: dict[str, Any]) -> dict[str, Any]:
    tuner.clean(services(), tuning_id)
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

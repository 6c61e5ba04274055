"""CloudFormation's conditions where ministack does not look: it compares `Fn::Join` unresolved.

`!Equals [!Join ['', !Ref subnetIds], '']` is how a template asks whether a list was left empty: AWS Lambda Power Tuning
and many others. https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference-join.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Parameters = Mapping[str, Mapping[str, Any]]


def install() -> None:
    """Put the evaluation of conditions in place of ministack's."""
    from ministack.services.cloudformation import changesets, engine, handlers, stacks

    theirs = engine._evaluate_conditions

    def evaluate(template: dict[str, Any], params: Parameters) -> dict[str, bool]:
        conditions = {name: joined(each, params) for name, each in (template.get("Conditions") or {}).items()}
        found: dict[str, bool] = theirs({**template, "Conditions": conditions}, params)
        return found

    handlers._evaluate_conditions = evaluate
    changesets._evaluate_conditions = evaluate
    stacks._evaluate_conditions = evaluate


def joined(value: Any, params: Parameters) -> Any:
    """Return a condition with each `Fn::Join` of parameters and texts in it as the text that it stands for."""
    if isinstance(value, list):
        return [joined(each, params) for each in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"Fn::Join"}:
        separator, parts = value["Fn::Join"]
        texts = _texts(joined(parts, params), params)
        return value if texts is None else str(separator).join(texts)
    return {name: joined(each, params) for name, each in value.items()}


def _texts(parts: Any, params: Parameters) -> list[str] | None:
    """Return the texts of a list, or of the parameter that holds one; None if one of them is not known yet."""
    if isinstance(parts, dict):
        text = _text(parts, params)
        return None if text is None else [each.strip() for each in text.split(",")]
    texts = [_text(part, params) for part in parts]
    return None if None in texts else [text for text in texts if text is not None]


def _text(part: Any, params: Parameters) -> str | None:
    if not isinstance(part, dict):
        return str(part)
    found = params.get(part.get("Ref", ""))
    return None if found is None else str(found["Value"])

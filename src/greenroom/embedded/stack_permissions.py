"""What CloudFormation asks the role of a stack for, from AWS's own facts (`stack_permissions.yaml`).

The facts cover the resource types of an algorithm's stack. They say which actions an operation on a resource asks for,
and what each action is evaluated on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml

NOTHING = "nothing"
"""What an action takes that takes no resource: IAM evaluates it on `*`."""

HANDLERS = {
    "create": ("create", "read", "tagging"),
    "update": ("update", "read", "tagging"),
    "delete": ("delete",),
}
"""The handlers whose actions each operation of a stack asks for. A resource is read for its attributes when it was made
or changed, and a stack's tags go to it."""


@dataclass(frozen=True)
class Facts:
    """The facts, by resource type as CloudFormation names it, or by resource as IAM names it (`takes`)."""

    handlers: Mapping[str, Mapping[str, list[str]]]
    only_for: Mapping[str, Mapping[str, list[str]]]
    not_asked: Mapping[str, list[Mapping[str, Any]]]
    takes: Mapping[str, list[str]]


@cache
def facts() -> Facts:
    """Return the facts."""
    found = yaml.safe_load(resources.files(__package__).joinpath("stack_permissions.yaml").read_text())
    return Facts(found["handlers"], found["only_for"], found["not_asked"], found["takes"])


def needed(kind: str, operation: str, properties: Iterable[str]) -> list[str]:
    """Return the actions that an operation on a resource with these properties asks for, in alphabetical order.

    Args:
        kind: the resource type, for example AWS::SQS::Queue. A type without facts needs nothing.
        operation: create, update or delete.
        properties: names of the properties that the resource has, or had before an update.
    """
    handlers = facts().handlers.get(kind, {})
    asked = {action for each in HANDLERS[operation] for action in handlers.get(each, ())}
    by_property = facts().only_for.get(kind, {})
    left_out = {action for actions in by_property.values() for action in actions}
    left_out -= {action for name in properties for action in by_property.get(name, ())}
    left_out |= {action for each in facts().not_asked.get(kind, ()) for action in each["actions"]}
    return sorted(asked - left_out)


def evaluated_on(action: str, named: Mapping[str, list[str]]) -> list[str]:
    """Return the resources that IAM evaluates an action on.

    Args:
        action: the action, for example sqs:CreateQueue.
        named: the ARNs that a request names, by what IAM calls the resource (queue, function, …).
    """
    takes = facts().takes
    if action in takes[NOTHING]:
        return ["*"]
    return [arn for resource, arns in named.items() if action in takes.get(resource, ()) for arn in arns]

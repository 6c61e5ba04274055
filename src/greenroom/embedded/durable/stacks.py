"""CloudFormation: stacks and their events, and operations that go on after the process was ended in one.

An operation is a task that makes one resource after the other, each of them in one go. What it was called with is kept
with the stack until it is done, and is begun again when the server starts: resources that were made are updated then,
which changes nothing, and the others are made.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from greenroom.embedded import iam
from greenroom.embedded.durable import marks
from greenroom.embedded.durable.codec import Key
from greenroom.embedded.durable.histories import Found, Histories
from greenroom.embedded.durable.shelves import Shelf
from greenroom.store import Store

OPERATION = "_greenroom_operation"
"""The member of a stack that says what the operation under way was called with."""

ENDED_BY_RESTART = {
    "ROLLBACK_IN_PROGRESS": "ROLLBACK_FAILED",
    "UPDATE_ROLLBACK_IN_PROGRESS": "UPDATE_ROLLBACK_FAILED",
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS": "UPDATE_ROLLBACK_COMPLETE",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS": "UPDATE_COMPLETE",
}
"""What becomes of a rollback that was under way: it can be continued, or the stack be deleted, as after any failure."""


class Stacks:
    """The stacks of the account."""

    def __init__(self) -> None:
        self._stacks = Shelf("cloudformation.stacks", is_busy=_is_under_way)
        self._events = Histories("cloudformation.events", self._find, self._put)
        self._all_events: dict[Key, list[Any]] = {}

    def install(self) -> None:
        """Have ministack note stacks and their events, and what an operation is called with."""
        from ministack.services import cloudformation
        from ministack.services.cloudformation import changesets, handlers, stacks

        self._stacks.install(cloudformation._stacks)
        self._all_events = cloudformation._stack_events._data = marks.Noticed(
            cloudformation._stack_events._data, lambda key, _: marks.mark(self._events, key)
        )
        deploy = _kept("deploy", stacks._deploy_stack_async)
        delete = _kept("delete", stacks._delete_stack_async)
        handlers._deploy_stack_async = changesets._deploy_stack_async = deploy
        handlers._delete_stack_async = stacks._delete_stack_async = delete

    def load(self, store: Store) -> None:
        """Read the stacks."""
        self._stacks.load(store)
        self._events.load(store)
        for key, stack in dict.items(self._stacks.held):
            ended = ENDED_BY_RESTART.get(stack.get("StackStatus", ""))
            if ended:
                stack.update(StackStatus=ended, StackStatusReason="the embedded AWS was started again meanwhile")
                stack.pop(OPERATION, None)
                marks.mark_in_background(self._stacks, key)

    def resume(self) -> None:
        """Begin the operations again that were under way. Called on the event loop."""
        from ministack.core.responses import set_request_account_id, set_request_region
        from ministack.services.cloudformation import handlers

        for (account, region, name), stack in list(dict.items(self._stacks.held)):
            operation = stack.get(OPERATION)
            if not operation:
                continue
            set_request_account_id(account)
            set_request_region(region)
            iam._stack_role.set(operation["role"])
            arguments = operation["arguments"]
            if operation["kind"] == "delete":
                again = handlers._delete_stack_async(name, stack["StackId"], *arguments)
            else:
                template, parameters, disable_rollback, tags, previous = arguments
                so_far = copy.deepcopy(stack.get("_resources", {}))
                previous = {**(previous or {"_template": {}, "_resolved_params": {}}), "_resources": so_far}
                again = handlers._deploy_stack_async(
                    name, stack["StackId"], template, parameters, disable_rollback, tags, True, previous
                )
            _running.add(task := asyncio.get_running_loop().create_task(again))
            task.add_done_callback(_running.discard)

    def _find(self, key: Key) -> Found | None:
        events = dict.get(self._all_events, key)
        return None if events is None else (0, events)

    def _put(self, key: Key, found: Found) -> None:
        dict.__setitem__(self._all_events, key, found[1])


_running: set[asyncio.Task[None]] = set()


def _kept(kind: str, operate: Callable[..., Awaitable[None]]) -> Callable[..., Coroutine[Any, Any, None]]:
    """Return an operation that keeps its arguments with its stack as long as it is under way."""

    def keep(name: str, stack_id: str, *arguments: Any, **more: Any) -> Coroutine[Any, Any, None]:
        from ministack.services.cloudformation import _stacks

        stack = _stacks.get(name)
        if stack is not None:
            if kind == "deploy":
                given = dict(
                    zip(
                        ("template", "parameters", "disable_rollback", "tags", "is_update", "previous_stack"),
                        arguments,
                        strict=False,
                    )
                )
                given |= more
                kept = [*list(given.values())[:4], given.get("previous_stack")]
            else:
                kept = [list(arguments[0] if arguments else ())]
            stack[OPERATION] = {"kind": kind, "arguments": copy.deepcopy(kept), "role": iam._stack_role.get()}

        async def run() -> None:
            await operate(name, stack_id, *arguments, **more)
            if stack is not None:
                stack.pop(OPERATION, None)

        return run()

    return keep


def _is_under_way(stack: dict[str, Any]) -> bool:
    return str(stack.get("StackStatus", "")).endswith("_IN_PROGRESS") or OPERATION in stack

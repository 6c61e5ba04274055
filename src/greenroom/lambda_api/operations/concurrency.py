"""Reserved concurrency. Provisioned concurrency is not there, and says so."""

from __future__ import annotations

from greenroom.lambda_api.calls import Answer, Call
from greenroom.lambda_api.errors import LambdaError, function_not_found, invalid, not_found, unsupported
from greenroom.lambda_api.names import LATEST, is_version, split_reference
from greenroom.lambda_api.operations.account import CONCURRENCY, MIN_UNRESERVED
from greenroom.lambda_api.room import Operation, Room

PUBLISHED_ONLY = "The function resource provided must be an alias or a published version."


def put_function_concurrency(room: Room, call: Call) -> Answer:
    """Set how many of a function may run at once; 0 stops it."""
    functions, asked = room.functions, call.parameters
    name, qualifier = split_reference(functions.home, asked["FunctionName"])
    if qualifier:
        raise _unqualified_only()
    if functions.entries.get(name) is None:
        raise function_not_found(functions.home.function_arn(name, LATEST))
    wanted = asked["ReservedConcurrentExecutions"]
    with functions.changing():
        others = functions.reserved_by_all - (functions.reserved_concurrency(name) or 0)
        if CONCURRENCY - others - wanted < MIN_UNRESERVED:
            raise invalid(
                "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
                f"below its minimum value of [{MIN_UNRESERVED}]."
            )
        functions.put_entry(name, ReservedConcurrentExecutions=wanted)
        functions.revise(name)
    return Answer({"ReservedConcurrentExecutions": wanted})


def get_function_concurrency(room: Room, call: Call) -> Answer:
    """Return how many of a function may run at once, if that is set."""
    name, qualifier = split_reference(room.functions.home, call.parameters["FunctionName"])
    if qualifier:
        raise _unqualified_only()
    room.functions.function(name)
    return Answer({"ReservedConcurrentExecutions": room.functions.reserved_concurrency(name)})


def delete_function_concurrency(room: Room, call: Call) -> Answer:
    """Let a function run as often as the account may."""
    functions = room.functions
    name, qualifier = split_reference(functions.home, call.parameters["FunctionName"])
    if qualifier:
        raise _unqualified_only()
    with functions.changing():
        functions.put_entry(name, ReservedConcurrentExecutions=None)
        functions.revise(name)
    return Answer()


def put_provisioned_concurrency_config(room: Room, call: Call) -> Answer:
    """Refuse: environments that wait for work would take memory from those that have some."""
    _require_published(
        room, call, "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
    )
    raise unsupported(
        "there is no provisioned concurrency: a cold start takes some milliseconds, and an environment stays warm for "
        "ten minutes"
    )


def get_provisioned_concurrency_config(room: Room, call: Call) -> Answer:
    """Answer that none is set: there never is."""
    _require_published(room, call, PUBLISHED_ONLY)
    raise LambdaError(
        "ProvisionedConcurrencyConfigNotFoundException",
        "No Provisioned Concurrency Config found for this function",
        404,
    )


def delete_provisioned_concurrency_config(room: Room, call: Call) -> Answer:
    """Do nothing to a version that has none."""
    _require_published(room, call, PUBLISHED_ONLY)
    return Answer()


def list_provisioned_concurrency_configs(room: Room, call: Call) -> Answer:
    """Answer that there are none."""
    name, _ = split_reference(room.functions.home, call.parameters["FunctionName"])
    room.functions.function(name)
    return Answer({"ProvisionedConcurrencyConfigs": []})


def _require_published(room: Room, call: Call, refusal: str) -> None:
    """Raise LambdaError unless a call names an alias or a version that exists; `refusal` is what is said of $LATEST."""
    functions = room.functions
    name, qualifier = split_reference(functions.home, call.parameters["FunctionName"])
    qualifier = call.parameters.get("Qualifier") or qualifier
    if qualifier == LATEST:
        raise invalid(refusal)
    arn = functions.home.function_arn(name, qualifier)
    if qualifier and not is_version(qualifier):
        if functions.aliases.get(f"{name}:{qualifier}") is None:
            raise not_found(f"Cannot find alias arn: {arn}")
    elif functions.versions.get(f"{name}:{qualifier}") is None:
        raise function_not_found(arn)


def _unqualified_only() -> LambdaError:
    return invalid(
        "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
        "Please specify either a function name or an unqualified function ARN."
    )


OPERATIONS: dict[str, Operation] = {
    "DeleteFunctionConcurrency": delete_function_concurrency,
    "DeleteProvisionedConcurrencyConfig": delete_provisioned_concurrency_config,
    "GetFunctionConcurrency": get_function_concurrency,
    "GetProvisionedConcurrencyConfig": get_provisioned_concurrency_config,
    "ListProvisionedConcurrencyConfigs": list_provisioned_concurrency_configs,
    "PutFunctionConcurrency": put_function_concurrency,
    "PutProvisionedConcurrencyConfig": put_provisioned_concurrency_config,
}

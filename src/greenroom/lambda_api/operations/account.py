"""The account's limits, and settings of functions that change nothing here but are kept."""

from __future__ import annotations

from greenroom.lambda_api.calls import Answer, Call
from greenroom.lambda_api.code import MAX_UNZIPPED_BYTES, MAX_ZIPPED_BYTES, TOTAL_CODE_BYTES
from greenroom.lambda_api.errors import unsupported
from greenroom.lambda_api.names import LATEST, split_reference
from greenroom.lambda_api.room import Operation, Room

CONCURRENCY = 1_000
"""How many invocations an account may have at once, and so the most that functions may reserve of.
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

MIN_UNRESERVED = 100
"""The concurrency that always stays for functions without a reservation.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html"""


def get_account_settings(room: Room, _: Call) -> Answer:
    """Return the account's limits and how much of them is in use."""
    functions = room.functions
    used = sum(record["Configuration"]["CodeSize"] for record in functions.versions.values())
    used += sum(record["Content"]["CodeSize"] for record in functions.layer_versions.values())
    return Answer(
        {
            "AccountLimit": {
                "TotalCodeSize": TOTAL_CODE_BYTES,
                "CodeSizeUnzipped": MAX_UNZIPPED_BYTES,
                "CodeSizeZipped": MAX_ZIPPED_BYTES,
                "ConcurrentExecutions": CONCURRENCY,
                "UnreservedConcurrentExecutions": CONCURRENCY - functions.reserved_by_all,
            },
            "AccountUsage": {"TotalCodeSize": used, "FunctionCount": len(functions.entries.items())},
        }
    )


def get_function_recursion_config(room: Room, call: Call) -> Answer:
    """Return what happens to a function that invokes itself in a circle."""
    name, _ = split_reference(room.functions.home, call.parameters["FunctionName"])
    return Answer({"RecursiveLoop": room.functions.function(name).get("RecursiveLoop", "Terminate")})


def put_function_recursion_config(room: Room, call: Call) -> Answer:
    """Set it."""
    functions = room.functions
    name, _ = split_reference(functions.home, call.parameters["FunctionName"])
    loop = call.parameters["RecursiveLoop"]
    with functions.changing():
        functions.put_entry(name, RecursiveLoop=loop)
    return Answer({"RecursiveLoop": loop})


def get_runtime_management_config(room: Room, call: Call) -> Answer:
    """Answer that a runtime is the machine's, and so follows it."""
    functions = room.functions
    target = functions.resolve(call.parameters["FunctionName"], call.parameters.get("Qualifier"))
    qualifier = call.parameters.get("Qualifier") or LATEST
    arn = functions.home.function_arn(target.name, qualifier)
    return Answer({"UpdateRuntimeOn": "Auto", "FunctionArn": arn})


def put_runtime_management_config(room: Room, call: Call) -> Answer:
    """Accept that runtimes are kept up to date, and nothing else."""
    if call.parameters["UpdateRuntimeOn"] != "Auto":
        raise unsupported("a runtime is this machine's own, and can't be held at a version: only Auto is there")
    return get_runtime_management_config(room, call)


OPERATIONS: dict[str, Operation] = {
    "GetAccountSettings": get_account_settings,
    "GetFunctionRecursionConfig": get_function_recursion_config,
    "GetRuntimeManagementConfig": get_runtime_management_config,
    "PutFunctionRecursionConfig": put_function_recursion_config,
    "PutRuntimeManagementConfig": put_runtime_management_config,
}

"""Published versions."""

from __future__ import annotations

from greenroom.lambda_api import configuration
from greenroom.lambda_api.calls import Answer, Call
from greenroom.lambda_api.errors import invalid, stale
from greenroom.lambda_api.functions import revision_id
from greenroom.lambda_api.names import split_reference
from greenroom.lambda_api.paging import page
from greenroom.lambda_api.room import Operation, Room


def publish_version(room: Room, call: Call) -> Answer:
    """Make a version of $LATEST, or return the last one if nothing has changed since."""
    functions, asked = room.functions, call.parameters
    configuration.refuse_unsupported(asked)
    name, _ = split_reference(functions.home, asked["FunctionName"])
    with functions.changing():
        latest = functions.require_settled(name)
        if asked.get("RevisionId") and asked["RevisionId"] != revision_id(latest):
            raise stale()
        current = latest["Configuration"]["CodeSha256"]
        if asked.get("CodeSha256") and asked["CodeSha256"] != current:
            raise invalid(
                f"CodeSHA256 ({asked['CodeSha256']}) is different from current CodeSHA256 in $LATEST ({current}). "
                "Please try again with the CodeSHA256 in $LATEST."
            )
        record = functions.publish(name, asked.get("Description"))
    return Answer(configuration.answer(functions.home, record, record["Configuration"]["Version"]))


def list_versions_by_function(room: Room, call: Call) -> Answer:
    """List a function's versions: $LATEST, then by number."""
    functions, asked = room.functions, call.parameters
    name, _ = split_reference(functions.home, asked["FunctionName"])
    functions.function(name)
    records = functions.versions_of(name)
    shown, following = page(
        records, lambda record: record["Configuration"]["Version"], asked.get("Marker"), asked.get("MaxItems")
    )
    listed = [
        configuration.answer(functions.home, record, record["Configuration"]["Version"], listed=True)
        for record in shown
    ]
    return Answer({"Versions": listed, **following})


OPERATIONS: dict[str, Operation] = {
    "ListVersionsByFunction": list_versions_by_function,
    "PublishVersion": publish_version,
}

"""Keeps DynamoDB streams over a restart.

ministack saves how far each event source has read a stream, but not the stream. After a restart streams begin empty,
the saved positions lie behind their end, and as many changes as there were before would reach nobody. This module saves
the unread records with the positions, in the same file, so that the two agree.
"""

from __future__ import annotations

import copy
from typing import Any

STATE_KEY = "greenroom_streams"
POSITIONS_KEY = "dynamodb_stream_positions"


def install() -> None:
    """Have ministack save and restore its streams."""
    from ministack.services import lambda_svc

    get_state, load_state = lambda_svc.get_state, lambda_svc.load_persisted_state

    def get_state_with_streams() -> dict[str, Any]:
        state: dict[str, Any] = get_state()
        state[POSITIONS_KEY], state[STATE_KEY] = _unread()
        return state

    def load_state_with_streams(data: dict[str, Any]) -> None:
        streams = data.pop(STATE_KEY, None)
        if streams is None:
            data.pop(POSITIONS_KEY, None)
        else:
            _restore(streams)
        load_state(data)

    lambda_svc.get_state = get_state_with_streams
    lambda_svc.load_persisted_state = load_state_with_streams


def _unread() -> tuple[Any, dict[str, Any]]:
    """Return the event sources' positions, and each stream's records from the first that one of them has not read."""
    from ministack.core.responses import AccountRegionScopedDict
    from ministack.services import dynamodb, lambda_svc

    records, trimmed = AccountRegionScopedDict(), AccountRegionScopedDict()
    with lambda_svc._dynamodb_stream_positions_lock:
        positions = copy.deepcopy(lambda_svc._dynamodb_stream_positions)
        for (account, region, table), all_records in dynamodb._stream_records.all_items():
            begin = dynamodb._stream_trimmed.get_scoped(account, region, table, 0)
            arn = (dynamodb._tables.get_scoped(account, region, table) or {}).get("LatestStreamArn")
            read = [
                positions.get_scoped(account, region, esm_id, begin)
                for (esm_account, esm_region, esm_id), esm in lambda_svc._esms.all_items()
                if (esm_account, esm_region) == (account, region) and esm.get("EventSourceArn") == arn
            ]
            first = max(begin, min(read, default=begin + len(all_records)))
            records.set_scoped(account, region, table, copy.deepcopy(all_records[first - begin :]))
            trimmed.set_scoped(account, region, table, first)
    return positions, {"records": records, "trimmed": trimmed}


def _restore(streams: dict[str, Any]) -> None:
    from ministack.services import dynamodb

    dynamodb._stream_records.update(streams["records"])
    dynamodb._stream_trimmed.update(streams["trimmed"])

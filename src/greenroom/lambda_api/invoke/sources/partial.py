"""What a function that reports the failed items of a batch has said (`ReportBatchItemFailures`).

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting and
https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
"""

from __future__ import annotations

import json
from collections.abc import Collection


class WholeBatchFailed(ValueError):
    """An answer that can't be believed: Lambda takes the whole batch as failed, so that nothing is lost."""


def failed_items(answer: bytes, items: Collection[str]) -> set[str]:
    """Return the identifiers of the items that failed; an empty answer means that none did. Raises WholeBatchFailed.

    Args:
        answer: what the function returned.
        items: the identifiers of the batch's items.
    """
    try:
        found = json.loads(answer or b"null")
    except ValueError as error:
        raise WholeBatchFailed("the answer is not JSON") from error
    if not found:
        return set()
    if not isinstance(found, dict):
        raise WholeBatchFailed("the answer is not an object")
    failures = found.get("batchItemFailures") or []
    if not isinstance(failures, list):
        raise WholeBatchFailed("batchItemFailures is not a list")
    failed = set()
    for failure in failures:
        identifier = failure.get("itemIdentifier") if isinstance(failure, dict) else None
        if not isinstance(identifier, str) or identifier not in items:
            raise WholeBatchFailed(f"no item of the batch: {failure}")
        failed.add(identifier)
    return failed

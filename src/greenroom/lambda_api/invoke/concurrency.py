"""How many invocations may run at once: each function within its reserved concurrency, all within the account's.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from greenroom.lambda_api.errors import LambdaError

MESSAGE = "Rate Exceeded."
RESERVED = "ReservedFunctionConcurrentInvocationLimitExceeded"
ACCOUNT = "ConcurrentInvocationLimitExceeded"
RETRY_AFTER_S = 1


def throttled(reason: str) -> LambdaError:
    """Return Lambda's error for an invocation that may not run now.

    Recorded in `tests/aws/services/lambda_/test_lambda.snapshot.json` of https://github.com/localstack/localstack
    (TestLambdaConcurrency::test_reserved_concurrency).
    """
    return LambdaError(
        "TooManyRequestsException",
        MESSAGE,
        429,
        extra={"Reason": reason},
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


class Slots:
    """Counts the invocations in flight.

    Args:
        limit: the account's concurrency.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._reserved: Counter[str] = Counter()
        self._unreserved = 0

    @contextmanager
    def taken(self, name: str, reserved: int | None, reserved_by_all: int) -> Iterator[None]:
        """Hold one slot for an invocation of a function. Raises LambdaError if there is none.

        Args:
            name: the function's name: its versions and aliases share what is reserved for it.
            reserved: its reserved concurrency; None if it has none.
            reserved_by_all: what is reserved for all functions, which others can't use.
        """
        with self._lock:
            if reserved is not None:
                if self._reserved[name] >= reserved:
                    raise throttled(RESERVED)
                self._reserved[name] += 1
            else:
                if self._unreserved >= self._limit - reserved_by_all:
                    raise throttled(ACCOUNT)
                self._unreserved += 1
        try:
            yield
        finally:
            with self._lock:
                if reserved is not None:
                    self._reserved[name] -= 1
                    if not self._reserved[name]:
                        del self._reserved[name]
                else:
                    self._unreserved -= 1

"""How many state transitions a test takes, which is what Step Functions bills. Pure; the states are those of
`machines/backstage.asl.yaml` and `machines/function_tuning.asl.yaml`, whose loops are the same.

Left out are waiting for the lock, steps that are tried again, and what attaches the queue after the first release.
"""

from __future__ import annotations

from collections.abc import Sequence

from greenroom.tuning import Batch, TestSpec, rounds_at_most

BEFORE_ROUNDS = 2
"""Lock and MayTest; a function tuning has Begin alone."""

AFTER_ROUNDS_LIVE = 7
"""Decide, MayPromote, Promote, QueueAttached, Clean, ReportLive, Over."""

AFTER_ROUNDS_FAILED = 5
"""Decide, MayPromote, CleanAfterFailure, ReportFailed, Failed."""

AFTER_ROUNDS_FUNCTION_TUNING = 4
"""Decide, MayOptimize, Optimize, Clean; or Decide, MayOptimize, CleanAfterFailure, Failed."""


def of_round(publish: Sequence[object], batches: Sequence[Batch]) -> int:
    """Those of one round: Plan, MoreToMeasure, and a Map with its items for what is published and what is measured."""
    return 2 + sum(1 + len(items) for items in (publish, batches) if items)


def at_most(spec: TestSpec) -> int:
    """What a test can take at most: every invocation a batch of its own."""
    invocations = spec.invocations_per_size * len(spec.sizes_mb)
    rounds = 4 * (rounds_at_most(spec) + 1)
    return BEFORE_ROUNDS + rounds + len(spec.sizes_mb) + invocations + AFTER_ROUNDS_LIVE

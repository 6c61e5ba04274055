"""Realistic answers of the platform, for the tests of how they are drawn."""

from __future__ import annotations

from typing import Any

from greenroom.wire import models

RELEASE_ID = "01KBTJ7Q4X9D0V3N8M5R2S6TYZ"


def power_value(memory_mb: int, mean_ms: float, cost_usd: float, **more: Any) -> dict[str, Any]:
    return {
        "memoryMb": memory_mb,
        "version": "5",
        "status": "ok",
        "reason": None,
        "n": 30,
        "meanMs": mean_ms,
        "trimmedMeanMs": mean_ms * 0.99,
        "p50Ms": mean_ms * 0.98,
        "p90Ms": mean_ms * 1.1,
        "minMs": mean_ms * 0.9,
        "maxMs": mean_ms * 1.5,
        "initMs": 380.0,
        "coldStartMs": 400.0,
        "maxMemoryUsedMb": 143,
        "costUsdPerMillion": cost_usd,
        "coldStarts": 1,
        "errors": 0,
    } | more


def history(*entries: tuple[str, float]) -> list[dict[str, Any]]:
    return [{"status": status, "at": f"2026-11-24T11:00:{at_s:06.3f}Z"} for status, at_s in entries]


LIVE: dict[str, Any] = {
    "releaseId": RELEASE_ID,
    "algorithm": "nsx-in",
    "type": "in",
    "status": "LIVE",
    "reason": None,
    "createdAt": "2026-11-24T11:00:00.000Z",
    "history": history(
        ("UPLOADING", 0),
        ("REGISTERED", 0.8),
        ("PROVISIONING", 1.1),
        ("PROVISIONED", 3.4),
        ("TESTING", 3.9),
        ("LIVE", 17.1),
    ),
    "metadata": {
        "runtime": "python3.11",
        "architecture": "x86_64",
        "strategy": "cost",
        "powerValues": [128, 256, 512, 1024],
        "num": 30,
    },
    "packageSha256": "ab" * 32,
    "packageSizeBytes": 1_234_567,
    "version": "6",
    "memoryMb": 512,
    "progress": [],
    "summary": {
        "strategy": "cost",
        "chosenMemoryMb": 512,
        "sentence": "512 MB is the cheapest: $1.87 per million invocations, 3 % less than 256 MB.",
        "powerValues": [
            {"memoryMb": 128, "status": "excluded", "reason": "ran out of memory in case large", "n": 2},
            power_value(256, 412.2, 1.92),
            power_value(512, 201.2, 1.87),
            power_value(1024, 112.2, 2.07),
        ],
        "cases": [{"case": "small", "passed": 75, "failed": 0}, {"case": "groups-by-tag", "passed": 75, "failed": 0}],
        "testCostUsd": 0.00031,
    },
}

FAILED: dict[str, Any] = LIVE | {
    "status": "FAILED",
    "reason": "case large: the result is not what tests/large/expected.json says: --- expected\n+++ actual\n…",
    "history": history(("UPLOADING", 0), ("REGISTERED", 0.8), ("TESTING", 3.9), ("FAILED", 9.0)),
    "version": None,
    "memoryMb": None,
    "problem": {
        "code": "wrong_answer",
        "message": "Test case large gave another answer than expected",
        "where": "tests/large, at 256 MB",
        "hint": "Correct the algorithm, or tests/large/expected.* if that is wrong.",
    },
    "summary": {
        "strategy": "cost",
        "chosenMemoryMb": None,
        "powerValues": [{"memoryMb": 256, "status": "failed", "reason": "wrong answer in 3 of 3", "n": 3}],
        "cases": [
            {"case": "small", "passed": 3, "failed": 0},
            {
                "case": "large",
                "passed": 0,
                "failed": 3,
                "memoryMb": 256,
                "failedMemoryMb": [256],
                "error": "wrong_answer",
                "difference": '--- expected\n+++ actual\n@@ -1 +1 @@\n-{"a": 1}\n+{"a": 2}\n',
                "log": "START RequestId: 1\nhello\nEND RequestId: 1\n",
            },
            {
                "case": "raising",
                "passed": 0,
                "failed": 1,
                "error": "exception",
                "errorMessage": "ValueError: no such group [bold]\x1b[31m",
            },
            {"case": "later", "passed": 0, "failed": 0},
        ],
    },
}


def point(memory_mb: int, duration_ms: float, cost_usd: float) -> dict[str, Any]:
    return {
        "memoryMb": memory_mb,
        "durationMs": duration_ms,
        "lowMs": duration_ms * 0.9,
        "highMs": duration_ms * 1.1,
        "costUsdPerMillion": cost_usd,
        "lowUsdPerMillion": cost_usd * 0.95,
        "highUsdPerMillion": cost_usd * 1.05,
    }


CHART: dict[str, Any] = {
    "tried": [point(128, 900.0, 2.0), point(256, 412.0, 1.92), point(512, 201.2, 1.87), point(1024, 112.2, 2.07)],
    "model": [point(384, 280.0, 1.88), point(768, 150.0, 1.95)],
    "excludedMemoryMb": [128],
    "chosenMemoryMb": 512,
    "caption": "512 MB is the cheapest.",
}

WITH_CHART: dict[str, Any] = LIVE | {
    "costAtMostUsd": 0.0123,
    "summary": LIVE["summary"]
    | {
        "testLambdaCostUsd": 0.0002,
        "stateTransitions": 26,
        "chart": CHART,
        "statistics": {"trimShare": 0.2, "confidence": 0.95, "intervals": "order statistics"},
        "powerValues": [
            {"memoryMb": 128, "status": "excluded", "reason": "ran out of memory", "errorKinds": {"out_of_memory": 2}},
            power_value(
                256,
                412.2,
                1.92,
                trimmedMeanLowMs=400.2,
                trimmedMeanHighMs=416.7,
                percentiles={"p50": {"ms": 410.0, "lowMs": 398.0, "highMs": 431.0}},
                headroomMb=113,
            ),
            power_value(512, 201.2, 1.87),
        ],
    },
}


def release(document: dict[str, Any]) -> models.Release:
    return models.Release.model_validate(document)

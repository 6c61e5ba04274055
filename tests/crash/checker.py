"""What must hold for a platform at rest, whatever was killed before: each sentence that it returns is a fault.

It is written apart from the code that it checks: it reads through HTTP and boto3 (`eyes`), and compares with what was
answered and shown before (`ledger`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from tests.crash.eyes import Eyes
from tests.crash.ledger import Ledger, Sent, Upload

ENDED = {"LIVE", "RETIRED", "ROLLED_BACK", "REJECTED", "FAILED", "SUPERSEDED"}
WAS_LIVE = {"LIVE", "RETIRED", "ROLLED_BACK"}
NEXT = {
    "UPLOADING": {"REGISTERED", "REJECTED", "FAILED", "SUPERSEDED"},
    "REGISTERED": {"PROVISIONING", "FAILED", "SUPERSEDED"},
    "PROVISIONING": {"PROVISIONED", "FAILED", "SUPERSEDED"},
    "PROVISIONED": {"TESTING", "FAILED", "SUPERSEDED"},
    "TESTING": {"LIVE", "FAILED", "SUPERSEDED"},
    "LIVE": {"RETIRED", "ROLLED_BACK"},
    "RETIRED": {"LIVE"},
    "ROLLED_BACK": {"LIVE"},
}
"""The picture of the statuses in docs/architecture.md."""

TOO_BUSY = "the machine was too busy"
"""How the reason of a release begins that could not be measured, because other processes took the processor."""

KEPT_VERSIONS = 4
"""docs/operations.md, Retention: the live one, and the last three that were live before."""

LATEST_MB = 128
"""docs/architecture.md: `$LATEST` is put back to what the template says."""


def unrest(eyes: Eyes, ledger: Ledger) -> list[str]:
    """Return what still goes on; nothing if the platform is at rest."""
    items = eyes.registry()
    going = [
        f"{item['releaseId']} is {item['status']}"
        for item in items
        if item["sk"] == "META"
        and "releaseId" in item
        and item["releaseId"] in ledger.uploads
        and item["status"] not in ENDED
    ]
    going += [f"execution {name} runs" for name in eyes.running()]
    for name in _algorithms(items):
        depth = eyes.depth(f"{eyes.function(name)}-input")
        if depth and any(depth):
            going.append(f"the queue of {name} has {depth[0]} messages, and {depth[1]} in flight")
    for sent in ledger.sent:
        if any(_answer_keys(eyes, sent, name) == [] for name in sent.answering):
            going.append(f"message {sent.message_id} has no answer")
    return going


def faults(eyes: Eyes, ledger: Ledger) -> list[str]:
    """Return everything that is wrong with a platform at rest."""
    items = eyes.registry()
    return [
        *_lost(eyes, ledger),
        *_history_faults(ledger, items),
        *_rollback_faults(ledger, items),
        *(fault for name in _algorithms(items) for fault in _algorithm_faults(eyes, ledger, items, name)),
        *_lock_faults(items),
        *(f"execution {name} still runs" for name in eyes.running()),
        *(fault for sent in ledger.sent for fault in _message_faults(eyes, ledger, items, sent)),
    ]


def _metas(items: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {item["releaseId"]: item for item in items if item["sk"] == "META" and "releaseId" in item}


def _algorithms(items: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in items if item["sk"] == "META" and str(item["pk"]).startswith("ALGORITHM#")}


def _lost(eyes: Eyes, ledger: Ledger) -> Iterator[str]:
    """What was accepted or shown, and is not there any more."""
    for release_id in ledger.allowed:
        if eyes.get(f"/releases/{release_id}") is None:
            yield f"upload {release_id} was allowed, and is lost (404)"
    for upload in ledger.uploads.values():
        release = eyes.get(f"/releases/{upload.release_id}")
        if release is None:
            continue
        passed = [change["status"] for change in release["history"]]
        yield from (
            f"release {upload.release_id} was shown {status}, and its history has {passed}"
            for status in upload.shown
            if status not in passed
        )


def _history_faults(ledger: Ledger, items: list[dict[str, Any]]) -> Iterator[str]:
    """Releases that did not come to the end that their package deserves, or not on the way that there is."""
    metas = _metas(items)
    for upload in ledger.uploads.values():
        item = metas.get(upload.release_id)
        if item is None:
            continue
        status, reason = item["status"], item.get("reason")
        if status not in ENDED:
            yield f"release {upload.release_id} is {status} at rest"
            continue
        yield from _wrong_end(upload, status, reason)
        passed = [change["status"] for change in item["history"]]
        yield from (
            f"release {upload.release_id} went from {before} to {after}"
            for before, after in pairwise(passed)
            if after not in NEXT.get(before, set())
        )
        if passed[-1] != status:
            yield f"release {upload.release_id} is {status}, and its history ends with {passed[-1]}"
        if "inFlight" in item:
            yield f"release {upload.release_id} is {status}, and is listed as in flight"


def _wrong_end(upload: Upload, status: str, reason: str | None) -> Iterator[str]:
    if status == "FAILED" and str(reason).startswith(TOO_BUSY):
        return  # nobody's fault but the machine's: it says so, and the next push is measured again
    if upload.is_good and status not in {*WAS_LIVE, "SUPERSEDED"}:
        yield f"good release {upload.release_id} ended {status}: {reason}"
    if not upload.is_good and status in WAS_LIVE:
        yield f"broken release {upload.release_id} went live"
    if not upload.is_good and status == "FAILED" and "expected" not in str(reason):
        yield f"broken release {upload.release_id} failed for another reason: {reason}"


def _rollback_faults(ledger: Ledger, items: list[dict[str, Any]]) -> Iterator[str]:
    metas = _metas(items)
    for done in ledger.rolled_back:
        passed = [change["status"] for change in metas.get(done.from_release_id, {}).get("history", ())]
        if "ROLLED_BACK" not in passed:
            yield f"the rollback of {done.algorithm} from {done.from_release_id} is undone: {passed}"
        lived = [change["status"] for change in metas.get(done.to_release_id, {}).get("history", ())]
        if lived.count("LIVE") < 2:
            yield f"{done.algorithm} was rolled back to {done.to_release_id}, and that has {lived}"


def _algorithm_faults(eyes: Eyes, ledger: Ledger, items: list[dict[str, Any]], name: str) -> Iterator[str]:
    """Where the registry and what is there contradict each other."""
    metas = _metas(items)
    algorithm = _algorithms(items)[name]
    live_id = algorithm.get("liveReleaseId")
    shown_live = [
        item["releaseId"] for item in metas.values() if item.get("algorithm") == name and item["status"] == "LIVE"
    ]
    if shown_live != ([live_id] if live_id else []):
        yield f"{name}: the algorithm says {live_id} is live, LIVE are {shown_live}"
    aliases, versions = eyes.aliases(name), eyes.versions(name)
    if not live_id:
        if aliases or (versions and set(versions) != {"$LATEST"}):
            yield f"{name}: nothing is live, and there are aliases {aliases} and versions {sorted(versions or ())}"
        return
    if aliases is None or versions is None:
        yield f"{name}: {live_id} is LIVE, and there is no function"
        return
    upload = ledger.uploads.get(live_id)
    if upload is not None and not upload.is_good:
        yield f"{name}: prod is on {live_id}, which has not passed"
    yield from _version_faults(algorithm, metas.get(live_id, {}), aliases, versions)
    yield from _service_faults(eyes, name)


def _version_faults(
    algorithm: dict[str, Any], live: dict[str, Any], aliases: dict[str, str], versions: dict[str, Any]
) -> Iterator[str]:
    """Aliases and versions that are not those of the live release, and of what can be rolled back to."""
    name, live_id, version = algorithm["name"], algorithm["liveReleaseId"], str(live.get("version"))
    if aliases != {"prod": version}:
        yield f"{name}: {live_id} is LIVE with version {version}, and the aliases are {aliases}"
    kept = json.loads(algorithm["live"])
    allowed = {kept["liveVersion"], *(before["version"] for before in kept["liveBefore"])}
    published = set(versions) - {"$LATEST"}
    if published != allowed or len(published) > KEPT_VERSIONS:
        yield f"{name}: versions {sorted(published)} are published, {sorted(allowed)} are remembered"
    described = versions.get(version, {}).get("Description", "")
    if live_id not in described:
        yield f"{name}: version {version} is of another release: {described!r}"
    if versions["$LATEST"]["MemorySize"] != LATEST_MB:
        yield f"{name}: $LATEST has {versions['$LATEST']['MemorySize']} MB"


def _service_faults(eyes: Eyes, name: str) -> Iterator[str]:
    status = eyes.stack_status(name)
    if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        yield f"{name}: the stack is {status}"
    for queue in ("input", "dlq"):
        if eyes.depth(f"{eyes.function(name)}-{queue}") is None:
            yield f"{name}: it is live without its queue {queue}"
    leads = [(each["FunctionArn"].rsplit(":", 1)[-1], each["State"]) for each in eyes.mappings(name)]
    if leads != [("prod", "Enabled")]:
        yield f"{name}: its queue leads to {leads or 'nothing'}"
    eyes.s3.head_bucket(Bucket=eyes.bucket(name))


def _lock_faults(items: list[dict[str, Any]]) -> Iterator[str]:
    for item in items:
        if item["sk"] == "LOCK":
            yield f"the lock of {item['pk']} is still held by {item['owner']}"


def _answer_keys(eyes: Eyes, sent: Sent, name: str) -> list[str]:
    return eyes.keys(name, f"results/{sent.message_id}/")


def _message_faults(eyes: Eyes, ledger: Ledger, items: list[dict[str, Any]], sent: Sent) -> Iterator[str]:
    """Messages that have not exactly one right answer of each algorithm, by a version that had passed."""
    metas = _metas(items)
    for name in sent.answering:
        keys = _answer_keys(eyes, sent, name)
        if len(keys) != 1:
            yield f"message {sent.message_id} has {len(keys)} answers of {name}"
            continue
        found = eyes.s3.get_object(Bucket=eyes.bucket(name), Key=keys[0])
        answer, meta = json.loads(found["Body"].read()), found["Metadata"]
        if answer.get("number") != sent.number:
            yield f"message {sent.message_id} was sent with {sent.number}, and answered with {answer}"
        release = metas.get(meta["greenroom-release"], {})
        if "LIVE" not in [change["status"] for change in release.get("history", ())]:
            yield f"message {sent.message_id} was answered by {meta['greenroom-release']}, which was never live"
        shown = ledger.answers.get((sent.message_id, name))
        if shown is not None and shown != meta["greenroom-version"]:
            yield f"message {sent.message_id} was shown as answered by {shown}, now by {meta['greenroom-version']}"
    told = eyes.get(f"/algorithms/{sent.to}/messages/{sent.message_id}?to={','.join(sent.answering)}")
    if told is None or told["status"] != "done":
        yield f"message {sent.message_id} is shown {told and told['status']}"


def doubled(ledger: Ledger, items: list[dict[str, Any]]) -> list[str]:
    """Return what happened twice: a release that was registered or went live more often than it may."""
    back = Counter(done.to_release_id for done in ledger.rolled_back)
    found = []
    for release_id, item in _metas(items).items():
        counts = Counter(change["status"] for change in item["history"])
        # A rollback that was not answered may have happened all the same.
        may_live = 1 + back[release_id] + counts["ROLLED_BACK"] + counts["RETIRED"]
        found += [
            f"{release_id} became {status} {count} times"
            for status, count in counts.items()
            if count > (may_live if status in WAS_LIVE else 1)
        ]
    return found

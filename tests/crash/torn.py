"""Cut the power of the embedded AWS, and damage its files, again and again, and judge what it makes of what is left.

    python -m tests.crash.torn [--cases 100] [--seed 1]

One server is filled, with the shim under it. Each case is a folder as a power cut may have left it, or a copy with one
file truncated, changed or removed. After a power cut it has to open with everything that had been answered. A damaged
folder has to open so as well, or be refused with what to do.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

from greenroom.embedded import EmbeddedAws
from tests.crash import power

SECONDS_OF_WORK = 6.0

Value = Any
GONE = None


@dataclass
class Written:
    """One thing that was asked for: when, when it was answered, and what there is after it."""

    begun_ns: int
    answered_ns: int
    value: Value


@dataclass
class Answers:
    """Everything that was asked for, by what it is about."""

    of: dict[tuple[str, str], list[Written]] = field(default_factory=dict)

    def call(self, key: tuple[str, str], value: Value, ask: Any, **arguments: Any) -> Any:
        """Ask for something, and note when that was."""
        begun = time.monotonic_ns()
        answer = ask(**arguments)
        self.of.setdefault(key, []).append(Written(begun, time.monotonic_ns(), value))
        return answer

    def allowed(self, key: tuple[str, str], at_ns: int) -> list[Value]:
        """Return what may be there at a moment: what was answered last, or anything that was begun after that."""
        allowed: list[Value] = [GONE]
        for written in self.of[key]:
            if written.answered_ns < at_ns:
                allowed = [written.value]
            elif written.begun_ns < at_ns:
                allowed.append(written.value)
        return allowed


def work(aws: EmbeddedAws, rng: random.Random, seconds: float) -> Answers:
    """Write into every kind of state that has an order of its own on disk."""

    def client(service: str) -> Any:
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=aws.endpoint_url,
            region_name=aws.region,
            aws_access_key_id=aws.access_key_id,
            aws_secret_access_key=aws.secret_access_key,
        )

    s3, sqs, table, iam = client("s3"), client("sqs"), client("dynamodb"), client("iam")
    answers = Answers()
    s3.create_bucket(Bucket="bucket")
    url = sqs.create_queue(QueueName="queue")["QueueUrl"]
    table.create_table(
        TableName="table",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
    role = iam.create_role(RoleName="role", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    functions = client("lambda")
    until, number = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        number += 1
        _one(rng.randrange(7), number, rng, answers, (s3, sqs, table, functions, url, role))
    return answers


def _one(kind: int, number: int, rng: random.Random, answers: Answers, clients: tuple[Any, ...]) -> None:
    s3, sqs, table, functions, url, role = clients
    key = str(rng.randrange(12))
    text = f"{number} " * rng.choice((1, 20, 2_000))
    if kind in (0, 1):
        body = (text.encode() * (1 if kind else 40_000))[: 300_000 if not kind else None]
        answers.call(("object", key), body.decode(), s3.put_object, Bucket="bucket", Key=key, Body=body)
    elif kind == 2:
        answers.call(("object", key), GONE, s3.delete_object, Bucket="bucket", Key=key)
    elif kind == 3:
        item = {"id": {"S": key}, "text": {"S": text}}
        answers.call(("item", key), text, table.put_item, TableName="table", Item=item)
    elif kind == 4:
        answers.call(("item", key), GONE, table.delete_item, TableName="table", Key={"id": {"S": key}})
    elif kind == 5:
        message = f"message {number}"
        answers.call(("message", message), message, sqs.send_message, QueueUrl=url, MessageBody=message)
        if rng.random() < 0.5:
            for found in sqs.receive_message(QueueUrl=url).get("Messages", ()):
                arguments = {"QueueUrl": url, "ReceiptHandle": found["ReceiptHandle"]}
                answers.call(("message", found["Body"]), GONE, sqs.delete_message, **arguments)
    else:
        name = f"function-{number}"
        code = _zip(f"# {number}\n" * rng.choice((1, 20_000)), rng)
        arguments = {"Runtime": _runtime(), "Handler": "main.run", "Role": role, "Code": {"ZipFile": code}}
        answers.call(("function", name), len(code), functions.create_function, FunctionName=name, **arguments)


def _zip(text: str, rng: random.Random) -> bytes:
    import io
    import zipfile

    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("main.py", text)
        archive.writestr("noise", rng.randbytes(1_000))
    return held.getvalue()


def _runtime() -> str:
    return f"python3.{sys.version_info.minor}"


def there(data: Path) -> dict[tuple[str, str], Value]:
    """Open a data folder as the server does, and return what is there. Raises StoreError."""
    from greenroom.embedded import folder
    from greenroom.embedded.durable import Effects
    from greenroom.lambda_api.code import CodeFiles
    from greenroom.lambda_api.functions import Functions
    from greenroom.lambda_api.names import Home
    from greenroom.store import DamagedStore

    folder.require_whole(data)
    store = folder.open_store(data)
    with folder.saying_what_to_do(data):
        folder.require_code(data)
        functions = Functions(store, CodeFiles(data / "code"), Home("000000000000", "us-east-1"))
        if missing := functions.missing_code():
            raise DamagedStore(f"code {missing[0]} is missing")
        effects = Effects(store, data)
        effects.load()
    from ministack.services import dynamodb, s3, sqs

    found: dict[tuple[str, str], Value] = {}
    for bucket in s3._buckets._data.values():
        for key, held in bucket["objects"].items():
            found["object", key] = s3._read_body("bucket", key, held).decode()
    for table in dynamodb._tables._data.values():
        for key, items in table["items"].items():
            for item in items.values():
                found["item", key] = item["text"]["S"]
    for queue in sqs._queues._data.values():
        for message in queue["messages"]:
            found["message", message["body"]] = message["body"]
    for name in [name for name, _ in functions.entries.items()]:
        found["function", name] = len(functions.code(functions.target(name).config))
    return found


@dataclass
class Verdict:
    """What became of a case."""

    case: str
    outcome: str
    faults: list[str]


def judge(case: str, data: Path, answers: Answers, at_ns: int, *, may_refuse: bool) -> Verdict:
    """Open a folder in a process of its own, and compare what is there with what was answered."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            told: dict[str, Any] = {"found": [[list(key), value] for key, value in there(data).items()]}
        except BaseException as error:
            told = {"error": f"{type(error).__name__}: {error}"}
        with os.fdopen(writing, "w") as out:
            json.dump(told, out)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as source:
        told = json.load(source)
    os.waitpid(child, 0)
    if "error" in told:
        is_right = may_refuse and "greenroom restore FILE" in told["error"] and "Damaged" in told["error"]
        return Verdict(case, "refused", [] if is_right else [told["error"]])
    found: dict[tuple[str, str], Value] = {(kind, name): value for (kind, name), value in told["found"]}
    faults = [
        f"{key} is {_short(found.get(key))}, not {' or '.join(map(_short, allowed))}"
        for key in answers.of
        if found.get(key) not in (allowed := answers.allowed(key, at_ns))
    ]
    return Verdict(case, "opened", faults)


def _short(value: Value) -> str:
    text = repr(value)
    return text if len(text) < 40 else f"{text[:30]}… ({len(text)})"


def power_cuts(trace: Path, answers: Answers, count: int, rng: random.Random, place: Path) -> Iterator[Verdict]:
    """Judge what is left at `count` moments."""
    recorded = list(power.calls(trace))
    first = min(written.begun_ns for all_of in answers.of.values() for written in all_of)
    begin = next(number for number, call in enumerate(recorded) if call.time_ns >= first)
    moments = sorted(rng.choices(range(begin, len(recorded)), k=count))
    disk, fed = power.Disk(), 0
    for number, moment in enumerate(moments):
        for call in recorded[fed : moment + 1]:
            disk.feed(call)
        fed = moment + 1
        data = place / f"cut-{number}"
        data.mkdir()
        shutil.copy(place / "data" / "credentials.json", data)
        disk.cut(data, rng)
        call = recorded[moment]
        case = f"power cut after call {moment} ({call.kind} {call.path})"
        yield judge(case, data, answers, call.time_ns, may_refuse=False)
        shutil.rmtree(data)


def damages(final: Path, answers: Answers, count: int, rng: random.Random, place: Path) -> Iterator[Verdict]:
    """Judge `count` copies of a folder with one file damaged."""
    for number in range(count):
        data = place / f"damaged-{number}"
        shutil.copytree(final, data, ignore=shutil.ignore_patterns("engine", "*-shm"))
        files = sorted(
            path for path in data.rglob("*") if path.is_file() and path.suffix != ".log" and path.name != "lock"
        )
        rooms = sorted({path.parent for path in files})
        file = rng.choice([path for path in files if path.parent == rng.choice(rooms)] or files)
        case = f"{file.relative_to(data)} {_damage(file, rng)}"
        yield judge(case, data, answers, time.monotonic_ns(), may_refuse=True)
        shutil.rmtree(data)


def _damage(file: Path, rng: random.Random) -> str:
    held = bytearray(file.read_bytes())
    kind = rng.choice(("truncated", "flipped", "zeroed", "removed"))
    if kind == "removed" or not held:
        file.unlink()
        return "removed"
    at = rng.randrange(len(held))
    if kind == "truncated":
        del held[at:]
    elif kind == "flipped":
        held[at] ^= 1 << rng.randrange(8)
    else:
        held[at : at + 4_096] = bytes(len(held[at : at + 4_096]))
    file.write_bytes(held)
    return f"{kind} at {at}"


def run(cases: int, seed: int, place: Path, seconds: float = SECONDS_OF_WORK) -> Iterator[Verdict]:
    """Fill a server, and judge the cases: half of them power cuts."""
    rng = random.Random(seed)  # noqa: S311 -- repeatable
    data, trace, shim = place / "data", place / "trace", place / "shim.so"
    data.mkdir()
    power.build_shim(shim)
    os.environ |= {"LD_PRELOAD": str(shim), "TORN_ROOT": str(data), "TORN_TRACE": str(trace)}
    try:
        aws = EmbeddedAws.start(data)
    finally:
        for name in ("LD_PRELOAD", "TORN_ROOT", "TORN_TRACE"):
            os.environ.pop(name)
    try:
        answers = work(aws, rng, seconds)
        killed = place / "killed"
        os.kill(aws.pid, 9)
        assert aws._process is not None
        aws._process.wait()
        shutil.copytree(data, killed, ignore=shutil.ignore_patterns("engine"))
    finally:
        if aws.alive():
            aws.stop()
    _settle()
    yield from power_cuts(trace, answers, cases // 2, rng, place)
    yield from damages(killed, answers, cases - cases // 2, rng, place)


def _settle() -> None:
    """Import once what each judging process needs, with ministack's settings."""
    from greenroom.embedded.process import ACCOUNT_ID, REGION

    os.environ |= {
        "MINISTACK_ACCOUNT_ID": ACCOUNT_ID,
        "MINISTACK_REGION": REGION,
        "PERSIST_STATE": "0",
        "S3_PERSIST": "0",
    }
    from importlib import import_module

    from greenroom.embedded.durable.effects import SERVICES

    import_module("greenroom.lambda_api")
    for service in SERVICES:
        import_module(f"ministack.services.{service}")


def main() -> int:
    """Run the cases; return 0 if all of them were right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100, help="how many (default 100)")
    parser.add_argument("--seed", type=int, default=1, help="of the work and of the cases (default 1)")
    options = parser.parse_args()
    outcomes: Counter[str] = Counter()
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="greenroom-torn-") as place:
        for verdict in run(options.cases, options.seed, Path(place)):
            outcomes[verdict.outcome] += 1
            wrong += bool(verdict.faults)
            print(f"{'WRONG' if verdict.faults else 'right'}  {verdict.outcome}  {verdict.case}", flush=True)
            for fault in verdict.faults[:5]:
                print(f"       {fault}", flush=True)
    print(f"{options.cases - wrong} of {options.cases} right ({dict(outcomes)}), seed {options.seed}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

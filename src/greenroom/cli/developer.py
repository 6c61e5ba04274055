"""The IAM user whose key `greenroom env` prints: it reads what the platform does, and changes nothing that is live."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

USER = "greenroom-developer"
POLICY = "read"
FILE = "reading-key.json"

READS = {
    "cloudformation": ["Describe*", "Get*", "List*"],
    "lambda": ["Get*", "List*"],
    "logs": ["Describe*", "FilterLogEvents", "GetLogEvents", "ListTagsForResource"],
    "sqs": ["GetQueueAttributes", "GetQueueUrl", "ListQueues", "ListQueueTags", "ListDeadLetterSourceQueues"],
    "states": ["Describe*", "GetExecutionHistory", "List*"],
}
"""What a developer looks at: stacks, functions, logs, queues (not what is in them) and executions."""


def reading_key(iam: IAMClient, file: Path) -> tuple[str, str]:
    """Return the key of the user who reads. It is kept in a file: a shell that knows it goes on after a restart.

    Args:
        iam: client of the embedded AWS's root.
        file: where the key is kept, readable by its owner only.
    """
    with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_user(UserName=USER)
    actions = [f"{service}:{name}" for service, names in READS.items() for name in names]
    statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=USER, PolicyName=POLICY, PolicyDocument=document)
    known = {each["AccessKeyId"] for each in iam.list_access_keys(UserName=USER)["AccessKeyMetadata"]}
    with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
        kept = json.loads(file.read_text())
        if kept["accessKeyId"] in known:
            return kept["accessKeyId"], kept["secretAccessKey"]
    for old in known:
        iam.delete_access_key(UserName=USER, AccessKeyId=old)
    key = iam.create_access_key(UserName=USER)["AccessKey"]
    made = {"accessKeyId": key["AccessKeyId"], "secretAccessKey": key["SecretAccessKey"]}
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        json.dump(made, out)
    return key["AccessKeyId"], key["SecretAccessKey"]

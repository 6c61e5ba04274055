"""The keys of the packages bucket, and reading and writing its objects, bounded. Knows S3 and nothing of releases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from greenroom.platform import aws_errors

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class TooLarge(ValueError):
    """An object is larger than what is read here."""


def upload_key(release_id: str) -> str:
    """Return the key at which an upload arrives. The presigned form can write it again until it expires."""
    return f"uploads/{release_id}.zip"


def release_of_upload(key: str) -> str:
    """Return the release id in an upload's key. Raises ValueError if it is not the key of an upload."""
    if not (key.startswith("uploads/") and key.endswith(".zip")) or key.count("/") != 1:
        raise ValueError(f"{key!r} is not the key of an upload")
    return key.removeprefix("uploads/").removesuffix(".zip")


def package_key(release_id: str, sha256: str) -> str:
    """Return the key of the package that was checked: only `register` writes here."""
    return f"packages/{release_id}/{sha256}.zip"


def measurements_prefix(release_id: str) -> str:
    """Return the prefix of the measurements of a release's test."""
    return f"releases/{release_id}/measurements/"


def live_comparison_prefix(release_id: str) -> str:
    """Return the prefix of the measurements made of a release and the live one in turn."""
    return f"releases/{release_id}/beside-live/"


def read(client: S3Client, bucket: str, key: str, *, max_bytes: int) -> bytes:
    """Return an object's bytes. Raises TooLarge, and KeyError if there is none."""
    try:
        answer = client.get_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if aws_errors.is_absent_object(error):
            raise KeyError(key) from error
        raise
    body = answer["Body"].read(max_bytes + 1)
    if len(body) > max_bytes:
        raise TooLarge(f"{key} is larger than {max_bytes:,} bytes")
    return body


def write_json_lines(client: S3Client, bucket: str, key: str, rows: list[dict[str, Any]]) -> None:
    """Write rows as JSON lines."""
    body = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
    client.put_object(Bucket=bucket, Key=key, Body=body.encode(), ContentType="application/jsonl")


def keys(client: S3Client, bucket: str, prefix: str) -> Iterator[str]:
    """Yield the keys under a prefix, in order."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", ()):
            yield entry["Key"]


def read_json_lines(client: S3Client, bucket: str, prefix: str, *, max_bytes: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of all JSON lines objects under a prefix, in the order of their keys."""
    for key in keys(client, bucket, prefix):
        for line in read(client, bucket, key, max_bytes=max_bytes).splitlines():
            yield json.loads(line)


def write_json(client: S3Client, bucket: str, key: str, document: dict[str, Any]) -> None:
    """Write a JSON object."""
    client.put_object(Bucket=bucket, Key=key, Body=json.dumps(document).encode(), ContentType="application/json")


def read_json(client: S3Client, bucket: str, key: str, *, max_bytes: int) -> dict[str, Any]:
    """Return a JSON object. Raises TooLarge, and KeyError if there is none."""
    document: dict[str, Any] = json.loads(read(client, bucket, key, max_bytes=max_bytes))
    return document

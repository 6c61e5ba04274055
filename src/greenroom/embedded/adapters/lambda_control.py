"""The ports of Lambda's control plane, over ministack: IAM and S3."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from greenroom.embedded import iam
from greenroom.lambda_api.ports import NoSuchObject, Ports

SERVICE = "lambda.amazonaws.com"


def ports() -> Ports:
    """Return all of it."""
    return Ports(roles=Roles(), objects=Objects())


class Roles:
    """IAM, where Lambda acts in a function's role."""

    def may(self, role: str, action: str, resource: str) -> bool:
        """Return whether a role's policies allow an action on a resource."""
        return iam.role_may(role, action, resource)

    def assumable(self, role: str) -> bool:
        """Return whether there is such a role and its trust policy lets Lambda assume it."""
        from ministack.services import iam as iam_service

        record = iam_service._roles.get(role.rpartition("/")[2])
        return record is not None and record.get("Arn") == role and _trusts(record.get("AssumeRolePolicyDocument"))


class Objects:
    """S3, where code is read from."""

    def get(self, bucket: str, key: str, version: str | None) -> bytes:
        """Return an object's content, or raise NoSuchObject."""
        from ministack.services import s3

        if s3._buckets.get(bucket) is None:
            raise NoSuchObject("NoSuchBucket", "The specified bucket does not exist")
        content = s3._get_object_data(bucket, key, version)
        if content is None:
            if version:
                raise NoSuchObject("NoSuchVersion", "The specified version does not exist.")
            raise NoSuchObject("NoSuchKey", "The specified key does not exist.")
        return bytes(content)


def _trusts(document: Any) -> bool:
    policy = json.loads(document) if isinstance(document, str) else document or {}
    return any(
        statement.get("Effect") == "Allow" and SERVICE in _services(statement) for statement in _statements(policy)
    )


def _statements(policy: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    statements = policy.get("Statement") or []
    yield from [statements] if isinstance(statements, Mapping) else statements


def _services(statement: Mapping[str, Any]) -> list[str]:
    principal = statement.get("Principal")
    services = principal.get("Service", []) if isinstance(principal, Mapping) else []
    return [services] if isinstance(services, str) else services

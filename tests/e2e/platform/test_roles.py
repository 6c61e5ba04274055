"""What the other tests have asked of the roles shows that each statement in them is needed.

The embedded AWS has recorded every authorization since it was started. Taking any one statement out of a role would
refuse something that was allowed, and with it fail the test that asked for it.
"""

from __future__ import annotations

from typing import Any

import pytest

from greenroom.embedded import iam_log
from tests.e2e.platform.statements import unneeded_statements
from tests.e2e.stage import Platform
from tests.scheduling import JUDGED_FILES
from tests.unit.service_authorization import accepts


def test_every_statement_of_every_role_is_needed(platform: Platform, request: pytest.FixtureRequest) -> None:
    ran = {item.nodeid.partition("::")[0] for item in request.session.items}
    if not ran.issuperset(JUDGED_FILES):
        pytest.skip("it judges by what the other end-to-end tests have asked for: run all of tests/e2e")
    recorded = iam_log.read(platform.aws.data_dir / iam_log.FILE)
    prefix = platform.deployment.prefix
    unneeded: dict[str, set[str]] = {}
    of_algorithms: list[tuple[set[str], set[str]]] = []
    for role, document in _policies(platform.service("iam"), prefix):
        found = set(unneeded_statements(recorded, role, document))
        if role.startswith(f"{prefix}-alg-"):
            of_algorithms.append(({statement["Sid"] for statement in document["Statement"]}, found))
        elif found:
            unneeded[role] = found
    # Algorithms' roles are made from one template: a statement in it is needed if any of them needs it.
    sids = set().union(*(all_of_it for all_of_it, _ in of_algorithms))
    needed = set().union(*(all_of_it - found for all_of_it, found in of_algorithms))
    assert (unneeded, sids - needed) == ({}, set())


def test_every_role_was_asked_about_resources_that_the_action_takes(platform: Platform) -> None:
    recorded = iam_log.read(platform.aws.data_dir / iam_log.FILE)
    asked = {(each.action, each.resource) for each in recorded if each.role.startswith(platform.deployment.prefix)}
    assert asked
    assert [each for each in sorted(asked) if not accepts(*each)] == []


def _policies(iam: Any, prefix: str) -> list[tuple[str, Any]]:
    pages = iam.get_paginator("list_roles").paginate()
    roles = [role["RoleName"] for page in pages for role in page["Roles"]]
    return [
        (role, iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"])
        for role in roles
        if role.startswith(f"{prefix}-")
        for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]
    ]

"""What the other tests have asked of the roles shows that each statement in them is needed.

Each embedded AWS of the run has recorded every authorization since it was started. Taking any one statement out of a
role would refuse something that was allowed, and with it fail the test that asked for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import pytest

from tests.e2e import record
from tests.e2e.platform.statements import unneeded_statements
from tests.e2e.record import Record
from tests.e2e.stage import Platform
from tests.scheduling import JUDGED_FILES
from tests.unit.service_authorization import accepts


@pytest.fixture
def records(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Record]]:
    """What all platforms of the run have recorded; the one of this worker is still there."""
    record.leave(platform.aws.data_dir, platform.service("iam"), platform.deployment.prefix)
    yield record.left(tmp_path_factory.getbasetemp())


def test_every_statement_of_every_role_is_needed(
    platform: Platform, records: list[Record], request: pytest.FixtureRequest
) -> None:
    ran = {item.nodeid.partition("::")[0] for item in request.session.items}
    if not ran.issuperset(JUDGED_FILES):
        pytest.skip("it judges by what the other end-to-end tests have asked for: run all of tests/e2e")
    log = list(chain.from_iterable(each.log for each in records))
    unneeded: dict[str, set[str]] = {}
    sids: set[str] = set()
    needed: set[str] = set()
    for each in records:
        for role, document in each.policies.items():
            if role.startswith(f"{platform.deployment.prefix}-alg-"):
                # They are made from one template: a statement in it is needed if any of them needs it.
                all_of_it = {statement["Sid"] for statement in document["Statement"]}
                sids |= all_of_it
                needed |= all_of_it - set(unneeded_statements(each.log, role, document))
            elif role not in unneeded:
                unneeded[role] = set(unneeded_statements(log, role, document))
    assert ({role: found for role, found in unneeded.items() if found}, sids - needed) == ({}, set())


def test_every_role_was_asked_about_resources_that_the_action_takes(platform: Platform, records: list[Record]) -> None:
    prefix = platform.deployment.prefix
    asked = {(each.action, each.resource) for one in records for each in one.log if each.role.startswith(prefix)}
    assert asked
    assert [each for each in sorted(asked) if not accepts(*each)] == []

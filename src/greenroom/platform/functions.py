"""Lambda's functions, as a test needs them: configured and published, and the aliases and versions that it makes.

Lambda configures and publishes in the background. Everything here returns when Lambda is done: what "done" and
"failed" mean is what boto3's own waiters say, and how often they look and for how long is said here. Knows Lambda and
nothing of releases or tunings.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import WaiterError
from botocore.waiter import Waiter

from greenroom.tuning.limits import FREE_EPHEMERAL_STORAGE_MB

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.type_defs import FunctionConfigurationResponseTypeDef

LATEST = "$LATEST"

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0
"""The first pause between two looks, which doubles up to the longest. Lambda updates a ZIP in about a second."""

READY_WITHIN_S = 120.0
"""How long Lambda may take. The steps that wait have 180 seconds (`template.yaml`)."""

_MANY = 10_000
"""Attempts of a waiter: the clock ends the waiting, and not their number."""


class NotReady(RuntimeError):
    """Lambda failed to bring a function into a state, or took too long; the message says which and why."""


@dataclass(frozen=True)
class Configuration:
    """How a function is configured, and the revision that publishing it has to name."""

    revision_id: str
    memory_mb: int
    timeout_s: int
    architecture: Literal["x86_64", "arm64"]
    ephemeral_storage_mb: int
    description: str
    variables: Mapping[str, str]


@dataclass(frozen=True)
class Alias:
    """An alias and the versions that it leads to: one, and those that get a share of the traffic."""

    name: str
    version: str
    versions: frozenset[str]


@dataclass(frozen=True)
class Version:
    """A published version and its description."""

    version: str
    description: str


class Functions:
    """The functions of an account.

    Args:
        client: Lambda.
        sleep, clock: how to pause, and the time to measure it by, both in seconds.
    """

    def __init__(
        self,
        client: LambdaClient,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._sleep, self._clock = client, sleep, clock

    def updated(self, function: str) -> Configuration:
        """Return the configuration of `$LATEST` once its last update has succeeded.

        Raises NotReady, and ClientError if there is no such function or it may not be looked at.
        """
        return _configuration(self._await("function_updated", function, LATEST))

    def configure(
        self, function: str, now: Configuration, *, memory_mb: int, description: str | None = None
    ) -> Configuration:
        """Give `$LATEST`, which is configured as `now` says, a memory size, and a description where one is given.

        Nothing happens if it has them already. Return its configuration then. Raises NotReady.
        """
        change: dict[str, Any] = {}
        if now.memory_mb != memory_mb:
            change["MemorySize"] = memory_mb
        if description is not None and now.description != description:
            change["Description"] = description
        if not change:
            return now
        self._client.update_function_configuration(FunctionName=function, **change)
        return self.updated(function)

    def publish(self, function: str, configuration: Configuration, description: str) -> str:
        """Publish `$LATEST` if it is still as `configuration` says, and return the version once it is active.

        Raises NotReady.
        """
        version = self._client.publish_version(
            FunctionName=function, RevisionId=configuration.revision_id, Description=description
        )["Version"]
        self._await("published_version_active", function, version)
        return version

    def point(self, function: str, alias: str, version: str) -> None:
        """Let an alias lead to a version; make it if it does not exist."""
        client = self._client
        try:
            client.update_alias(FunctionName=function, Name=alias, FunctionVersion=version)
        except client.exceptions.ResourceNotFoundException:
            client.create_alias(FunctionName=function, Name=alias, FunctionVersion=version)

    def version_of(self, function: str, alias: str) -> str:
        """Return the version that an alias leads to."""
        return self._client.get_alias(FunctionName=function, Name=alias)["FunctionVersion"]

    def has_alias(self, function: str, alias: str) -> bool:
        """Return whether there is a function with this alias."""
        try:
            self.version_of(function, alias)
        except self._client.exceptions.ResourceNotFoundException:
            return False
        return True

    def aliases(self, function: str) -> Iterator[Alias]:
        """Yield the aliases of a function."""
        for page in self._client.get_paginator("list_aliases").paginate(FunctionName=function):
            for alias in page["Aliases"]:
                shared = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
                version = alias["FunctionVersion"]
                yield Alias(alias["Name"], version, frozenset({version, *shared}))

    def versions(self, function: str) -> Iterator[Version]:
        """Yield the published versions of a function."""
        for page in self._client.get_paginator("list_versions_by_function").paginate(FunctionName=function):
            for found in page["Versions"]:
                if found["Version"] != LATEST:
                    yield Version(found["Version"], found.get("Description", ""))

    def remove_alias(self, function: str, alias: str) -> None:
        """Delete an alias; nothing happens if it does not exist."""
        with suppress(self._client.exceptions.ResourceNotFoundException):
            self._client.delete_alias(FunctionName=function, Name=alias)

    def remove_version(self, function: str, version: str) -> None:
        """Delete a published version; nothing happens if it does not exist."""
        if version == LATEST:
            raise ValueError(f"$LATEST of {function} is not a published version: it can't be deleted")
        with suppress(self._client.exceptions.ResourceNotFoundException):
            self._client.delete_function(FunctionName=function, Qualifier=version)

    def _await(
        self, waiter: Literal["function_updated", "published_version_active"], function: str, qualifier: str
    ) -> FunctionConfigurationResponseTypeDef:
        """Look until boto3's waiter is content; return what was seen last.

        These waiters ask for a function's configuration. The newer ones ask for the whole function, and a role that
        may do that may download its code.
        """
        began_s = self._clock()
        pause_s = 0.0
        seen: FunctionConfigurationResponseTypeDef | None = None

        def look(**arguments: str) -> FunctionConfigurationResponseTypeDef:
            nonlocal pause_s, seen
            if seen is not None:
                if self._clock() - began_s >= READY_WITHIN_S:
                    raise NotReady(
                        f"Lambda was not done with {function}:{qualifier} after {READY_WITHIN_S:g} s: "
                        f"state {seen.get('State')}, last update {seen.get('LastUpdateStatus')}"
                    )
                pause_s = min(LONGEST_PAUSE_S, 2 * pause_s or FIRST_PAUSE_S)
                self._sleep(pause_s)
            seen = self._client.get_function_configuration(
                FunctionName=arguments["FunctionName"], Qualifier=arguments["Qualifier"]
            )
            return seen

        # The waiter's own pause is none: `look` pauses, by the sleep that was passed in.
        judge = Waiter(waiter, self._client.get_waiter(waiter).config, look)
        try:
            judge.wait(FunctionName=function, Qualifier=qualifier, WaiterConfig={"Delay": 0, "MaxAttempts": _MANY})
        except WaiterError as error:
            found: Mapping[str, Any] = error.last_response
            reason = found.get("LastUpdateStatusReason") or found.get("StateReason") or error
            raise NotReady(f"Lambda failed to update {function}:{qualifier}: {reason}") from error
        assert seen is not None  # noqa: S101 -- the waiter has looked
        return seen


def _configuration(found: FunctionConfigurationResponseTypeDef) -> Configuration:
    return Configuration(
        revision_id=found["RevisionId"],
        memory_mb=found["MemorySize"],
        timeout_s=found["Timeout"],
        architecture=found.get("Architectures", ["x86_64"])[0],
        ephemeral_storage_mb=found.get("EphemeralStorage", {}).get("Size", FREE_EPHEMERAL_STORAGE_MB),
        description=found.get("Description", ""),
        variables=found.get("Environment", {}).get("Variables", {}),
    )

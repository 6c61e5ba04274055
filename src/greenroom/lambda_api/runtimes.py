"""Which runtimes Lambda has, which of them AWS refuses by now, and which this machine can run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from greenroom.lambda_api.errors import invalid, unsupported

CURRENT = [
    "nodejs20.x",
    "python3.14",
    "provided.al2023",
    "python3.12",
    "python3.13",
    "nodejs24.x",
    "nodejs22.x",
    "java25",
    "python3.10",
    "python3.11",
    "java21",
    "ruby3.3",
    "ruby3.4",
    "ruby3.2",
    "python3.8",
    "python3.9",
    "java17",
    "nodejs16.x",
    "dotnet10",
    "dotnet8",
    "java11",
    "dotnet6",
    "nodejs18.x",
    "provided.al2",
    "java8.al2",
]
"""The runtimes that AWS takes for a function, in the order of its message (recorded 2026-01-12 by LocalStack,
`TestLambdaFunction::test_create_lambda_exceptions`)."""

RETIRED = frozenset(
    {
        "dotnetcore1.0",
        "dotnetcore2.0",
        "dotnetcore2.1",
        "dotnetcore3.1",
        "go1.x",
        "java8",
        "nodejs",
        "nodejs4.3",
        "nodejs4.3-edge",
        "nodejs6.10",
        "nodejs8.10",
        "nodejs10.x",
        "nodejs12.x",
        "nodejs14.x",
        "provided",
        "python2.7",
        "python3.6",
        "python3.7",
        "ruby2.5",
        "ruby2.7",
    }
)
"""Runtimes that AWS no longer creates or updates functions with.
https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html#runtimes-deprecated"""


@dataclass(frozen=True)
class Abilities:
    """The abilities of this machine's engine: each answers None, or the reason why not, in sentences.

    `run` is asked for a runtime and an architecture; `honour` for a runtime, a function's variables and the paths in
    its layers.
    """

    run: Callable[[str, str], str | None]
    honour: Callable[[str, Mapping[str, str], Iterable[str]], str | None]


def check(runtime: str, architecture: str, abilities: Abilities) -> None:
    """Raise what AWS answers to a runtime that it does not take, or why this machine can't run it.

    Raises:
        LambdaError: InvalidParameterValueException.
    """
    if runtime in RETIRED:
        raise invalid(
            f"The runtime parameter of {runtime} is no longer supported for creating or updating AWS Lambda functions. "
            "We recommend you use a supported runtime while creating or updating functions."
        )
    if runtime not in CURRENT:
        raise invalid(
            f"Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: "
            f"[{', '.join(CURRENT)}] or be a valid ARN"
        )
    reason = abilities.run(runtime, architecture)
    if reason:
        raise unsupported(reason)

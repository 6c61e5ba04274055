"""The configuration of a function: its defaults, how an update is merged into it, and its form in an answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from greenroom.lambda_api.errors import LambdaError, invalid, unsupported
from greenroom.lambda_api.functions import Record, is_changing, revision_id
from greenroom.lambda_api.model import validation_error, violation
from greenroom.lambda_api.names import LATEST, Home

Parameters = Mapping[str, Any]

MAX_TIMEOUT_S = 900
MAX_MEMORY_MB = 10_240
"""For functions on Lambda's own capacity; the model allows more, for those on capacity providers.
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

MAX_STORAGE_MB = 10_240
"""Of /tmp; same page. The model allows more, as for memory."""

MAX_ENVIRONMENT_BYTES = 4_096
"""Environment variables as JSON; same page."""

DEAD_LETTER_CALLS = {"sqs": "SendMessage", "sns": "Publish"}
"""What Lambda calls to deliver a dead letter, by the service of its target."""

RESERVED_VARIABLES = frozenset(
    {
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SECRET_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_XRAY_CONTEXT_MISSING",
        "AWS_XRAY_DAEMON_ADDRESS",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
    }
)
"""Variables that Lambda sets itself.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime"""

SETTABLE = ("Role", "Handler", "Description", "Timeout", "MemorySize", "Runtime", "TracingConfig", "EphemeralStorage")
"""Members of a configuration that a request gives as they are stored."""

LISTED_WITHOUT = (
    "LastUpdateStatus",
    "LastUpdateStatusReason",
    "LastUpdateStatusReasonCode",
    "RuntimeVersionConfig",
    "State",
    "StateReason",
    "StateReasonCode",
)
"""Members that lists of functions and versions don't have.
https://docs.aws.amazon.com/lambda/latest/api/API_ListFunctions.html"""


def created(home: Home, parameters: Parameters) -> dict[str, Any]:
    """Return the configuration of a new function, without its code and layers."""
    name = parameters["FunctionName"]
    config: dict[str, Any] = {
        "FunctionName": name,
        "FunctionArn": home.function_arn(name),
        "Version": LATEST,
        "Description": "",
        "Timeout": 3,
        "MemorySize": 128,
        "PackageType": "Zip",
        "TracingConfig": {"Mode": "PassThrough"},
        "EphemeralStorage": {"Size": 512},
        "Architectures": list(parameters.get("Architectures") or ["x86_64"]),
    }
    return merged(config, parameters)


def merged(config: Mapping[str, Any], parameters: Parameters) -> dict[str, Any]:
    """Return a configuration with what a request changes of it; layers and code apart."""
    _check_limits(parameters)
    found = dict(config)
    found |= {name: parameters[name] for name in SETTABLE if parameters.get(name) is not None}
    if (environment := parameters.get("Environment")) is not None:
        variables = dict(environment.get("Variables") or {})
        check_environment(variables)
        found["Environment"] = {"Variables": variables}
    if (letters := parameters.get("DeadLetterConfig")) is not None:
        found.pop("DeadLetterConfig", None)
        if letters.get("TargetArn"):
            found["DeadLetterConfig"] = {"TargetArn": letters["TargetArn"]}
    found["LoggingConfig"] = logging(
        found["FunctionName"], config.get("LoggingConfig"), parameters.get("LoggingConfig")
    )
    return found


def logging(name: str, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return where and how a function logs: what a request says over what was set, with AWS's defaults."""
    given = {key: value for key, value in (new or {}).items() if value is not None}
    found = {"LogGroup": f"/aws/lambda/{name}", "LogFormat": "Text", **(old or {}), **given}
    if found["LogFormat"] == "Text":
        if {"ApplicationLogLevel", "SystemLogLevel"} & given.keys():
            raise invalid("To configure log levels, you must set the log format to JSON.")
        return {"LogFormat": "Text", "LogGroup": found["LogGroup"]}
    return {"ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO", **found}


def check_environment(variables: Mapping[str, str]) -> None:
    """Raise what AWS answers to too many variables, or to one that Lambda sets itself."""
    reserved = [name for name in variables if name in RESERVED_VARIABLES]
    if reserved:
        raise invalid(
            "Lambda was unable to configure your environment variables because the environment variables you have "
            "provided contains reserved keys that are currently not supported for modification. "
            f"Reserved keys used in this request: {', '.join(reserved)}"
        )
    measured = json.dumps(dict(variables), separators=(",", ":"), ensure_ascii=False)
    if len(measured.encode()) > MAX_ENVIRONMENT_BYTES:
        raise invalid(
            "Lambda was unable to configure your environment variables because the environment variables you have "
            f"provided exceeded the 4KB limit. String measured: {measured}"
        )


def _check_limits(parameters: Parameters) -> None:
    storage = parameters.get("EphemeralStorage") or {}
    for value, most, where in (
        (parameters.get("Timeout"), MAX_TIMEOUT_S, "timeout"),
        (parameters.get("MemorySize"), MAX_MEMORY_MB, "memorySize"),
        (storage.get("Size"), MAX_STORAGE_MB, "ephemeralStorage.size"),
    ):
        if value is not None and value > most:
            constraint = f"Member must have value less than or equal to {most}"
            raise validation_error(violation(value, where, constraint))


def _has_network(vpc: Mapping[str, Any]) -> bool:
    return bool(vpc.get("SubnetIds") or vpc.get("SecurityGroupIds"))


REFUSED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "CapacityProviderConfig": (bool, "there are no capacity providers; leave CapacityProviderConfig out"),
    "CodeSigningConfigArn": (bool, "code signing isn't checked; leave CodeSigningConfigArn out"),
    "DurableConfig": (bool, "there are no durable functions; leave DurableConfig out"),
    "FileSystemConfigs": (bool, "there is no EFS to mount; leave FileSystemConfigs out"),
    "ImageConfig": (bool, "container images don't run; pack the function as a ZIP"),
    "ImageUri": (bool, "container images don't run; pack the function as a ZIP"),
    "KMSKeyArn": (bool, "environment variables aren't encrypted with a key of yours; leave KMSKeyArn out"),
    "PackageType": ("Image".__eq__, "container images don't run; pack the function as a ZIP"),
    "PublishTo": (bool, "there is no version $LATEST.PUBLISHED; leave PublishTo out"),
    "SnapStart": (
        lambda given: given.get("ApplyOn") == "PublishedVersions",
        "there is no SnapStart; a cold start takes some milliseconds. Leave SnapStart out",
    ),
    "SourceKMSKeyArn": (bool, "code isn't encrypted with a key of yours; leave SourceKMSKeyArn out"),
    "TenancyConfig": (bool, "there is no tenant isolation; leave TenancyConfig out"),
    "VpcConfig": (_has_network, "functions have no VPC; leave VpcConfig out"),
}
"""Parameters that ask for what this machine does not have: when one does, and what the answer says."""


def refuse_unsupported(parameters: Parameters) -> None:
    """Raise an error that names the first feature that is asked for and not there."""
    for name, (asks, reason) in REFUSED.items():
        if parameters.get(name) is not None and asks(parameters[name]):
            raise unsupported(reason)


def check_role(parameters: Parameters, assumable: Callable[[str], bool]) -> None:
    """Raise AWS's answer to a role that Lambda can't assume."""
    role = parameters.get("Role")
    if role and not assumable(role):
        raise invalid("The role defined for the function cannot be assumed by Lambda.")


def check_dead_letters(parameters: Parameters, config: Mapping[str, Any], may: Callable[[str, str, str], bool]) -> None:
    """Raise AWS's answer to a dead-letter target that the function's role may not send to.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html#invocation-dlq
    """
    target = (parameters.get("DeadLetterConfig") or {}).get("TargetArn")
    if not target:
        return
    service = target.split(":")[2]
    if service not in DEAD_LETTER_CALLS:
        raise invalid(f"A dead-letter target is a queue of SQS or a topic of SNS: {target}")
    action = DEAD_LETTER_CALLS[service]
    if not may(config["Role"], f"{service}:{action}", target):
        raise invalid(f"The provided execution role does not have permissions to call {action} on {service.upper()}")


def answer(home: Home, record: Record, qualifier: str | None = None, *, listed: bool = False) -> dict[str, Any]:
    """Return a version as Lambda answers it.

    Args:
        home: the account and region.
        record: the version's record.
        qualifier: what was asked for, which ends the answer's ARN.
        listed: it is one of a list, which has less.
    """
    config = record["Configuration"]
    found = {
        **config,
        "FunctionArn": home.function_arn(config["FunctionName"], qualifier),
        "RevisionId": revision_id(record),
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "RuntimeVersionConfig": {"RuntimeVersionArn": _runtime_version(home, config["Runtime"])},
        **_state(record),
    }
    return {name: value for name, value in found.items() if name not in LISTED_WITHOUT} if listed else found


def _state(record: Record) -> dict[str, Any]:
    if not is_changing(record):
        return {"State": "Active", "LastUpdateStatus": "Successful"}
    reason = {"Reason": "The function is being created.", "ReasonCode": "Creating"}
    if record["Changing"]["State"] == "Pending":
        return {"State": "Pending", **{f"State{key}": value for key, value in reason.items()}}
    return {
        "State": "Active",
        "LastUpdateStatus": "InProgress",
        **{f"LastUpdateStatus{key}": value for key, value in reason.items()},
    }


def _runtime_version(home: Home, runtime: str) -> str:
    """Return an ARN of the form that AWS's runtime versions have; the versions themselves are AWS's own."""
    return f"arn:aws:lambda:{home.region}::runtime:{hashlib.sha256(runtime.encode()).hexdigest()}"


def require_zip(parameters: Parameters) -> None:
    """Raise AWS's answer to a function without a handler or a runtime."""
    if not parameters.get("Runtime") or not parameters.get("Handler"):
        raise LambdaError(
            "InvalidParameterValueException",
            "Runtime and Handler are mandatory parameters for functions created with deployment packages.",
        )

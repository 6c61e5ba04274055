"""Which operations are served, and what each needs of its caller: the actions, what IAM evaluates each on, and when.

An operation that is not here gets a clear no. An action that takes no resource is evaluated on `*`, as the Service
Authorization Reference says; a test holds every line to it.
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from greenroom.embedded.front import s3
from greenroom.embedded.front.protocols import Call
from greenroom.embedded.front.request import Refused
from greenroom.embedded.process import ACCOUNT_ID, REGION
from greenroom.lambda_api import LambdaError
from greenroom.lambda_api.names import LATEST, Home, split_reference

ALL = "*"


@dataclass(frozen=True)
class Need:
    """An action that a caller needs, on a resource, with what IAM knows of the request besides."""

    action: str
    resource: str
    context: Mapping[str, Any] = field(default_factory=dict)


Rule = Callable[[Call], Iterable[Need]]


def needs(call: Call) -> list[Need]:
    """Return everything that a call needs. Raises Refused if its operation is not served."""
    if call.service == "s3":
        if call.operation not in s3.NEEDS:
            raise not_served(call.service, call.operation)
        found = [Need(action, resource) for action, resource in s3.needed(call)]
    else:
        rule = SERVED.get(call.service, {}).get(call.operation)
        if rule is None and call.service == "lambda":
            # Lambda says itself why it does not serve an operation, to those who may call it.
            return [Need(f"lambda:{call.operation}", ALL)]
        if rule is None:
            raise not_served(call.service, call.operation)
        found = [*rule(call), *passed_roles(call)]
    if not found or not all(need.resource for need in found):
        raise Refused(400, "ValidationException", f"{call.operation} names nothing that it could work on")
    return found


def not_served(service: str, operation: str) -> Refused:
    """Return the clear no."""
    return Refused(
        501, "NotImplemented", f"{operation or 'this operation'} of {service} is not served by the embedded AWS"
    )


def served(service: str, operation: str) -> bool:
    """Return whether an operation is served."""
    return operation in (s3.NEEDS if service == "s3" else SERVED.get(service, {}))


def _text(call: Call, name: str) -> str:
    value = call.parameters.get(name, "")
    if not isinstance(value, str):
        raise Refused(400, "SerializationException", f"{name} is not a string")
    return value


def arn(service: str, rest: str) -> str:
    """Return the ARN of something in the account."""
    return f"arn:aws:{service}:{REGION}:{ACCOUNT_ID}:{rest}"


def _named(service: str, rest: str, name: str) -> str:
    """Return a name's ARN; of an ARN, itself; of nothing, nothing."""
    if not name or name.startswith("arn:"):
        return name
    return arn(service, rest.format(name))


def _simple(action: str, resource: Callable[[Call], str]) -> Rule:
    return lambda call: [Need(action, resource(call))]


def _each(service: str, resource: Callable[[Call], str], names: str) -> dict[str, Rule]:
    """Return rules for operations that need the action of their own name, on one resource."""
    return {name: _simple(f"{service}:{name}", resource) for name in names.split()}


def _everything(_: Call) -> str:
    return ALL


def _parameter(*names: str) -> Callable[[Call], str]:
    """Return what finds an ARN in the first of these parameters that is there."""
    return lambda call: next((value for name in names if (value := _text(call, name))), "")


# SQS


_QUEUE_URL = re.compile(r"(?:https?://[^/?#\s]+)?/?(\d{12})/([A-Za-z0-9_-]{1,80}(?:\.fifo)?)")


def _queue(call: Call) -> str:
    url = _text(call, "QueueUrl")
    if url:
        found = _QUEUE_URL.fullmatch(url)
        if not found:
            raise Refused(400, "InvalidAddress", "The address QueueUrl is not valid for this endpoint.")
        return f"arn:aws:sqs:{REGION}:{found[1]}:{found[2]}"
    return _named("sqs", "{}", _text(call, "QueueName"))


SQS = _each(
    "sqs",
    _queue,
    "AddPermission ChangeMessageVisibility CreateQueue DeleteMessage DeleteQueue GetQueueAttributes GetQueueUrl"
    " ListDeadLetterSourceQueues ListQueueTags PurgeQueue ReceiveMessage RemovePermission SendMessage"
    " SetQueueAttributes TagQueue UntagQueue",
)
SQS |= {f"{name}Batch": SQS[name] for name in ("ChangeMessageVisibility", "DeleteMessage", "SendMessage")}
SQS |= _each("sqs", _everything, "ListQueues")

# SNS

_topic = _parameter("TopicArn", "TargetArn")


def _topic_of_a_subscription(call: Call) -> str:
    return _text(call, "SubscriptionArn").rpartition(":")[0]


SNS = _each(
    "sns",
    _topic,
    "AddPermission ConfirmSubscription DeleteTopic GetTopicAttributes ListSubscriptionsByTopic Publish RemovePermission"
    " SetTopicAttributes Subscribe",
)
SNS |= _each("sns", _parameter("ResourceArn"), "ListTagsForResource TagResource UntagResource")
SNS |= {"PublishBatch": SNS["Publish"]}
SNS |= {"CreateTopic": _simple("sns:CreateTopic", lambda call: _named("sns", "{}", _text(call, "Name")))}
SNS |= _each("sns", _topic_of_a_subscription, "GetSubscriptionAttributes SetSubscriptionAttributes Unsubscribe")
SNS |= _each("sns", _everything, "ListSubscriptions ListTopics")

# DynamoDB


def _table(call: Call) -> str:
    index = _text(call, "IndexName")
    return _table_arn(_text(call, "TableName")) + (f"/index/{index}" if index else "")


def _table_arn(name: Any) -> str:
    if not isinstance(name, str):
        raise Refused(400, "SerializationException", "a table's name is not a string")
    return _named("dynamodb", "table/{}", name)


def _in_batch(action: str) -> Rule:
    def rule(call: Call) -> list[Need]:
        items = call.parameters.get("RequestItems")
        if not isinstance(items, dict):
            raise Refused(400, "SerializationException", "RequestItems is not a map")
        return [Need(action, _table_arn(name)) for name in items]

    return rule


_OF_AN_ITEM = {
    "ConditionCheck": "dynamodb:ConditionCheckItem",
    "Delete": "dynamodb:DeleteItem",
    "Get": "dynamodb:GetItem",
    "Put": "dynamodb:PutItem",
    "Update": "dynamodb:UpdateItem",
}


def _in_transaction(call: Call) -> list[Need]:
    """A transaction is not an action of IAM: each of its items is one."""
    items = call.parameters.get("TransactItems")
    found = []
    for item in items if isinstance(items, list) else []:
        for kind, detail in item.items() if isinstance(item, dict) else ():
            if kind not in _OF_AN_ITEM or not isinstance(detail, dict):
                raise Refused(
                    400, "ValidationException", "an item of a transaction is one put, update, delete or check"
                )
            found.append(Need(_OF_AN_ITEM[kind], _table_arn(detail.get("TableName", ""))))
    return found


DYNAMODB = _each(
    "dynamodb",
    _table,
    "CreateTable DeleteItem DeleteTable DescribeTable DescribeTimeToLive GetItem PutItem Query Scan UpdateItem"
    " UpdateTable UpdateTimeToLive",
)
DYNAMODB |= {
    "BatchGetItem": _in_batch("dynamodb:BatchGetItem"),
    "BatchWriteItem": _in_batch("dynamodb:BatchWriteItem"),
    "TransactGetItems": _in_transaction,
    "TransactWriteItems": _in_transaction,
}
DYNAMODB |= _each("dynamodb", _parameter("ResourceArn"), "ListTagsOfResource TagResource UntagResource")
DYNAMODB |= _each("dynamodb", _everything, "DescribeLimits ListTables")


def _stream_of_iterator(call: Call) -> str:
    """An iterator of the emulator is text in which table and stream are named."""
    from ministack.services import dynamodb_streams

    found = dynamodb_streams._decode_iterator(_text(call, "ShardIterator")) or {}
    stream = str(found.get("arn", ""))
    return stream if f":table/{found.get('t')}/stream/" in stream else ""


STREAMS = _each("dynamodb", _parameter("StreamArn"), "DescribeStream GetShardIterator")
STREAMS |= _each("dynamodb", _stream_of_iterator, "GetRecords")
STREAMS |= _each("dynamodb", _everything, "ListStreams")

# IAM and STS


def _entity(kind: str, parameter: str, owned: str) -> Callable[[Call], str]:
    """Return what finds the ARN of a role, a user or a group, with the path that it has."""

    def find(call: Call) -> str:
        from ministack.services import iam

        name = _text(call, parameter)
        if not re.fullmatch(r"[\w+=,.@-]{1,128}", name):
            return ""
        record = getattr(iam, owned).get(name)
        path = _text(call, "Path") if call.operation.startswith("Create") else ""
        made = f"arn:aws:iam::{ACCOUNT_ID}:{kind}{path or '/'}{name}"
        return str(record["Arn"]) if record and record.get("Arn") else made

    return find


_role, _user = _entity("role", "RoleName", "_roles"), _entity("user", "UserName", "_users")
_profile = _entity("instance-profile", "InstanceProfileName", "_instance_profiles")
IAM = _each(
    "iam",
    _role,
    "AttachRolePolicy CreateRole DeleteRole DeleteRolePermissionsBoundary DeleteRolePolicy DetachRolePolicy GetRole"
    " GetRolePolicy ListAttachedRolePolicies ListInstanceProfilesForRole ListRolePolicies ListRoleTags"
    " PutRolePermissionsBoundary PutRolePolicy TagRole UntagRole UpdateAssumeRolePolicy UpdateRole"
    " UpdateRoleDescription",
)
IAM |= _each(
    "iam",
    _user,
    "AttachUserPolicy CreateAccessKey CreateUser DeleteAccessKey DeleteUser DeleteUserPolicy DetachUserPolicy GetUser"
    " GetUserPolicy ListAccessKeys ListAttachedUserPolicies ListUserPolicies PutUserPolicy",
)
IAM |= _each(
    "iam",
    _parameter("PolicyArn"),
    "CreatePolicyVersion DeletePolicy DeletePolicyVersion GetPolicy GetPolicyVersion ListEntitiesForPolicy"
    " ListPolicyVersions SetDefaultPolicyVersion",
)
IAM |= {
    "CreatePolicy": _simple(
        "iam:CreatePolicy",
        lambda call: f"arn:aws:iam::{ACCOUNT_ID}:policy{_text(call, 'Path') or '/'}{_text(call, 'PolicyName')}",
    )
}
IAM |= _each("iam", _everything, "GetAccountSummary ListPolicies ListRoles ListUsers")

STS = _each("sts", _parameter("RoleArn"), "AssumeRole")
STS |= _each("sts", _everything, "GetCallerIdentity")

# CloudFormation


def _stack(call: Call) -> str:
    return _named("cloudformation", "stack/{}/*", _text(call, "StackName"))


def _stack_if_named(call: Call) -> str:
    return _stack(call) or ALL


CLOUDFORMATION = _each(
    "cloudformation",
    _stack,
    "CancelUpdateStack ContinueUpdateRollback CreateChangeSet CreateStack DeleteChangeSet DeleteStack DescribeChangeSet"
    " DescribeStackResource ExecuteChangeSet GetStackPolicy ListChangeSets ListStackResources UpdateStack",
)
CLOUDFORMATION |= _each(
    "cloudformation", _stack_if_named, "DescribeStackEvents DescribeStackResources DescribeStacks GetTemplate"
)
CLOUDFORMATION |= _each("cloudformation", _stack_if_named, "GetTemplateSummary")
CLOUDFORMATION |= _each("cloudformation", _everything, "ListExports ListStacks ValidateTemplate")

# Step Functions

_machine = _parameter("stateMachineArn")
STEPFUNCTIONS = _each(
    "states", _machine, "DeleteStateMachine DescribeStateMachine ListExecutions StartExecution UpdateStateMachine"
)
STEPFUNCTIONS |= _each(
    "states",
    _parameter("executionArn"),
    "DescribeExecution DescribeStateMachineForExecution GetExecutionHistory StopExecution",
)
STEPFUNCTIONS |= _each("states", _parameter("resourceArn"), "ListTagsForResource TagResource UntagResource")
STEPFUNCTIONS |= {
    "CreateStateMachine": _simple(
        "states:CreateStateMachine", lambda call: _named("states", "stateMachine:{}", _text(call, "name"))
    )
}
STEPFUNCTIONS |= _each("states", _everything, "ListStateMachines SendTaskFailure SendTaskHeartbeat SendTaskSuccess")

# CloudWatch Logs


def _log_group(call: Call) -> str:
    name = _text(call, "logGroupName") or _text(call, "logGroupIdentifier")
    return _named("logs", "log-group:{}", name.removesuffix(":*"))


def _log_stream(call: Call) -> str:
    group, stream = _log_group(call), _text(call, "logStreamName")
    return f"{group}:log-stream:{stream}" if group and stream else ""


LOGS = _each(
    "logs",
    _log_group,
    "CreateLogGroup DeleteLogGroup DeleteMetricFilter DeleteRetentionPolicy DeleteSubscriptionFilter DescribeLogStreams"
    " DescribeSubscriptionFilters FilterLogEvents PutRetentionPolicy PutSubscriptionFilter",
)
LOGS |= _each("logs", _log_stream, "CreateLogStream DeleteLogStream GetLogEvents PutLogEvents")
LOGS |= _each("logs", _everything, "DescribeLogGroups")
LOGS |= _each("logs", _parameter("resourceArn"), "ListTagsForResource TagResource UntagResource")

# Parameter Store


def _parameter_arn(name: Any) -> str:
    if not isinstance(name, str):
        raise Refused(400, "SerializationException", "a parameter's name is not a string")
    return _named("ssm", "parameter/{}", name.removeprefix("/"))


def _parameters(action: str) -> Rule:
    def rule(call: Call) -> list[Need]:
        names = call.parameters.get("Names")
        return [Need(action, _parameter_arn(name)) for name in names] if isinstance(names, list) else []

    return rule


SSM = _each(
    "ssm",
    lambda call: _parameter_arn(_text(call, "Name")),
    "DeleteParameter GetParameter GetParameterHistory PutParameter",
)
SSM |= _each("ssm", lambda call: _parameter_arn(_text(call, "Path")), "GetParametersByPath")
SSM |= {"GetParameters": _parameters("ssm:GetParameters"), "DeleteParameters": _parameters("ssm:DeleteParameters")}
SSM |= _each("ssm", _everything, "DescribeParameters")

# EventBridge


def _bus_name(name: str) -> str:
    return (name.rpartition("/")[2] if name.startswith("arn:") else name) or "default"


def _rule(call: Call) -> str:
    name, bus = _text(call, "Name") or _text(call, "Rule"), _bus_name(_text(call, "EventBusName"))
    if not name:
        return ""
    return arn("events", f"rule/{name}" if bus == "default" else f"rule/{bus}/{name}")


def _put_events(call: Call) -> list[Need]:
    entries = call.parameters.get("Entries")
    found = []
    for entry in entries if isinstance(entries, list) else []:
        bus = entry.get("EventBusName", "") if isinstance(entry, dict) else None
        if not isinstance(bus, str):
            raise Refused(400, "SerializationException", "an entry is not an event")
        found.append(Need("events:PutEvents", arn("events", f"event-bus/{_bus_name(bus)}")))
    return found


EVENTS = _each(
    "events",
    _rule,
    "DeleteRule DescribeRule DisableRule EnableRule ListTargetsByRule PutRule PutTargets RemoveTargets",
)
EVENTS |= {"PutEvents": _put_events}
EVENTS |= _each(
    "events", lambda call: _named("events", "event-bus/{}", _text(call, "Name")), "CreateEventBus DeleteEventBus"
)
EVENTS |= _each("events", _everything, "ListEventBuses ListRules TestEventPattern")

# API Gateway: its actions are methods, on the path as a resource.


def _api(call: Call) -> list[Need]:
    path = call.path.removeprefix("/v2")
    return [Need(f"apigateway:{call.method}", f"arn:aws:apigateway:{REGION}::{path}")]


_API_PARTS = ("Api", "Integration", "Route", "Stage")
APIGATEWAYV2: dict[str, Rule] = {
    f"{verb}{part}": _api for verb in ("Create", "Delete", "Get", "Update") for part in _API_PARTS
}
APIGATEWAYV2 |= {f"Get{part}s": _api for part in _API_PARTS}

# Lambda

_HOME = Home(ACCOUNT_ID, REGION)


def _function(call: Call, *, qualified: bool = False) -> str:
    """Return a function's ARN; with its qualifier if the action is one on an alias or a version.

    What is no name of a function here is left to Lambda, which says so.
    """
    named = _text(call, "FunctionName")
    try:
        name, qualifier = split_reference(_HOME, named, _text(call, "Qualifier") or None)
    except LambdaError:
        return _HOME.function_arn(named) if named else ""
    return _HOME.function_arn(name, qualifier if qualified and qualifier != LATEST else None)


def _qualified(call: Call) -> str:
    return _function(call, qualified=True)


def _layer(call: Call) -> str:
    name, version = _text(call, "LayerName"), call.parameters.get("VersionNumber")
    plain = _named("lambda", "layer:{}", name)
    return f"{plain}:{version}" if plain and version is not None else plain


def _mapping(call: Call) -> str:
    return _named("lambda", "event-source-mapping:{}", _text(call, "UUID"))


def _new_mapping(call: Call) -> list[Need]:
    return [Need("lambda:CreateEventSourceMapping", ALL, {"lambda:FunctionArn": _function(call)})]


LAMBDA = _each(
    "lambda",
    _function,
    "AddPermission CreateAlias CreateFunction DeleteAlias DeleteFunction DeleteFunctionConcurrency"
    " DeleteFunctionEventInvokeConfig DeleteProvisionedConcurrencyConfig GetAlias GetFunction"
    " GetFunctionConcurrency GetFunctionConfiguration GetFunctionEventInvokeConfig GetFunctionRecursionConfig"
    " GetPolicy GetProvisionedConcurrencyConfig GetRuntimeManagementConfig ListAliases"
    " ListFunctionEventInvokeConfigs ListProvisionedConcurrencyConfigs ListVersionsByFunction PublishVersion"
    " PutFunctionConcurrency PutFunctionEventInvokeConfig PutFunctionRecursionConfig"
    " PutProvisionedConcurrencyConfig PutRuntimeManagementConfig RemovePermission UpdateAlias"
    " UpdateFunctionCode UpdateFunctionConfiguration UpdateFunctionEventInvokeConfig",
)
LAMBDA |= {
    "Invoke": _simple("lambda:InvokeFunction", _qualified),
    "InvokeAsync": _simple("lambda:InvokeFunction", _qualified),
    "InvokeWithResponseStream": _simple("lambda:InvokeFunction", _qualified),
    "CreateEventSourceMapping": _new_mapping,
    "PublishLayerVersion": _simple("lambda:PublishLayerVersion", _layer),
}
LAMBDA |= _each("lambda", _mapping, "DeleteEventSourceMapping GetEventSourceMapping UpdateEventSourceMapping")
LAMBDA |= _each(
    "lambda",
    _layer,
    "AddLayerVersionPermission DeleteLayerVersion GetLayerVersion GetLayerVersionPolicy RemoveLayerVersionPermission",
)
LAMBDA |= {"GetLayerVersionByArn": _simple("lambda:GetLayerVersion", _parameter("Arn"))}
LAMBDA |= _each("lambda", _parameter("Resource"), "ListTags TagResource UntagResource")
LAMBDA |= _each(
    "lambda", _everything, "GetAccountSettings ListEventSourceMappings ListFunctions ListLayerVersions ListLayers"
)

SERVED: Mapping[str, Mapping[str, Rule]] = {
    "apigatewayv2": APIGATEWAYV2,
    "cloudformation": CLOUDFORMATION,
    "dynamodb": DYNAMODB,
    "dynamodbstreams": STREAMS,
    "events": EVENTS,
    "iam": IAM,
    "lambda": LAMBDA,
    "logs": LOGS,
    "sns": SNS,
    "sqs": SQS,
    "ssm": SSM,
    "stepfunctions": STEPFUNCTIONS,
    "sts": STS,
}
"""The rules of each operation that is served, by botocore's names of service and operation; S3's are in `s3`."""

PASSED_ROLES: Mapping[tuple[str, str], tuple[str, str]] = {
    ("cloudformation", "CreateChangeSet"): ("RoleARN", "cloudformation.amazonaws.com"),
    ("cloudformation", "CreateStack"): ("RoleARN", "cloudformation.amazonaws.com"),
    ("cloudformation", "ContinueUpdateRollback"): ("RoleARN", "cloudformation.amazonaws.com"),
    ("cloudformation", "DeleteStack"): ("RoleARN", "cloudformation.amazonaws.com"),
    ("cloudformation", "UpdateStack"): ("RoleARN", "cloudformation.amazonaws.com"),
    ("events", "PutRule"): ("RoleArn", "events.amazonaws.com"),
    ("lambda", "CreateFunction"): ("Role", "lambda.amazonaws.com"),
    ("lambda", "UpdateFunctionConfiguration"): ("Role", "lambda.amazonaws.com"),
    ("stepfunctions", "CreateStateMachine"): ("roleArn", "states.amazonaws.com"),
    ("stepfunctions", "UpdateStateMachine"): ("roleArn", "states.amazonaws.com"),
}
"""Where a call hands a role to a service: in which parameter, and to which service.
https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html"""


def passed_roles(call: Call) -> list[Need]:
    """Return what a call needs because it hands a role to a service."""
    parameter, service = PASSED_ROLES.get((call.service, call.operation), ("", ""))
    role = _text(call, parameter) if parameter else ""
    found = [Need("iam:PassRole", role, {"iam:PassedToService": service})] if role else []
    targets = call.parameters.get("Targets") if (call.service, call.operation) == ("events", "PutTargets") else None
    found += [
        Need("iam:PassRole", str(target["RoleArn"]), {"iam:PassedToService": "events.amazonaws.com"})
        for target in (targets if isinstance(targets, list) else [])
        if isinstance(target, dict) and target.get("RoleArn")
    ]
    return found

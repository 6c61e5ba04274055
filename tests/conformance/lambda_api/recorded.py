"""Answers of AWS that LocalStack's tests recorded.

https://github.com/localstack/localstack/tree/8b9a79f/tests/aws/services/lambda_/test_lambda_api.snapshot.json has the
answers, recorded from AWS on the dates that stand there; each line names the test. The calls, and this selection of
facts, are ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

INVALID = "InvalidParameterValueException"
NOT_FOUND = "ResourceNotFoundException"
CONFLICT = "ResourceConflictException"
VALIDATION = "ValidationException"

STATUS = {INVALID: 400, NOT_FOUND: 404, CONFLICT: 409, VALIDATION: 400, "PreconditionFailedException": 412}

FUNCTION_NAME = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?"
    r"([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?"
)
NAMESPACED_NAME = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?"
    r"([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
)
QUALIFIER = r"\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+"
RUNTIMES = (
    "nodejs20.x, python3.14, provided.al2023, python3.12, python3.13, nodejs24.x, nodejs22.x, java25, python3.10, "
    "python3.11, java21, ruby3.3, ruby3.4, ruby3.2, python3.8, python3.9, java17, nodejs16.x, dotnet10, dotnet8, "
    "java11, dotnet6, nodejs18.x, provided.al2, java8.al2"
)
FAILED = "failed to satisfy constraint: Member must"


@dataclass(frozen=True)
class Refusal:
    """A call that AWS refused.

    `<arn>` stands for the ARN of the function `f`, `<function>` for the beginning of any function's ARN, `<layer>` for
    a layer's, `<role>` for a role that Lambda may assume, `<zip>` for a ZIP.
    """

    test: str
    operation: str
    parameters: dict[str, Any]
    code: str
    message: str
    id: str = ""

    def __str__(self) -> str:
        return f"{self.operation}-{self.code}-{self.id or self.test.partition('::')[2]}"


def one(value: str, where: str, constraint: str) -> str:
    return f"1 validation error detected: Value '{value}' at '{where}' {FAILED} {constraint}"


CODE: dict[str, Any] = {"ZipFile": "<zip>"}
WHOLE = {"FunctionName": "new", "Role": "<role>", "Runtime": "python3.12", "Handler": "index.handler", "Code": CODE}


def making(**other: Any) -> dict[str, Any]:
    return {**WHOLE, **other}


NAMES = "TestLambdaFunction::test_function_name_and_qualifier_validation"
PERMISSIONS = "TestLambdaPermissions::test_permission_exceptions"
ROUTING = "TestLambdaAlias::test_notfound_and_invalid_routingconfigs"
LAYERS = "TestLambdaLayer::test_layer_exceptions"
ATTACHED = "TestLambdaLayer::test_layer_function_exceptions"
EVENTS = "TestLambdaEventInvokeConfig::test_lambda_eventinvokeconfig_exceptions"
TAGS = "TestLambdaTags::test_tag_exceptions"
PROVISIONED = "TestLambdaProvisionedConcurrency::test_provisioned_concurrency_exceptions"
WEIGHTS = "routingConfig.additionalVersionWeights"


def alias(name: str = "new", version: str = "1", weights: dict[str, float] | None = None) -> dict[str, Any]:
    routing = {"RoutingConfig": {"AdditionalVersionWeights": weights}} if weights else {}
    return {"FunctionName": "f", "Name": name, "FunctionVersion": version, **routing}


def permission(**other: Any) -> dict[str, Any]:
    given = {"FunctionName": "f", "StatementId": "new", "Action": "lambda:InvokeFunction"}
    return {**given, "Principal": "s3.amazonaws.com", **other}


REFUSALS = (
    # Names
    Refusal(NAMES, "GetFunction", {"FunctionName": "my-function!"}, VALIDATION,
            one("my-function!", "functionName", f"satisfy regular expression pattern: {NAMESPACED_NAME}")),
    Refusal(NAMES, "CreateFunction", making(FunctionName="my-function!"), VALIDATION,
            one("my-function!", "functionName", f"satisfy regular expression pattern: {FUNCTION_NAME}")),
    Refusal(NAMES, "Invoke", {"FunctionName": "f", "Qualifier": "invalid!"}, VALIDATION,
            one("invalid!", "qualifier", f"satisfy regular expression pattern: {QUALIFIER}")),
    Refusal(NAMES, "GetFunction", {"FunctionName": "f", "Qualifier": "a" * 129}, VALIDATION,
            one("a" * 129, "qualifier", "have length less than or equal to 128")),
    Refusal(NAMES, "CreateFunction", making(FunctionName="a" * 65), INVALID,
            one("a" * 65, "functionName", "have length less than or equal to 64")),
    Refusal(NAMES, "GetFunction", {"FunctionName": "a" * 65}, NOT_FOUND, f"Function not found: <function>{'a' * 65}"),
    Refusal(NAMES, "GetFunction", {"FunctionName": "<function>my-function:1:2"}, VALIDATION,
            one("<function>my-function:1:2", "functionName",
                f"satisfy regular expression pattern: {NAMESPACED_NAME}"), "two qualifiers"),
    Refusal(NAMES, "GetFunction", {"FunctionName": "<function>my-function", "Qualifier": "$latest"}, NOT_FOUND,
            "Function not found: <function>my-function:$latest", "lowercase"),
    Refusal(NAMES, "DeleteFunction", {"FunctionName": "<function>my-function", "Qualifier": "$latest"},
            NOT_FOUND, "Function not found: <function>my-function", "lowercase"),
    Refusal(NAMES, "DeleteFunction", {"FunctionName": "my-function", "Qualifier": "a" * 65}, INVALID,
            "Deletion of aliases is not currently supported."),
    Refusal(NAMES, "Invoke", {"FunctionName": "a" * 65}, NOT_FOUND,
            f"Function not found: <function>{'a' * 65}:$LATEST"),
    Refusal("TestLambdaFunction::test_ops_with_arn_qualifier_mismatch", "GetFunction",
            {"FunctionName": "<arn>:$LATEST", "Qualifier": "1"}, INVALID,
            "The derived qualifier from the function name does not match the specified qualifier."),
    Refusal("TestLambdaFunction::test_ops_with_arn_qualifier_mismatch", "DeleteFunction",
            {"FunctionName": "<arn>:$LATEST", "Qualifier": "$LATEST"}, INVALID,
            "$LATEST version cannot be deleted without deleting the function."),
    Refusal("TestLambdaFunction::test_ops_on_nonexisting_version", "GetFunctionConfiguration",
            {"FunctionName": "f", "Qualifier": "1221"}, NOT_FOUND, "Function not found: <arn>:1221"),
    Refusal("TestLambdaFunction::test_delete_on_nonexisting_version", "DeleteFunction",
            {"FunctionName": "gone", "Qualifier": "1"}, NOT_FOUND, "Function not found: <function>gone"),
    Refusal("TestLambdaFunction::test_ops_on_nonexisting_fn", "GetFunctionConcurrency", {"FunctionName": "gone"},
            NOT_FOUND, "Function not found: <function>gone"),
    Refusal("TestLambdaFunction::test_get_function_wrong_region", "GetFunction",
            {"FunctionName": "arn:aws:lambda:ap-southeast-1:000000000000:function:f"}, NOT_FOUND,
            "Functions from 'ap-southeast-1' are not reachable in this region ('us-east-1')"),
    # Making and changing functions
    Refusal("TestLambdaFunction::test_create_lambda_exceptions", "CreateFunction", making(Role="r1"), VALIDATION,
            one("r1", "role", r"satisfy regular expression pattern: arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?"
                              r"[a-zA-Z_0-9+=,.@\-_/]+")),
    Refusal("TestLambdaFunction::test_create_lambda_exceptions", "CreateFunction", making(Runtime="non-existent"),
            INVALID, f"Value non-existent at 'runtime' {FAILED} satisfy enum value set: [{RUNTIMES}] or be a valid ARN",
            "runtime"),
    Refusal("TestLambdaFunction::test_create_lambda_exceptions", "CreateFunction", making(Runtime="PYTHON3.12"),
            INVALID, f"Value PYTHON3.12 at 'runtime' {FAILED} satisfy enum value set: [{RUNTIMES}] or be a valid ARN",
            "upper case"),
    Refusal("TestLambdaFunction::test_create_lambda_exceptions", "CreateFunction",
            making(Architectures=["x86_64", "arm64"]), VALIDATION,
            one("[x86_64, arm64]", "architectures", "have length less than or equal to 1"), "two"),
    Refusal("TestLambdaFunction::test_create_lambda_exceptions", "CreateFunction",
            making(Code={"ZipFile": b"not a zip"}), INVALID,
            "Could not unzip uploaded file. Please check your file, then try to upload again.", "no zip"),
    Refusal("TestRuntimeValidation::test_create_deprecated_function_runtime_with_validation_enabled", "CreateFunction",
            making(Runtime="python3.7"), INVALID,
            "The runtime parameter of python3.7 is no longer supported for creating or updating AWS Lambda functions. "
            "We recommend you use a supported runtime while creating or updating functions."),
    Refusal("TestLambdaFunction::test_lambda_code_location_s3_errors", "CreateFunction",
            making(Code={"S3Bucket": "no-such-bucket", "S3Key": "key"}), INVALID,
            "Error occurred while GetObject. S3 Error Code: NoSuchBucket. S3 Error Message: The specified bucket does "
            "not exist", "bucket"),
    Refusal("TestLambdaFunction::test_lambda_code_location_s3_errors", "CreateFunction",
            making(Code={"S3Bucket": "code", "S3Key": "key"}), INVALID,
            "Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: The specified key does not "
            "exist.", "key"),
    Refusal("TestLambdaSizeLimits::test_large_environment_variables_fails", "CreateFunction",
            making(Environment={"Variables": {"LARGE_VAR": "x" * 4096}}), INVALID,
            "Lambda was unable to configure your environment variables because the environment variables you have "
            f'provided exceeded the 4KB limit. String measured: {{"LARGE_VAR":"{"x" * 4096}"}}'),
    Refusal("TestLambdaSnapStart::test_snapstart_exceptions", "CreateFunction",
            making(SnapStart={"ApplyOn": "invalidOption"}), VALIDATION,
            one("invalidOption", "snapStart.applyOn", "satisfy enum value set: [PublishedVersions, None]")),
    Refusal("TestLambdaImages::test_lambda_zip_file_to_image", "UpdateFunctionCode",
            {"FunctionName": "f", "ImageUri": "image"}, INVALID,
            "Please don't provide ImageUri when updating a function with packageType Zip."),
    Refusal("TestLambdaRevisions::test_function_revisions_basic", "UpdateFunctionCode",
            {"FunctionName": "f", "ZipFile": "<zip>", "RevisionId": "wrong"}, "PreconditionFailedException",
            "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to "
            "retrieve the latest Revision Id"),
    Refusal("TestLambdaRevisions::test_function_revisions_version_and_alias", "PublishVersion",
            {"FunctionName": "f", "RevisionId": "wrong"}, "PreconditionFailedException",
            "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to "
            "retrieve the latest Revision Id"),
    Refusal("TestLambdaFunction::test_list_functions", "ListFunctions", {"FunctionVersion": "invalid"}, VALIDATION,
            one("invalid", "functionVersion", "satisfy enum value set: [ALL]")),
    # Aliases
    Refusal("TestLambdaAlias::test_alias_naming", "CreateAlias", alias("2024"), VALIDATION,
            one("2024", "name", "satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)")),
    Refusal(ROUTING, "CreateAlias", alias(weights={"1": 0.1, "2": 0.2}), INVALID,
            "Number of items in AdditionalVersionWeights cannot be greater than 1", "two"),
    Refusal(ROUTING, "CreateAlias", alias(weights={"1": 0.5}), INVALID,
            "Invalid function version 1. Function version 1 is already included in routing configuration.", "same"),
    Refusal(ROUTING, "CreateAlias", alias(version="10"), NOT_FOUND, "Function not found: <arn>:10"),
    Refusal(ROUTING, "CreateAlias", alias(weights={"10": 0.5}), NOT_FOUND, "Function not found: <arn>:10", "weighted"),
    Refusal(ROUTING, "CreateAlias", alias(version="$LATEST", weights={"1": 0.5}), INVALID,
            "$LATEST is not supported for an alias pointing to more than 1 version", "latest"),
    Refusal(ROUTING, "CreateAlias", alias("live"), CONFLICT, "Alias already exists: <arn>:live"),
    Refusal(ROUTING, "GetAlias", {"FunctionName": "f", "Name": "non-existent"}, NOT_FOUND,
            "Cannot find alias arn: <arn>:non-existent"),
    Refusal("TestLambdaAlias::test_non_existent_alias_update", "UpdateAlias",
            {"FunctionName": "f", "Name": "non-existent"}, NOT_FOUND, "Alias not found: <arn>:non-existent"),
    # Versions
    Refusal("TestLambdaVersions::test_publish_with_wrong_sha256", "PublishVersion",
            {"FunctionName": "f", "CodeSha256": "somenonexistentsha256"}, INVALID,
            "CodeSHA256 (somenonexistentsha256) is different from current CodeSHA256 in $LATEST (<sha256>). Please try "
            "again with the CodeSHA256 in $LATEST."),
    # Policies
    Refusal(PERMISSIONS, "AddPermission", permission(StatementId="example.com"), VALIDATION,
            one("example.com", "statementId", "satisfy regular expression pattern: ([a-zA-Z0-9-_]+)")),
    Refusal(PERMISSIONS, "AddPermission", permission(FunctionName="f:$LATEST", Qualifier="$LATEST"), INVALID,
            "We currently do not support adding policies for $LATEST.", "latest"),
    Refusal(PERMISSIONS, "AddPermission", permission(Principal="invalid.nonaws.com"), INVALID,
            "The provided principal was invalid. Please check the principal and try again.", "principal"),
    Refusal(PERMISSIONS, "AddPermission", permission(FunctionName="gone"), NOT_FOUND,
            "Function not found: <function>gone", "function"),
    Refusal(PERMISSIONS, "AddPermission", permission(FunctionName="f:no-alias"), NOT_FOUND,
            "Cannot find alias arn: <arn>:no-alias", "alias"),
    Refusal(PERMISSIONS, "AddPermission", permission(Qualifier="42"), NOT_FOUND, "Function not found: <arn>:42",
            "version"),
    Refusal(PERMISSIONS, "AddPermission", permission(Qualifier="valid-with-$-but-doesnotexist"), NOT_FOUND,
            "Function not found: <arn>:valid-with-$-but-doesnotexist", "dollar"),
    Refusal(PERMISSIONS, "AddPermission", permission(StatementId="s3"), CONFLICT,
            "The statement id (s3) provided already exists. Please provide a new statement id, or remove the existing "
            "statement."),
    Refusal(PERMISSIONS, "GetPolicy", {"FunctionName": "gone"}, NOT_FOUND,
            "The resource you requested does not exist.", "function"),
    Refusal(PERMISSIONS, "GetPolicy", {"FunctionName": "f", "Qualifier": "999"}, NOT_FOUND,
            "The resource you requested does not exist.", "version"),
    Refusal(PERMISSIONS, "RemovePermission", {"FunctionName": "g", "StatementId": "s3"}, NOT_FOUND,
            "No policy is associated with the given resource.", "policy"),
    Refusal(PERMISSIONS, "RemovePermission", {"FunctionName": "gone", "StatementId": "s3"}, NOT_FOUND,
            "No policy found for: <function>gone", "function"),
    Refusal(PERMISSIONS, "RemovePermission", {"FunctionName": "f", "StatementId": "s3", "Qualifier": "no-alias"},
            NOT_FOUND, "Cannot find alias arn: <arn>:no-alias", "alias"),
    Refusal("TestLambdaPermissions::test_remove_multi_permissions", "RemovePermission",
            {"FunctionName": "f", "StatementId": "non-existent"}, NOT_FOUND,
            "Statement non-existent is not found in resource policy."),
    # Concurrency
    Refusal("TestLambdaReservedConcurrency::test_function_concurrency_exceptions", "PutFunctionConcurrency",
            {"FunctionName": "gone", "ReservedConcurrentExecutions": 1}, NOT_FOUND,
            "Function not found: <function>gone:$LATEST"),
    Refusal("TestLambdaReservedConcurrency::test_function_concurrency_exceptions", "PutFunctionConcurrency",
            {"FunctionName": "<arn>:$LATEST", "ReservedConcurrentExecutions": 1}, INVALID,
            "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
            "Please specify either a function name or an unqualified function ARN."),
    Refusal("TestLambdaReservedConcurrency::test_function_concurrency_limits", "PutFunctionConcurrency",
            {"FunctionName": "f", "ReservedConcurrentExecutions": 901}, INVALID,
            "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
            "below its minimum value of [100].", "account"),
    Refusal(PROVISIONED, "GetProvisionedConcurrencyConfig", {"FunctionName": "f", "Qualifier": "1"},
            "ProvisionedConcurrencyConfigNotFoundException",
            "No Provisioned Concurrency Config found for this function"),
    Refusal(PROVISIONED, "GetProvisionedConcurrencyConfig", {"FunctionName": "f", "Qualifier": "noalias"}, NOT_FOUND,
            "Cannot find alias arn: <arn>:noalias", "alias"),
    Refusal(PROVISIONED, "GetProvisionedConcurrencyConfig", {"FunctionName": "f", "Qualifier": "$LATEST"}, INVALID,
            "The function resource provided must be an alias or a published version."),
    Refusal(PROVISIONED, "PutProvisionedConcurrencyConfig",
            {"FunctionName": "f", "Qualifier": "$LATEST", "ProvisionedConcurrentExecutions": 1}, INVALID,
            "Provisioned Concurrency Configs cannot be applied to unpublished function versions."),
    # Asynchronous invocations
    Refusal(EVENTS, "PutFunctionEventInvokeConfig", {"FunctionName": "gone", "MaximumRetryAttempts": 1}, NOT_FOUND,
            "The function doesn't exist."),
    Refusal(EVENTS, "PutFunctionEventInvokeConfig", {"FunctionName": "gone"}, INVALID,
            "You must specify at least one of error handling or destination setting."),
    Refusal(EVENTS, "PutFunctionEventInvokeConfig",
            {"FunctionName": "f", "DestinationConfig": {"OnSuccess": {"Destination": "<function>gone"}}}, INVALID,
            "The destination ARN <function>gone is invalid.", "function"),
    Refusal(EVENTS, "PutFunctionEventInvokeConfig",
            {"FunctionName": "f", "DestinationConfig": {"OnSuccess": {"Destination": "<arn>"}}}, INVALID,
            "You can't specify the function as a destination for itself.", "itself"),
    Refusal(EVENTS, "PutFunctionEventInvokeConfig",
            {"FunctionName": "f", "DestinationConfig": {
                "OnSuccess": {"Destination": "arn:aws:iam:us-east-1:000000000000:function:f"}}}, INVALID,
            "The provided destination config DestinationConfig(onSuccess=OnSuccess(destination="
            "arn:aws:iam:us-east-1:000000000000:function:f), onFailure=null) is invalid.", "service"),
    Refusal(EVENTS, "GetFunctionEventInvokeConfig", {"FunctionName": "f", "Qualifier": "live"}, NOT_FOUND,
            "The function <arn>:live doesn't have an EventInvokeConfig"),
    Refusal(EVENTS, "DeleteFunctionEventInvokeConfig", {"FunctionName": "f"}, NOT_FOUND,
            "The function <arn>:$LATEST doesn't have an EventInvokeConfig"),
    Refusal(EVENTS, "UpdateFunctionEventInvokeConfig", {"FunctionName": "f", "MaximumRetryAttempts": 0}, NOT_FOUND,
            "The function <arn>:$LATEST doesn't have an EventInvokeConfig"),
    Refusal(EVENTS, "ListFunctionEventInvokeConfigs", {"FunctionName": "gone"}, NOT_FOUND,
            "The function doesn't exist."),
    # Tags
    Refusal(TAGS, "TagResource", {"Resource": "<function>gone", "Tags": {"a": "b"}}, NOT_FOUND,
            "Function not found: <function>gone"),
    Refusal(TAGS, "TagResource", {"Resource": "<arn>:v1", "Tags": {"a": "b"}}, INVALID,
            "Tags on function aliases and versions are not supported. Please specify a function ARN."),
    Refusal(TAGS, "TagResource", {"Resource": "<arn>", "Tags": {}}, INVALID,
            "An error occurred and the request cannot be processed.", "none"),
    Refusal("TestLambdaTags::test_tag_limits", "TagResource",
            {"Resource": "<arn>", "Tags": {str(number): "x" for number in range(51)}}, INVALID,
            "Number of tags exceeds resource tag limit."),
    Refusal("TestLambdaTags::test_tag_limits", "CreateFunction", making(Tags={str(n): "x" for n in range(51)}), INVALID,
            "Number of tags exceeds resource tag limit."),
    # Layers
    Refusal(LAYERS, "ListLayers", {"CompatibleArchitecture": "archdoesnotexist"}, VALIDATION,
            one("archdoesnotexist", "compatibleArchitecture", "satisfy enum value set: [x86_64, arm64]")),
    Refusal(LAYERS, "GetLayerVersion", {"LayerName": "gone", "VersionNumber": 1}, NOT_FOUND,
            "The resource you requested does not exist."),
    Refusal(LAYERS, "GetLayerVersion", {"LayerName": "l", "VersionNumber": 0}, INVALID,
            "Layer Version Cannot be less than 1"),
    Refusal(LAYERS, "GetLayerVersionByArn", {"Arn": "<layer>l:9"}, NOT_FOUND,
            "The resource you requested does not exist."),
    Refusal(LAYERS, "PublishLayerVersion",
            {"LayerName": "new", "Content": CODE, "CompatibleRuntimes": ["invalidruntime"]}, VALIDATION,
            one("[invalidruntime]", "compatibleRuntimes", f"satisfy enum value set: [{RUNTIMES}]")),
    Refusal(ATTACHED, "UpdateFunctionConfiguration", {"FunctionName": "f", "Layers": ["<layer>l:1", "<layer>l:2"]},
            INVALID, "Two different versions of the same layer are not allowed to be referenced in the same function. "
            "<layer>l:1 and <layer>l:2 are versions of the same layer.", "two"),
    Refusal(ATTACHED, "UpdateFunctionConfiguration", {"FunctionName": "f", "Layers": ["<layer>doesnotexist:1"]},
            INVALID, "Layer version <layer>doesnotexist:1 does not exist.", "gone"),
    Refusal(ATTACHED, "CreateFunction",
            making(Layers=["arn:aws:lambda:eu-west-1:000000000000:layer:l:1"]), INVALID,
            "Layers are not in the same region as the function. Layers are expected to be in region us-east-1."),
    Refusal("TestLambdaLayer::test_layer_function_quota_exception", "CreateFunction",
            making(Layers=[f"<layer>l{number}:1" for number in range(6)]), INVALID,
            "Cannot reference more than 5 layers."),
    Refusal("TestLambdaLayer::test_layer_policy_exceptions", "AddLayerVersionPermission",
            {"LayerName": "gone", "VersionNumber": 1, "StatementId": "s", "Action": "lambda:GetLayerVersion",
             "Principal": "*"}, NOT_FOUND, "Layer version <layer>gone:1 does not exist."),
    Refusal("TestLambdaLayer::test_layer_policy_exceptions", "AddLayerVersionPermission",
            {"LayerName": "l", "VersionNumber": 1, "StatementId": "s", "Action": "*", "Principal": "*"}, VALIDATION,
            one("*", "action", "satisfy regular expression pattern: lambda:GetLayerVersion")),
    # Settings
    Refusal("TestLambdaRecursion::test_put_function_recursion_config_invalid_value", "PutFunctionRecursionConfig",
            {"FunctionName": "f", "RecursiveLoop": "InvalidValue"}, VALIDATION,
            one("InvalidValue", "recursiveLoop", "satisfy enum value set: [Allow, Terminate]")),
)  # fmt: skip
"""The last one is recorded with its values in the other order, which has no meaning: AWS prints sets."""


@dataclass(frozen=True)
class Log:
    """The LoggingConfig that AWS answered to an update, after the one before it."""

    test: str
    given: dict[str, str]
    answered: dict[str, str] = field(default_factory=dict)


LOGGING = "TestLoggingConfig::test_"
JSON_INFO = {"ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO", "LogFormat": "JSON"}

LOGS = (
    Log(f"{LOGGING}advanced_logging_configuration_format_switch", {"LogFormat": "JSON"}, JSON_INFO),
    Log(f"{LOGGING}advanced_logging_configuration_format_switch", {"LogFormat": "Text"}, {"LogFormat": "Text"}),
    Log(
        f"{LOGGING}function_partial_advanced_logging_configuration_update",
        {"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG"},
        {**JSON_INFO, "ApplicationLogLevel": "DEBUG"},
    ),
    Log(
        f"{LOGGING}function_advanced_logging_configuration",
        {"LogGroup": "cool_lambda"},
        {**JSON_INFO, "ApplicationLogLevel": "DEBUG", "LogGroup": "cool_lambda"},
    ),
)
"""One after the other, of one function."""

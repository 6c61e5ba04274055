"""The names of Greenroom's parts in AWS. Pure; `template.yaml` and `algorithm.yaml` build the same names."""

from __future__ import annotations

PROD = "prod"
TEST_ALIAS_PREFIX = "test-"
LIVE = "live"
LIVE_TEST_ALIAS = f"{TEST_ALIAS_PREFIX}{LIVE}"
"""The alias through which the live version is tested, without its queue or bucket."""

MAX_BUCKET_NAME = 63
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html"""


def algorithm_stack(prefix: str, algorithm: str) -> str:
    """Return the name of the algorithm's stack, which its function has too."""
    return f"{prefix}-alg-{algorithm}"


def algorithm_function(prefix: str, algorithm: str) -> str:
    """Return the name of the algorithm's Lambda function."""
    return algorithm_stack(prefix, algorithm)


def input_queue(prefix: str, algorithm: str) -> str:
    """Return the name of the queue that the algorithm takes its documents from."""
    return f"{algorithm_stack(prefix, algorithm)}-input"


def dead_letter_queue(prefix: str, algorithm: str) -> str:
    """Return the name of the dead-letter queue, with the documents that the algorithm could not handle."""
    return f"{algorithm_stack(prefix, algorithm)}-dlq"


def algorithm_bucket(prefix: str, algorithm: str, account_id: str, region: str) -> str:
    """Return the name of the algorithm's bucket, which is unique in all of AWS."""
    return f"{algorithm_stack(prefix, algorithm)}-{account_id}-{region}"


def test_alias(memory_mb: int) -> str:
    """Return the name of the alias through which a memory size is tested."""
    return f"{TEST_ALIAS_PREFIX}{memory_mb}"


def execution_arn(state_machine_arn: str, execution: str) -> str:
    """Return the ARN of a state machine's execution, which has the machine's own except for the kind of resource.
    https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsstepfunctions.html"""
    return f"{state_machine_arn.replace(':stateMachine:', ':execution:')}:{execution}"


def log_group(function_name: str) -> str:
    """Return the name of a function's CloudWatch log group."""
    return f"/aws/lambda/{function_name}"

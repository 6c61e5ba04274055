"""The AWS SDK for Python, which every Python runtime of Lambda brings along."""

from __future__ import annotations

SDK_MODULES = {
    "boto3": "boto3",
    "botocore": "botocore",
    "jmespath": "jmespath",
    "python-dateutil": "dateutil",
    "s3transfer": "s3transfer",
    "six": "six",
    "urllib3": "urllib3",
}
"""The SDK's distributions, each with the module that it installs.
https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html#python-sdk-included"""

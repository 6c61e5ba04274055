"""What a request to S3 asks for: bucket, key and subresource, and what each operation needs of its caller.

Addresses are path-style, `/bucket/key`: botocore takes them where the endpoint is an IP address or `localhost`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from xml.etree import ElementTree

from greenroom.embedded.front.protocols import Call, model, operation_model
from greenroom.embedded.front.request import Refused, Request, decoded, malformed

BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html"""

MAX_KEY_BYTES = 1_024
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html"""

PASSED_HEADERS = re.compile(
    r"content-(?:type|md5|encoding|disposition|language|length)|cache-control|expires|range|if-.+|host|date|authorization|expect"
    r"|x-amz-(?:meta-.+|content-sha256|date|security-token|decoded-content-length|trailer|checksum-.+)"
)
"""What S3 reads besides the headers that botocore's model names for an operation."""

PRESIGN = re.compile(
    r"(?i)x-amz-(?:algorithm|credential|date|expires|signedheaders|signature|security-token|content-sha256)"
)
SDK_NOTE = "x-id"
"""Some SDKs name the operation in the query, for logs."""


@dataclass(frozen=True)
class Target:
    """What a path names: nothing, a bucket, or an object."""

    bucket: str = ""
    key: str = ""

    @property
    def level(self) -> str:
        """Return the path as botocore's model writes it."""
        return "/{Bucket}/{Key+}" if self.key else "/{Bucket}" if self.bucket else "/"


def target_of(raw_path: str) -> Target:
    """Return what a path names. Raises Refused if it is not a bucket's or an object's."""
    bucket, slash, key = raw_path.removeprefix("/").partition("/")
    if not bucket:
        if slash:
            raise malformed("the path has no bucket")
        return Target()
    if not BUCKET.fullmatch(bucket):
        raise Refused(400, "InvalidBucketName", "The specified bucket is not valid.")
    key = decoded(key)
    if len(key.encode()) > MAX_KEY_BYTES:
        raise Refused(400, "KeyTooLongError", "Your key is too long")
    return Target(bucket, key)


def parse_s3(request: Request) -> Call:
    """Parse a request to S3; of a presigned one, the signature's parameters are left out of the query."""
    target = target_of(request.raw_path)
    query = {name: value for name, value in request.parameters().items() if not PRESIGN.fullmatch(name)}
    operation = _operation(request, target, query)
    shape = operation_model("s3", operation).input_shape
    if _takes_xml(operation):
        _check_xml(request.body)
    literal = _literals(operation_model("s3", operation).http["requestUri"])
    names, headers = dict[str, str](), dict[str, str]()
    for name, member in shape.members.items() if shape is not None else ():
        where = member.serialization
        if where.get("location") == "querystring":
            names[where["name"]] = name
        elif where.get("location") == "header":
            headers[where["name"].lower()] = name
    unknown = set(query) - set(names) - set(literal) - {SDK_NOTE}
    if unknown:
        raise Refused(400, "InvalidArgument", f"{operation} has no query parameter {min(unknown)}")
    parameters = {"Bucket": target.bucket, "Key": target.key}
    parameters |= {names[name]: value for name, value in query.items() if name in names}
    parameters |= {headers[name]: value for name, value in request.headers.items() if name in headers}
    passed = {
        name: value for name, value in request.headers.items() if name in headers or PASSED_HEADERS.fullmatch(name)
    }
    path = f"/{target.bucket}/{target.key}" if target.key else f"/{target.bucket}"
    query.pop(SDK_NOTE, None)
    sent = {name: [value] for name, value in query.items()}
    return Call("s3", operation, parameters, request.method, path, sent, passed, request.body)


@cache
def _takes_xml(operation: str) -> bool:
    shape = operation_model("s3", operation).input_shape
    payload = shape.serialization.get("payload") if shape is not None else None
    return shape is not None and payload is not None and shape.members[payload].type_name == "structure"


def _check_xml(body: bytes) -> None:
    """Raise Refused if an XML body may define entities, which grow a hundredfold when they are read.

    In UTF-16, where `<!` looks different, a zero byte is in every character of markup.
    """
    if b"\0" in body or b"<!" in body:
        raise Refused(400, "MalformedXML", "a request is UTF-8 without a document type")


def _operation(request: Request, target: Target, query: Mapping[str, str]) -> str:
    """Return the operation that method, level and subresources make."""
    sub = frozenset((name, query[name]) for name in _subresources() if name in query)
    found = _table().get((request.method, target.level, frozenset(name for name, _ in sub)))
    if found is None or any(value != found[1].get(name, "") for name, value in sub if name != "uploadId"):
        raise Refused(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
    operation = found[0]
    if "x-amz-copy-source" in request.headers:
        operation = {"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}.get(operation, operation)
    return operation


@cache
def _subresources() -> frozenset[str]:
    """Return the query parameters that choose an operation."""
    names = {"uploadId"}
    for operation in model("s3").operation_names:
        names |= set(_literals(operation_model("s3", operation).http["requestUri"]))
    return frozenset(names)


@cache
def _table() -> Mapping[tuple[str, str, frozenset[str]], tuple[str, Mapping[str, str]]]:
    """Return the operations by method, level and subresources, with the values that these have."""
    table = {}
    for operation in model("s3").operation_names:
        http = operation_model("s3", operation).http
        literal = _literals(http["requestUri"])
        names = set(literal)
        if operation in _BY_UPLOAD:
            names.add("uploadId")
        if operation not in _OTHER_FORMS:
            table[http["method"], http["requestUri"].partition("?")[0], frozenset(names)] = operation, literal
    return table


_BY_UPLOAD = frozenset({"AbortMultipartUpload", "CompleteMultipartUpload", "ListParts", "UploadPart"})
_OTHER_FORMS = frozenset(
    {"CopyObject", "UploadPartCopy", "ListDirectoryBuckets", "GetBucketNotification", "PutBucketNotification"}
    | {"GetBucketLifecycle", "PutBucketLifecycle", "WriteGetObjectResponse"}
)
"""Operations with the address of another one: older forms, and copies, which a header makes."""


def _literals(uri: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in uri.partition("?")[2].split("&") if pair)
    return {name: value for name, _, value in pairs}


# What an operation needs of its caller, as (action, ARN).

NEEDS: Mapping[str, str] = {
    "ListBuckets": "ListAllMyBuckets",
    "CreateBucket": "CreateBucket",
    "DeleteBucket": "DeleteBucket",
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "GetBucketLocation": "GetBucketLocation",
    "GetBucketVersioning": "GetBucketVersioning",
    "PutBucketVersioning": "PutBucketVersioning",
    "GetBucketPolicy": "GetBucketPolicy",
    "PutBucketPolicy": "PutBucketPolicy",
    "DeleteBucketPolicy": "DeleteBucketPolicy",
    "GetBucketCors": "GetBucketCORS",
    "PutBucketCors": "PutBucketCORS",
    "DeleteBucketCors": "PutBucketCORS",
    "GetBucketTagging": "GetBucketTagging",
    "PutBucketTagging": "PutBucketTagging",
    "DeleteBucketTagging": "PutBucketTagging",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "PutBucketNotificationConfiguration": "PutBucketNotification",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "GetObject": "GetObject",
    "HeadObject": "GetObject",
    "GetObjectAttributes": "GetObjectAttributes",
    "PutObject": "PutObject",
    "CopyObject": "PutObject",
    "DeleteObject": "DeleteObject",
    "DeleteObjects": "DeleteObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "AbortMultipartUpload": "AbortMultipartUpload",
    "ListParts": "ListMultipartUploadParts",
    "GetObjectTagging": "GetObjectTagging",
    "PutObjectTagging": "PutObjectTagging",
    "DeleteObjectTagging": "DeleteObjectTagging",
}
"""The operations that are served, and the action that each needs.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html"""

OF_A_VERSION: Mapping[str, str] = {
    "GetObject": "GetObjectVersion",
    "GetObjectAttributes": "GetObjectVersionAttributes",
    "DeleteObject": "DeleteObjectVersion",
    "GetObjectTagging": "GetObjectVersionTagging",
    "PutObjectTagging": "PutObjectVersionTagging",
    "DeleteObjectTagging": "DeleteObjectVersionTagging",
}
"""The action in place of another where the request names a version."""

BY_PARAMETER: Mapping[str, str] = {
    "Tagging": "PutObjectTagging",
    "ACL": "PutObjectAcl",
    "GrantFullControl": "PutObjectAcl",
    "GrantRead": "PutObjectAcl",
    "GrantReadACP": "PutObjectAcl",
    "GrantWriteACP": "PutObjectAcl",
    "ObjectLockMode": "PutObjectRetention",
    "ObjectLockRetainUntilDate": "PutObjectRetention",
    "ObjectLockLegalHoldStatus": "PutObjectLegalHold",
    "BypassGovernanceRetention": "BypassGovernanceRetention",
}
"""What a parameter of an object's operation needs besides."""


def needed(call: Call) -> list[tuple[str, str]]:
    """Return the actions, and what each is evaluated on, of an operation that is served."""
    action, named = NEEDS[call.operation], call.parameters
    if call.operation == "ListBuckets":
        return [(f"s3:{action}", "*")]
    bucket = f"arn:aws:s3:::{named['Bucket']}"
    if call.operation == "DeleteObjects":
        return [
            (f"s3:{OF_A_VERSION[action] if version else action}", f"{bucket}/{key}")
            for key, version in deleted(call.body)
        ]
    if not named["Key"]:
        return [(f"s3:{action}", bucket)]
    if named.get("VersionId"):
        action = OF_A_VERSION.get(action, action)
    found = [(f"s3:{action}", f"{bucket}/{named['Key']}")]
    if call.operation == "GetObjectAttributes":
        found.append(("s3:GetObjectVersion" if named.get("VersionId") else "s3:GetObject", found[0][1]))
    if call.operation != "PutObjectTagging":
        found += [(f"s3:{also}", found[0][1]) for name, also in BY_PARAMETER.items() if named.get(name)]
    if "CopySource" in named:
        found.append(_source(named["CopySource"]))
    return found


def _source(text: str) -> tuple[str, str]:
    """Return what reading the source of a copy needs."""
    path, _, version = text.removeprefix("/").partition("?")
    source = target_of(f"/{path}")
    if not source.key or (version and not re.fullmatch(r"versionId=[\w.%-]+", version)):
        raise Refused(400, "InvalidArgument", "the copy's source is not /bucket/key?versionId=…")
    return ("s3:GetObjectVersion" if version else "s3:GetObject", f"arn:aws:s3:::{source.bucket}/{source.key}")


def deleted(body: bytes) -> list[tuple[str, str]]:
    """Return key and version of each object that DeleteObjects names. Raises Refused if the body is not its XML."""
    _check_xml(body)
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 -- without a document type there are no entities to expand
    except ElementTree.ParseError:
        raise Refused(400, "MalformedXML", "The XML you provided was not well-formed") from None
    found = []
    for each in root.iter():
        if _local(each.tag) == "Object":
            texts = [(_local(child.tag), child.text or "") for child in each]
            named = dict(texts)
            if len(named) != len(texts) or not named.get("Key"):
                raise Refused(400, "MalformedXML", "an object has one key")
            found.append((named["Key"], named.get("VersionId", "")))
    if not found:
        raise Refused(400, "MalformedXML", "no object is named")
    return found


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]

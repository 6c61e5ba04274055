"""Who sent a request: the key that it names, and the signature that proves it.

The arithmetic of Signature Version 4 is ministack's, the credentials are those that it keeps. What it lets pass is
checked here: a body that is another one than its signed hash says, a header that counts and is not signed, a date that
is none, a signature of another kind.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

from greenroom.embedded.front.request import Refused, Request
from greenroom.embedded.process import ACCOUNT_ID, REGION

ALGORITHM = "AWS4-HMAC-SHA256"
MOST_EXPIRES_S = 7 * 24 * 3600
"""https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html"""

UNSIGNED_BODIES = frozenset({"UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"})
SIGNED_STREAM = frozenset({"STREAMING-AWS4-HMAC-SHA256-PAYLOAD"})
"""What x-amz-content-sha256 says in place of a hash. Only S3 takes these.
https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html"""

AUTHORIZATION = re.compile(
    rf"{ALGORITHM} Credential=[\w+=.@-]+/\d{{8}}/[a-z0-9-]+/[a-z0-9-]+/aws4_request, ?SignedHeaders=[a-z0-9;_.-]+, ?"
    r"Signature=[0-9a-f]{64}"
)
SIGNING = re.compile(
    r"(?i)x-amz-(algorithm|credential|date|expires|signedheaders|signature|security-token)|awsaccesskeyid"
)
NEED_NO_SIGNATURE = frozenset({"x-amz-cf-id"})


@dataclass(frozen=True)
class Claim:
    """What a request says of itself: who signed it, for which service, and how."""

    signature: Any
    presigned: bool
    token: str

    @property
    def access_key_id(self) -> str:
        """Return the id of the key that it is said to be signed with."""
        return str(self.signature.access_key_id)

    @property
    def service(self) -> str:
        """Return the name of the service in the credential's scope."""
        return str(self.signature.service)


@dataclass(frozen=True)
class Caller:
    """Who a key belongs to: who has sent a request, as soon as its signature was found to be made with the secret."""

    access_key_id: str
    arn: str
    secret: str = field(repr=False)


def claim_of(request: Request) -> Claim:
    """Return what a request says of itself. Raises Refused if it says nothing, two things, or nothing usable."""
    from ministack.core import sigv4

    authorization, query = request.header("authorization"), _of_the_signature(request)
    if not authorization and not query:
        raise Refused(403, "MissingAuthenticationToken", "Request is missing Authentication Token")
    if authorization and query:
        raise Refused(400, "InvalidRequest", "a request is signed in a header or in its query, not in both")
    if authorization:
        if not authorization.startswith(f"{ALGORITHM} "):
            raise Refused(403, "IncompleteSignature", f"a request is signed by {ALGORITHM}")
        if not AUTHORIZATION.fullmatch(authorization):
            raise Refused(403, "IncompleteSignature", "the header Authorization is not written as SDKs write it")
        signature = sigv4.parse_header_signature(request.headers)
        token = request.header("x-amz-security-token")
    else:
        if query.get("X-Amz-Algorithm") != ALGORITHM:
            raise Refused(403, "IncompleteSignature", f"a request is signed by {ALGORITHM}")
        if not query.get("X-Amz-Credential", "").endswith("/aws4_request"):
            raise Refused(403, "AuthorizationQueryParametersError", "the credential's scope ends with aws4_request")
        signature = sigv4.parse_query_signature(query)
        token = query.get("X-Amz-Security-Token", "")
    if isinstance(signature, tuple):
        raise Refused(403, *signature)
    return Claim(signature, presigned=not authorization, token=token)


def _of_the_signature(request: Request) -> dict[str, str]:
    """Return the query's parameters that sign a request. Raises Refused if one is there twice, in whatever case."""
    found = [(name, value) for name, value in request.query if SIGNING.fullmatch(name)]
    if len({name.lower() for name, _ in found}) != len(found):
        raise Refused(400, "AuthorizationQueryParametersError", "a parameter of the signature is there twice")
    return dict(found)


def check_head(request: Request, claim: Claim) -> Caller:
    """Check what can be checked before the body is there, and return whose key it is. Raises Refused."""
    from ministack.core import iam_evaluator, sigv4

    signature = claim.signature
    if not re.fullmatch(r"[0-9a-f]{64}", signature.signature) or sigv4._amz_datetime(signature.amz_date) is None:
        raise Refused(403, "IncompleteSignature", "the signature or its date is malformed")
    if signature.region != REGION:
        raise Refused(403, "SignatureDoesNotMatch", f"Credential should be scoped to a valid region: {REGION}.")
    if claim.presigned:
        _check_expiry(request, claim)
    else:
        skewed = sigv4.request_time_failure(signature)
        if skewed:
            raise Refused(403, *skewed)
    _check_signed_headers(request, claim)
    found = iam_evaluator.resolve_credential(claim.access_key_id, ACCOUNT_ID, claim.token)
    if isinstance(found, iam_evaluator.CredentialResolutionError):
        raise Refused(403, *_unusable(claim, found))
    return Caller(claim.access_key_id, str(found.principal_arn), str(found.secret_access_key))


def _unusable(claim: Claim, found: Any) -> tuple[str, str]:
    """Return code and message for a key that is unknown, inactive or expired, as the service says it."""
    if claim.service == "s3":
        codes = {"ExpiredTokenException": "ExpiredToken", "InvalidToken": "InvalidToken"}
        code = codes.get(found.code, "InvalidAccessKeyId")
        return code, "The AWS Access Key Id you provided does not exist in our records."
    if claim.service in ("iam", "sts", "sns", "cloudformation"):
        code = "ExpiredToken" if found.code == "ExpiredTokenException" else "InvalidClientTokenId"
        return code, str(found.message)
    return str(found.code), str(found.message)


def _check_expiry(request: Request, claim: Claim) -> None:
    from ministack.core import sigv4

    if claim.service != "s3":
        raise Refused(403, "SignatureDoesNotMatch", "only addresses of S3 are signed in their query")
    expires = _of_the_signature(request).get("X-Amz-Expires", "")
    if not re.fullmatch(r"\d{1,6}", expires) or not 1 <= int(expires) <= MOST_EXPIRES_S:
        raise Refused(400, "AuthorizationQueryParametersError", "X-Amz-Expires is between 1 and 604800 seconds")
    skewed = sigv4.request_time_failure(claim.signature)
    if skewed and "not yet current" in skewed[1]:
        raise Refused(403, "AccessDenied", "Request is not valid yet")
    if sigv4.presigned_request_is_expired(claim.signature.amz_date, expires):
        raise Refused(403, "AccessDenied", "Request has expired")


def _check_signed_headers(request: Request, claim: Claim) -> None:
    """Check that everything that counts is signed: the host, and every header of AWS's own."""
    signed = claim.signature.signed_headers.split(";")
    own = {name for name in request.headers if name.startswith("x-amz-")} - NEED_NO_SIGNATURE
    if not {"host", *own} <= set(signed) or len(set(signed)) != len(signed):
        raise Refused(403, "SignatureDoesNotMatch", "There were headers present in the request which were not signed")


def check_body(request: Request, claim: Claim, caller: Caller) -> None:
    """Check the signature, with the body. Raises Refused."""
    from ministack.core import sigv4

    said = request.header("x-amz-content-sha256")
    if not claim.presigned and said:
        _check_hash(said, request.body, claim.service)
    query: dict[str, list[str]] = {}
    for name, value in request.query:
        query.setdefault(name, []).append(value)
    failure = sigv4.header_signature_failure(
        claim.signature,
        caller.secret,
        request.method,
        request.raw_path,
        query,
        request.headers,
        request.body,
        presigned=claim.presigned,
    )
    if failure:
        raise Refused(403, *failure)


def _check_hash(said: str, body: bytes, service: str) -> None:
    if said in UNSIGNED_BODIES | SIGNED_STREAM:
        if service != "s3":
            raise Refused(403, "SignatureDoesNotMatch", "only S3 takes a body that is not signed as a whole")
    elif said != hashlib.sha256(body).hexdigest():
        raise Refused(
            400 if service == "s3" else 403,
            "XAmzContentSHA256Mismatch" if service == "s3" else "SignatureDoesNotMatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )

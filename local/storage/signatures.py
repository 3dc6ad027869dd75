"""Verifies that a request to the object storage was signed with the secret access key (AWS Signature Version 4).

Both forms are checked: the `Authorization` header of an SDK, and the query of a presigned URL with its expiry.
Source: docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html, read 2026-11.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote

from local.storage.refusals import S3Refusal

UNSIGNED = "UNSIGNED-PAYLOAD"
_MAX_EXPIRY_SECONDS = 7 * 24 * 3600
_MAX_SKEW = timedelta(minutes=15)
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=([^,\s]+), *SignedHeaders=([^,\s]+), *Signature=([0-9a-f]{64})\s*"
)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """The signed part of a request. `path` is as sent, percent-encoded; header names are in lower case."""

    method: str
    path: str
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Claim:
    credential: str
    signed_headers: str
    signature: str
    at: str
    expires: timedelta | None


class Verifier:
    """Checks signatures against the only access key."""

    def __init__(self, access_key: str, secret_key: str) -> None:
        self._access_key = access_key
        self._secret_key = secret_key

    def verify(self, request: SignedRequest, *, now: datetime) -> str:
        """Return the SHA-256 that the body must have, in hex, or `UNSIGNED-PAYLOAD`.

        Raises:
            S3Refusal: the request is not signed, was signed for another time or access key, or was changed after signing.
        """
        claim = _read_claim(request)
        access_key, _, scope = claim.credential.partition("/")
        scope_parts = scope.split("/")
        if len(scope_parts) != 4 or scope_parts[2:] != ["s3", "aws4_request"]:
            raise S3Refusal(
                400,
                "AuthorizationHeaderMalformed",
                "The credential does not name a day, a region, s3 and aws4_request.",
            )
        if access_key != self._access_key:
            raise S3Refusal(403, "InvalidAccessKeyId", "The access key is unknown.")
        _check_time(claim, scope_parts[0], now)
        signed = claim.signed_headers.split(";")
        _check_signed_headers(request, signed)
        body_hash = _body_hash(request, presigned=claim.expires is not None)
        expected = self._signature(request, claim, scope_parts, signed, body_hash)
        if not hmac.compare_digest(expected, claim.signature):
            raise S3Refusal(
                403,
                "SignatureDoesNotMatch",
                "The signature does not match the request. Check the secret access key and how the request was signed.",
            )
        return body_hash

    def _signature(
        self,
        request: SignedRequest,
        claim: _Claim,
        scope: list[str],
        signed: list[str],
        body_hash: str,
    ) -> str:
        headers = "".join(
            f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in signed
        )
        query = "&".join(
            f"{name}={value}"
            for name, value in sorted(
                (_encoded(name), _encoded(value))
                for name, value in request.query
                if name != "X-Amz-Signature"
            )
        )
        path = quote(unquote(request.path), safe="/-_.~")
        canonical = "\n".join(
            [request.method, path, query, headers, claim.signed_headers, body_hash]
        )
        to_sign = "\n".join(
            [
                "AWS4-HMAC-SHA256",
                claim.at,
                "/".join(scope),
                hashlib.sha256(canonical.encode()).hexdigest(),
            ]
        )
        key = f"AWS4{self._secret_key}".encode()
        for part in scope:
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.new(key, to_sign.encode(), "sha256").hexdigest()


def _read_claim(request: SignedRequest) -> _Claim:
    query = dict(request.query)
    if "X-Amz-Signature" in query or "X-Amz-Algorithm" in query:
        try:
            expires = int(query["X-Amz-Expires"])
            claim = _Claim(
                query["X-Amz-Credential"],
                query["X-Amz-SignedHeaders"],
                query["X-Amz-Signature"],
                query["X-Amz-Date"],
                timedelta(seconds=expires),
            )
        except (KeyError, ValueError) as error:
            raise S3Refusal(
                400, "AuthorizationQueryParametersError", "The query lacks a part of the signature."
            ) from error
        if (
            query.get("X-Amz-Algorithm") != "AWS4-HMAC-SHA256"
            or not 0 < expires <= _MAX_EXPIRY_SECONDS
        ):
            raise S3Refusal(
                400,
                "AuthorizationQueryParametersError",
                "X-Amz-Expires must be from 1 to 604800 seconds.",
            )
        return claim
    if "authorization" not in request.headers:
        raise S3Refusal(403, "AccessDenied", "Access Denied")
    match = _AUTHORIZATION.fullmatch(request.headers["authorization"])
    if match is None or "x-amz-date" not in request.headers:
        raise S3Refusal(
            400,
            "AuthorizationHeaderMalformed",
            "The Authorization header is not a Signature Version 4 header.",
        )
    credential, signed_headers, signature = match.groups()
    return _Claim(credential, signed_headers, signature, request.headers["x-amz-date"], None)


def _check_time(claim: _Claim, day: str, now: datetime) -> None:
    try:
        at = datetime.strptime(claim.at, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise S3Refusal(403, "AccessDenied", "X-Amz-Date is not a valid time.") from error
    if not claim.at.startswith(day):
        raise S3Refusal(
            403, "SignatureDoesNotMatch", "The credential's date differs from the request's."
        )
    if claim.expires is None:
        if abs(now - at) > _MAX_SKEW:
            raise S3Refusal(
                403,
                "RequestTimeTooSkewed",
                "The request's time differs from the server's by more than 15 minutes.",
            )
    elif at > now + _MAX_SKEW:
        raise S3Refusal(403, "AccessDenied", "Request is not yet valid")
    elif now > at + claim.expires:
        raise S3Refusal(403, "AccessDenied", "Request has expired")


def _check_signed_headers(request: SignedRequest, signed: list[str]) -> None:
    loose = [name for name in request.headers if name.startswith("x-amz-") and name not in signed]
    if "host" not in signed or loose:
        raise S3Refusal(
            403,
            "AccessDenied",
            f"There were headers present in the request which were not signed: {', '.join(loose or ['host'])}",
        )


def _body_hash(request: SignedRequest, *, presigned: bool) -> str:
    given = request.headers.get("x-amz-content-sha256") or dict(request.query).get(
        "X-Amz-Content-Sha256"
    )
    if given is None and presigned:
        return UNSIGNED
    if given is None:
        raise S3Refusal(
            400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256"
        )
    if given.startswith("STREAMING-"):
        raise S3Refusal(
            501, "NotImplemented", "Bodies signed in chunks are not supported by the local storage."
        )
    return given


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~")

"""What all OAuth logins share: PKCE, the provider's redirect, the token endpoint's answer, and addresses of people.

Sources: RFC 6749 sections 4.1.2.1 and 5.2, RFC 7636, RFC 9207; read 2026-11.
"""

import base64
import hashlib
import re
import secrets
from typing import Any

import httpx
from pydantic import TypeAdapter, ValidationError

from shared.core.cleaning import clean_name
from shared.core.config import settings
from shared.identity.errors import LoginDenied
from shared.identity.login_providers.base import Answer, Doubt, ExternalLogin, not_proven
from shared.identity.login_providers.peer import Fault, Peer
from shared.identity.schemas import NewEmail

CLIENT_REFUSED = frozenset({"invalid_client", "unauthorized_client", "unsupported_grant_type"})
"""Errors of a token endpoint that are about our settings, not about the code."""
_REFUSED_BY_PERSON = "access_denied"
_VERIFIER_BYTES = 48
_EMAIL: TypeAdapter[str] = TypeAdapter(NewEmail)
_OF_TESTS = re.compile(r"[\w.+-]{1,64}@([a-z0-9-]{1,63}\.)+test", re.ASCII | re.IGNORECASE)


def check_answer(
    login: ExternalLogin, answer: Answer, *, issuer: str, must_name_issuer: bool = False
) -> None:
    """Check what the provider's redirect said, before anything is sent to the provider.

    Raises:
        LoginDenied: the person refused.
        LoginNotProven: the answer comes from another issuer, or has no code.
    """
    if answer.iss != issuer and (answer.iss is not None or must_name_issuer):
        raise not_proven(login, Doubt.ANSWER_ISSUER)
    if answer.error == _REFUSED_BY_PERSON:
        raise LoginDenied(login.name)
    if answer.error:
        raise not_proven(login, Doubt.ANSWER_ERROR, error=clean_name(answer.error))
    if not answer.code:
        raise not_proven(login, Doubt.NO_CODE)


def read_tokens(
    login: ExternalLogin,
    peer: Peer,
    response: httpx.Response,
    *,
    our_fault: frozenset[str] = CLIENT_REFUSED,
) -> dict[str, Any]:
    """Read a token endpoint's answer. Some providers answer a refusal with 200.

    Raises:
        LoginProviderMisconfigured: the provider refuses our client: its error is among `our_fault`.
        LoginNotProven: it refuses the code.
    """
    tokens = peer.read(response) if response.status_code in {200, 400, 401, 403} else {}
    error = clean_name(tokens.get("error"))
    if error in our_fault:
        raise peer.misconfigured(Fault.CLIENT_REFUSED, error=error)
    if error or not response.is_success:
        raise not_proven(login, Doubt.CODE, error=error or str(response.status_code))
    return tokens


def new_pkce() -> tuple[str, str]:
    """Return a verifier and its S256 challenge (RFC 7636)."""
    verifier = secrets.token_urlsafe(_VERIFIER_BYTES)
    digest = hashlib.sha256(verifier.encode()).digest()
    return verifier, base64.urlsafe_b64encode(digest).decode().rstrip("=")


def read_email(value: object) -> str | None:
    """Return an address in the form in which accounts store it; None if none of ours could have it.

    Where addresses of this machine are allowed, those that end in `.test` are too.
    """
    try:
        return _EMAIL.validate_python(value)
    except ValidationError:
        return _test_email(value) if settings().allow_loopback_addresses else None


def _test_email(value: object) -> str | None:
    return value.lower() if isinstance(value, str) and _OF_TESTS.fullmatch(value) else None

"""The interface of external logins: proving who somebody is at another provider.

    login = external_login(LoginProvider.GOOGLE)                        # login_providers/offered.py
    begun = login.begin(Start(state, redirect_uri))                     # send the browser to `begun.url`
    ...                                                                 # keep `begun.remember` in the challenge
    proven = login.finish(Answer(code=..., iss=...), remembered)        # who it is, or a refusal

The caller creates `state`, binds it to the browser, stores `begun.remember` with it, and accepts each state once. Nothing
here knows tables, cookies or accounts. `begin` and `finish` may call the provider, so call them outside a transaction.

What an answer contains depends on the provider:

- GENERIC, GOOGLE, GITHUB and company logins: `code`, `iss` and `error` as they are in the provider's redirect.
- WALLET: `Start.account` is the wallet's address, and `begun.url` is the text to sign instead of an address. `code` is
  `{"message": ..., "signature": ...}` as JSON, plain or in base64.
- FARCASTER: `code` is `{"signer_uuid": ...}` as JSON, plain or in base64. Other fields are ignored.

A login is identified by `(provider, issuer, subject)`. The address is only a claim of the provider: it never identifies a
login, and it counts only if `email_verified`.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from shared.core import clock
from shared.core.config import settings
from shared.core.log import log
from shared.identity.errors import LoginCodeRefused, LoginNotProven, LoginTooOld
from shared.identity.models import LoginProvider

ANSWER_LIFE = timedelta(minutes=10)
"""How long a login may take, from `begin` to `finish`."""
LEEWAY = timedelta(seconds=60)
"""The accepted difference between our clock and a provider's or wallet's."""
_BEGUN_AT = "begun_at"
_MAX_CODE_CHARACTERS = 20_000


class Doubt(StrEnum):
    """The check of an answer that failed, for the log."""

    # What came through the browser
    ANSWER_ISSUER = "answer_issuer"
    ANSWER_ERROR = "answer_error"
    NO_CODE = "no_code"
    # The token endpoint's answer
    CODE = "code"
    NO_ACCESS_TOKEN = "no_access_token"  # noqa: S105, a check
    NO_ID_TOKEN = "no_id_token"  # noqa: S105, a check
    # The ID token's signature
    ALGORITHM = "algorithm"
    KEY_ID = "key_id"
    KEY = "key"
    KEY_LENGTH = "key_length"
    SIGNATURE = "signature"  # a wallet's too
    # The ID token's claims
    ISSUER = "issuer"
    AUDIENCE = "audience"
    AUTHORIZED_PARTY = "authorized_party"
    NONCE = "nonce"  # a wallet's too
    EXPIRY = "expiry"
    ISSUED_AT = "issued_at"  # a wallet's too
    NOT_BEFORE = "not_before"  # a wallet's too
    SUBJECT = "subject"
    # Who the provider's API says it is
    USERINFO_SUBJECT = "userinfo_subject"
    NO_ACCOUNT = "no_account"
    SIGNER_ID = "signer_id"
    UNKNOWN_SIGNER = "unknown_signer"
    OTHER_SIGNER = "other_signer"
    SIGNER_NOT_APPROVED = "signer_not_approved"
    # The text that a wallet signed
    DOMAIN = "domain"
    SCHEME = "scheme"
    URI = "uri"


@dataclass(frozen=True, slots=True)
class Start:
    """The beginning of a login. `account` is the wallet's address; other providers ignore it.

    `redirect_uri` must be one that only this provider is given, so that an answer cannot come from another one.
    """

    state: str = field(repr=False)
    redirect_uri: str
    account: str = ""


@dataclass(frozen=True, slots=True)
class Begun:
    """The address to open in the browser (for a wallet, the text to sign), and what `finish` needs later."""

    url: str = field(repr=False)
    remember: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back through the browser. Nothing in it is trusted; `iss` is None if it was not sent (RFC 9207)."""

    code: str = field(default="", repr=False)
    iss: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Proven:
    """Who it is at the provider. `email` is lower-case; `name` is one line, and empty if the provider sent none."""

    provider: LoginProvider
    issuer: str
    subject: str
    email: str | None = None
    email_verified: bool = False
    name: str = ""


class ExternalLogin(Protocol):
    """A way to sign in at another provider."""

    @property
    def provider(self) -> LoginProvider:
        """Return which provider it is."""

    @property
    def name(self) -> str:
        """Return the provider's name for members."""

    def begin(self, start: Start) -> Begun:
        """Prepare a login.

        Raises:
            LoginProviderUnavailable: the provider does not answer.
            LoginProviderMisconfigured: the operator's settings for it are wrong.
            InvalidInput: the account is not an address of a wallet.
        """

    def finish(self, answer: Answer, remembered: Mapping[str, str]) -> Proven:
        """Verify what came back.

        Raises:
            LoginDenied: the person refused at the provider.
            LoginTooOld: more than `ANSWER_LIFE` has passed since `begin`.
            LoginNotProven: the answer does not prove who it is. The reason is logged.
            LoginProviderUnavailable: the provider does not answer.
            LoginProviderMisconfigured: the operator's settings for it are wrong.
            InvalidInput: a wallet's message or signature cannot be used; the refusal says why.
        """


def callback_url(provider: LoginProvider) -> str:
    """Return the redirect address of a provider. Each has its own."""
    return f"{settings().public_url}/auth/oauth/{provider.value.upper()}/callback"


def begun_now() -> Mapping[str, str]:
    """Return the part of `Begun.remember` that says when a login began."""
    return {_BEGUN_AT: str(int(clock.now().timestamp()))}


def began_at(remembered: Mapping[str, str]) -> datetime:
    """Return when a login began, in UTC.

    Raises:
        LoginTooOld: it was more than `ANSWER_LIFE` ago.
    """
    moment = datetime.fromtimestamp(int(remembered[_BEGUN_AT]), UTC)
    if clock.now() - moment > ANSWER_LIFE:
        raise LoginTooOld
    return moment


def not_proven(login: ExternalLogin, doubt: Doubt, **details: Any) -> LoginNotProven:
    """Log why an answer is refused, and return the refusal. The member only learns that it could not be verified."""
    extra = {"provider": login.provider.value, "reason": doubt.value, **details}
    log.warning("login.not_proven", extra=extra)
    return LoginNotProven(login.name, doubt)


def read_code(code: str, *names: str) -> tuple[str, ...]:
    """Read texts from an answer's code: JSON, plain or in base64.

    Raises:
        LoginCodeRefused: it is not such JSON, or one of the texts is missing.
    """
    found = _json_object(code[: _MAX_CODE_CHARACTERS + 1])
    values = tuple(found.get(name) for name in names)
    if len(code) > _MAX_CODE_CHARACTERS or not all(
        isinstance(value, str) and value for value in values
    ):
        raise LoginCodeRefused(names)
    return tuple(str(value) for value in values)


def _json_object(code: str) -> dict[str, Any]:
    try:
        text = code if code.lstrip().startswith("{") else base64.b64decode(code, validate=True)
        value = json.loads(text)
    except (ValueError, binascii.Error, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}

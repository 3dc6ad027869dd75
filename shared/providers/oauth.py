"""Connects channels and renews tokens: OAuth 2.0, OAuth 1.0a, or a form.

A provider inherits from `OAuth2Provider`, `OAuth1Provider` or `FormProvider` and reads the account; addresses, scopes
and fields come from `spec.auth`. This module decides which answer of a token endpoint is final: an `invalid_grant` or
its equivalent, which disconnects the channel. While posting, a provider's `ChannelDisconnected` does so too.
"""

import base64
import binascii
import hashlib
import hmac
import ipaddress
import json
import re
import secrets
import urllib.parse
from abc import abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import httpx

from shared.core import clock
from shared.core.cleaning import clean_name
from shared.core.config import settings
from shared.core.errors import FieldProblem, InvalidInput
from shared.providers.answers import read_json
from shared.providers.base import Account, Authorization, Connection, Provider, Tokens
from shared.providers.errors import (
    AppMisconfigured,
    ChannelDisconnected,
    GrantRejected,
    PlatformUnavailable,
    ProviderError,
    RateLimited,
)
from shared.providers.http import (
    Api,
    AppCredentials,
    ChannelAccess,
    misconfigured,
    reason_in,
    retry_after,
)
from shared.providers.spec import Fields, OAuth1, OAuth2, ProviderSpec

# RFC 6749 section 5.2; some platforms send `invalid_refresh_token` or `token_expired` instead.
GRANT_REJECTED = frozenset(
    {"invalid_grant", "invalid_refresh_token", "token_expired", "bad_verification_code"}
)
APP_REFUSED = frozenset({"invalid_client", "unauthorized_client", "unsupported_grant_type"})
_HIGHEST_PORT = 65_535
_LONGEST_LIFETIME = timedelta(days=3_650)  # a longer one leads to dates outside the calendar
_LONGEST_SCOPES = 2_000  # characters


def server_address(given: str, *, field: str) -> str:
    """Read the address of a server that a member named, as an origin without a trailing slash.

    Raises:
        InvalidInput: it is not an https address with a public name. Whether the name resolves to a public address is
            checked when the connection is made.
    """
    try:
        url = httpx.URL(given.strip() if "://" in given else f"https://{given.strip()}")
        host = url.raw_host.decode(
            "ascii"
        ).casefold()  # an internationalized name in the form used for DNS
    except (httpx.InvalidURL, ValueError):
        raise _not_a_server(field) from None
    if (url.port or 0) > _HIGHEST_PORT:
        raise _not_a_server(field)
    port = f":{url.port}" if url.port else ""
    if url.scheme == "http" and settings().allow_loopback_addresses and _is_loopback(host):
        return f"http://{f'[{host}]' if ':' in host else host}{port}"
    is_name = "." in host and all(host.split(".")) and not _is_address(host)
    if url.scheme != "https" or url.userinfo or not is_name:
        raise _not_a_server(field)
    return f"https://{host}{port}"


def _not_a_server(field: str) -> InvalidInput:
    message = "This is not a server name. Enter one such as mastodon.social."
    return InvalidInput(message, problems=[FieldProblem(field, "invalid_server", message)])


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


# OAuth 2.0


class OAuth2Provider(Provider):
    """The authorization-code flow (RFC 6749, PKCE by RFC 7636), from `spec.auth`."""

    @abstractmethod
    def account(self, api: Api) -> Account:
        """Ask the platform who the token in `api.access` belongs to."""

    @property
    def auth(self) -> OAuth2:
        """Return the flow's table."""
        if not isinstance(self.spec.auth, OAuth2):
            raise TypeError(f"{self.spec.slug} declares no OAuth 2.0")
        return self.spec.auth

    def authorize(self, api: Api, *, redirect_uri: str, instance: str | None) -> Authorization:
        """Build the address of the consent page. Sends nothing."""
        del instance
        return self.consent(api, redirect_uri=redirect_uri)

    def consent(
        self,
        api: Api,
        *,
        redirect_uri: str,
        remember: Mapping[str, str] | None = None,
        scopes: Sequence[str] | None = None,
    ) -> Authorization:
        """Build the consent page's address for `api.app`, and add to what must be remembered."""
        state, kept = secrets.token_urlsafe(24), dict(remember or {})
        query = {
            "response_type": "code",
            "client_id": api.app.client_id,
            "redirect_uri": redirect_uri,
            "scope": self.auth.scope_separator.join(scopes or self.auth.scopes),
            "state": state,
            **self.auth.extra_authorize,
        }
        if self.auth.pkce:
            kept["verifier"] = secrets.token_urlsafe(48)
            digest = hashlib.sha256(kept["verifier"].encode()).digest()
            query["code_challenge"] = base64.urlsafe_b64encode(digest).decode().rstrip("=")
            query["code_challenge_method"] = "S256"
        address = api.address(self.auth.authorize_url)
        return Authorization(f"{address}?{urllib.parse.urlencode(query)}", state, kept)

    def connect(
        self, api: Api, *, code: str, redirect_uri: str, remember: Mapping[str, str]
    ) -> Connection:
        """Exchange the code, compare the scopes, and read the account."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        if "verifier" in remember:
            form["code_verifier"] = remember["verifier"]
        api.hide((code, remember.get("verifier", "")))
        tokens = self.ask_for_tokens(api, form)
        self.compare_scopes(tokens)
        details = self.details(api, remember)
        account = self.account(api.acting_as(access_with(tokens, details)))
        return Connection(checked(self.spec, account), tokens, details)

    def refresh(self, api: Api) -> Tokens:
        """Use the refresh token. If the platform sends no new one, the old one stays valid."""
        if not self.auth.refreshable or not api.access.refresh_token:
            raise GrantRejected(
                f"{self.spec.name} cannot renew this channel's access. Connect it again."
            )
        return self.ask_for_tokens(
            api, {"grant_type": "refresh_token", "refresh_token": api.access.refresh_token}
        )

    def details(self, api: Api, remember: Mapping[str, str]) -> Mapping[str, str]:
        """Return what later calls need besides tokens; most platforms need nothing."""
        del api, remember
        return {}

    def ask_for_tokens(self, api: Api, form: Mapping[str, str]) -> Tokens:
        """Send a request to the token endpoint and read its answer.

        Raises:
            GrantRejected: the code or refresh token is finally refused.
            AppMisconfigured: our client id or secret is refused.
            PlatformUnavailable: anything else; worth a retry.
        """
        address = api.address(self.auth.token_url)
        credentials = {"client_id": api.app.client_id, "client_secret": api.app.client_secret}
        response = api.request(
            "POST",
            address,
            data={**credentials, **form},
            headers={"Accept": "application/json"},
            accept=(400, 401, 403, 404, 422, 429),
        )
        if not response.is_success or _error_code(response):
            raise token_refusal(api, response)
        body = api.read(response, "access_token")
        if body.get("refresh_token"):
            api.read(response, "refresh_token")  # optional, but of the right type if present
        lifetime = seconds(body.get("expires_in"))
        granted = clean_name(body.get("scope"), max_length=_LONGEST_SCOPES)
        return Tokens(
            access=str(body["access_token"]),
            refresh=str(body["refresh_token"]) if body.get("refresh_token") else None,
            expires_at=api.now() + lifetime if lifetime else None,
            scopes=tuple(re.split(r"[ ,]+", granted)) if granted else (),
        )

    def compare_scopes(self, tokens: Tokens) -> None:
        """Check that everything we need was granted. If the platform lists no scopes, we assume it was.

        Where scopes are written in two parts, the first one covers both: `read` grants `read:accounts`.

        Raises:
            ChannelDisconnected: the message names what is missing.
        """
        missing = [
            scope
            for scope in self.auth.scopes
            if tokens.scopes and not {scope, scope.partition(":")[0]} & set(tokens.scopes)
        ]
        if missing:
            raise ChannelDisconnected(
                f"{self.spec.name} did not grant: {', '.join(missing)}. Connect again and leave "
                "every box checked.",
                code="scope_missing",
            )


def token_refusal(api: Api, response: httpx.Response) -> ProviderError:
    """Classify a token endpoint's refusal. Anything that is not clearly final is worth a retry."""
    name, code, words = api.spec.name, _error_code(response), reason_in(response)
    error: ProviderError
    if code in GRANT_REJECTED:
        error = GrantRejected(
            f"{name} no longer accepts this authorization. Reconnect the channel. {words}".strip()
        )
    elif code in APP_REFUSED:
        error = misconfigured(name, words)
    elif response.status_code == 429:
        error = RateLimited(
            f"{name}'s rate limit was reached. {words}".strip(), retry_after=retry_after(response)
        )
    else:
        error = PlatformUnavailable(
            f"{name} did not grant access ({response.status_code}). {words}".strip()
        )
    return api.with_evidence(error, response)


def _error_code(response: httpx.Response) -> str:
    try:
        body = read_json(response)
    except ValueError:
        return ""
    code = body.get("error") if isinstance(body, dict) else None
    return code if isinstance(code, str) else ""


def access_with(
    tokens: Tokens, details: Mapping[str, str], *, remote_id: str = ""
) -> ChannelAccess:
    """Build the access from new tokens, before a channel exists."""
    return ChannelAccess(
        remote_id=remote_id,
        access_token=tokens.access,
        refresh_token=tokens.refresh,
        details=details,
        expires_at=tokens.expires_at,
    )


def checked(spec: ProviderSpec, account: Account) -> Account:
    """Check that the platform sent the account's id: a channel without one could never be posted to."""
    if not account.remote_id:
        raise PlatformUnavailable(f"{spec.name} did not say whose account this is. Connect again.")
    return account


def seconds(value: Any) -> timedelta | None:
    """Read a lifetime in seconds, given as a number or digits, at most ten years; None if there is none."""
    digits = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not (digits.isascii() and digits.isdigit()):
        return None
    longest = int(_LONGEST_LIFETIME.total_seconds())
    given = longest if len(digits) > len(str(longest)) else min(int(digits), longest)
    return timedelta(seconds=given) if given else None


# OAuth 1.0a


class OAuth1Auth(httpx.Auth):
    """Signs a request with HMAC-SHA1 (RFC 5849). Bodies that are not forms are not part of the signature."""

    def __init__(
        self,
        app: AppCredentials,
        *,
        token: str = "",
        token_secret: str = "",
        extra: Mapping[str, str] | None = None,
        nonce: Callable[[], str] = lambda: secrets.token_hex(16),
        timestamp: Callable[[], int] = lambda: int(clock.now().timestamp()),
    ) -> None:
        self._app, self._token, self._token_secret = app, token, token_secret
        self._extra, self._nonce, self._timestamp = dict(extra or {}), nonce, timestamp

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the Authorization header."""
        oauth = {
            "oauth_consumer_key": self._app.client_id,
            "oauth_nonce": self._nonce(),
            "oauth_signature_method": "HMAC-SHA1",
            "oauth_timestamp": str(self._timestamp()),
            "oauth_version": "1.0",
            **({"oauth_token": self._token} if self._token else {}),
            **self._extra,
        }
        oauth["oauth_signature"] = self._signature(request, oauth)
        pairs = ", ".join(
            f'{_quote(name)}="{_quote(value)}"' for name, value in sorted(oauth.items())
        )
        request.headers["Authorization"] = f"OAuth {pairs}"
        yield request

    def _signature(self, request: httpx.Request, oauth: Mapping[str, str]) -> str:
        base = signature_base(request, oauth)
        key = f"{_quote(self._app.client_secret)}&{_quote(self._token_secret)}"
        digest = hmac.new(key.encode(), base.encode(), hashlib.sha1).digest()
        return base64.b64encode(digest).decode()


def signature_base(request: httpx.Request, oauth: Mapping[str, str]) -> str:
    """Build the signature base string: RFC 5849 section 3.4.1."""
    pairs = [*request.url.params.multi_items(), *oauth.items()]
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        pairs += urllib.parse.parse_qsl(request.content.decode(), keep_blank_values=True)
    normalized = "&".join(
        f"{name}={value}" for name, value in sorted((_quote(n), _quote(v)) for n, v in pairs)
    )
    url = request.url.copy_with(query=None, fragment=None)
    return "&".join(_quote(piece) for piece in (request.method.upper(), str(url), normalized))


def _quote(value: str) -> str:
    return urllib.parse.quote(value, safe="~")


class OAuth1Provider(Provider):
    """The three-legged flow of OAuth 1.0a.

    The access token is the channel's token. Its secret is `tokenSecret` in the connection's details, because it is not a
    refresh token: it neither expires nor renews anything.
    """

    @abstractmethod
    def account(self, api: Api) -> Account:
        """Ask the platform who the token in `api.access` belongs to."""

    @property
    def auth(self) -> OAuth1:
        """Return the flow's table."""
        if not isinstance(self.spec.auth, OAuth1):
            raise TypeError(f"{self.spec.slug} declares no OAuth 1.0a")
        return self.spec.auth

    def signer(self, api: Api) -> OAuth1Auth:
        """Sign for the channel."""
        return OAuth1Auth(
            api.app,
            token=api.access.access_token,
            token_secret=api.access.details.get("tokenSecret", ""),
        )

    def authorize(self, api: Api, *, redirect_uri: str, instance: str | None) -> Authorization:
        """Get a request token. The platform sends it back with the member, so it serves as the state."""
        del instance
        signer = OAuth1Auth(api.app, extra={"oauth_callback": redirect_uri})
        body = self._ask(api, self.auth.request_token_url, signer, refused=AppMisconfigured)
        token = body["oauth_token"]
        address = api.address(self.auth.authorize_url)
        query = urllib.parse.urlencode({"oauth_token": token})
        return Authorization(
            f"{address}?{query}", token, {"token": token, "secret": body["oauth_token_secret"]}
        )

    def connect(
        self, api: Api, *, code: str, redirect_uri: str, remember: Mapping[str, str]
    ) -> Connection:
        """Exchange the verifier (`code`) for an access token, and read the account."""
        del redirect_uri
        api.hide((code, remember.get("token", ""), remember.get("secret", "")))
        signer = OAuth1Auth(
            api.app,
            token=remember.get("token", ""),
            token_secret=remember.get("secret", ""),
            extra={"oauth_verifier": code},
        )
        body = self._ask(api, self.auth.access_token_url, signer, refused=GrantRejected)
        tokens = Tokens(access=body["oauth_token"])
        details = {"tokenSecret": body["oauth_token_secret"]}
        account = self.account(api.acting_as(access_with(tokens, details)))
        return Connection(checked(self.spec, account), tokens, details)

    def refresh(self, api: Api) -> Tokens:
        """Refuse: an OAuth 1.0a token is valid until it is revoked, so a refused token cannot be renewed."""
        raise GrantRejected(f"Access to {api.spec.name} was revoked. Reconnect the channel.")

    def _ask(
        self, api: Api, url: str, signer: OAuth1Auth, *, refused: type[ProviderError]
    ) -> dict[str, str]:
        response = api.request("POST", api.address(url), auth=signer, accept=(400, 401, 403))
        body = dict(urllib.parse.parse_qsl(response.text)) if response.is_success else {}
        if body.get("oauth_token") and body.get("oauth_token_secret"):
            return body
        words = reason_in(response) if not response.is_success else ""
        if not response.is_success:
            raise api.with_evidence(
                refused(f"{api.spec.name} refused to connect. {words}".strip()), response
            )
        raise api.with_evidence(
            PlatformUnavailable(f"{api.spec.name} returned no token."), response
        )


# Forms


class FormProvider(Provider):
    """Connecting with what the member enters: an app password, an API key."""

    @abstractmethod
    def log_in(self, api: Api, fields: Mapping[str, str]) -> Connection:
        """Create a connection from the form's fields.

        Raises:
            GrantRejected: the platform refuses what the member entered.
        """

    def authorize(self, api: Api, *, redirect_uri: str, instance: str | None) -> Authorization:
        """Return an empty address: there is no consent page, and the form is shown instead."""
        del api, redirect_uri, instance
        return Authorization("", secrets.token_urlsafe(24))

    def connect(
        self, api: Api, *, code: str, redirect_uri: str, remember: Mapping[str, str]
    ) -> Connection:
        """Read the fields and log in."""
        del redirect_uri, remember
        fields = self.read_form(code)
        if isinstance(self.spec.auth, Fields):
            api.hide(fields[field.name] for field in self.spec.auth.fields if field.secret)
        connection = self.log_in(api, fields)
        checked(self.spec, connection.account)
        return connection

    def read_form(self, code: str) -> dict[str, str]:
        """Read the form from `code`: JSON, plain or in base64.

        Raises:
            InvalidInput: a field is missing or does not match its pattern.
        """
        if not isinstance(self.spec.auth, Fields):
            raise TypeError(f"{self.spec.slug} declares no form")
        given = _json_object(code)
        problems, values = [], {}
        for wanted in self.spec.auth.fields:
            value = str(given.get(wanted.name) or wanted.default).strip()
            if not value:
                problems.append(
                    FieldProblem(wanted.name, "required", f"{wanted.label} is required.")
                )
            elif wanted.pattern and not re.fullmatch(wanted.pattern, value):
                message = f"{wanted.label} is not in the right form. {wanted.help}".strip()
                problems.append(FieldProblem(wanted.name, "invalid", message))
            values[wanted.name] = value
        if problems:
            raise InvalidInput(" ".join(problem.message for problem in problems), problems=problems)
        return values


def _json_object(code: str) -> dict[str, Any]:
    text = code
    if not code.lstrip().startswith("{"):
        try:
            text = base64.b64decode(code, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            text = "{}"
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # the second for JSON nested thousands of levels deep
        value = {}
    return value if isinstance(value, dict) else {}

"""Issues tokens with Authlib's code and refresh token grants (RFC 6749, 7636) on our tables.

Authlib decides; this file answers its queries. It is the only file that imports Authlib, see docs/adr/0007.
"""

import base64
import binascii
import hmac
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NoReturn

from authlib.common.urls import add_params_to_uri
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationServer, OAuth2Payload, OAuth2Request
from authlib.oauth2.rfc6749.errors import (
    AccessDeniedError,
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
)
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, RefreshTokenGrant
from authlib.oauth2.rfc6749.models import AuthorizationCodeMixin, ClientMixin
from authlib.oauth2.rfc7636 import CodeChallenge
from sqlalchemy.orm import Session

from shared.apps import queries, token_queries
from shared.apps.credentials import (
    CODE_CHARACTERS,
    TOKEN_LIFE,
    NewToken,
    Pair,
    family_of,
    new_code,
    new_family,
    new_refresh_token,
    new_token,
    successors_of,
)
from shared.apps.errors import OAuthRefused, UnknownProgram
from shared.apps.metadata import known_issuer
from shared.apps.redirects import is_same
from shared.apps.scopes import granted_scopes, scope_text
from shared.audit.entries import Action, Actor, Entry, entries_json
from shared.audit.record import record
from shared.core.crypto import hash_secret
from shared.core.ids import AppId, GrantId, OrganizationId, UserId, new_id
from shared.core.log import log
from shared.db.statement import Json
from shared.identity.sessions import GRACE

# Authlib logs tokens at DEBUG, whatever our own level is.
logging.getLogger("authlib").setLevel(logging.WARNING)
_BARE = frozenset(
    {"invalid_client", "unsupported_grant_type"}
)  # existing clients do not expect a description of these
_UNAUTHORIZED = 401
CODE_LIFE = timedelta(minutes=10)  # the maximum that RFC 6749 section 4.1.2 recommends


@dataclass(frozen=True, slots=True)
class Consent:
    """A checked authorization request."""

    program: "Program"
    redirect_uri: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Consenter:
    """The user who consents, and the organization."""

    organization_id: OrganizationId
    user_id: UserId


class Program(ClientMixin):
    """An app with Authlib's client interface."""

    def __init__(self, row: queries.ProgramRow) -> None:
        self.row = row

    @property
    def is_public(self) -> bool:
        """True if it has no secret; PKCE takes its place."""
        return self.row.secret_hash is None

    @property
    def is_app(self) -> bool:
        """True if an organization created it, with exactly one redirect address."""
        return self.row.organization_id is not None

    def redirect_uri(self, asked: str | None) -> str | None:
        """Return the redirect address: the requested one if it is registered, otherwise an organization app's only one."""
        known = self.row.redirect_uris
        if asked and any(is_same(asked, one) for one in known):
            return asked
        return known[0] if self.is_app else None

    def get_client_id(self) -> str:
        return self.row.client_id

    def get_default_redirect_uri(self) -> str:
        return ""

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return self.redirect_uri(redirect_uri) is not None

    def get_allowed_scope(self, scope: str | None) -> str:
        return scope_text(self.granted(scope))

    def granted(self, asked: str | None) -> tuple[str, ...]:
        """Return the granted scopes among the requested ones, at most those it registered for."""
        return granted_scopes(asked, self.row.scopes)

    def check_client_secret(self, client_secret: str) -> bool:
        known = self.row.secret_hash
        return known is not None and hmac.compare_digest(hash_secret(client_secret), known)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        del endpoint
        return bool(self.is_public == (method == "none"))

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code" or (
            grant_type == "refresh_token" and self.row.refreshes
        )


class _Code(AuthorizationCodeMixin):
    """A stored code with Authlib's interface."""

    code_challenge_method = "S256"

    def __init__(self, row: token_queries.CodeRow, *, compares_address: bool) -> None:
        self.row = row
        self.code_challenge = row.code_challenge
        self._compares_address = compares_address

    def get_redirect_uri(self) -> str | None:
        """Return the address that the exchange must repeat; empty for an organization's app, which has only one."""
        return self.row.redirect_uri if self._compares_address else None

    def get_scope(self) -> str:
        return scope_text(self.row.scopes)


class _S256(CodeChallenge):
    DEFAULT_CODE_CHALLENGE_METHOD = "S256"
    SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]  # noqa: RUF012  as Authlib declares it

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        super().validate_code_challenge(grant, redirect_uri)
        request = grant.request
        # The contract of an organization's app has no PKCE. If such an app uses PKCE, it is checked.
        if not request.client.is_app and not request.payload.data.get("code_challenge"):
            raise InvalidRequestError("Missing 'code_challenge': use PKCE with S256.")


class _CodeGrant(AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post", "none"]  # noqa: RUF012  as above
    AUTHORIZATION_CODE_LENGTH = CODE_CHARACTERS
    server: "_Server"

    @staticmethod
    def validate_authorization_redirect_uri(request: OAuth2Request, client: Program) -> str:
        uri = client.redirect_uri(request.payload.redirect_uri)
        if uri is None:
            # Authlib's own description quotes the address, and fails on characters that a description cannot contain.
            raise InvalidRequestError(
                "This redirect_uri is not registered for the app. Use a registered one."
            )
        return uri

    def validate_requested_scope(self) -> None:
        program = self.server.query_client(self.request.payload.client_id)
        if program is None or not program.granted(self.request.payload.scope):
            raise InvalidScopeError

    def generate_authorization_code(self) -> str:
        return new_code()

    def create_authorization_response(self, redirect_uri: str, grant_user: Consenter | None) -> Any:
        if grant_user is None:
            raise AccessDeniedError("", redirect_uri=redirect_uri)
        self.redirect_uri = redirect_uri
        return super().create_authorization_response(redirect_uri, grant_user)

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        who: Consenter = request.user
        token_queries.ADD_CODE.run(
            self.server.session,
            who.organization_id,
            who.user_id,
            code_hash=hash_secret(code),
            app_id=request.client.row.id,
            redirect_uri=self.redirect_uri,
            code_challenge=request.payload.data.get("code_challenge"),
            scopes=list(request.client.granted(request.scope)),
            life_seconds=CODE_LIFE.total_seconds(),
        )

    def query_authorization_code(self, code: str, client: Program) -> _Code | None:
        row = token_queries.FIND_CODE.find(self.server.session, client.row.id, hash_secret(code))
        if row is None:
            return None
        if row.is_used:
            self._came_twice(row.code_hash)
        return _Code(row, compares_address=not client.is_app)

    def authenticate_user(self, authorization_code: _Code) -> _Code:
        return authorization_code  # the code's row has the user

    def save_token(self, token: dict[str, Any]) -> None:
        """Use up the code and store its token, in one statement."""
        code_hash: bytes = self.request.authorization_code.row.code_hash
        row = token_queries.EXCHANGE_CODE.find(
            self.server.session,
            grant_id=GrantId(new_id()),
            code_hash=code_hash,
            audit=self.server.entry(Action.GRANT_CREATED, scopes=token["scope"].split()),
            **_kept(token)._asdict(),
        )
        if row is None:
            self._came_twice(code_hash)
        else:
            token["id"] = str(row.organization_id)

    def delete_authorization_code(self, authorization_code: _Code) -> None:
        """Do nothing: `save_token` used up the code, which is kept to detect reuse."""

    def _came_twice(self, code_hash: bytes) -> None:
        """Revoke the token of a code that was used twice: one of the two users is not the app. RFC 6749 section 4.1.2."""
        entry = self.server.entry(Action.GRANT_REVOKED, reason="code_reused")
        revoked = bool(
            token_queries.REVOKE_WHAT_CODE_GAVE.all(self.server.session, code_hash, entry)
        )
        log.warning(
            "oauth.code_came_twice",
            extra={"client_id": self.request.payload.client_id, "revoked": revoked},
        )
        raise InvalidGrantError("Invalid 'code' in request.")


class _Refreshed:
    """A grant to refresh with Authlib's interface. The search already included `app_id`."""

    def __init__(self, row: token_queries.RefreshedRow, pair: Pair, *, is_replay: bool) -> None:
        self.row = row
        self.pair = pair
        self.is_replay = is_replay

    def check_client(self, client: Program) -> bool:
        del client
        return True

    def get_scope(self) -> str:
        return scope_text(self.row.scopes)


class _RefreshGrant(RefreshTokenGrant):
    """Each refresh token is valid once; if one is used again, it or its successor was stolen (RFC 9700 section 4.14.2).

    Two workers of one app may refresh at once, so the previous token gets the same answer for `GRACE` after it was replaced.
    A thief then has the same tokens, and the next exchange by either reveals it.
    """

    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post", "none"]  # noqa: RUF012  as above
    INCLUDE_NEW_REFRESH_TOKEN = True
    server: "_Server"

    def authenticate_refresh_token(self, refresh_token: str) -> _Refreshed | None:
        family = family_of(refresh_token)
        app_id = self.request.client.row.id
        row = _find_refreshed(self.server.session, app_id, family)
        if row is None:
            return None
        successors = successors_of(refresh_token)
        if hmac.compare_digest(hash_secret(refresh_token), row.refresh_hash):
            return _Refreshed(row, successors[0], is_replay=False)
        for pair in successors:
            if row.is_fresh and hmac.compare_digest(hash_secret(pair.refresh), row.refresh_hash):
                return _Refreshed(row, pair, is_replay=True)
        return self._came_twice(row)

    def authenticate_user(self, refresh_token: _Refreshed) -> _Refreshed:
        return refresh_token  # the grant's row has the user

    def issue_token(self, user: _Refreshed, refresh_token: _Refreshed) -> dict[str, Any]:
        del user
        life = TOKEN_LIFE - GRACE if refresh_token.is_replay else TOKEN_LIFE
        return _refreshing(refresh_token.get_scope(), refresh_token.pair, life)

    def save_token(self, token: dict[str, Any]) -> None:
        """Replace both tokens, in one statement."""
        refreshed: _Refreshed = self.request.refresh_token
        row = refreshed.row
        if refreshed.is_replay:
            token["id"] = str(row.organization_id)
            return
        saved = token_queries.ROTATE.find(
            self.server.session,
            grant_id=row.id,
            old_refresh_hash=row.refresh_hash,
            **_kept(token)._asdict(),
        ) or self._saved_by_another(refreshed.pair)
        if saved is None:
            self._came_twice(row)
        token["id"] = str(saved.organization_id)

    def _saved_by_another(self, pair: Pair) -> token_queries.RefreshedRow | None:
        """Find the grant if another request exchanged the same token a moment ago."""
        app_id = self.request.client.row.id
        row = _find_refreshed(self.server.session, app_id, family_of(pair.refresh))
        is_same = row is not None and row.is_fresh and row.refresh_hash == hash_secret(pair.refresh)
        return row if is_same else None

    def revoke_old_credential(self, refresh_token: _Refreshed) -> None:
        """Do nothing: `save_token` replaced it."""

    def _came_twice(self, row: token_queries.RefreshedRow) -> NoReturn:
        entry = self.server.entry(Action.GRANT_REVOKED, reason="refresh_token_reused")
        revoked = bool(token_queries.REVOKE_REFRESHED.all(self.server.session, row.id, entry))
        log.warning(
            "oauth.refresh_token_came_twice", extra={"grant_id": str(row.id), "revoked": revoked}
        )
        raise InvalidGrantError(
            "This refresh token was already used. Ask the member for consent again."
        )


@dataclass(slots=True)
class _Response:
    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


class _Server(AuthorizationServer):
    """Authlib's server for one request of `visitor`, an app."""

    def __init__(self, session: Session, visitor: Actor | None = None) -> None:
        super().__init__()
        self.session = session
        self._visitor = visitor or Actor()
        self._known: dict[
            str, Program | None
        ] = {}  # Authlib asks again when it creates the response
        self.register_grant(_CodeGrant, [_S256(required=True)])
        self.register_grant(_RefreshGrant)
        self.register_token_generator("default", _token)

    def entry(self, action: Action, **after: Any) -> Json:
        """Return an entry of the audit log. The statement that stores it finds out whose grant it is about."""
        return entries_json(self._visitor, Entry(action, after=after))

    def query_client(self, client_id: str) -> Program | None:
        if client_id not in self._known:
            row = queries.FIND_PROGRAM.find(self.session, client_id)
            self._known[client_id] = None if row is None else Program(row)
        return self._known[client_id]

    def create_oauth2_request(self, request: OAuth2Request) -> OAuth2Request:
        return request

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Do nothing: signals are not used."""

    def handle_response(self, status: int, body: Any, headers: Any) -> _Response:
        return _Response(status, body, dict(headers))


class _Payload(OAuth2Payload):
    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    @property
    def data(self) -> dict[str, str]:
        return self._values

    @property
    def datalist(self) -> Any:
        return {name: [value] for name, value in self._values.items()}


class _Request(OAuth2Request):
    def __init__(self, method: str, values: Mapping[str, str], authorization: str | None) -> None:
        # The gateway ensures that the connection is secure; Authlib reads nothing else of the address.
        super().__init__(method, "https://localhost/", headers=_headers(authorization))
        self.payload = _Payload(values)

    @property
    def form(self) -> dict[str, str]:
        return dict(self.payload.data)


def check_consent(session: Session, values: Mapping[str, str]) -> Consent:
    """Check an authorization request and return it for display.

    Raises:
        UnknownProgram: no app has the client id.
        OAuthRefused: the request is invalid in another way.
    """
    grant, request = _asked(_Server(session), values)
    return Consent(
        program=request.client,
        redirect_uri=grant.redirect_uri,
        scopes=request.client.granted(request.scope),
    )


def answer_consent(
    session: Session, actor: Actor, values: Mapping[str, str], *, allows: bool
) -> str:
    """Return the address for the browser: the app's, with a code, or with a refusal unless the member `allows` it.

    Raises:
        UnknownProgram: no app has the client id.
        OAuthRefused: the request is invalid in another way.
    """
    server = _Server(session)
    grant, request = _asked(server, values)
    consenter = Consenter(actor.organization, actor.person) if allows else None
    response: _Response = server.create_authorization_response(request, consenter, grant)
    action = Action.APP_ALLOWED if allows else Action.APP_DENIED
    recorded = {"scopes": request.client.granted(request.scope)}
    record(session, actor, action, request.client.row.id, after=recorded)
    return _from_us(response.headers["Location"], values)


def exchange(
    session: Session, visitor: Actor, values: Mapping[str, str], *, authorization: str | None
) -> dict[str, Any]:
    """Exchange a code or a refresh token of `visitor`, an app, for an access token.

    `authorization` is the header, if the app authenticates with it.

    The session must not be a transaction, because a reused token is revoked although the request is refused.

    Raises:
        OAuthRefused: as in RFC 6749 section 5.2.
    """
    response: _Response = _Server(session, visitor).create_token_response(
        _Request("POST", values, authorization)
    )
    body: dict[str, Any] = response.body
    if "error" not in body:
        return body
    error = body["error"]
    raise OAuthRefused(
        error,
        "" if error in _BARE else body.get("error_description", ""),
        answer=_UNAUTHORIZED if error == "invalid_client" else response.status,
    )


def revoke(
    session: Session, visitor: Actor, values: Mapping[str, str], *, authorization: str | None
) -> None:
    """Revoke a grant of the calling app, `visitor`, by either of its tokens (RFC 7009).

    An unknown token, or another app's, is not an error, because it is not valid for this app.

    Raises:
        OAuthRefused: the app does not authenticate.
    """
    server, request = _Server(session, visitor), _Request("POST", values, authorization)
    methods = _RefreshGrant.TOKEN_ENDPOINT_AUTH_METHODS
    try:
        program: Program = server.authenticate_client(request, methods, "revocation")
    except OAuth2Error as error:
        raise OAuthRefused("invalid_client", answer=_UNAUTHORIZED) from error
    token = values["token"]
    token_hash, family_hash = hash_secret(token), hash_secret(family_of(token))
    entry = server.entry(Action.GRANT_REVOKED, reason="app")
    if token_queries.REVOKE_TOKEN.all(session, program.row.id, token_hash, family_hash, entry):
        log.info("oauth.token_revoked", extra={"client_id": program.row.client_id})


def _from_us(address: str, values: Mapping[str, str]) -> str:
    """Add `iss`, so that an app with several servers knows which one answered (RFC 9207)."""
    return str(add_params_to_uri(address, [("iss", known_issuer(values.get("issuer", "")))]))


def _asked(server: _Server, values: Mapping[str, str]) -> tuple[Any, _Request]:
    if values.get("response_type", "code") != "code":
        raise OAuthRefused("unsupported_response_type", "The response_type must be code.")
    request = _Request("GET", {**values, "response_type": "code"}, None)
    try:
        return server.get_consent_grant(request), request
    except OAuth2Error as error:
        if error.error == "invalid_client":
            raise UnknownProgram from error
        return_to = _from_us(error()[2][0][1], values) if error.redirect_uri else None
        description = error.get_error_description()
        raise OAuthRefused(error.error, description, return_to=return_to) from error


def _token(scope: str, client: Program, **_given: Any) -> dict[str, Any]:
    """Create the answer for an app, with the field order that existing clients know."""
    if client.row.refreshes:
        family = new_family()
        return _refreshing(scope, Pair(new_token(), new_refresh_token(family)), TOKEN_LIFE)
    token = new_token()
    return {"id": None, "cus": None, "access_token": token, "token_type": "bearer", "scope": scope}


def _refreshing(scope: str, pair: Pair, life: timedelta) -> dict[str, Any]:
    return {
        "id": None,
        "cus": None,
        "access_token": pair.access,
        "token_type": "bearer",
        "scope": scope,
        "expires_in": int(life.total_seconds()),
        "refresh_token": pair.refresh,
    }


def _find_refreshed(
    session: Session, app_id: AppId, family: str
) -> token_queries.RefreshedRow | None:
    """Find a grant; it `is_fresh` if its tokens were replaced less than `GRACE` ago."""
    fresh_seconds = (TOKEN_LIFE - GRACE).total_seconds()
    return token_queries.FIND_REFRESHED.find(session, app_id, hash_secret(family), fresh_seconds)


def _kept(token: Mapping[str, Any]) -> NewToken:
    token_hash = hash_secret(token["access_token"])
    refresh: str | None = token.get("refresh_token")
    if refresh is None:
        return NewToken(token_hash)
    family_hash = hash_secret(family_of(refresh))
    return NewToken(token_hash, token["expires_in"], family_hash, hash_secret(refresh))


def _headers(authorization: str | None) -> dict[str, str]:
    """Pass on readable Basic credentials: Authlib fails on others instead of refusing them."""
    kind, _, encoded = (authorization or "").partition(" ")
    if kind.lower() != "basic":
        return {}
    try:
        readable = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return {}
    is_readable = ":" in readable and "%00" not in readable and "\0" not in readable
    return {"Authorization": f"Basic {encoded}"} if is_readable else {}

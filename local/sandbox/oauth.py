"""OAuth: a program registers, a person authorizes it, and it exchanges its code for a token.

A person sees a form at `GET /oauth/authorize`. A program can approve by posting the same form, and reads `code`
and `state` from the redirect:

    POST /oauth/authorize   the fields of the request: response_type=code, client_id, redirect_uri, and optionally
                                                    scope, state, code_challenge, code_challenge_method=S256;
                                                    and the decision: decision=allow|deny, account=ada (created if it does not exist)

Source: docs.joinmastodon.org/methods/oauth and /methods/apps, RFC 6749, RFC 7636; read 2026-11.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_plus, urlencode, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from local.sandbox import accounts, pages
from local.sandbox.accounts import Client, Grant, NameRefused
from local.sandbox.entities import (
    SCOPES,
    application_entity,
    credential_application_entity,
)
from local.sandbox.faults import Trait
from local.sandbox.network import Call, Network, Params, network_of, read_params
from local.sandbox.refusals import (
    Refused,
    invalid,
    invalid_client,
    invalid_grant,
    invalid_scope,
    missing_parameter,
)

OUT_OF_BAND = "urn:ietf:wg:oauth:2.0:oob"
_FORBIDDEN_SCHEMES = ("javascript", "data", "vbscript", "file")


def register_app(call: Call) -> Response:
    """Answer `POST /api/v1/apps`."""
    name = (call.params.text("client_name") or "").strip()
    if not name:
        raise invalid("Application name can't be blank")
    scopes = call.params.text("scopes") or "read"
    if ":" in scopes and call.network.faults.has(Trait.COARSE_SCOPES):
        raise invalid_scope()
    client = accounts.register_client(
        call.database,
        name=name,
        website=call.params.text("website") or None,
        redirect_uris=_checked_uris(call.params),
        scopes=_known_scopes(scopes),
    )
    return JSONResponse(credential_application_entity(client))


def _checked_uris(params: Params) -> list[str]:
    uris = [uri for value in params.texts("redirect_uris") for uri in value.split()]
    if not uris:
        raise invalid("Redirect URI can't be blank")
    for uri in uris:
        parts = urlsplit(uri)
        if uri != OUT_OF_BAND and not (parts.scheme and (parts.netloc or parts.path)):
            raise invalid("Redirect URI must be an absolute URI.")
        if parts.scheme in _FORBIDDEN_SCHEMES:
            raise invalid("Redirect URI is forbidden by the server.")
        if parts.fragment:
            raise invalid("Redirect URI cannot contain a fragment.")
    return uris


def _known_scopes(scopes: str) -> list[str]:
    asked = scopes.split()
    if not set(asked) <= set(SCOPES):
        raise invalid("Scopes doesn't match configured on the server.")
    return asked


def verify_app(call: Call) -> Response:
    """Answer `GET /api/v1/apps/verify_credentials`."""
    token = call.authorized(*SCOPES)
    client = accounts.get_client_of_token(call.database, token)
    return JSONResponse(application_entity(client))


@dataclass(frozen=True, slots=True)
class Wish:
    """A checked authorization request."""

    client: Client
    redirect_uri: str
    scopes: tuple[str, ...]
    state: str | None
    challenge: str | None

    def fields(self) -> dict[str, str]:
        """Return the fields that the form must send back."""
        fields = {
            "response_type": "code",
            "client_id": self.client.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": " ".join(self.scopes),
        }
        if self.state is not None:
            fields["state"] = self.state
        if self.challenge is not None:
            fields |= {"code_challenge": self.challenge, "code_challenge_method": "S256"}
        return fields


Step = Callable[[Network, Wish, Params], Response]


class SentBack(Exception):
    """The person is redirected to the program with an error."""

    def __init__(self, redirect_uri: str, error: str, state: str | None) -> None:
        super().__init__(error)
        self.redirect_uri = redirect_uri
        self.fields = {"error": error} | ({} if state is None else {"state": state})


async def authorize_page(request: Request) -> Response:
    """Answer `GET /oauth/authorize` with the form for the decision."""
    return await _authorize(request, _show_choice)


async def authorize(request: Request) -> Response:
    """Answer `POST /oauth/authorize`: the person's decision."""
    if _is_cross_site(request):
        return HTMLResponse(pages.refused("This form was sent from another site."), 403)
    return await _authorize(request, _decide)


async def _authorize(request: Request, go_on: Step) -> Response:
    try:
        params = await read_params(request)
        return await run_in_threadpool(_answered, network_of(request), params, go_on)
    except Refused as error:
        sentence = error.description or error.error
        return HTMLResponse(pages.refused(sentence), status_code=error.status)


def _answered(network: Network, params: Params, go_on: Step) -> Response:
    try:
        return go_on(network, _wish(network, params), params)
    except SentBack as back:
        return _redirect(back.redirect_uri, back.fields)


def _wish(network: Network, params: Params) -> Wish:
    client = accounts.find_client(network.database, params.text("client_id") or "")
    if client is None:
        raise invalid_client()
    redirect_uri = params.text("redirect_uri") or ""
    if redirect_uri not in client.redirect_uris:
        raise Refused(
            400,
            "invalid_redirect_uri",
            "The requested redirect uri is malformed or doesn't match client redirect URI.",
        )
    state = params.text("state")
    if params.text("response_type") != "code":
        raise SentBack(redirect_uri, "unsupported_response_type", state)
    scopes = tuple((params.text("scope") or "read").split())
    if not _within(scopes, client.scopes):
        raise SentBack(redirect_uri, "invalid_scope", state)
    challenge = params.text("code_challenge")
    if challenge and params.text("code_challenge_method") != "S256":
        raise SentBack(redirect_uri, "invalid_code_challenge_method", state)
    return Wish(client, redirect_uri, scopes, state, challenge or None)


def _within(asked: Sequence[str], allowed: Sequence[str]) -> bool:
    return bool(asked) and all(
        scope in allowed or scope.partition(":")[0] in allowed for scope in asked
    )


def _show_choice(network: Network, wish: Wish, _params: Params) -> Response:
    return _choice(network, wish, problem=None)


def _choice(network: Network, wish: Wish, *, problem: str | None) -> Response:
    page = pages.authorize(
        accounts.list_accounts(network.database),
        program=wish.client.name,
        scopes=wish.scopes,
        fields=wish.fields(),
        problem=problem,
    )
    return HTMLResponse(page, status_code=422 if problem else 200)


def _decide(network: Network, wish: Wish, params: Params) -> Response:
    if params.text("decision") != "allow":
        raise SentBack(wish.redirect_uri, "access_denied", wish.state)
    # A typed name counts even if the radio button beside it was not selected.
    name = params.text("new_account") or params.text("account") or ""
    try:
        account = accounts.ensure_account(network.database, name)
    except NameRefused as error:
        return _choice(network, wish, problem=str(error))
    code = accounts.issue_code(
        network.database,
        Grant(wish.client.id, account.id, wish.redirect_uri, wish.scopes, wish.challenge),
    )
    if wish.redirect_uri == OUT_OF_BAND:
        return HTMLResponse(pages.code(code, program=wish.client.name))
    state = {} if wish.state is None else {"state": wish.state}
    return _redirect(wish.redirect_uri, {"code": code, **state})


def _is_cross_site(request: Request) -> bool:
    """True if the browser reports that another site sent the form."""
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("Host")


def _redirect(uri: str, fields: Mapping[str, str]) -> Response:
    separator = "&" if "?" in uri else "?"
    return RedirectResponse(f"{uri}{separator}{urlencode(fields)}", status_code=302)


def token(call: Call) -> Response:
    """Answer `POST /oauth/token`."""
    kind = call.params.text("grant_type")
    if not kind:
        raise missing_parameter("grant_type")
    client = _authenticated_client(call)
    if kind == "authorization_code":
        return _token_for_code(call, client)
    if kind == "client_credentials":
        return _token_for_client(call, client)
    raise Refused(
        400,
        "unsupported_grant_type",
        "The authorization grant type is not supported by the authorization server.",
    )


def _authenticated_client(call: Call) -> Client:
    client_id, secret = _basic(call.request) or (
        call.params.text("client_id") or "",
        call.params.text("client_secret") or "",
    )
    client = accounts.find_client(call.database, client_id)
    if client is None or not hmac.compare_digest(client.client_secret.encode(), secret.encode()):
        raise invalid_client()
    return client


def _basic(request: Request) -> tuple[str, str] | None:
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, _, secret = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise invalid_client() from error
    return unquote_plus(client_id), unquote_plus(secret)


def _token_for_code(call: Call, client: Client) -> Response:
    code = call.params.text("code")
    redirect_uri = call.params.text("redirect_uri")
    if not code:
        raise missing_parameter("code")
    if not redirect_uri:
        raise missing_parameter("redirect_uri")
    grant = accounts.find_grant(call.database, code)
    if grant is None or grant.client != client.id or grant.redirect_uri != redirect_uri:
        raise invalid_grant()
    if not _proves(call.params.text("code_verifier"), grant.challenge):
        raise invalid_grant()
    if not accounts.use_code(call.database, code):
        raise invalid_grant()
    return _issued(call, client, account=grant.account, scopes=grant.scopes)


def _proves(verifier: str | None, challenge: str | None) -> bool:
    """True if the verifier matches the challenge, or if there is no challenge."""
    if challenge is None:
        return True
    digest = hashlib.sha256((verifier or "").encode()).digest()
    made = base64.urlsafe_b64encode(digest).rstrip(b"=")
    return verifier is not None and hmac.compare_digest(made, challenge.rstrip("=").encode())


def _token_for_client(call: Call, client: Client) -> Response:
    scopes = tuple((call.params.text("scope") or "read").split())
    if not _within(scopes, client.scopes):
        raise invalid_scope()
    return _issued(call, client, account=None, scopes=scopes)


def _issued(call: Call, client: Client, *, account: int | None, scopes: Sequence[str]) -> Response:
    token = accounts.issue_token(call.database, client=client.id, account=account, scopes=scopes)
    return JSONResponse(
        {
            "access_token": token,
            "token_type": "Bearer",
            "scope": " ".join(scopes),
            "created_at": call.database.now_ms() // 1000,
        }
    )


def revoke(call: Call) -> Response:
    """Answer `POST /oauth/revoke`; an unknown token counts as revoked (RFC 7009, section 2.2)."""
    not_allowed = Refused(403, "unauthorized_client", "You are not authorized to revoke this token")
    try:
        client = _authenticated_client(call)
    except Refused as error:
        raise not_allowed from error
    revoked = call.params.text("token") or ""
    known = accounts.find_token(call.database, revoked)
    if known is not None and known.client != client.id:
        raise not_allowed
    accounts.revoke_token(call.database, revoked)
    return JSONResponse({})


def describe_server(call: Call) -> Response:
    """Answer `GET /.well-known/oauth-authorization-server`."""
    url = call.network.public_url
    return JSONResponse(
        {
            "issuer": f"{url}/",
            "service_documentation": "https://docs.joinmastodon.org/",
            "authorization_endpoint": f"{url}/oauth/authorize",
            "token_endpoint": f"{url}/oauth/token",
            "app_registration_endpoint": f"{url}/api/v1/apps",
            "revocation_endpoint": f"{url}/oauth/revoke",
            "userinfo_endpoint": f"{url}/oauth/userinfo",
            "scopes_supported": list(SCOPES),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "client_credentials"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "code_challenge_methods_supported": ["S256"],
        }
    )


def userinfo(call: Call) -> Response:
    """Answer `GET /oauth/userinfo`."""
    account = call.account("profile", "read")
    url = call.network.public_url
    return JSONResponse(
        {
            "iss": f"{url}/",
            "sub": f"{url}/@{account.name}",
            "name": account.display_name,
            "preferred_username": account.name,
            "profile": f"{url}/@{account.name}",
            "picture": f"{url}/avatars/{account.name}.png",
        }
    )

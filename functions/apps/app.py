"""Third-party apps: consent, tokens, registration, and the device flow."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ValidationError
from sqlalchemy.orm import Session

from shared.access.actor import actor_of
from shared.access.context import ActingMember, Via, identify
from shared.access.errors import UnknownGrant
from shared.access.policy import Rule, Who, reaches
from shared.apps import device, grants, html, manage
from shared.apps.errors import OAuthRefused, UnknownProgram
from shared.apps.metadata import issuer as issuer_of
from shared.apps.metadata import resource_metadata, server_metadata
from shared.apps.register import register
from shared.apps.schemas import (
    AppChange,
    AppDeleted,
    AppIn,
    AppMade,
    AppOut,
    AppSecret,
    AppShown,
    Asked,
    AskedFor,
    ClientMetadata,
    Decision,
    DeviceDecision,
    DeviceRequest,
    DeviceSettled,
    DeviceStarted,
    DeviceToken,
    GrantList,
    GrantRevoked,
    Maker,
    Redirect,
    RegisteredProgram,
    ResourceMetadata,
    Revocation,
    Revoked,
    ServerMetadata,
    Token,
    TokenRequest,
    UserInfo,
)
from shared.apps.scopes import scope_text
from shared.apps.server import Consent, answer_consent, check_consent, exchange, revoke
from shared.core import clock
from shared.core.config import settings
from shared.core.errors import AppError, Forbidden, Unauthenticated
from shared.core.ids import GrantId, UserId
from shared.organizations.models import Role
from shared.organizations.settings import list_organizations
from shared.web.app import as_handler, make_app
from shared.web.bodies import URL_ENCODED, media_type
from shared.web.deps import (
    Acting,
    Autocommit,
    OwnProfile,
    Reading,
    Visiting,
    Writing,
    credentials_of,
)
from shared.web.errors import PROBLEM_JSON
from shared.web.html import html_response, sign_in_page
from shared.web.oauth import OAuthProblem, RegistrationRoute, oauth_response, protocol_router
from shared.web.paths import base_address
from shared.web.routing import PROBLEM_SCHEMA, Router

M = TypeVar("M", bound=BaseModel)
_TAGS = ["Third-party apps"]
# The text of the html page in place of "Invalid client_id".
_NOT_KNOWN = "The app that sent you here is not registered. Connect again from the app itself."
_SOMEBODY = Rule(Who.VIEWER, person=True, reads_profile=True)
"""Whom a page may be shown to that asks for consent; the answer has a row of the policy."""
_REFUSED: dict[int | str, dict[str, Any]] = {
    400: {
        "model": OAuthProblem,
        "description": "An OAuth error, or an unknown client id",
        "content": {PROBLEM_JSON: {"schema": {"$ref": PROBLEM_SCHEMA}}},
    }
}

programs = Router(tags=_TAGS)
own = Router(prefix="/user", tags=_TAGS)
protocol = protocol_router(tags=_TAGS)
registration = protocol_router(tags=_TAGS, route_class=RegistrationRoute)


def _fields_of(model: type[Any]) -> dict[str, Any]:
    """Describe a body that may be JSON or a form."""
    schema = model.model_json_schema()
    return {
        "requestBody": {
            "content": {kind: {"schema": schema} for kind in ("application/json", URL_ENCODED)}
        }
    }


_PAGES: dict[int | str, dict[str, Any]] = {
    **_REFUSED,
    200: {"content": {"text/html": {}}},
    403: {"content": {"text/html": {}}},
}


@programs.get("/oauth/authorize/{issuer}", response_model=Asked, responses=_PAGES)
def get_issuer_oauth_authorization(
    issuer: str, request_in: Annotated[AskedFor, Query()], request: Request, session: Reading
) -> Asked | HTMLResponse:
    """Show what an app requests (named). For apps that found the server through the document of this name."""
    return _ask_for_consent(request_in, issuer_of(issuer, base_address()), request, session)


@programs.get("/oauth/authorize", response_model=Asked, responses=_PAGES)
def get_oauth_authorization(
    request_in: Annotated[AskedFor, Query()], request: Request, session: Reading
) -> Asked | HTMLResponse:
    """Show what an app requests.

    A browser gets the page on which a member allows or denies it; other clients get JSON. `redirect_uri` must be one that the
    app registered; for a loopback address any port is accepted. An organization's app has exactly one, which is also the
    default. An app that registered itself needs `code_challenge` with S256. The answer to the app includes `iss` (RFC 9207).
    """
    return _ask_for_consent(request_in, base_address(), request, session)


def _ask_for_consent(
    request_in: AskedFor, issuer: str, request: Request, session: Session
) -> Asked | HTMLResponse:
    values = {**request_in.model_dump(exclude_none=True), "issuer": issuer}
    if "text/html" not in request.headers.get("accept", ""):
        consent = check_consent(session, values)
        return Asked(
            app=_app_for(consent),
            made_at=consent.program.row.created_at,
            made_by=_maker(consent),
            state=request_in.state or None,
            scope=scope_text(consent.scopes),
        )
    try:
        consent = check_consent(session, values)
    except OAuthRefused as error:
        page_content = html.refused_page(
            "This request is not valid", error.message, return_to=error.return_to
        )
        return _page(page_content, status=error.answer)
    except AppError as error:
        words = _NOT_KNOWN if isinstance(error, UnknownProgram) else error.message
        return _page(html.refused_page("This app is not known", words), status=error.status)
    return _page_for_somebody(
        session,
        request,
        lambda who: html.consent_page(
            _app_for(consent),
            consent.scopes,
            values,
            who,
            html.Made(consent.program.row.created_at, _maker(consent), clock.now()),
        ),
        why=f"Sign in to decide whether {consent.program.row.name} may act for you.",
    )


@programs.post("/oauth/authorize", status_code=201, responses=_REFUSED)
def submit_oauth_authorization(body: Decision, member: Acting, session: Writing) -> Redirect:
    """Allow or deny an app access to the organization.

    Returns the address that the browser must open: the app's, with a code that is valid once within ten minutes, or with the
    refusal.
    """
    values = body.model_dump(exclude_none=True, exclude={"action"})
    allows = body.action == "approve"
    return Redirect(redirect=answer_consent(session, actor_of(member), values, allows=allows))


@protocol.post(
    "/oauth/token",
    response_model=Token,
    response_model_exclude_unset=True,
    responses={201: {"model": Token, "description": "The same, for a request in JSON"}},
    openapi_extra=_fields_of(TokenRequest),
)
async def create_oauth_token(
    request: Request, response: Response, visitor: Visiting, session: Autocommit
) -> Token:
    """Exchange a code or a refresh token for an access token.

    Accepts a form, as the protocol requires (200), or JSON, as existing clients send it (201). The app's secret goes into the
    body or into Basic credentials. A code or refresh token that is used a second time ends all tokens issued from it. Only an
    app that registered for `refresh_token` gets a refresh token, with access tokens that expire after an hour.
    """
    is_form = _is_form(request)
    request_in = _read_request(TokenRequest, await request.body(), is_form=is_form)
    token = exchange(
        session,
        visitor,
        request_in.model_dump(exclude_none=True),
        authorization=request.headers.get("authorization"),
    )
    response.status_code = 200 if is_form else 201
    return Token(**token)


@protocol.post("/oauth/revoke", openapi_extra=_fields_of(Revocation))
async def revoke_oauth_token(request: Request, visitor: Visiting, session: Autocommit) -> Revoked:
    """End a token (RFC 7009).

    The app authenticates as at `POST /oauth/token`. Revoking either token ends both and the consent. An unknown or ended token
    gets the same answer.
    """
    request_in = _read_request(Revocation, await request.body(), is_form=_is_form(request))
    revoke(
        session,
        visitor,
        request_in.model_dump(exclude_none=True),
        authorization=request.headers.get("authorization"),
    )
    return Revoked()


@registration.post("/oauth/register", status_code=201, response_model_exclude_none=True)
def register_oauth_client(
    body: ClientMetadata, visitor: Visiting, session: Writing
) -> RegisteredProgram:
    """Register an app (RFC 7591).

    Open to everybody, because a member must consent to what the app may do. An app without a consent is deleted after 30 days.
    """
    return register(session, visitor, body)


@programs.get("/oauth/userinfo")
def get_oauth_userinfo(member: Acting, profile: OwnProfile) -> UserInfo:
    """Return the user who consented. For tokens from a consent."""
    return _user_info(member, profile)


@programs.post("/oauth/userinfo")
def post_oauth_userinfo(member: Acting, profile: OwnProfile) -> UserInfo:
    """Return the user who consented (alias). The same as `GET /oauth/userinfo`."""
    return _user_info(member, profile)


@programs.get("/oauth/app")
def get_oauth_app(member: Acting, session: Reading) -> AppOut:
    """Return the organization's app. Its secret is never shown again."""
    return manage.get_app(session, member.organization_id)


@programs.post("/oauth/app", status_code=201)
def create_oauth_app(body: AppIn, member: Acting, session: Writing) -> AppMade:
    """Create the organization's app. It can have one; only this answer shows its secret."""
    return manage.make_app(session, actor_of(member), body)


@programs.put("/oauth/app")
def update_oauth_app(body: AppChange, member: Acting, session: Writing) -> AppOut:
    """Change the organization's app. Omitted fields stay unchanged."""
    return manage.change_app(session, actor_of(member), body)


@programs.delete("/oauth/app")
def delete_oauth_app(member: Acting, session: Writing) -> AppDeleted:
    """Delete the organization's app. All its tokens end."""
    return AppDeleted(id=manage.delete_app(session, actor_of(member)))


@programs.post("/oauth/app/rotate")
def rotate_oauth_app_secret(member: Acting, session: Writing) -> AppSecret:
    """Rotate the app's secret. The old one is refused at once; tokens stay valid."""
    return manage.rotate_secret(session, actor_of(member))


@programs.get("/oauth/grants")
def list_oauth_grants(member: Acting, session: Reading) -> GrantList:
    """List the apps that members allowed, newest first. Administrators see everybody's, other members their own."""
    return grants.list_grants(session, member.organization_id, of_user=_whose(member))


@programs.delete("/oauth/grants/{grant_id}")
def revoke_oauth_grant(grant_id: GrantId, member: Acting, session: Writing) -> GrantRevoked:
    """Revoke a consent. Members revoke their own, administrators any."""
    grants.revoke_grant(session, actor_of(member), grant_id, of_user=_whose(member))
    return GrantRevoked(id=grant_id)


@own.get("/oauth-app")
def get_own_oauth_app(member: Acting, session: Reading) -> AppOut:
    """Return the organization's app (alias). The same as `GET /oauth/app`."""
    return get_oauth_app(member, session)


@own.post("/oauth-app", status_code=201)
def create_own_oauth_app(body: AppIn, member: Acting, session: Writing) -> AppMade:
    """Create the organization's app (alias). The same as `POST /oauth/app`."""
    return create_oauth_app(body, member, session)


@own.put("/oauth-app")
def update_own_oauth_app(body: AppChange, member: Acting, session: Writing) -> AppOut:
    """Change the organization's app (alias). The same as `PUT /oauth/app`."""
    return update_oauth_app(body, member, session)


@own.delete("/oauth-app")
def delete_own_oauth_app(member: Acting, session: Writing) -> AppDeleted:
    """Delete the organization's app (alias). The same as `DELETE /oauth/app`."""
    return delete_oauth_app(member, session)


@own.post("/oauth-app/rotate-secret")
def rotate_own_oauth_app_secret(member: Acting, session: Writing) -> AppSecret:
    """Rotate the app's secret (alias). The same as `POST /oauth/app/rotate`."""
    return rotate_oauth_app_secret(member, session)


@own.get("/approved-apps")
def list_approved_apps(member: Acting, session: Reading) -> GrantList:
    """List the apps that members allowed (alias). The same as `GET /oauth/grants`."""
    return list_oauth_grants(member, session)


@own.delete("/approved-apps/{grant_id}")
def revoke_approved_app(grant_id: GrantId, member: Acting, session: Writing) -> GrantRevoked:
    """Revoke a consent (alias). The same as `DELETE /oauth/grants/{grant_id}`."""
    return revoke_oauth_grant(grant_id, member, session)


@protocol.post("/device/code")
def create_device_code(session: Writing) -> DeviceStarted:
    """Start the authorization of a device without a browser.

    The device shows `user_code` and `verification_uri` to the member, and polls `POST /device/token` every `interval` seconds.
    """
    return device.start_device(session)


@programs.get("/device", response_class=HTMLResponse)
def get_device_page(
    request: Request, session: Reading, code: Annotated[str, Query(max_length=50)] = ""
) -> HTMLResponse:
    """Show the page where a member allows a device."""
    return _page_for_somebody(
        session,
        request,
        lambda who: html.device_page(code, who),
        why="Sign in to decide whether a device may act for you.",
    )


@programs.post("/device/approve")
def approve_device(body: DeviceDecision, member: Acting, session: Writing) -> DeviceSettled:
    """Allow or deny the device that shows a code."""
    decide = device.approve_device if body.approve else device.deny_device
    decide(session, actor_of(member), body.code)
    return DeviceSettled(approved=body.approve)


@protocol.post("/device/token")
def create_device_token(body: DeviceRequest, visitor: Visiting, session: Autocommit) -> DeviceToken:
    """Poll for a device's token, which is returned once."""
    return device.poll_device(session, visitor, body.device_code)


@programs.get("/.well-known/oauth-authorization-server")
def get_authorization_server() -> ServerMetadata:
    """Describe the authorization server (RFC 8414)."""
    return ServerMetadata(**server_metadata("", base_address()))


@programs.get("/.well-known/oauth-authorization-server/{name}")
def get_named_authorization_server(name: str) -> ServerMetadata:
    """Describe the authorization server of a named resource (RFC 8414)."""
    return ServerMetadata(**server_metadata(name, base_address()))


@programs.get("/.well-known/oauth-protected-resource")
def get_protected_resource() -> ResourceMetadata:
    """Describe the protected resource (RFC 9728)."""
    return ResourceMetadata(**resource_metadata("", base_address()))


@programs.get("/.well-known/oauth-protected-resource/{name}")
def get_named_protected_resource(name: str) -> ResourceMetadata:
    """Describe the protected resource at an address (RFC 9728)."""
    return ResourceMetadata(**resource_metadata(name, base_address()))


app = make_app(
    "apps",
    routers=[programs, own, protocol, registration],
    render=oauth_response,
    below_api=True,
)
handler = as_handler(app)


def _is_form(request: Request) -> bool:
    return media_type(request.headers.get("content-type", "")) == URL_ENCODED


def _read_request(model: type[M], body: bytes, *, is_form: bool) -> M:
    """Read a request of the protocol, which may be a form or JSON."""
    try:
        if not is_form:
            return _without_nul(model.model_validate_json(body))
        pairs = parse_qsl(body.decode(errors="replace"), keep_blank_values=True)
        fields = dict(pairs)
        if len(fields) < len(pairs):
            raise OAuthRefused(
                "invalid_request", "A parameter is repeated. Send each parameter once."
            )
        return _without_nul(model.model_validate(fields))
    except ValidationError as error:
        raise RequestValidationError(
            [{**found, "loc": ("body", *found["loc"])} for found in error.errors()]
        ) from error


def _without_nul(request_in: M) -> M:
    """Refuse NUL characters, which cannot be looked up, whatever the body's type."""
    if any("\0" in value for value in request_in.model_dump(exclude_none=True).values()):
        raise OAuthRefused("invalid_request", "A parameter contains a NUL character. Remove it.")
    return request_in


def _page_for_somebody(
    session: Session,
    request: Request,
    make: Callable[[html.Somebody], html.PageContent],
    *,
    why: str,
) -> HTMLResponse:
    """Show a page to the signed-in user, or the sign-in first."""
    try:
        caller = identify(session, credentials_of(request), _SOMEBODY)
    except Unauthenticated:
        return sign_in_page(why)
    except Forbidden as error:
        return _page(html.refused_page("You cannot do this", error.message), status=error.status)
    member, profile = caller.member, caller.profile
    assert profile is not None
    seats = list_organizations(session, member.person_id)
    open_to_them = [(seat.id, seat.name) for seat in seats if not seat.users[0].disabled]
    return _page(make(html.Somebody(profile.email, member.organization_id, open_to_them)))


def _page(page_content: html.PageContent, *, status: int = 200) -> HTMLResponse:
    return html_response(
        page_content.title, page_content.body, script=page_content.script, status=status
    )


def _app_for(consent: Consent) -> AppShown:
    row = consent.program.row
    return AppShown(
        name=row.name,
        description=row.description,
        picture=row.picture_url,
        client_id=row.client_id,
        redirect_url=consent.redirect_uri,
    )


def _maker(consent: Consent) -> Maker | None:
    row = consent.program.row
    if row.organization_name is None or row.organization_since is None:
        return None
    return Maker(name=row.organization_name, since=row.organization_since)


def _user_info(member: ActingMember, profile: OwnProfile) -> UserInfo:
    if member.via is not Via.OAUTH:
        raise UnknownGrant
    return UserInfo(
        sub=member.person_id,
        email=profile.email,
        email_verified=settings().mail_transport
        != "none",  # otherwise accounts are active without a confirmed address
        name=profile.name,
        picture=profile.picture_url,
        organization_id=member.organization_id,
        organization_name=profile.organization_name,
    )


def _whose(member: ActingMember) -> UserId | None:
    return None if reaches(member.role, Role.ADMIN) else member.person_id

"""The dependencies of endpoints: the acting member, a session for reading, and a session for writing.

    def create_posts(body: PostDraft, member: Acting, session: Writing) -> list[CreatedPost]: ...

Each route's rule (`shared/access/policy.py`) is enforced by `guard` before any of these, whether the endpoint asks
for `Acting` or not. The dependencies are coroutines although they block: a Lambda has one request at a time, and a
thread for each would cost more than the statement it waits for.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from pydantic import BaseModel
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from shared.access.context import (
    ActingMember,
    Caller,
    Credentials,
    Profile,
    count_public,
    identify,
    network_of,
)
from shared.access.counts import count_in_memory
from shared.access.crossing import Arrival, check_arrival
from shared.access.errors import (
    ImpersonationOver,
    ImpersonationRefused,
    OrganizationGone,
    RateLimitReached,
)
from shared.access.policy import Per, Rate, Rule, Who
from shared.audit.entries import Actor
from shared.core.config import settings
from shared.core.errors import InvalidInput, NotFound
from shared.core.log import log, note, note_given
from shared.core.unknown_fields import (
    MOST_NAMED,
    missing_fields,
    models_in,
    names_of,
    unknown_field,
    unknown_fields,
    unknown_parameter,
)
from shared.db.session import autocommit, read_only, unit_of_work
from shared.identity.sessions import hold_session
from shared.identity.tokens import read_renew_token
from shared.web import cookies
from shared.web.bodies import is_json

T = TypeVar("T")
_COUNTRY = re.compile(r"[A-Z]{2}")
_BEARER = re.compile(r"^bearer\s+", re.IGNORECASE)  # as RFC 9110 reads schemes


def guard(rule: Rule) -> Callable[[Request], Awaitable[None]]:
    """Make the dependency that enforces one row of the policy."""

    async def check(request: Request) -> None:
        note(operation_id=getattr(request.scope.get("route"), "operation_id", None))
        note_given(request.path_params, {name: name for name in request.path_params})
        if rule.feature in settings().disabled_features:
            raise NotFound(
                "This feature is turned off on this server. Ask its operator to turn it on."
            )
        check_arrival(_arrival_of(request), rule, ours=_our_origins())
        try:
            _let_in(request)
        except RateLimitReached as error:
            request.state.quota, request.state.counted = error.quota, False
            raise
        except OrganizationGone:
            _remove_named(request, cookies.ORGANIZATION)
            raise
        except (ImpersonationOver, ImpersonationRefused):
            _remove_named(request, cookies.IMPERSONATE)
            raise

    def _let_in(request: Request) -> None:
        if rule.who is not Who.PUBLIC:
            request.state.counted = True
            caller = _again_if_disconnected(
                lambda connection: identify(connection, credentials_of(request), rule)
            )
            caller = _with_origin(caller, request)
            request.state.caller, request.state.quota = caller, caller.quota
            if rule.rate and rule.rate.in_memory:
                count_in_memory(rule.rate, str(caller.principal))
            if caller.member.impersonated_by:
                _note_impersonation(request, caller.member)
        elif rule.rate:
            _count_public(request, rule.rate)

    return check


def _with_origin(caller: Caller, request: Request) -> Caller:
    member = replace(
        caller.member,
        request_id=getattr(request.state, "request_id", None),
        address=client_address(request),
    )
    return replace(caller, member=member)


def _count_public(request: Request, rate: Rate) -> None:
    subject = _session_of(request) if rate.per is Per.SESSION else None
    subject = subject or network_of(client_address(request))
    if rate.in_memory:
        count_in_memory(rate, subject)
    else:
        request.state.quota = _again_if_disconnected(
            lambda connection: count_public(connection, subject, rate)
        )


def _session_of(request: Request) -> str | None:
    session_id = read_renew_token(cookies.read_renew(request) or "")
    return str(session_id) if session_id else None


def _arrival_of(request: Request) -> Arrival:
    headers = request.headers
    return Arrival(
        method=request.method,
        site=headers.get("sec-fetch-site"),
        mode=headers.get("sec-fetch-mode"),
        destination=headers.get("sec-fetch-dest"),
        purpose=headers.get("sec-purpose") or headers.get("purpose"),
        origin=headers.get("origin"),
        by_header=bool(headers.get("auth") or credentials_of(request).api_key),
        has_cookie=cookies.has_any(request),
    )


def _our_origins() -> frozenset[str]:
    return frozenset({settings().public_url, *settings().cors_origins})


def _remove_named(request: Request, name: str) -> None:
    """Remove a cookie that selects an organization or member that the caller cannot use; a header stays."""
    if not request.headers.get(name) and cookies.read(request, name):
        request.state.removed_cookie = cookies.removed(name)


async def refuse_unknown_fields(request: Request) -> None:
    """Refuse a JSON body with fields that the route's model does not have, because they would be ignored.

    FastAPI has already read the body, so this only walks it. A body that is not JSON is refused where it is parsed.

    Raises:
        InvalidInput: lists each unknown field by its path, and missing required ones.
    """
    model, found = await unknown_fields_of(request, most=MOST_NAMED)
    if model and found:
        missing = missing_fields(model, await request.json())
        raise InvalidInput(
            "Some fields are unknown. Nothing was changed.",
            problems=[*(unknown_field(model, path) for path in found), *missing],
        )


async def refuse_unknown_parameters(request: Request) -> None:
    """Refuse query parameters that the route does not read: a mistyped filter would return everything.

    Raises:
        InvalidInput: lists each unknown parameter.
    """
    given = request.query_params.keys()
    if not given:
        return
    known = _parameters_of(request.scope["route"].dependant)
    if unknown := [name for name in given if name not in known][:MOST_NAMED]:
        raise InvalidInput(
            "Some query parameters are unknown. Nothing was read or changed.",
            problems=[unknown_parameter(name, known) for name in unknown],
        )


def _parameters_of(needed: Dependant) -> set[str]:
    """Return the names of a route's query parameters, including those of a model and of its dependencies."""
    names: set[str] = set()
    for field in needed.query_params:
        models = models_in(field.field_info.annotation)
        names |= set(names_of(models[0])) if models else {field.alias}
    return names.union(*map(_parameters_of, needed.dependencies))


async def unknown_fields_of(
    request: Request, *, most: int
) -> tuple[type[BaseModel] | None, list[str]]:
    """List the unknown fields of a body, and the model that does not know them."""
    route = request.scope["route"]
    if route.body_field is None or not is_json(request.headers.get("content-type", "")):
        return None, []
    models = models_in(route.body_field.field_info.annotation)
    if len(models) != 1:
        return None, []
    try:
        body = await request.json()
    except ValueError:
        return None, []
    return models[0], unknown_fields(models[0], body, most=most)


def client_address(request: Request) -> str:
    """Return the client's address, skipping the proxies that `TRUSTED_PROXIES` counts."""
    hops = request.headers.get("x-forwarded-for", "").split(",")
    trusted = settings().trusted_proxies
    if 0 < trusted < len(hops):
        return hops[-1 - trusted].strip()
    return request.client.host if request.client else "unknown"


def client_country(request: Request) -> str | None:
    """Return the country of the client's address, two letters; None unless CloudFront is trusted and says it."""
    country = request.headers.get("cloudfront-viewer-country", "")
    return country if settings().trusted_proxies and _COUNTRY.fullmatch(country) else None


def credentials_of(request: Request) -> Credentials:
    """Collect the request's credentials. A header, which is sent explicitly, comes before a cookie.

    An API key in the route's path comes first.
    """
    headers = request.headers
    authorization = request.path_params.get("api_key") or headers.get("authorization", "")
    api_key = _BEARER.sub("", authorization).strip() or None
    # A browser's cookies select for its session, not for an API key.
    chosen = None if api_key else cookies.read(request, cookies.ORGANIZATION)
    return Credentials(
        access_token=headers.get("auth") or cookies.read(request, cookies.ACCESS),
        api_key=api_key,
        organization=headers.get("showorg") or chosen,
        impersonate=headers.get("impersonate") or cookies.read(request, cookies.IMPERSONATE),
    )


async def _acting(request: Request) -> ActingMember:
    return _caller_of(request).member


async def _profile(request: Request) -> Profile:
    profile = _caller_of(request).profile
    assert profile is not None, "the route's rule does not read the profile"
    return profile


async def _visiting(request: Request) -> Actor:
    return Actor(
        request_id=getattr(request.state, "request_id", None), address=client_address(request)
    )


async def _reading() -> AsyncIterator[Session]:
    with read_only() as session:
        yield session


async def _writing(request: Request) -> AsyncIterator[Session]:
    # All changes of such a request are in this transaction, so `Edge` may run it again after a clash.
    request.state.repeatable = not getattr(request.state, "repeated", False)
    with unit_of_work() as session:
        _hold_session(session, request)
        yield session


def _hold_session(session: Session, request: Request) -> None:
    """Keep the caller's session from ending meanwhile, where the route makes something that would outlive it."""
    rule: Rule = request.scope["route"].rule
    if rule.self_only:
        member = _caller_of(request).member
        if member.session_id is not None:
            hold_session(session, member.person_id, member.session_id)


Acting = Annotated[ActingMember, Depends(_acting)]
"""The acting member."""

Visiting = Annotated[Actor, Depends(_visiting)]
"""The sender of a request to a public route, for the audit log. Whose account it is about is found out later."""

OwnProfile = Annotated[Profile, Depends(_profile)]
"""The profile for `GET /user/self`; the rule must have `reads_profile`."""

Reading = Annotated[Session, Depends(_reading, scope="function")]
"""A session in autocommit."""

Autocommit = Reading
"""The same, for records that must persist although the request is refused: a wrong password is counted."""

# With FastAPI's default scope the commit would happen after the answer, so a failed commit would have answered 201.
Writing = Annotated[Session, Depends(_writing, scope="function")]
"""A session with the request's only transaction."""


def _again_if_disconnected(work: Callable[[Session | Connection], T]) -> T:
    """Run the request's first statement, and again on a new connection if the server closed it while the container was frozen.

    It only writes counts and times of calls, so it is `repeatable`: counting a call twice does no harm.
    """
    try:
        with autocommit() as connection:
            return work(connection)
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        log.warning("database.reconnected")
    with autocommit() as connection:
        return work(connection)


def _caller_of(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


def _note_impersonation(request: Request, member: ActingMember) -> None:
    log.info(
        "session.impersonated",
        extra={
            "by": str(member.impersonated_by),
            "user_id": str(member.user_id),
            "organization_id": str(member.organization_id),
            "method": request.method,
            "path": request.url.path,
        },
    )

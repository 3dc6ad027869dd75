"""Finds, adds and removes the accounts at other providers with which a user signs in."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from shared.audit.entries import NOBODY, Action, Actor, Entry, entries_json
from shared.audit.record import record
from shared.core.crypto import hash_secret
from shared.core.ids import LoginId, UserId, new_id
from shared.identity import letters, queries
from shared.identity.errors import LastWayIn, LoginTaken, NoSuchLogin
from shared.identity.login_providers.base import Proven
from shared.identity.login_queries import (
    ADD_LOGIN,
    FIND_WAYS,
    LINK_CONFIRMED,
    LIST_LOGINS,
    REMOVE_LOGIN,
)
from shared.identity.mails import queue_letter
from shared.identity.models import FactorKind, LoginProvider, Method

_NAMES = {LoginProvider.GITHUB: "GitHub", LoginProvider.GENERIC: "your organization's provider"}
_BY_FACTOR = {FactorKind.TOTP: Method.TOTP, FactorKind.PASSKEY: Method.PASSKEY}


def methods_of(
    session: Session | Connection, user_id: UserId, factors: Collection[FactorKind]
) -> list[Method]:
    """List the strongest methods by which a user can prove their identity: second factors if there are any."""
    if factors:
        return [_BY_FACTOR[kind] for kind in sorted(factors)]
    ways = FIND_WAYS.one(session, user_id)
    methods = [Method.PASSWORD] if ways.has_password else []
    return methods + [Method(provider) for provider in ways.providers]


def as_json(proven: Proven) -> dict[str, Any]:
    """Return what a challenge remembers of a proven login."""
    return {
        "provider": proven.provider.value,
        "issuer": proven.issuer,
        "subject": proven.subject,
        "email": proven.email,
        "email_verified": proven.email_verified,
        "name": proven.name,
    }


def from_json(remembered: Mapping[str, Any]) -> Proven:
    """Return the login that `as_json` wrote."""
    return Proven(**{**remembered, "provider": LoginProvider(remembered["provider"])})


def add_login(session: Session, user_id: UserId, proven: Proven, *, by: Actor = NOBODY) -> None:
    """Add a login to a user, and record it. A login that the user has already stays. `by` is the request.

    Raises:
        LoginTaken: it belongs to another account.
    """
    added = ADD_LOGIN.find(
        session,
        login_id=LoginId(new_id()),
        user_id=user_id,
        provider=proven.provider,
        issuer=proven.issuer,
        subject=proven.subject,
        email=proven.email,
    )
    if added is None:
        raise LoginTaken
    _record(session, by, Action.LOGIN_ADDED, user_id, added.id, proven.provider)


def link_waiting(
    session: Session, user_id: UserId, secret: str | None, *, by: Actor = NOBODY
) -> bool:
    """Add the login that waits, in this browser, for the owner of its address to sign in; return whether there was one."""
    if secret is None:
        return False
    login_id = LoginId(new_id())
    audit = entries_json(_account(by, user_id), Entry(Action.LOGIN_ADDED, login_id))
    linked = LINK_CONFIRMED.find(
        session, hash=hash_secret(secret), user_id=user_id, login_id=login_id, audit=audit
    )
    if linked is None:
        return False
    tell_of_login(session, user_id, linked.provider, added=True)
    return True


def remove_login(
    session: Session, user_id: UserId, login_id: LoginId, *, by: Actor = NOBODY
) -> None:
    """Remove a login, unless it is the only one with which its user can sign in, and record it.

    Raises:
        NoSuchLogin: the user has no such login.
        LastWayIn: there would be no way in left.
    """
    # Two requests at once would each see the other's login.
    queries.LOCK_USER.find(session, user_id)
    removed = REMOVE_LOGIN.find(session, user_id, login_id)
    if removed is None:
        raise NoSuchLogin
    if not FIND_WAYS.one(session, user_id).has_password and not LIST_LOGINS.all(session, user_id):
        raise LastWayIn
    _record(session, by, Action.LOGIN_REMOVED, user_id, login_id, removed.provider)
    tell_of_login(session, user_id, removed.provider, added=False)


def tell_of_login(
    session: Session, user_id: UserId, provider: LoginProvider, *, added: bool
) -> None:
    """Email a user that a login was added to their account or removed from it."""
    email = queries.FIND_PASSWORD.one(session, user_id).email
    name = _NAMES.get(provider, provider.value.title())
    queue_letter(session, email, letters.login_changed(name, added=added))


def _record(
    session: Session,
    by: Actor,
    action: Action,
    user_id: UserId,
    login_id: LoginId,
    provider: LoginProvider,
) -> None:
    record(session, _account(by, user_id), action, login_id, after={"provider": provider})


def _account(by: Actor, user_id: UserId) -> Actor:
    """Return the sender of a request as somebody who acts on their own account."""
    return replace(by, organization_id=None).as_user(user_id)

"""Starts, renews and ends sessions.

These run in autocommit, as single statements, because their records (a wrong password, a stolen token) must persist
although the request is refused.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.orm import Session

from shared.core.config import settings
from shared.core.crypto import hash_secret
from shared.core.ids import SessionId, UserId, new_id
from shared.core.log import log
from shared.identity import devices, queries, session_queries
from shared.identity.errors import LoginRefused, NotActivated, SessionOver
from shared.identity.passwords import is_password
from shared.identity.tokens import (
    SessionClaims,
    read_renew_token,
    sign_access_token,
    sign_renew_token,
)

WRONG_PASSWORDS_ALLOWED = 10
LOCKED_FOR = timedelta(minutes=15)
# A browser's parallel requests may all send the token that the first of them has just replaced.
GRACE = timedelta(seconds=30)
_MAX_USER_AGENT = 300


@dataclass(frozen=True, slots=True)
class Browser:
    """The browser that sent a request, so that users recognize their sessions. `devices` are the tokens in its cookie."""

    ip: str | None = None
    user_agent: str | None = None
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionTokens:
    """The tokens for a browser. `renew` and `devices`, its cookies, are None if they stay as they are.

    `is_new_device` says that the user has signed in before, but from other devices only.
    """

    access: str
    renew: str | None
    devices: str | None = None
    is_new_device: bool = False


def log_in(session: Session, *, email: str, password: str, browser: Browser) -> SessionTokens:
    """Open a session for the user with this password.

    Raises:
        LoginRefused: the address or password is wrong.
        NotActivated: they are right, but the address was never verified.
    """
    account = queries.find_account(session, email)
    right = is_password(password, account.password_hash if account else None)
    if account is None or account.is_locked:
        raise LoginRefused
    if not right:
        queries.count_failure(
            session, account.user_id, allowed=WRONG_PASSWORDS_ALLOWED, locked_for=LOCKED_FOR
        )
        log.info("login.refused", extra={"user_id": str(account.user_id)})
        raise LoginRefused
    if not account.is_active:
        raise NotActivated
    return open_session(session, account.user_id, browser)


def open_session(session: Session, user_id: UserId, browser: Browser) -> SessionTokens:
    """Open a session for an authenticated user."""
    session_id = SessionId(new_id())
    renew, new_token = sign_renew_token(session_id), devices.new_token()
    opened = session_queries.open_session(
        session,
        user_id,
        session_id,
        renew_hash=hash_secret(renew),
        life=_life(),
        ip=browser.ip,
        user_agent=(browser.user_agent or "")[:_MAX_USER_AGENT] or None,
        devices=devices.hashes(browser.devices),
        new_device=hash_secret(new_token),
    )
    added = None if opened.is_known_device else new_token
    return SessionTokens(
        sign_access_token(SessionClaims(user_id, session_id)),
        renew,
        devices=devices.as_cookie(browser.devices, added),
        is_new_device=opened.has_devices and not opened.is_known_device,
    )


def renew(session: Session, token: str) -> SessionTokens:
    """Return a new access token and replace the renew token.

    A token that was replaced less than `GRACE` ago still gets an access token. If an older one is used, it or its successor
    was stolen, so the session ends for both.

    Raises:
        SessionOver: the token is invalid or has expired.
    """
    session_id = read_renew_token(token)
    if session_id is None:
        raise SessionOver
    given, successor = hash_secret(token), sign_renew_token(session_id)
    user_id = session_queries.rotate(
        session,
        session_id,
        renew_hash=given,
        new_hash=hash_secret(successor),
        grace=GRACE,
        life=_life(),
    )
    if user_id:
        return SessionTokens(sign_access_token(SessionClaims(user_id, session_id)), successor)
    user_id = session_queries.find_in_grace(session, session_id, renew_hash=given)
    if user_id:
        return SessionTokens(sign_access_token(SessionClaims(user_id, session_id)), None)
    if session_queries.revoke_session(session, session_id):
        log.warning("session.reused", extra={"session_id": str(session_id)})
    raise SessionOver


def _life() -> timedelta:
    return timedelta(days=settings().session_days)

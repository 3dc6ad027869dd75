"""Which cookies a browser is given: who is signed in, how to stay so, and which organization is meant.

All are HttpOnly and SameSite=Lax; `Secure` where the public address is https.
"""

from datetime import timedelta
from uuid import UUID

from fastapi import Response

from shared.core.config import settings
from shared.identity.sessions import SessionTokens

ACCESS, RENEW, ORGANIZATION, IMPERSONATE = "auth", "renew", "showorg", "impersonate"
_RENEW_PATH = "/auth"  # sent only where it is used
_YEAR = timedelta(days=365)


def set_session(response: Response, tokens: SessionTokens) -> None:
    """Sign a browser in, or keep it so."""
    _set(response, ACCESS, tokens.access, timedelta(seconds=settings().access_token_seconds))
    if tokens.renew:
        life = timedelta(days=settings().session_days)
        _set(response, RENEW, tokens.renew, life, path=_RENEW_PATH)


def clear_session(response: Response) -> None:
    """Sign a browser out."""
    for name in (ACCESS, ORGANIZATION, IMPERSONATE):
        _clear(response, name)
    _clear(response, RENEW, path=_RENEW_PATH)


def choose_organization(response: Response, organization_id: UUID) -> None:
    """Remember which organization is meant."""
    _set(response, ORGANIZATION, str(organization_id), _YEAR)


def impersonate(response: Response, member_id: UUID | None) -> None:
    """Act as a member, or no longer."""
    if member_id is None:
        _clear(response, IMPERSONATE)
    else:
        _set(response, IMPERSONATE, str(member_id), timedelta(hours=8))


def _set(response: Response, name: str, value: str, life: timedelta, path: str = "/") -> None:
    response.set_cookie(
        name,
        value,
        max_age=int(life.total_seconds()),
        path=path,
        secure=settings().cookies_are_secure,
        httponly=True,
        samesite="lax",
    )


def _clear(response: Response, name: str, path: str = "/") -> None:
    response.delete_cookie(
        name, path=path, secure=settings().cookies_are_secure, httponly=True, samesite="lax"
    )

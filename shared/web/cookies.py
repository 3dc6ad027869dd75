"""The cookies: the signed-in user, the renew token, the selected organization, and the device.

All are HttpOnly and SameSite=Lax. If the public address is https, they are Secure and their names begin with `__Host-`:
a browser accepts such a cookie only from exactly this host, so no subdomain can set one. Only the prefixed names are read
then. On http (a laptop) browsers refuse the prefix, and the plain names are used.

Source: developer.mozilla.org, "Set-Cookie", section "Cookie prefixes", read 2026-11-30.
"""

from datetime import UTC, datetime, timedelta

from fastapi import Request, Response

from shared.core import clock
from shared.core.config import settings
from shared.core.ids import MemberId, OrganizationId
from shared.identity.devices import DEVICE_LIFE, tokens_in
from shared.identity.sessions import FACTOR_LIFE, SessionTokens

ACCESS, RENEW, ORGANIZATION, IMPERSONATE = "auth", "renew", "showorg", "impersonate"
CONNECTING = "connecting"
"""Identifies a browser that returns from a platform as the one that started connecting."""
LOGIN_STATE, LINKING, SECOND_FACTOR, PASSKEY = "oauth_state", "linking", "mfa", "passkey"
"""What this browser is in the middle of: a login at a provider or the registration after it; a login that waits for its owner; a
sign-in that waits for a second factor, or for a passkey."""
DEVICE = "device"
"""Recognizes a browser that has signed in before. It lets nobody in, and stays when its user signs out."""
NAMES = (
    ACCESS,
    RENEW,
    ORGANIZATION,
    IMPERSONATE,
    CONNECTING,
    LOGIN_STATE,
    LINKING,
    SECOND_FACTOR,
    PASSKEY,
)
PLAIN_RENEW_ENDS = datetime(2026, 12, 31, tzinfo=UTC)
"""Until this time, a `renew` cookie without a prefix is exchanged: 30 days after the prefix was introduced."""
_RENEW_PATH = "/auth"  # sent only to the route that uses it; a prefixed name must have the path /
_YEAR = timedelta(days=365)


def wire_name(name: str) -> str:
    """Return a cookie's name on the wire."""
    return f"__Host-{name}" if settings().cookies_are_secure else name


def read(request: Request, name: str) -> str | None:
    """Return a cookie of the request."""
    return request.cookies.get(wire_name(name))


def read_renew(request: Request) -> str | None:
    """Return the renew token; until `PLAIN_RENEW_ENDS` also from a cookie without the prefix."""
    token = read(request, RENEW)
    if token is None and clock.now() < PLAIN_RENEW_ENDS:
        return request.cookies.get(RENEW)
    return token


def read_devices(request: Request) -> tuple[str, ...]:
    """Return the tokens by which the browser is recognized."""
    return tokens_in(read(request, DEVICE))


def has_any(request: Request) -> bool:
    """Return whether the browser sent a cookie that lets in or selects something."""
    names = {wire_name(name) for name in NAMES} | {RENEW}
    return not names.isdisjoint(request.cookies)


def set_session(response: Response, tokens: SessionTokens) -> None:
    """Set the session cookies."""
    _set(response, ACCESS, tokens.access, timedelta(seconds=settings().access_token_seconds))
    if tokens.renew:
        life = timedelta(days=settings().session_days)
        _set(response, RENEW, tokens.renew, life, path=_renew_path())
    if tokens.devices:
        _set(response, DEVICE, tokens.devices, DEVICE_LIFE)
    if settings().cookies_are_secure:
        _clear_plain_renew(response)


def clear_session(response: Response) -> None:
    """Remove the session cookies."""
    for name in (ACCESS, ORGANIZATION, IMPERSONATE):
        _clear(response, name)
    _clear(response, RENEW, path=_renew_path())
    if settings().cookies_are_secure:
        _clear_plain_renew(response)


def removed(name: str) -> str:
    """Return the `Set-Cookie` header that removes a cookie."""
    answer = Response()
    _clear(answer, name)
    return answer.headers["set-cookie"]


def choose_organization(response: Response, organization_id: OrganizationId) -> None:
    """Set the selected organization."""
    _set(response, ORGANIZATION, str(organization_id), _YEAR)


def forget_organization(response: Response) -> None:
    """Select no organization, so that the first of the person's is used."""
    _clear(response, ORGANIZATION)


def impersonate(response: Response, member_id: MemberId | None) -> None:
    """Set or remove the impersonated member."""
    if member_id is None:
        _clear(response, IMPERSONATE)
    else:
        _set(response, IMPERSONATE, str(member_id), timedelta(hours=8))


def set_connecting(response: Response, secret: str, life: timedelta) -> None:
    """Set the secret that identifies the browser that started connecting an account."""
    _set(response, CONNECTING, secret, life)


def set_login_state(response: Response, state: str, life: timedelta) -> None:
    """Bind a login at a provider, or the registration after it, to this browser."""
    _set(response, LOGIN_STATE, state, life)


def set_linking(response: Response, secret: str, life: timedelta) -> None:
    """Bind a login that waits for the owner of its address to this browser."""
    _set(response, LINKING, secret, life)


def set_second_factor(response: Response, secret: str) -> None:
    """Bind a sign-in that waits for a second factor to this browser."""
    _set(response, SECOND_FACTOR, secret, FACTOR_LIFE)


def set_passkey(response: Response, challenge: str) -> None:
    """Bind a sign-in with a passkey to this browser."""
    _set(response, PASSKEY, challenge, FACTOR_LIFE)


def clear(response: Response, name: str) -> None:
    """Remove a cookie."""
    _clear(response, name)


def _renew_path() -> str:
    return "/" if settings().cookies_are_secure else _RENEW_PATH


def _set(response: Response, name: str, value: str, life: timedelta, path: str = "/") -> None:
    response.set_cookie(
        wire_name(name),
        value,
        max_age=int(life.total_seconds()),
        path=path,
        secure=settings().cookies_are_secure,
        httponly=True,
        samesite="lax",  # links from platforms and emails lead here; `strict` would not send the cookie then
    )


def _clear(response: Response, name: str, path: str = "/") -> None:
    response.delete_cookie(
        wire_name(name),
        path=path,
        secure=settings().cookies_are_secure,
        httponly=True,
        samesite="lax",
    )


def _clear_plain_renew(response: Response) -> None:
    response.delete_cookie(RENEW, path=_RENEW_PATH, secure=True, httponly=True, samesite="lax")

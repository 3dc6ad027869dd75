"""How a program without a browser gets a token: it shows a code, a member types it elsewhere, and it asks until then.

As the command-line program does that existing installations have, and close to RFC 8628: without a client id, since
there is one such program, and at an address of its own.
"""

from datetime import timedelta

from sqlalchemy import func
from sqlalchemy.orm import Session

from shared.core.config import settings
from shared.core.crypto import hash_secret, new_secret
from shared.core.ids import OrganizationId, UserId
from shared.oauth import queries
from shared.oauth.credentials import new_token, new_user_code, read_user_code
from shared.oauth.errors import NoSuchUserCode, OAuthRefused
from shared.oauth.schemas import DeviceStarted, DeviceToken
from shared.oauth.scopes import SCOPES, scope_text

CLIENT_ID = "roost_device"
LIFE = timedelta(minutes=15)
INTERVAL = timedelta(seconds=5)
_JITTER = timedelta(
    seconds=1
)  # a program that waits exactly the interval may arrive a little sooner
_PROGRAM = {
    "client_id": CLIENT_ID,
    "name": "Command-line program",
    "description": "A program on one of your computers, without a browser.",
    "redirect_uris": [],
}
_TRIES = 5  # a user code is taken once in a million million times


def start_device(session: Session) -> DeviceStarted:
    """Begin: make the code that the device keeps, and the one that it shows."""
    device_code = new_secret()
    for _ in range(_TRIES):
        user_code = new_user_code()
        values = {
            "device_code_hash": hash_secret(device_code),
            "user_code": user_code,
            "life": LIFE,
        }
        if queries.add_device(session, _PROGRAM, values):
            break
    address = f"{settings().public_url}/device"
    return DeviceStarted(
        device_code=device_code,
        user_code=user_code,
        verification_uri=address,
        verification_uri_complete=f"{address}?code={user_code}",
        expires_in=int(LIFE.total_seconds()),
        interval=int(INTERVAL.total_seconds()),
    )


def approve_device(
    session: Session, organization_id: OrganizationId, user_id: UserId, typed: str
) -> None:
    """Let the device that shows a code act for the organization.

    Raises:
        NoSuchUserCode: none waits with it.
    """
    _settle(session, organization_id, user_id, typed, "approved_at")


def deny_device(
    session: Session, organization_id: OrganizationId, user_id: UserId, typed: str
) -> None:
    """Turn the device away that shows a code.

    Raises:
        NoSuchUserCode: none waits with it.
    """
    _settle(session, organization_id, user_id, typed, "denied_at")


def poll_device(session: Session, device_code: str) -> DeviceToken:
    """Give a device its token, once a member has approved.

    The session must not be a transaction: that it asked is noted although the answer is a refusal.

    Raises:
        OAuthRefused: not yet, too soon, denied, or over, as RFC 8628 section 3.5 names it.
    """
    device_code_hash = hash_secret(device_code)
    row = queries.ask_device(session, device_code_hash, not_within=INTERVAL - _JITTER)
    if row is None or row.is_over:
        raise OAuthRefused("expired_token", "The code has expired. Start again.")
    if row.is_denied:
        raise OAuthRefused("access_denied", "The member denied access.")
    if not row.is_approved:
        if row.too_soon:
            raise OAuthRefused(
                "slow_down", f"This is too often. Ask every {INTERVAL.seconds} seconds."
            )
        raise OAuthRefused(
            "authorization_pending", "No member has approved the device yet. Keep asking."
        )
    token = new_token()
    grant = queries.exchange_device(session, device_code_hash, hash_secret(token), SCOPES)
    if grant is None:
        raise OAuthRefused("expired_token", "The code has expired. Start again.")
    return DeviceToken(
        access_token=token,
        token_type="bearer",  # noqa: S106  a type's name
        scope=scope_text(grant.scopes),
        api_url=settings().public_url,
        organization_id=grant.organization_id,
    )


def _settle(
    session: Session, organization_id: OrganizationId, user_id: UserId, typed: str, column: str
) -> None:
    values = {column: func.now()}
    user_code = read_user_code(typed)
    if not queries.settle_device(session, organization_id, user_id, user_code, values):
        raise NoSuchUserCode

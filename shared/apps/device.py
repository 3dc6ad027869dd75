"""The device flow for apps without a browser: the device shows a code and polls until a member has typed it elsewhere.

It is the flow of the existing command-line program and close to RFC 8628, but without a client id, because there is only
one such program, and at its own address.
"""

from datetime import timedelta

from sqlalchemy.orm import Session

from shared.apps import token_queries
from shared.apps.credentials import NewToken, new_token, new_user_code, read_user_code
from shared.apps.errors import NoSuchUserCode, OAuthRefused
from shared.apps.schemas import DeviceStarted, DeviceToken
from shared.apps.scopes import granted_scopes, scope_text
from shared.audit.entries import Action, Actor, Entry, entries_json
from shared.audit.record import record
from shared.core.config import settings
from shared.core.crypto import hash_secret, new_secret
from shared.core.ids import AppId, GrantId, new_id

CLIENT_ID = "roost_device"
LIFE = timedelta(minutes=15)
INTERVAL = timedelta(seconds=5)
_JITTER = timedelta(seconds=1)  # a device that waits exactly the interval may arrive slightly early
_NAME = "Command-line program"
_DESCRIPTION = "A program on one of your computers, without a browser."
_TRIES = 5  # the chance that a user code is taken is one in 10^12


def start_device(session: Session) -> DeviceStarted:
    """Start the flow: create the device's code, and the user code that it shows."""
    device_code = new_secret()
    for _ in range(_TRIES):
        user_code = new_user_code()
        added = token_queries.ADD_DEVICE.find(
            session,
            app_id=AppId(new_id()),
            client_id=CLIENT_ID,
            name=_NAME,
            description=_DESCRIPTION,
            device_code_hash=hash_secret(device_code),
            user_code=user_code,
            life_seconds=LIFE.total_seconds(),
        )
        if added:
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


def approve_device(session: Session, actor: Actor, typed: str) -> None:
    """Let the device that shows a code act for the organization.

    Raises:
        NoSuchUserCode: no device waits with this code.
    """
    _settle(session, actor, typed, approves=True)


def deny_device(session: Session, actor: Actor, typed: str) -> None:
    """Deny the device that shows a code.

    Raises:
        NoSuchUserCode: no device waits with this code.
    """
    _settle(session, actor, typed, approves=False)


def poll_device(session: Session, visitor: Actor, device_code: str) -> DeviceToken:
    """Give a device its token, once a member has approved. `visitor` is the device.

    The session must not be a transaction, because the poll is recorded even if the answer is a refusal.

    Raises:
        OAuthRefused: pending, too soon, denied or expired, as in RFC 8628 section 3.5.
    """
    device_code_hash = hash_secret(device_code)
    row = token_queries.POLL_DEVICE.find(
        session, device_code_hash, (INTERVAL - _JITTER).total_seconds()
    )
    if row is None or row.is_over:
        raise OAuthRefused("expired_token", "The code has expired. Start again.")
    if row.is_denied:
        raise OAuthRefused("access_denied", "The member denied access.")
    if not row.is_approved:
        if row.too_soon:
            raise OAuthRefused(
                "slow_down", f"Too many requests. Poll every {INTERVAL.seconds} seconds."
            )
        raise OAuthRefused(
            "authorization_pending", "No member has approved the device yet. Keep polling."
        )
    token = new_token()
    grant = token_queries.EXCHANGE_DEVICE.find(
        session,
        grant_id=GrantId(new_id()),
        device_code_hash=device_code_hash,
        scopes=list(granted_scopes(None)),
        audit=entries_json(
            visitor, Entry(Action.GRANT_CREATED, after={"scopes": granted_scopes(None)})
        ),
        **NewToken(hash_secret(token))._asdict(),
    )
    if grant is None:
        raise OAuthRefused("expired_token", "The code has expired. Start again.")
    return DeviceToken(
        access_token=token,
        token_type="bearer",  # noqa: S106  a type's name
        scope=scope_text(grant.scopes),
        api_url=settings().public_url,
        organization_id=grant.organization_id,
    )


def _settle(session: Session, actor: Actor, typed: str, *, approves: bool) -> None:
    row = token_queries.SETTLE_DEVICE.find(
        session, actor.organization, actor.person, read_user_code(typed), approves
    )
    if row is None:
        raise NoSuchUserCode
    record(session, actor, Action.APP_ALLOWED if approves else Action.APP_DENIED, row.app_id)

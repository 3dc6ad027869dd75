"""Unsubscribe links in emails, which turn off one kind of email without signing in (RFC 8058).

A token is derived from a random value of the user and the kind, so the function that sends an email needs no secret. It only
allows turning off one kind of email for one user. It never expires, because an email may be read years later.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from uuid import UUID

from sqlalchemy.orm import Session

from shared.audit.entries import NOBODY, Action, Actor
from shared.audit.record import record
from shared.core.config import settings
from shared.core.ids import UserId
from shared.identity import queries
from shared.identity.errors import UnsubscribeRefused
from shared.identity.models import MailKind


def unsubscribe_url(user_id: UserId, seed: bytes, kind: MailKind) -> str:
    """Return the address at which this user turns off this kind of email. `seed` is `User.unsubscribe_seed`."""
    token = f"{kind}.{user_id.hex}.{_proof(seed, kind)}"
    return f"{settings().public_url}/user/unsubscribe?token={token}"


def kind_of(token: str) -> MailKind:
    """Return a token's kind of email without checking that the token is genuine.

    Raises:
        UnsubscribeRefused: the token is malformed.
    """
    return _parts(token)[0]


def unsubscribe(session: Session, token: str, *, by: Actor = NOBODY) -> MailKind:
    """Turn off a token's kind of email for its user, and record it. A repeated call changes nothing. `by` is the request.

    Raises:
        UnsubscribeRefused: the token is not genuine.
    """
    kind, user_id, proof = _parts(token)
    seed = queries.find_unsubscribe_seed(session, user_id)
    if seed is None or not hmac.compare_digest(_proof(seed, kind).encode(), proof.encode()):
        raise UnsubscribeRefused
    queries.switch_mails_off(session, user_id, kind)
    record(session, by.as_user(user_id), Action.ACCOUNT_MAILS_CHANGED, user_id)
    return kind


def _proof(seed: bytes, kind: MailKind) -> str:
    digest = hashlib.sha256(seed + kind.encode()).digest()
    return urlsafe_b64encode(digest).decode().rstrip("=")


def _parts(token: str) -> tuple[MailKind, UserId, str]:
    kind, _, rest = token.partition(".")
    user_id, _, proof = rest.partition(".")
    try:
        return MailKind(kind), UserId(UUID(hex=user_id)), proof
    except ValueError as error:
        raise UnsubscribeRefused from error

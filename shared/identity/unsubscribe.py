"""How an email lets its reader switch off that kind of email, without signing in (RFC 8058).

A token is made of a random value of the user's and of the kind, so the function that sends an email needs no secret of the
installation. It allows nothing but switching off one kind of email for one user. It never expires: an email may be read years
later.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from uuid import UUID

from sqlalchemy.orm import Session

from shared.core.config import settings
from shared.core.ids import UserId
from shared.identity import queries
from shared.identity.errors import UnsubscribeRefused
from shared.identity.models import MailKind


def unsubscribe_url(user_id: UUID, seed: bytes, kind: MailKind) -> str:
    """Return the address at which this user switches off this kind of email. `seed` is `User.unsubscribe_seed`."""
    token = f"{kind}.{user_id.hex}.{_proof(seed, kind)}"
    return f"{settings().public_url}/user/unsubscribe?token={token}"


def kind_of(token: str) -> MailKind:
    """Return the kind of email that a token is about. This does not check that the token is genuine.

    Raises:
        UnsubscribeRefused: it has not the form of a token.
    """
    return _parts(token)[0]


def unsubscribe(session: Session, token: str) -> MailKind:
    """Switch off the kind of email that a token is about, for its user. Doing so again changes nothing.

    Raises:
        UnsubscribeRefused: the token is not genuine.
    """
    kind, user_id, proof = _parts(token)
    seed = queries.find_unsubscribe_seed(session, user_id)
    if seed is None or not hmac.compare_digest(_proof(seed, kind).encode(), proof.encode()):
        raise UnsubscribeRefused
    queries.switch_mails_off(session, user_id, kind)
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

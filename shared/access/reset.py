"""Sets a password with an emailed link, which proves the address, and ends all other access of the account."""

from sqlalchemy.orm import Session

from shared.access.endings import Ended, Event, end_access
from shared.identity import queries as identity
from shared.identity.challenges import use_challenge
from shared.identity.errors import CodeRefused
from shared.identity.models import ChallengeKind
from shared.identity.passwords import hash_password


def reset_password(session: Session, code: str, password: str) -> Ended:
    """Set a password with an emailed code. Sessions, API keys, consents and device logins of the person end.

    It does not sign anybody in, so a second factor is still asked for.

    Raises:
        CodeRefused: the code is unknown, used or expired.
    """
    used = use_challenge(session, ChallengeKind.RESET_PASSWORD, code)
    if used is None or used.user_id is None:
        raise CodeRefused("token")
    identity.SET_PASSWORD_BY_MAIL.run(session, used.user_id, hash_password(password))
    return end_access(session, Event.RESET_BY_MAIL, used.user_id)

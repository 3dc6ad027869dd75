"""Emailed links that prove an address: to activate an account, and to set a password."""

from datetime import timedelta

from sqlalchemy.orm import Session

from shared.aws.mail import Mail
from shared.core.formats.email import Letter
from shared.core.ids import UserId
from shared.core.log import note
from shared.identity import letters, queries
from shared.identity.challenges import Pace, add_mailed_challenge, find_challenge
from shared.identity.mails import AccountMail
from shared.identity.models import ChallengeKind

ACTIVATION_LIFE = timedelta(days=1)
RESET_LIFE = timedelta(minutes=20)
_ONE_A_MINUTE = Pace(1, timedelta(minutes=1))
_FIVE_AN_HOUR = Pace(5, timedelta(hours=1))


def write_mail(
    session: Session, about: AccountMail, email: str, *, registration: str | None = None
) -> Mail | None:
    """Make the email to this address, with a new code; None if there is none to send.

    `registration` names the challenge that remembers what was registered.
    """
    account = queries.find_account(session, email)
    if account is None:
        return None
    note(user_id=account.user_id)
    if about is AccountMail.RESET_PASSWORD:
        letter = _reset(session, account.user_id)
    elif about is AccountMail.RECOVERY:
        letter = _recovery(session, account.user_id) if account.is_active else None
    elif not account.is_active:
        letter = _activation(session, account.user_id, registration)
    elif about is AccountMail.REGISTRATION:
        letter = _known_address(session, account.user_id)
    else:
        letter = None
    if letter is None:
        return None
    return Mail(to=email, subject=letter.title, text=letter.text, html=letter.html)


def _activation(session: Session, user_id: UserId, registration: str | None) -> Letter | None:
    """Make a link that activates an account as it was registered.

    A link carries its own registration: if several people registered with the address, its owner activates their own. A link
    that is requested later sets a password too, because the first one may have been chosen by somebody else.
    """
    if registration is None:
        code = _reset_code(session, user_id, ACTIVATION_LIFE)
        return letters.choose_password(code) if code else None
    registered = find_challenge(session, ChallengeKind.ACTIVATE, registration)
    if registered is None:
        return None
    code = add_mailed_challenge(
        session,
        ChallengeKind.ACTIVATE,
        user_id,
        life=ACTIVATION_LIFE,
        pace=_FIVE_AN_HOUR,
        remember=registered.remember,
    )
    return letters.activation(code, registered.remember.get("company")) if code else None


def _reset(session: Session, user_id: UserId) -> Letter | None:
    code = _reset_code(session, user_id, RESET_LIFE)
    return letters.reset(code) if code else None


def _known_address(session: Session, user_id: UserId) -> Letter | None:
    code = _reset_code(session, user_id, RESET_LIFE)
    return letters.known_address(code) if code else None


def _recovery(session: Session, user_id: UserId) -> Letter | None:
    code = add_mailed_challenge(
        session, ChallengeKind.RECOVERY, user_id, life=RESET_LIFE, pace=_ONE_A_MINUTE
    )
    return letters.recovery(code) if code else None


def _reset_code(session: Session, user_id: UserId, life: timedelta) -> str | None:
    return add_mailed_challenge(
        session, ChallengeKind.RESET_PASSWORD, user_id, life=life, pace=_ONE_A_MINUTE
    )

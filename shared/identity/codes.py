"""Emailed links that prove an address: to activate an account, and to set a password."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from shared.aws.mail import Mail, MailNotSent, send_mail
from shared.core.formats.email import Letter
from shared.core.ids import UserId
from shared.db.session import after_commit
from shared.identity import letters, queries
from shared.identity.challenges import Pace, add_mailed_challenge
from shared.identity.errors import ActivationNotSent
from shared.identity.models import ChallengeKind

ACTIVATION_LIFE = timedelta(days=1)
RESET_LIFE = timedelta(minutes=20)
_ONE_A_MINUTE = Pace(1, timedelta(minutes=1))
_FIVE_AN_HOUR = Pace(5, timedelta(hours=1))


def send_activation(
    session: Session, user_id: UserId, email: str, registration: Mapping[str, Any]
) -> None:
    """Email a link that activates an account as it was registered. If it cannot be sent, the request fails and says so.

    A link carries its own registration: if several people registered with the address, its owner activates their own.
    """
    code = add_mailed_challenge(
        session,
        ChallengeKind.ACTIVATE,
        user_id,
        life=ACTIVATION_LIFE,
        pace=_FIVE_AN_HOUR,
        remember=registration,
    )
    if code is not None:
        mail = _mail(email, letters.activation(code, registration.get("company")))
        after_commit(session, lambda: _send_or_tell(mail))


def tell_known_address(session: Session, user_id: UserId, email: str) -> None:
    """Email the owner of an account that somebody registered with its address. Fails as `send_activation` does."""
    code = _reset_code(session, user_id, RESET_LIFE)
    if code is not None:
        mail = _mail(email, letters.known_address(code))
        after_commit(session, lambda: _send_or_tell(mail))


def resend_activation(session: Session, email: str) -> None:
    """Email another link that activates an account, if one with the address waits for it.

    The link sets a password too, because the first one may have been chosen by somebody else who used this address.
    """
    account = queries.find_account(session, email)
    if account is None or account.is_active:
        return
    code = _reset_code(session, account.user_id, ACTIVATION_LIFE)
    if code is not None:
        _mail_after_commit(session, email, letters.choose_password(code))


def send_reset(session: Session, email: str) -> None:
    """Email a link to set a new password, if there is an account with the address."""
    account = queries.find_account(session, email)
    if account is None:
        return
    code = _reset_code(session, account.user_id, RESET_LIFE)
    if code is not None:
        _mail_after_commit(session, email, letters.reset(code))


def _reset_code(session: Session, user_id: UserId, life: timedelta) -> str | None:
    return add_mailed_challenge(
        session, ChallengeKind.RESET_PASSWORD, user_id, life=life, pace=_ONE_A_MINUTE
    )


def _mail(email: str, letter: Letter) -> Mail:
    return Mail(to=email, subject=letter.title, text=letter.text, html=letter.html)


def _mail_after_commit(session: Session, email: str, letter: Letter) -> None:
    mail = _mail(email, letter)
    after_commit(session, lambda: send_mail(mail))


def _send_or_tell(mail: Mail) -> None:
    try:
        send_mail(mail)
    except MailNotSent as error:
        raise ActivationNotSent from error

"""Emailed links that verify an address: to activate an account, and to reset a password."""

from datetime import timedelta

from sqlalchemy.orm import Session

from shared.aws.mail import Mail, MailNotSent, send_mail
from shared.core.config import settings
from shared.core.crypto import hash_secret, new_secret
from shared.core.formats.email import Letter, Link
from shared.core.ids import UserId
from shared.db.session import after_commit
from shared.identity import queries
from shared.identity.errors import ActivationNotSent, CodeRefused
from shared.identity.models import MailedCodePurpose
from shared.identity.passwords import hash_password

ACTIVATION_LIFE = timedelta(days=1)
RESET_LIFE = timedelta(minutes=20)
_PAUSE = timedelta(minutes=1)


def send_activation(session: Session, user_id: UserId, email: str) -> None:
    """Email the activation link after the commit; at most once a minute."""
    code = _new_code(session, user_id, MailedCodePurpose.ACTIVATE, ACTIVATION_LIFE)
    if code is None:
        return
    letter = _activation(code)
    _mail_after_commit(session, email, letter)


def send_first_activation(session: Session, user_id: UserId, email: str) -> None:
    """Email the activation link to a new user. If the email cannot be sent, the request fails and says so.

    Later requests do not report it, because their answer must not reveal whether there is an account.
    """
    code = _new_code(session, user_id, MailedCodePurpose.ACTIVATE, ACTIVATION_LIFE)
    if code is not None:
        mail = _mail(email, _activation(code))
        after_commit(session, lambda: _send_or_tell(mail))


def resend_activation(session: Session, email: str) -> None:
    """Email the activation link again, if an account with the address is waiting for it."""
    account = queries.find_account(session, email)
    if account and not account.is_active:
        send_activation(session, account.user_id, email)


def activate(session: Session, code: str) -> UserId:
    """Activate the account that a code was emailed to.

    Raises:
        CodeRefused: the code is unknown, used or expired.
    """
    user_id = queries.use_code(session, MailedCodePurpose.ACTIVATE, code_hash=hash_secret(code))
    if user_id is None or not queries.activate(session, user_id):
        raise CodeRefused("code")
    return user_id


def send_reset(session: Session, email: str) -> None:
    """Email a link to set a new password, if there is an account with the address."""
    account = queries.find_account(session, email)
    if account is None:
        return
    code = _new_code(session, account.user_id, MailedCodePurpose.RESET_PASSWORD, RESET_LIFE)
    if code is None:
        return
    letter = Letter(
        "Set a new password",
        [
            "Open this link within 20 minutes to set a new password.",
            "If you did not request this, ignore this email. Your password stays unchanged.",
        ],
        Link("Set a password", f"{settings().public_url}/auth/forgot-return?token={code}"),
    )
    _mail_after_commit(session, email, letter)


def reset_password(session: Session, code: str, password: str) -> None:
    """Set a new password with an emailed code. Every session of the user ends.

    Raises:
        CodeRefused: the code is unknown, used or expired.
    """
    user_id = queries.use_code(
        session, MailedCodePurpose.RESET_PASSWORD, code_hash=hash_secret(code)
    )
    if user_id is None:
        raise CodeRefused("token")
    queries.replace_password(session, user_id, hash_password(password))


def _new_code(
    session: Session, user_id: UserId, purpose: MailedCodePurpose, life: timedelta
) -> str | None:
    code = new_secret()
    added = queries.add_code(
        session, user_id, purpose, code_hash=hash_secret(code), life=life, pause=_PAUSE
    )
    return code if added else None


def _activation(code: str) -> Letter:
    return Letter(
        "Activate your account",
        ["Welcome to Roost. Open this link within a day to activate your account."],
        Link("Activate", f"{settings().public_url}/auth/activate?code={code}"),
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

"""Registers a user: creates an account and an organization, and sends an email that proves the address.

Neither the answer nor its timing says whether the address has an account already: the request does the same in both cases, and
the function `mails` tells its owner. If several people register with an address before it is proven, each email carries its
own registration, and the account becomes that of the one whose link is used.
"""

from dataclasses import dataclass
from functools import partial

from sqlalchemy.orm import Session

from shared.access.endings import Event, end_access
from shared.aws.mail import mail_is_on
from shared.core.config import settings
from shared.core.ids import UserId, new_id
from shared.db.session import after_commit
from shared.identity import queries as identity
from shared.identity.challenges import add_challenge, use_challenge
from shared.identity.codes import ACTIVATION_LIFE
from shared.identity.errors import (
    ActivationNotSent,
    CodeRefused,
    EmailTaken,
    FieldNeeded,
    MailNotQueued,
    PlusRefused,
    RegistrationClosed,
)
from shared.identity.logins import add_login, from_json
from shared.identity.mails import AccountMail, request_account_mail
from shared.identity.models import ChallengeKind
from shared.identity.new_password import check_new_password
from shared.identity.password_rules import Person
from shared.identity.passwords import hash_password
from shared.identity.schemas import Registration
from shared.organizations import queries as organizations


@dataclass(frozen=True, slots=True)
class _Remembered:
    """What an emailed link remembers of its registration."""

    password_hash: str
    company: str
    timezone: str

    def as_json(self) -> dict[str, str]:
        return {
            "password_hash": self.password_hash,
            "company": self.company,
            "timezone": self.timezone,
        }


def can_register(session: Session) -> bool:
    """Return whether this server accepts new accounts. The first one is always accepted."""
    return not settings().disable_registration or not identity.any_user(session)


def register(session: Session, wanted: Registration) -> UserId | None:
    """Add a user as the owner of a new organization; None if the account waits for the link in an email.

    Raises:
        PasswordRefused: the password is weak.
        RegistrationClosed: this server accepts no new accounts.
        FieldNeeded: the address or the password is missing.
        PlusRefused: this server accepts no addresses with a plus sign.
        EmailTaken: the address already has an account, and this server sends no email that could say so.
        ActivationNotSent: the email could not be sent; the rest is stored.
    """
    if wanted.email is None:
        raise FieldNeeded("email", "Enter your email address.")
    if wanted.password is None:
        raise FieldNeeded("password", "Enter a password.")
    if settings().disallow_plus and "+" in wanted.email:
        raise PlusRefused
    # Before the first statement, so that no transaction is open meanwhile.
    check_new_password(
        wanted.password, Person(wanted.email, organizations=(wanted.company,)), path="password"
    )
    remembered = _Remembered(hash_password(wanted.password), wanted.company, wanted.timezone)
    if not can_register(session):
        raise RegistrationClosed
    waits_for_mail = mail_is_on()
    user_id = identity.add_user(
        session,
        email=wanted.email,
        password_hash=remembered.password_hash,
        name=wanted.email.partition("@")[0],
        active=not waits_for_mail,
        timezone=wanted.timezone,
    )
    if user_id is None and not waits_for_mail:
        raise EmailTaken
    # For a known address, the same statement with the id of nobody: it adds nothing.
    organizations.add_organization(
        session, user_id or UserId(new_id()), name=wanted.company, timezone=wanted.timezone
    )
    if not waits_for_mail:
        return user_id
    registration = add_challenge(
        session, ChallengeKind.ACTIVATE, life=ACTIVATION_LIFE, remember=remembered.as_json()
    )
    after_commit(session, partial(request_registration_mail, wanted.email, registration))
    return None


def request_registration_mail(email: str, registration: str) -> None:
    """Have the email about a registration sent.

    Raises:
        ActivationNotSent: it could not be sent.
    """
    try:
        request_account_mail(AccountMail.REGISTRATION, email, registration=registration)
    except MailNotQueued as error:
        raise ActivationNotSent from error


def activate(session: Session, code: str) -> UserId:
    """Activate the account that a link was emailed to, as the link's registration wanted it.

    What another registration with the address brought, its password above all, ends.

    Raises:
        CodeRefused: the code is unknown, used or expired, or the account is active already.
        LoginTaken: the login of the registration belongs to another account by now.
    """
    used = use_challenge(session, ChallengeKind.ACTIVATE, code)
    if used is None or used.user_id is None:
        raise CodeRefused("code")
    password_hash, login = used.remember.get("password_hash"), used.remember.get("login")
    company, timezone = used.remember.get("company"), used.remember.get("timezone")
    activated = identity.ACTIVATE.run(
        session,
        used.user_id,
        # A code that the previous version mailed remembers nothing.
        keeps_password=password_hash is None and login is None,
        password_hash=password_hash,
        timezone=timezone,
    )
    if not activated:
        raise CodeRefused("code")
    if company and timezone:
        organizations.RENAME_FOUNDED.run(session, used.user_id, company, timezone)
    end_access(session, Event.ADDRESS_PROVEN, used.user_id)
    if login:
        add_login(session, used.user_id, from_json(login))
    return used.user_id

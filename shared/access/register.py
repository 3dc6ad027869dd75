"""Registers a user: creates an account and an organization, and sends an email that proves the address.

Neither the answer nor its timing says whether the address has an account already: the request does the same in both cases, and
the function `mails` tells its owner. If several people register with an address before it is proven, each email carries its
own registration, and the account becomes that of the one whose link is used.
"""

from functools import partial

from sqlalchemy.orm import Session

from shared.access.endings import Event, end_access
from shared.access.first_seat import (
    add_first_organization,
    choose_first_seat,
    first_seat_in,
    take_first_seat,
)
from shared.audit.entries import Action, Actor, Entry, entries_json
from shared.audit.record import record
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


def can_register(session: Session) -> bool:
    """Return whether this server accepts new accounts. The first one is always accepted."""
    return not settings().disable_registration or not identity.any_user(session)


def register(session: Session, wanted: Registration, *, actor: Actor) -> UserId | None:
    """Add a user as the owner of a new organization; None if the account waits for the link in an email.

    With an invitation, the user joins its organization instead once the address is proven, also where registration is closed.

    Raises:
        PasswordRefused: the password is weak.
        RegistrationClosed: this server accepts no new accounts.
        FieldNeeded: the address, the password or the organization's name is missing.
        InvitationOver: the invitation can no longer be used.
        InvitationForAnotherAddress: the invitation is bound to another address.
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
    names = (wanted.company,) if wanted.company else ()
    check_new_password(wanted.password, Person(wanted.email, organizations=names), path="password")
    password_hash = hash_password(wanted.password)
    seat = choose_first_seat(session, wanted, wanted.email)
    if not seat.invited and not can_register(session):
        raise RegistrationClosed
    waits_for_mail = mail_is_on()
    user_id = identity.add_user(
        session,
        email=wanted.email,
        password_hash=password_hash,
        name=wanted.email.partition("@")[0],
        active=not waits_for_mail,
        timezone=wanted.timezone,
    )
    if user_id is None and not waits_for_mail:
        raise EmailTaken
    add_first_organization(session, user_id, seat)
    record_registration(session, user_id, actor)
    if user_id is not None and not waits_for_mail:
        if seat.invited:
            take_first_seat(session, user_id, seat, actor=actor)
        return user_id
    registration = add_challenge(
        session,
        ChallengeKind.ACTIVATE,
        life=ACTIVATION_LIFE,
        remember={"password_hash": password_hash, **seat.as_json()},
    )
    after_commit(session, partial(request_registration_mail, wanted.email, registration))
    return None


def record_registration(session: Session, user_id: UserId | None, actor: Actor) -> None:
    """Record a registration for the account's own log. For a known address, the same statement stores nothing."""
    owner = user_id or UserId(new_id())
    audit = entries_json(actor.as_user(owner), Entry(Action.ACCOUNT_REGISTERED, owner))
    identity.RECORD_OF_USER.one(session, owner, audit)


def request_registration_mail(email: str, registration: str) -> None:
    """Have the email about a registration sent.

    Raises:
        ActivationNotSent: it could not be sent.
    """
    try:
        request_account_mail(AccountMail.REGISTRATION, email, registration=registration)
    except MailNotQueued as error:
        raise ActivationNotSent from error


def activate(session: Session, code: str, *, actor: Actor) -> UserId:
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
    seat = first_seat_in(used.remember)
    activated = identity.ACTIVATE.run(
        session,
        used.user_id,
        # A code that the previous version mailed remembers nothing.
        keeps_password=password_hash is None and login is None,
        password_hash=password_hash,
        timezone=seat.timezone,
    )
    if not activated:
        raise CodeRefused("code")
    record(session, actor.as_user(used.user_id), Action.ACCOUNT_ACTIVATED, used.user_id)
    end_access(session, Event.ADDRESS_PROVEN, used.user_id, by=actor)
    take_first_seat(session, used.user_id, seat, actor=actor)
    if login:
        add_login(session, used.user_id, from_json(login), by=actor)
    return used.user_id

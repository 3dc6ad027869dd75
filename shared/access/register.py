"""Registers a user: creates an account and an organization, and sends an email that verifies the address."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from shared.aws.mail import mail_is_on
from shared.core.config import settings
from shared.core.ids import OrganizationId, UserId
from shared.identity import queries as identity
from shared.identity.codes import send_first_activation
from shared.identity.errors import EmailTaken, PlusRefused, RegistrationClosed
from shared.identity.passwords import hash_password
from shared.identity.schemas import Registration
from shared.organizations import queries as organizations


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A user who has registered. If no email is sent, they are active at once."""

    user_id: UserId
    organization_id: OrganizationId
    is_active: bool


def can_register(session: Session) -> bool:
    """Return whether this server accepts new accounts. The first one is always accepted."""
    return not settings().disable_registration or not identity.any_user(session)


def register(session: Session, wanted: Registration) -> Newcomer:
    """Add a user as the owner of a new organization, and email them a link unless emails are off.

    Raises:
        RegistrationClosed: this server accepts no new accounts.
        PlusRefused: this server accepts no addresses with a plus sign.
        EmailTaken: the address already has an account.
    """
    if settings().disallow_plus and "+" in wanted.email:
        raise PlusRefused
    if not can_register(session):
        raise RegistrationClosed
    waits_for_mail = mail_is_on()
    user_id = identity.add_user(
        session,
        email=wanted.email,
        password_hash=hash_password(wanted.password),
        name=wanted.email.partition("@")[0],
        active=not waits_for_mail,
        timezone=wanted.timezone,
    )
    if user_id is None:
        raise EmailTaken
    organization_id = organizations.add_organization(
        session, user_id, name=wanted.company, timezone=wanted.timezone
    )
    if waits_for_mail:
        send_first_activation(session, user_id, wanted.email)
    return Newcomer(user_id, organization_id, is_active=not waits_for_mail)

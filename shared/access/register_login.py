"""Registers somebody whom a login provider has proven: the end of a sign-in with a login that nobody has.

An address that the provider vouches for is proven, so the account is active at once. Any other is proven by an emailed link, which
adds the login to the account as it activates it.
"""

import hmac
from functools import partial

from sqlalchemy.orm import Session

from shared.access.first_seat import (
    FirstSeat,
    add_first_organization,
    choose_first_seat,
    take_first_seat,
)
from shared.access.register import (
    can_register,
    record_registration,
    request_registration_mail,
)
from shared.access.sign_in import take_over
from shared.audit.entries import Actor
from shared.aws.mail import mail_is_on
from shared.core.config import settings
from shared.core.ids import UserId
from shared.db.session import after_commit
from shared.identity import queries as identity
from shared.identity.challenges import add_challenge, use_challenge
from shared.identity.codes import ACTIVATION_LIFE
from shared.identity.errors import (
    EmailTaken,
    FieldNeeded,
    PlusRefused,
    RegistrationClosed,
    RegistrationTokenRefused,
)
from shared.identity.login_providers.base import Proven
from shared.identity.logins import add_login, as_json, from_json
from shared.identity.models import ChallengeKind, LoginProvider
from shared.identity.schemas import Registration


def register_with_login(
    session: Session, wanted: Registration, *, kept_token: str | None, actor: Actor
) -> UserId | None:
    """Add a user with a login, as the owner of a new organization; None if the account waits for the link in an email.

    `kept_token` is the one in the browser's cookie.

    Raises:
        RegistrationTokenRefused: the token is unknown, used, too old, or another browser's.
        RegistrationClosed: this server accepts no new accounts. The operator's own provider may always register.
        FieldNeeded: the provider vouches for no address, and none is given; or the organization's name is missing.
        InvitationOver: the invitation can no longer be used.
        InvitationForAnotherAddress: the invitation is bound to another address.
        PlusRefused: this server accepts no addresses with a plus sign.
        EmailTaken: the address already has an account, and the person has proven it or no email is sent.
        LoginTaken: the login belongs to another account by now.
    """
    proven = _use_token(session, wanted, kept_token)
    email = wanted.email or proven.email
    if email is None:
        raise FieldNeeded("email", "Enter your email address. Your provider does not name one.")
    if settings().disallow_plus and "+" in email:
        raise PlusRefused
    seat = choose_first_seat(session, wanted, email)
    may_register = seat.invited or proven.provider is LoginProvider.GENERIC
    if not may_register and not can_register(session):
        raise RegistrationClosed
    is_vouched = proven.email_verified and email == proven.email
    if is_vouched or not mail_is_on():
        user_id = _add_active(session, wanted, proven, email, takes_over=is_vouched, actor=actor)
        take_first_seat(session, user_id, seat, actor=actor)
        return user_id
    _add_waiting(session, wanted, proven, email, seat, actor)
    return None


def _use_token(session: Session, wanted: Registration, kept_token: str | None) -> Proven:
    token = wanted.provider_token or ""
    if not kept_token or not hmac.compare_digest(token.encode(), kept_token.encode()):
        raise RegistrationTokenRefused
    used = use_challenge(session, ChallengeKind.REGISTRATION, token)
    proven = from_json(used.remember) if used else None
    if proven is None or proven.provider.value.upper() != wanted.provider:
        raise RegistrationTokenRefused
    return proven


def _add_active(
    session: Session,
    wanted: Registration,
    proven: Proven,
    email: str,
    *,
    takes_over: bool,
    actor: Actor,
) -> UserId:
    user_id = _add_user(session, wanted, proven, email, active=True)
    if user_id is not None:
        record_registration(session, user_id, actor)
        add_login(session, user_id, proven, by=actor)
        return user_id
    account = identity.find_account(session, email)
    if account is None or account.is_active or not takes_over:
        raise EmailTaken
    take_over(session, account.user_id, proven, by=actor)
    return account.user_id


def _add_waiting(
    session: Session,
    wanted: Registration,
    proven: Proven,
    email: str,
    seat: FirstSeat,
    actor: Actor,
) -> None:
    """Add an account that waits for its link. For a known address it does the same, and adds nothing."""
    user_id = _add_user(session, wanted, proven, email, active=False)
    add_first_organization(session, user_id, seat)
    record_registration(session, user_id, actor)
    registration = add_challenge(
        session,
        ChallengeKind.ACTIVATE,
        life=ACTIVATION_LIFE,
        remember={"login": as_json(proven), **seat.as_json()},
    )
    after_commit(session, partial(request_registration_mail, email, registration))


def _add_user(
    session: Session, wanted: Registration, proven: Proven, email: str, *, active: bool
) -> UserId | None:
    return identity.add_user(
        session,
        provider=proven.provider,
        email=email,
        password_hash=None,
        name=proven.name or email.partition("@")[0],
        timezone=wanted.timezone,
        active=active,
    )

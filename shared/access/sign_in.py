"""Signs people in with an account at another provider: begins in the browser, finishes when it comes back.

    started = begin_login(provider, purpose=Purpose.SIGN_IN)     the browser opens `started.url` and keeps `started.state` in a cookie
    outcome = finish_login(provider, answer, returned)           who it is, and what follows

A state works once, within ten minutes, in the browser whose cookie has it, and for the provider that it names. A login is found
by its issuer and subject, never by its address. An unknown one whose provider vouches for its address joins the account of that
address only after the account's owner has signed in, in the same browser. An account that was never activated goes to the
person who proves its address.

No transaction is open during requests to a provider.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from shared.access.context import ActingMember
from shared.access.endings import Event, end_access
from shared.audit.entries import NOBODY, Action, Actor
from shared.audit.record import record
from shared.core.cleaning import clean_name
from shared.core.crypto import new_secret
from shared.core.ids import SessionId, UserId
from shared.db.session import read_only, run
from shared.identity import queries as identity
from shared.identity.challenges import add_challenge, use_challenge
from shared.identity.errors import LoginNotStarted, LoginOfAnother, LoginProviderNotOffered
from shared.identity.login_providers.base import ANSWER_LIFE, Answer, Proven, Start, callback_url
from shared.identity.login_providers.offered import external_login
from shared.identity.login_queries import USE_LOGIN
from shared.identity.logins import add_login, as_json, link_waiting, methods_of, tell_of_login
from shared.identity.models import ChallengeKind, LoginProvider, Method
from shared.identity.sessions import (
    Browser,
    Evidence,
    FactorNeeded,
    SessionTokens,
    confirm_session,
    hold_session,
    open_session,
)

REGISTRATION_LIFE = timedelta(hours=1)
"""How long somebody whom a provider has proven may take to register."""
LINK_LIFE = timedelta(minutes=10)
"""How long a login waits for the owner of its address."""


class Purpose(StrEnum):
    """Why somebody signs in at a provider."""

    SIGN_IN = "sign_in"
    LINK = "link"
    CONFIRM = "confirm"


@dataclass(frozen=True, slots=True)
class Started:
    """The address for the browser (for a wallet, the text to sign), and the state for its cookie."""

    url: str = field(repr=False)
    state: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Returned:
    """What a browser brings back: the provider's state, the one in its cookie, and the secret of a login that waits in it."""

    state: str = field(repr=False)
    kept_state: str | None = field(repr=False)
    waiting_link: str | None = field(repr=False)
    browser: Browser


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The person is signed in. `linked`: a login that waited in this browser was added."""

    tokens: SessionTokens
    return_to: str | None
    linked: bool = False


@dataclass(frozen=True, slots=True)
class FactorAsked:
    """The person has to prove a second factor before they are signed in."""

    needed: FactorNeeded
    return_to: str | None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody has this login: the person can register with the token. `email` is None if the provider vouches for none."""

    token: str = field(repr=False)
    provider: LoginProvider
    email: str | None
    name: str


@dataclass(frozen=True, slots=True)
class KnownAddress:
    """An account has this address. The login waits until its owner signs in by one of the methods."""

    secret: str = field(repr=False)
    methods: list[Method]
    return_to: str | None


@dataclass(frozen=True, slots=True)
class Linked:
    """The login was added to the account of the signed-in person."""

    return_to: str | None


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The signed-in person has proven their identity again."""

    tokens: SessionTokens
    return_to: str | None


Outcome = SignedIn | FactorAsked | Unknown | KnownAddress | Linked | Confirmed
"""What follows from a login."""


def provider_of(name: str) -> LoginProvider:
    """Return the provider of this name on the wire.

    Raises:
        LoginProviderNotOffered: there is none.
    """
    try:
        return LoginProvider(name.lower())
    except ValueError as error:
        raise LoginProviderNotOffered(clean_name(name)) from error


def begin_login(
    provider: LoginProvider,
    *,
    purpose: Purpose = Purpose.SIGN_IN,
    member: ActingMember | None = None,
    account: str = "",
    return_to: str | None = None,
) -> Started:
    """Begin a login. `member` is the signed-in person who links it or confirms by it.

    Raises:
        LoginProviderNotOffered: this server does not offer it.
        AppError: the provider cannot be used; it says why.
    """
    login = external_login(provider)
    state = f"{provider.value.upper()}.{new_secret()}"
    begun = login.begin(Start(state, callback_url(provider), account))
    remember = {
        "provider": provider.value,
        "purpose": purpose.value,
        "kept": dict(begun.remember),
        "return_to": return_to,
        "session_id": str(member.session_id) if member else None,
    }
    user_id = member.person_id if member else None
    run(
        lambda session: add_challenge(
            session,
            ChallengeKind.LOGIN_STATE,
            life=ANSWER_LIFE,
            user_id=user_id,
            remember=remember,
            secret=state,
        )
    )
    return Started(begun.url, state)


def finish_login(provider: LoginProvider, answer: Answer, returned: Returned) -> Outcome:
    """Finish a login: verify who it is, and sign in, link, confirm, or say what is missing.

    Raises:
        LoginNotStarted: the state is not this browser's, was used, or is too old.
        LoginDenied: the person refused at the provider.
        LoginTaken: the login to link belongs to another account.
        LoginOfAnother: the account to confirm does not have this login.
        SessionOver: the session that wanted to link or confirm has ended.
        AppError: the provider's answer proves nobody; it says why.
    """
    kept = returned.kept_state or ""
    if not kept or not hmac.compare_digest(returned.state.encode(), kept.encode()):
        raise LoginNotStarted
    with read_only() as session:
        used = use_challenge(session, ChallengeKind.LOGIN_STATE, returned.state)
    if used is None or used.remember["provider"] != provider:
        raise LoginNotStarted
    proven = external_login(provider).finish(answer, used.remember["kept"])
    return run(lambda session: _follow(session, proven, used.user_id, used.remember, returned))


def _follow(
    session: Session,
    proven: Proven,
    user_id: UserId | None,
    remember: Mapping[str, Any],
    returned: Returned,
) -> Outcome:
    return_to: str | None = remember["return_to"]
    if user_id is None:
        return _sign_in(session, proven, returned, return_to)
    session_id = SessionId(UUID(remember["session_id"]))
    if remember["purpose"] == Purpose.LINK:
        hold_session(session, user_id, session_id)
        add_login(session, user_id, proven, by=returned.browser.visitor)
        tell_of_login(session, user_id, proven.provider, added=True)
        return Linked(return_to)
    known = USE_LOGIN.find(session, proven.provider, proven.issuer, proven.subject)
    if known is None or known.user_id != user_id:
        raise LoginOfAnother
    evidence = Evidence({Method(proven.provider.value)})
    tokens = confirm_session(session, user_id, session_id, evidence, returned.browser)
    return Confirmed(tokens, return_to)


def _sign_in(
    session: Session, proven: Proven, returned: Returned, return_to: str | None
) -> Outcome:
    known = USE_LOGIN.find(session, proven.provider, proven.issuer, proven.subject)
    if known is not None:
        return _open(session, known.user_id, proven, returned, return_to)
    vouched = proven.email if proven.email_verified else None
    account = identity.find_account(session, vouched) if vouched else None
    if account is None:
        token = add_challenge(
            session, ChallengeKind.REGISTRATION, life=REGISTRATION_LIFE, remember=as_json(proven)
        )
        return Unknown(token, proven.provider, vouched, proven.name)
    if account.is_active:
        secret = add_challenge(
            session,
            ChallengeKind.LINK,
            life=LINK_LIFE,
            user_id=account.user_id,
            remember=as_json(proven),
        )
        return KnownAddress(secret, methods_of(session, account.user_id, ()), return_to)
    take_over(session, account.user_id, proven, by=returned.browser.visitor)
    return _open(session, account.user_id, proven, returned, return_to)


def take_over(session: Session, user_id: UserId, proven: Proven, *, by: Actor = NOBODY) -> None:
    """Give an account that was never activated to the person who has proven its address, without its password, sessions and keys.

    `by` is the request.
    """
    identity.ACTIVATE.run(session, user_id, keeps_password=False, password_hash=None, timezone=None)
    record(session, by.as_user(user_id), Action.ACCOUNT_ACTIVATED, user_id)
    end_access(session, Event.ADDRESS_PROVEN, user_id, by=by)
    add_login(session, user_id, proven, by=by)


def _open(
    session: Session, user_id: UserId, proven: Proven, returned: Returned, return_to: str | None
) -> SignedIn | FactorAsked:
    evidence = Evidence({Method(proven.provider.value)})
    opened = open_session(session, user_id, evidence, returned.browser)
    if isinstance(opened, FactorNeeded):
        return FactorAsked(opened, return_to)
    by = returned.browser.visitor
    linked = link_waiting(session, user_id, returned.waiting_link, by=by)
    return SignedIn(opened, return_to, linked)

"""Signs people in through their organization's company login.

    started = begin_company_login("ada@example.com")                the browser opens `started.url` and keeps `started.state`
    signed_in = finish_company_login(connection_id, answer, returned)

The company login speaks only for addresses of domains that its organization has proven, and only inside the organization: the
session is bound to it, so it neither sees other organizations nor changes the account. A person is found by the subject of the
ID token. A new one whose address has an account gets a seat there, because who proves a domain also reads its emails; an account
that was never activated loses what was registered with it.

No transaction is open during requests to the issuer.
"""

import hmac
from collections.abc import Mapping
from functools import partial

from sqlalchemy.orm import Session

from shared.access.endings import Event, end_access
from shared.access.errors import AddressNotOfCompany, SeatClosed
from shared.access.sign_in import Returned, SignedIn, Started
from shared.access.team import check_seat_is_free
from shared.audit.entries import Action, Actor
from shared.audit.record import record
from shared.aws.keys import open_sealed
from shared.core.crypto import Purpose, new_secret
from shared.core.ids import ConnectionId, MemberId, UserId, new_id
from shared.db.session import read_only, run
from shared.identity import queries as identity
from shared.identity.challenges import add_challenge, use_challenge
from shared.identity.errors import LoginNotStarted
from shared.identity.login_providers.base import (
    ANSWER_LIFE,
    Answer,
    ExternalLogin,
    Proven,
    Start,
)
from shared.identity.models import ChallengeKind, LoginProvider, Method
from shared.identity.sessions import Evidence, FactorNeeded, open_session
from shared.organizations import company_queries as queries
from shared.organizations.company_login import callback_url, domain_of
from shared.organizations.company_queries import OpenConnection
from shared.organizations.errors import NoCompanyLogin
from shared.organizations.member_queries import FIND_SEATS
from shared.organizations.queries import lock_organization

_CONNECTION = "connection_id"


def begin_company_login(email: str, *, return_to: str | None = None) -> Started:
    """Begin a sign-in through the company login that speaks for an address.

    Raises:
        NoCompanyLogin: none does.
        AppError: the issuer cannot be used; it says why.
    """
    with read_only() as session:
        connection = queries.FIND_BY_DOMAIN.find(session, domain_of(email))
    if connection is None:
        raise NoCompanyLogin
    state = f"COMPANY.{new_secret()}"
    begun = _login(connection).begin(Start(state, callback_url(connection.id)))
    remember = {
        _CONNECTION: str(connection.id),
        "kept": dict(begun.remember),
        "return_to": return_to,
        "provider": Method.COMPANY.value,  # so that no other login takes the state
    }
    run(
        lambda session: add_challenge(
            session, ChallengeKind.LOGIN_STATE, life=ANSWER_LIFE, remember=remember, secret=state
        )
    )
    return Started(begun.url, state)


def finish_company_login(
    connection_id: ConnectionId, answer: Answer, returned: Returned
) -> SignedIn:
    """Finish a sign-in: verify who it is, and open a session that is bound to the organization.

    Raises:
        LoginNotStarted: the state is not this browser's, was used, or is too old.
        NoCompanyLogin: the connection was removed meanwhile.
        AddressNotOfCompany: it does not speak for the person's address.
        SeatClosed: the person was removed from the organization, or disabled.
        TooManySeats: the organization has no place for a newcomer.
        AppError: the issuer's answer proves nobody; it says why.
    """
    kept = returned.kept_state or ""
    if not kept or not hmac.compare_digest(returned.state.encode(), kept.encode()):
        raise LoginNotStarted
    with read_only() as session:
        used = use_challenge(session, ChallengeKind.LOGIN_STATE, returned.state)
        connection = queries.FIND_BY_ID.find(session, connection_id)
    if used is None or used.remember.get(_CONNECTION) != str(connection_id):
        raise LoginNotStarted
    if connection is None:
        raise NoCompanyLogin
    proven = _login(connection).finish(answer, used.remember["kept"])
    return run(
        partial(
            _sign_in,
            proven=proven,
            connection=connection,
            returned=returned,
            remember=used.remember,
        )
    )


def _sign_in(
    session: Session,
    *,
    proven: Proven,
    connection: OpenConnection,
    returned: Returned,
    remember: Mapping[str, str | None],
) -> SignedIn:
    # The connection's domains may have changed while the issuer was asked.
    current = queries.FIND_BY_ID.find(session, connection.id)
    if current is None or current.issuer != proven.issuer:
        raise NoCompanyLogin
    if (
        proven.email is None
        or not proven.email_verified
        or domain_of(proven.email) not in current.domains
    ):
        raise AddressNotOfCompany
    known = queries.USE_IDENTITY.find(session, connection.id, proven.subject)
    by = returned.browser.visitor
    if known is None:
        user_id = _newcomer(session, current, proven, by)
    else:
        user_id = known.user_id
        _check_seat(session, current, user_id)
    evidence = Evidence({Method.COMPANY}, connection_id=connection.id)
    tokens = open_session(session, user_id, evidence, returned.browser)
    if isinstance(tokens, FactorNeeded):
        raise AssertionError("a company login asks for a second factor itself")
    return SignedIn(tokens, remember.get("return_to"))


def _newcomer(session: Session, connection: OpenConnection, proven: Proven, by: Actor) -> UserId:
    """Return the account of a person who has not come through the connection before, with a seat in its organization."""
    email = proven.email or ""
    organization_id = connection.organization_id
    lock_organization(session, organization_id)
    account = identity.find_account(session, email)
    if account is None:
        user_id = identity.add_user(
            session,
            email=email,
            password_hash=None,
            name=proven.name or email.partition("@")[0],
            timezone=connection.timezone,
            active=True,
        )
        if user_id is None:  # somebody registered with the address at this moment
            raise LoginNotStarted
        record(session, by.as_user(user_id), Action.ACCOUNT_REGISTERED, user_id)
    else:
        user_id = account.user_id
        if not account.is_active:
            identity.ACTIVATE.run(
                session, user_id, keeps_password=False, password_hash=None, timezone=None
            )
            record(session, by.as_user(user_id), Action.ACCOUNT_ACTIVATED, user_id)
            end_access(session, Event.ADDRESS_PROVEN, user_id, by=by)
    queries.ADD_IDENTITY.run(session, connection.id, proven.subject, user_id)
    if FIND_SEATS.all(session, organization_id, [user_id]):
        _check_seat(session, connection, user_id)
        return user_id
    check_seat_is_free(session, organization_id)
    queries.ADD_NEWCOMER.run(
        session,
        organization_id,
        MemberId(new_id()),
        user_id,
        connection.role,
        connection.customers,
    )
    actor = by.as_user(user_id).in_organization(organization_id)
    after = {"role": connection.role, "provider": Method.COMPANY}
    record(session, actor, Action.MEMBER_JOINED, user_id, after=after)
    return user_id


def _check_seat(session: Session, connection: OpenConnection, user_id: UserId) -> None:
    seats = FIND_SEATS.all(session, connection.organization_id, [user_id])
    if not seats or seats[0].disabled:
        raise SeatClosed


def _login(connection: OpenConnection) -> ExternalLogin:
    from shared.identity.login_providers.openid import OpenIdLogin

    secret = (
        open_sealed(connection.client_secret, Purpose.COMPANY_LOGIN, connection.organization_id)
        if connection.client_secret
        else ""
    )
    return OpenIdLogin(
        provider=LoginProvider.GENERIC,
        name=connection.organization_name,
        issuer=connection.issuer,
        client_id=connection.client_id,
        client_secret=secret,
    )

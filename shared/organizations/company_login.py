"""An organization's company login: its OpenID client, and the domains for whose addresses it speaks.

set_company_login(actor, wanted)          seals the secret before the transaction
add_domain(session, actor, "example.com") -> the TXT record to create
verify_domain(actor, domain_id)           asks for it outside a transaction; a sweep asks again every week
"""

import re
import secrets
from datetime import timedelta
from functools import partial

import idna
from sqlalchemy.orm import Session

from shared.audit.entries import Action, Actor
from shared.audit.record import record
from shared.aws.keys import seal
from shared.core.config import settings
from shared.core.crypto import Purpose
from shared.core.dns import NamesUnavailable, find_txt_records
from shared.core.errors import FieldProblem, InvalidInput
from shared.core.formats.email import Letter
from shared.core.ids import ConnectionId, DomainId, OrganizationId, new_id
from shared.core.log import log
from shared.db.session import read_only, run
from shared.identity.mails import queue_letter
from shared.identity.session_queries import REVOKE_SESSIONS_THROUGH
from shared.identity.sessions import hold_session
from shared.organizations import company_queries as queries
from shared.organizations.company_schemas import (
    CompanyDomainIn,
    CompanyDomainOut,
    CompanyLoginIn,
    CompanyLoginOut,
)
from shared.organizations.errors import (
    DomainNotProven,
    DomainOfAnother,
    DomainsNotAnswered,
    NoCompanyLogin,
    NoProvenDomain,
    NoSuchDomain,
    TooManyDomains,
)
from shared.organizations.impersonation_queries import LIST_OWNER_ADDRESSES
from shared.organizations.models import Role
from shared.organizations.queries import lock_organization
from shared.organizations.schemas import ROLES_ON_WIRE

CHECKED_EVERY = timedelta(days=7)
"""How often a proven domain is asked for again, and how long its record may be gone."""
MOST_DOMAINS = 20
MOST_CHECKED = 4  # by one run of the sweep, which has a minute; a name server may take seconds
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def callback_url(connection_id: ConnectionId) -> str:
    """Return the redirect address of a connection. Each has its own, so that no issuer gets an answer of another."""
    return f"{settings().public_url}/auth/company/{connection_id}/callback"


def domain_of(email: str) -> str:
    """Return the domain of an address in the form in which domains are stored; empty if it has none."""
    return _as_dns(email.rpartition("@")[2])


def get_company_login(session: Session, organization_id: OrganizationId) -> CompanyLoginOut:
    """Return an organization's connection and domains, without the secret."""
    found = queries.FIND_CONNECTION.find(session, organization_id)
    domains = queries.LIST_DOMAINS.all(session, organization_id)
    return CompanyLoginOut.model_validate(
        {
            "id": found.id if found else None,
            "issuer": found.issuer if found else None,
            "client_id": found.client_id if found else None,
            "has_secret": found.has_secret if found else False,
            "redirect_uri": callback_url(found.id) if found else None,
            "role": found.role if found else Role.MEMBER,
            "customers": found.customers if found else None,
            "required": found.required if found else False,
            "domains": list(map(_as_domain, domains)),
        }
    )


def set_company_login(actor: Actor, wanted: CompanyLoginIn) -> CompanyLoginOut:
    """Add or change the connection. With another issuer, people who came through the old one are forgotten.

    Raises:
        InvalidInput: the issuer is not an address that may be called, or newcomers would be owners.
        NoProvenDomain: it is to be required, and speaks for no domain yet.
    """
    _check_issuer(wanted.issuer)
    role = ROLES_ON_WIRE[wanted.role]
    if role is Role.OWNER:
        _refuse("role", "Newcomers cannot be owners. Choose another role.")
    organization_id = actor.organization
    sealed = (
        seal(wanted.client_secret, Purpose.COMPANY_LOGIN, organization_id)
        if wanted.client_secret
        else None
    )

    def change(session: Session) -> CompanyLoginOut:
        _hold(session, actor)
        lock_organization(session, organization_id)
        before = queries.FIND_CONNECTION.find(session, organization_id)
        if wanted.required and not any(
            row.proven_at for row in queries.LIST_DOMAINS.all(session, organization_id)
        ):
            raise NoProvenDomain
        if before and before.issuer != wanted.issuer:
            queries.FORGET_IDENTITIES.run(session, organization_id)
            REVOKE_SESSIONS_THROUGH.run(session, before.id)
        set_one = queries.SET_CONNECTION.one(
            session,
            organization_id,
            ConnectionId(new_id()),
            issuer=wanted.issuer,
            client_id=wanted.client_id,
            client_secret=sealed,
            role=role,
            customers=wanted.customers,
            required=wanted.required,
        )
        action = Action.COMPANY_LOGIN_UPDATED if before else Action.COMPANY_LOGIN_CREATED
        after = {"role": role, "required": wanted.required}
        record(session, actor, action, set_one.id, after=after)
        return get_company_login(session, organization_id)

    return run(change)


def remove_company_login(session: Session, actor: Actor) -> int:
    """Remove the connection, end the sessions that came through it, and return how many there were. The domains stay.

    Raises:
        NoCompanyLogin: there is none.
    """
    removed = queries.REMOVE_CONNECTION.find(session, actor.organization)
    if removed is None:
        raise NoCompanyLogin
    ended = REVOKE_SESSIONS_THROUGH.run(session, removed.id)
    record(session, actor, Action.COMPANY_LOGIN_DELETED, removed.id)
    return ended


def add_domain(session: Session, actor: Actor, wanted: CompanyDomainIn) -> CompanyDomainOut:
    """Add a domain, with the record that will prove it. A domain that is there already is returned as it is.

    Raises:
        InvalidInput: this is not a domain.
        TooManyDomains: there are `MOST_DOMAINS` already.
    """
    domain = _read_domain(wanted.domain)
    lock_organization(session, actor.organization)
    present = queries.LIST_DOMAINS.all(session, actor.organization)
    if same := next((row for row in present if row.domain == domain), None):
        return _as_domain(same)
    if len(present) >= MOST_DOMAINS:
        raise TooManyDomains(MOST_DOMAINS)
    domain_id, token = DomainId(new_id()), secrets.token_hex(16)
    added = queries.ADD_DOMAIN.one(session, actor.organization, domain_id, domain, token)
    record(session, actor, Action.COMPANY_DOMAIN_ADDED, domain_id)
    return _as_domain(added)


def verify_domain(actor: Actor, domain_id: DomainId) -> CompanyDomainOut:
    """Ask for a domain's record; if it is there, the company login speaks for the domain's addresses.

    Raises:
        NoSuchDomain: the organization has no such domain.
        DomainNotProven: the record is not there.
        DomainsNotAnswered: no name server answered.
        DomainOfAnother: another organization has proven the domain.
    """
    with read_only() as session:
        found = queries.FIND_DOMAIN.find(session, actor.organization, domain_id)
    if found is None:
        raise NoSuchDomain
    try:
        is_there = _is_there(found.domain, found.token)
    except NamesUnavailable as error:
        log.warning("domain.not_answered", extra={"domain_id": str(domain_id)})
        raise DomainsNotAnswered from error
    if not is_there:
        raise DomainNotProven(_record_name(found.domain))

    def prove(session: Session) -> CompanyDomainOut:
        _hold(session, actor)
        proven = queries.PROVE_DOMAIN.find(session, actor.organization, domain_id)
        if proven is None:
            raise DomainOfAnother
        record(session, actor, Action.COMPANY_DOMAIN_PROVEN, domain_id)
        return _as_domain(proven)

    return run(prove)


def remove_domain(session: Session, actor: Actor, domain_id: DomainId) -> None:
    """Remove a domain. A company login without a proven domain is required no longer.

    Raises:
        NoSuchDomain: the organization has no such domain.
    """
    lock_organization(session, actor.organization)
    if not queries.REMOVE_DOMAIN.run(session, actor.organization, domain_id):
        raise NoSuchDomain
    record(session, actor, Action.COMPANY_DOMAIN_REMOVED, domain_id)
    queries.RELEASE_WITHOUT_DOMAINS.run(session, actor.organization)


def check_old_domains() -> int:
    """Ask again for domains that were not asked for during a week; return how many. Owners get an email about one that is gone.

    No transaction is open while a name server is asked.
    """
    with read_only() as session:
        old = queries.LIST_OLD_DOMAINS.all(session, CHECKED_EVERY.days, MOST_CHECKED)
    for domain in old:
        try:
            found: bool | None = _is_there(domain.domain, domain.token)
        except NamesUnavailable:
            found = None
        run(partial(_note, domain=domain, found=found))
    return len(old)


def _note(session: Session, *, domain: queries.OldDomain, found: bool | None) -> None:
    organization_id = domain.organization_id
    noted = queries.NOTE_DOMAIN.find(session, organization_id, domain.id, found, CHECKED_EVERY.days)
    if noted is None or not (noted.is_newly_missing or noted.is_off):
        return
    if noted.is_off:
        queries.RELEASE_WITHOUT_DOMAINS.run(session, organization_id)
        actor = Actor(organization_id=organization_id)
        record(session, actor, Action.COMPANY_DOMAIN_LAPSED, domain.id)
    letter = _letter(domain.domain, is_off=noted.is_off)
    for owner in LIST_OWNER_ADDRESSES.all(session, organization_id):
        queue_letter(session, owner.email, letter)


def _hold(session: Session, actor: Actor) -> None:
    """Keep the session of the caller from ending until the change is made."""
    if actor.session_id is not None:
        hold_session(session, actor.person, actor.session_id)


def _letter(domain: str, *, is_off: bool) -> Letter:
    what = (
        f"The record that proves {domain} has been gone for a week. Nobody can sign in by your company login with an "
        "address of this domain any longer."
        if is_off
        else f"The record that proves {domain} is gone. If it is not back within a week, nobody can sign in by your "
        "company login with an address of this domain."
    )
    return Letter(
        "A domain of your company login is not proven",
        [what, f"Create the TXT record of {_record_name(domain)} again, and verify the domain."],
    )


def _is_there(domain: str, token: str) -> bool:
    return _record_value(token) in find_txt_records(_record_name(domain))


def _as_domain(row: queries.DomainRow) -> CompanyDomainOut:
    return CompanyDomainOut(
        id=row.id,
        domain=row.domain,
        record_name=_record_name(row.domain),
        record_value=_record_value(row.token),
        proven_at=row.proven_at,
        missing_since=row.missing_since,
    )


def _record_name(domain: str) -> str:
    return f"_roost-verification.{domain}"


def _record_value(token: str) -> str:
    return f"roost={token}"


def _read_domain(value: str) -> str:
    """Return a domain in the form that DNS knows: lower case, letters of other scripts encoded."""
    domain = _as_dns(value)
    labels = domain.split(".")
    if len(labels) < 2 or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit():
        _refuse("domain", "This is not a domain. Enter one like example.com.")
    return domain


def _as_dns(domain: str) -> str:
    try:
        return idna.encode(domain.strip().rstrip("."), uts46=True).decode().lower()
    except idna.IDNAError:
        return ""


def _check_issuer(issuer: str) -> None:
    # Imported here, because only this route needs them and they take a while.
    import httpx

    from shared.core.net import AddressRefused, check_url

    try:
        check_url(httpx.URL(issuer))
    except (AddressRefused, httpx.InvalidURL) as error:
        _refuse("issuer", str(error) or "This is not an address. Enter the issuer's address.")


def _refuse(field: str, message: str) -> None:
    raise InvalidInput(message, problems=[FieldProblem(field, "invalid", message)])

"""The members who connect channels, and whether they still may.

Connecting takes minutes and ends in a browser that need not be signed in, so the right to it is checked again whenever it is
used: the member's role, and the session, API key or grant that started it.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from shared.apps.queries import CUSTOMERS_OF_GRANT, LIVE_GRANT
from shared.apps.scopes import WRITE
from shared.audit.entries import Actor
from shared.channels.errors import MayNotConnect
from shared.core.ids import ApiKeyId, CustomerId, GrantId, OrganizationId, SessionId, UserId
from shared.core.reach import Reach
from shared.db.statement import Sql, Statement, literals, sql
from shared.identity.queries import LIVE_LOGIN
from shared.organizations.impersonation_queries import LIVE_IMPERSONATION
from shared.organizations.models import Role
from shared.organizations.queries import KEY_WRITES, LIVE_KEY

MAY_CONNECT = (Role.OWNER, Role.ADMIN, Role.EDITOR)  # as in the policy of the starting routes


@dataclass(frozen=True, slots=True)
class Connector:
    """A member who connects a channel, and their proof: exactly one of session, API key and grant.

    For an API key, `user_id` is the member who created it. `impersonated_by` is the super admin whose session it is.
    `request_id` and `address` are those of the current request.
    """

    reach: Reach
    user_id: UserId
    session_id: SessionId | None = None
    impersonated_by: UserId | None = None
    api_key_id: ApiKeyId | None = None
    grant_id: GrantId | None = None
    request_id: str | None = None
    address: str | None = None

    @property
    def organization_id(self) -> OrganizationId:
        """Return the organization of the channel."""
        return self.reach.organization_id

    def columns(self) -> dict[str, Any]:
        """Return the values that a state stores, except the organization."""
        return {name: getattr(self, name) for name in _KEPT}

    def as_actor(self) -> Actor:
        """Return the same for the audit log."""
        return Actor(
            organization_id=self.organization_id,
            request_id=self.request_id,
            address=self.address,
            **self.columns(),
        )

    def arriving(self, visitor: Actor) -> "Connector":
        """Return the connector in the request of another browser, which the state lets act for them."""
        return replace(self, request_id=visitor.request_id, address=visitor.address)


_KEPT = ("user_id", "session_id", "impersonated_by", "api_key_id", "grant_id")


def still_may_connect(who: str) -> Sql:
    """Return the condition that the connector in the row `who` may still connect channels.

    A row without a proof does not count, because it was stored before proofs existed.
    """
    return sql(
        """exists (
        select from members m join organizations alive on alive.id = m.organization_id and alive.deleted_at is null
        where m.organization_id = {who}.organization_id and m.user_id = {who}.user_id
            and m.role in ({roles}) and not m.disabled
            and (
                exists (
                    select from sessions s join users u on u.id = s.user_id
                    where s.id = {who}.session_id and {live_login}
                        and s.user_id = coalesce({who}.impersonated_by, m.user_id)
                        and ({who}.impersonated_by is null or u.is_super_admin and exists (
                            select from impersonations i
                            where i.session_id = s.id and i.member_id = m.id and {live_impersonation})))
                or exists (
                    select from api_keys k
                    where k.id = {who}.api_key_id and k.organization_id = m.organization_id
                        and {live_key} and {key_writes} = any(k.scopes))
                or exists (
                    select from oauth_grants g join oauth_apps a on a.id = g.app_id
                    where g.id = {who}.grant_id and g.organization_id = m.organization_id
                        and g.user_id = m.user_id and {live_grant} and {write} = any(g.scopes))))""",
        who=Sql(who),
        roles=literals(*MAY_CONNECT),
        live_login=LIVE_LOGIN,
        live_impersonation=LIVE_IMPERSONATION,
        live_key=LIVE_KEY,
        key_writes=Sql(f"'{KEY_WRITES}'"),
        live_grant=LIVE_GRANT,
        write=Sql(f"'{WRITE}'"),
    )


def customers_of(who: str) -> Sql:
    """Return the customers that the connector in the row `who` is limited to now; null is no limit, or no such member."""
    return sql(
        """(
        select case when k.id is not null then k.customers else {customers_of_grant} end
        from members m
        left join api_keys k on k.id = {who}.api_key_id
        left join oauth_grants g on g.id = {who}.grant_id
        where m.organization_id = {who}.organization_id and m.user_id = {who}.user_id)""",
        who=Sql(who),
        customers_of_grant=CUSTOMERS_OF_GRANT,
    )


class Proof(NamedTuple):
    organization_id: OrganizationId
    user_id: UserId
    session_id: SessionId | None
    impersonated_by: UserId | None
    api_key_id: ApiKeyId | None
    grant_id: GrantId | None


class Judged(NamedTuple):
    may_connect: bool
    customers: list[CustomerId] | None


_JUDGE = Statement(
    "may_connect",
    sql(
        """
        select {condition} as may_connect, {customers} as customers
        from (
            select cast(:organization_id as uuid) as organization_id, cast(:user_id as uuid) as user_id,
                cast(:session_id as uuid) as session_id, cast(:impersonated_by as uuid) as impersonated_by,
                cast(:api_key_id as uuid) as api_key_id, cast(:grant_id as uuid) as grant_id
        ) who
        """,
        condition=still_may_connect("who"),
        customers=customers_of("who"),
    ),
    params=Proof,
    row=Judged,
)
"""Return whether a connector may still connect channels, and for which customers."""


def find_reach(session: Session, connector: Connector) -> Reach | None:
    """Return what a connector sees now; None if they may no longer connect channels."""
    judged = _JUDGE.one(
        session,
        organization_id=connector.organization_id,
        user_id=connector.user_id,
        session_id=connector.session_id,
        impersonated_by=connector.impersonated_by,
        api_key_id=connector.api_key_id,
        grant_id=connector.grant_id,
    )
    if not judged.may_connect:
        return None
    return Reach(connector.organization_id, judged.customers)


def require_may_connect(session: Session, connector: Connector) -> Reach:
    """Check that a caller may still connect channels, in the transaction that stores one, and return what they see.

    Raises:
        MayNotConnect: their role or proof ended during the request to the platform.
    """
    reach = find_reach(session, connector)
    if reach is None:
        raise MayNotConnect
    return reach

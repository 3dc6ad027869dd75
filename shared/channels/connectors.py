"""Who connects a channel, with which proof, and may they still?

Connecting takes minutes and ends in a browser that need not be signed in, so the right to it is judged again whenever
it is used: the member's role, and the session, API key or grant that began it.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, Uuid, bindparam, text
from sqlalchemy.orm import Session

from shared.channels.errors import MayNotConnect
from shared.identity.queries import LIVE_LOGIN
from shared.oauth.queries import LIVE_GRANT
from shared.oauth.scopes import WRITE
from shared.organizations.models import Role
from shared.organizations.queries import KEY_WRITES, LIVE_KEY

MAY_CONNECT = (Role.OWNER, Role.ADMIN, Role.EDITOR)  # as the policy of the routes that start


@dataclass(frozen=True, slots=True)
class Connector:
    """A member who connects a channel, and what proves it: exactly one of session, API key and grant.

    `user_id` of a key is the member who made it. `impersonated_by` is the super admin whose session it is.
    """

    organization_id: UUID
    user_id: UUID
    session_id: UUID | None = None
    impersonated_by: UUID | None = None
    api_key_id: UUID | None = None
    grant_id: UUID | None = None

    def columns(self) -> dict[str, Any]:
        """Return what a state remembers of it besides the organization."""
        return {name: getattr(self, name) for name in _KEPT}


_KEPT = ("user_id", "session_id", "impersonated_by", "api_key_id", "grant_id")


def still_may_connect(who: str) -> str:
    """Write the condition that the connector in the row `who` may still connect channels.

    A row without a proof never does: it was stored before proofs were.
    """
    roles = ", ".join(f"'{role.value}'" for role in MAY_CONNECT)
    return f"""exists (
        select from members m
        where m.organization_id = {who}.organization_id and m.user_id = {who}.user_id
            and m.role in ({roles}) and not m.disabled
            and (
                exists (
                    select from sessions s join users u on u.id = s.user_id
                    where s.id = {who}.session_id and {LIVE_LOGIN}
                        and s.user_id = coalesce({who}.impersonated_by, m.user_id)
                        and ({who}.impersonated_by is null or u.is_super_admin))
                or exists (
                    select from api_keys k
                    where k.id = {who}.api_key_id and k.organization_id = m.organization_id
                        and {LIVE_KEY} and '{KEY_WRITES}' = any(k.scopes))
                or exists (
                    select from oauth_grants g join oauth_apps a on a.id = g.app_id
                    where g.id = {who}.grant_id and g.organization_id = m.organization_id
                        and g.user_id = m.user_id and {LIVE_GRANT} and '{WRITE}' = any(g.scopes))))"""  # noqa: S608  from constants


def _judge() -> TextClause:
    given = ("organization_id", *_KEPT)
    columns = ", ".join(f"cast(:{name} as uuid) as {name}" for name in given)
    return text(
        f"select {still_may_connect('who')} from (select {columns}) who"  # noqa: S608  from constants
    ).bindparams(*(bindparam(name, type_=Uuid()) for name in given))


_JUDGE = _judge()


def may_connect(session: Session, connector: Connector) -> bool:
    """Check whether a connector may still connect channels."""
    values = {"organization_id": connector.organization_id, **connector.columns()}
    return bool(session.scalar(_JUDGE, values))


def require_may_connect(session: Session, connector: Connector) -> None:
    """Check that a caller may still connect channels, in the transaction that stores one.

    Raises:
        MayNotConnect: they lost the role, or what proved it ended, while the platform was asked.
    """
    if not may_connect(session, connector):
        raise MayNotConnect

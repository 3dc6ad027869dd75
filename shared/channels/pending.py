"""Reads a pending connection, while the member's browser is on the platform."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.orm import Session

from shared.channels.connect_queries import FIND_STATE, StateRow
from shared.channels.connectors import Connector
from shared.channels.queries import FIND_CHANNEL, ChannelSummary
from shared.core.ids import CustomerId, OrganizationId
from shared.core.reach import Reach


@dataclass(frozen=True, slots=True)
class PendingConnection:
    """A pending connection. `remember` is sealed; `again` is the channel to reconnect, `customer_id` whose a new one will be."""

    state: str
    organization_name: str
    organization_since: datetime
    connector: Connector
    provider: str
    redirect_uri: str
    remember: bytes = field(repr=False)
    return_url: str | None
    again: ChannelSummary | None
    customer_id: CustomerId | None

    @property
    def organization_id(self) -> OrganizationId:
        """Return the organization that connects."""
        return self.connector.organization_id

    @property
    def reach(self) -> Reach:
        """Return what the member who started sees now."""
        return self.connector.reach


def find_state(session: Session, state: str, provider: str) -> PendingConnection | None:
    """Read a pending connection without using it up. The state proves the right to it.

    Also None if the member who started may no longer connect channels, or the channel to reconnect
    was deleted or is not theirs to see.
    """
    row = FIND_STATE.find(session, state, provider)
    if row is None:
        return None
    if row.reconnects is None:
        return _pending(row, None)
    again = FIND_CHANNEL.find(session, *_reach(row), row.reconnects)
    return _pending(row, again) if again else None


def _pending(row: StateRow, again: ChannelSummary | None) -> PendingConnection:
    return PendingConnection(
        state=row.state,
        organization_name=row.organization_name,
        organization_since=row.organization_since,
        connector=Connector(
            _reach(row),
            row.user_id,
            session_id=row.session_id,
            impersonated_by=row.impersonated_by,
            api_key_id=row.api_key_id,
            grant_id=row.grant_id,
        ),
        provider=row.provider,
        redirect_uri=row.redirect_uri,
        remember=row.remember,
        return_url=row.return_url,
        again=again,
        customer_id=row.customer_id,
    )


def _reach(row: StateRow) -> Reach:
    return Reach(row.organization_id, row.customers)

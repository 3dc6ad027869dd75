"""Changes and deletes channels for members."""

from typing import Any, TypedDict

from sqlalchemy.orm import Session

from shared.channels.queries import CHANGE_CHANNEL, DELETE_CHANNEL, ChannelSummary, found
from shared.core.ids import ChannelId, OrganizationId
from shared.db.statement import to_json


class ChannelChanges(TypedDict, total=False):
    """A member's change; omitted fields stay unchanged."""

    customer_id: str | None
    name: str
    picture_url: str
    posting_times: list[dict[str, Any]]
    timezone: str
    disabled: bool
    additional_settings: list[dict[str, Any]]


def change_channel(
    session: Session,
    organization_id: OrganizationId,
    channel_id: ChannelId,
    changes: ChannelChanges,
) -> ChannelSummary:
    """Change a channel and return it.

    Raises:
        ChannelNotFound: the organization has no such channel, or deleted it.
    """
    return found(CHANGE_CHANNEL.find(session, organization_id, channel_id, to_json(changes)))


def delete_channel(
    session: Session, organization_id: OrganizationId, channel_id: ChannelId
) -> ChannelSummary:
    """Mark a channel as deleted and delete its tokens; published posts keep referring to it.

    Raises:
        ChannelNotFound: the organization has no such channel, or deleted it already.
    """
    return found(DELETE_CHANNEL.find(session, organization_id, channel_id))

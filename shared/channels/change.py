"""Changes and deletes channels for members."""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, Literal, TypedDict

from sqlalchemy.orm import Session

from shared.audit.entries import Action, Actor
from shared.audit.record import record
from shared.channels.levels import within_channels
from shared.channels.queries import CHANGE_CHANNEL, DELETE_CHANNEL, ChannelSummary, found
from shared.core.ids import ChannelId
from shared.core.reach import Reach
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


# What the audit log shows of a change, by its column.
_SHOWN: Mapping[Literal["customer_id", "disabled", "timezone"], str] = {
    "customer_id": "customerId",
    "disabled": "disabled",
    "timezone": "timezone",
}


def change_channel(
    session: Session,
    reach: Reach,
    actor: Actor,
    channel_id: ChannelId,
    changes: ChannelChanges,
) -> ChannelSummary:
    """Change a channel and return it. What a member enables or disables, a change of the plan leaves so.

    Raises:
        ChannelNotFound: the caller sees no such channel, or it was deleted.
        PlanUsedUp: enabling it is more than the plan includes.
    """
    values = {**changes, "disabled_by": None} if "disabled" in changes else changes
    raises = changes.get("disabled") is False
    with within_channels(session, reach.organization_id) if raises else nullcontext():
        changed = found(CHANGE_CHANNEL.find(session, *reach, channel_id, to_json(values)))
    recorded = {name: changes[column] for column, name in _SHOWN.items() if column in changes}
    record(session, actor, Action.CHANNEL_UPDATED, channel_id, after=recorded)
    return changed


def delete_channel(
    session: Session, reach: Reach, actor: Actor, channel_id: ChannelId
) -> ChannelSummary:
    """Mark a channel as deleted and delete its tokens; published posts keep referring to it.

    Raises:
        ChannelNotFound: the caller sees no such channel, or it was deleted already.
    """
    deleted = found(DELETE_CHANNEL.find(session, *reach, channel_id))
    record(session, actor, Action.CHANNEL_DELETED, channel_id)
    return deleted

"""`/settings/*` and `/notifications/*`: the organization, who is in it, and what they are told."""

from typing import Annotated

from fastapi import Query

from shared.notifications import queries as notifications
from shared.notifications.read import list_notifications
from shared.notifications.schemas import NotificationList, ReadMark, UnreadCount
from shared.organizations import queries as organizations
from shared.organizations.schemas import OrganizationIn, OrganizationOut, Team
from shared.organizations.settings import change_organization, list_team
from shared.web.app import as_handler, make_app
from shared.web.deps import Acting, Reading, Writing
from shared.web.routing import Router

settings = Router(prefix="/settings", tags=["Organization"])
told = Router(prefix="/notifications", tags=["Notifications"])


@settings.get("/organization")
def get_organization(member: Acting, session: Reading) -> OrganizationOut:
    """Return the organization's name, time zone and plan."""
    row = organizations.get_organization(session, member.organization_id)
    return OrganizationOut.model_validate(row)


@settings.put("/organization")
def update_organization(body: OrganizationIn, member: Acting, session: Writing) -> OrganizationOut:
    """Change the organization's name, description or time zone; what is left out stays."""
    return change_organization(session, member.organization_id, body)


@settings.get("/team")
def get_team(member: Acting, session: Reading) -> Team:
    """List the members of the organization, the longest there first."""
    return list_team(session, member.organization_id)


@told.get("")
def count_unread(member: Acting, session: Reading) -> UnreadCount:
    """Count what was told since the user last looked."""
    total = notifications.count_unread(session, member.organization_id, member.person_id)
    return UnreadCount(total=total)


@told.get("/list")
def get_notifications(
    member: Acting,
    session: Reading,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> NotificationList:
    """List what the organization was told, the newest first. Looking at the first page marks everything as read."""
    return list_notifications(
        session, member.organization_id, member.person_id, cursor=cursor, limit=limit
    )


@told.post("/read")
def mark_read(member: Acting, session: Writing) -> ReadMark:
    """Mark everything told until now as read."""
    read_at = notifications.mark_read(session, member.person_id)
    return ReadMark(last_read_notifications=read_at)


app = make_app("organizations", routers=[settings, told])
handler = as_handler(app)

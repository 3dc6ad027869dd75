"""`/admin/*`: what the operators of the server see and end. Every route is for super admins with a second factor."""

from typing import Annotated

from fastapi import Query

from shared.access.actor import person_of
from shared.access.endings import end_sessions_of
from shared.core.ids import UserId
from shared.core.page import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from shared.identity.schemas import SessionsEnded
from shared.organizations import directory
from shared.organizations.schemas import OrganizationPage, PersonPage
from shared.publishing import failures
from shared.publishing.schemas import (
    FailureList,
    FailureQuery,
    PeriodQuery,
    PlatformFailureList,
    Stats,
    StatsQuery,
)
from shared.web.app import as_handler, make_app
from shared.web.deps import Acting, Reading, Writing
from shared.web.routing import Router

Words = Annotated[
    str, Query(alias="search", max_length=200, description="A part of a name or address, or an id.")
]
Cursor = Annotated[str | None, Query(max_length=500)]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE)]

admin = Router(prefix="/admin", tags=["Operators"])


@admin.get("/people")
def find_people(
    session: Reading, search: Words = "", cursor: Cursor = None, limit: Limit = DEFAULT_PAGE_SIZE
) -> PersonPage:
    """Search the people of the server, with their seats and open sessions, by address."""
    return directory.search_people(session, search, cursor=cursor, limit=limit)


@admin.delete("/people/{user_id}/sessions")
def end_sessions_of_person(user_id: UserId, member: Acting, session: Writing) -> SessionsEnded:
    """End all sessions of a person, who sees it in the log of their account. Their API keys and consents stay."""
    return SessionsEnded(ended=end_sessions_of(session, person_of(member), user_id))


@admin.get("/organizations")
def find_organizations(
    session: Reading, search: Words = "", cursor: Cursor = None, limit: Limit = DEFAULT_PAGE_SIZE
) -> OrganizationPage:
    """Search the organizations of the server, by name."""
    return directory.search_organizations(session, search, cursor=cursor, limit=limit)


@admin.get("/errors", operation_id="listPublishingErrors")
def get_errors(wanted: Annotated[FailureQuery, Query()], session: Reading) -> FailureList:
    """List the attempts to publish that failed or whose outcome is unknown, newest first."""
    return failures.list_failures(session, wanted)


@admin.get("/errors/platforms", operation_id="listPlatformsWithErrors")
def get_platforms_with_errors(
    wanted: Annotated[PeriodQuery, Query()], session: Reading
) -> PlatformFailureList:
    """List the platforms at which attempts failed, most failures first."""
    return failures.list_platforms_with_failures(session, wanted)


@admin.get("/stats", operation_id="getPublishingStats")
def get_stats(wanted: Annotated[StatsQuery, Query()], session: Reading) -> Stats:
    """Count the finished attempts to publish, by platform and by error."""
    return failures.count_attempts(session, wanted)


app = make_app("admin", routers=[admin])
handler = as_handler(app)

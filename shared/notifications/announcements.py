"""Announcements of the server's operators, which members of every organization see."""

from sqlalchemy.orm import Session

from shared.audit.entries import Action, Actor
from shared.audit.record import record
from shared.core.ids import AnnouncementId, new_id
from shared.notifications import announcement_queries as queries
from shared.notifications.errors import NoSuchAnnouncement, TooManyAnnouncements
from shared.notifications.schemas import AnnouncementIn, AnnouncementOut

MOST_ANNOUNCEMENTS = 20
"""They are listed without pages, and shown above every page."""


def list_announcements(session: Session) -> list[AnnouncementOut]:
    """List the announcements, newest first."""
    return list(map(AnnouncementOut.model_validate, queries.LIST_ANNOUNCEMENTS.all(session)))


def announce(session: Session, operator: Actor, wanted: AnnouncementIn) -> AnnouncementOut:
    """Add an announcement.

    Raises:
        TooManyAnnouncements: there are `MOST_ANNOUNCEMENTS` already.
    """
    added = queries.ADD_ANNOUNCEMENT.find(
        session,
        AnnouncementId(new_id()),
        title=wanted.title,
        description=wanted.description,
        color=wanted.color.lower(),
        created_by=operator.impersonated_by or operator.person,
        most=MOST_ANNOUNCEMENTS,
    )
    if added is None:
        raise TooManyAnnouncements(MOST_ANNOUNCEMENTS)
    record(session, operator, Action.ANNOUNCEMENT_CREATED, added.id)
    return AnnouncementOut.model_validate(added)


def withdraw(session: Session, operator: Actor, announcement_id: AnnouncementId) -> None:
    """Delete an announcement.

    Raises:
        NoSuchAnnouncement: there is none.
    """
    if not queries.DELETE_ANNOUNCEMENT.run(session, announcement_id):
        raise NoSuchAnnouncement
    record(session, operator, Action.ANNOUNCEMENT_DELETED, announcement_id)

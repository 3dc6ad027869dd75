"""Lists the people and organizations of the whole server, for super admins."""

from collections import defaultdict
from uuid import UUID

from sqlalchemy.orm import Session

from shared.core.errors import FieldProblem, InvalidInput
from shared.core.ids import UserId
from shared.core.page import read_cursor, write_cursor
from shared.organizations import directory_queries as queries
from shared.organizations.schemas import (
    ListedOrganization,
    ListedPerson,
    OrganizationPage,
    PersonPage,
    SeatFound,
)

_FIRST = UUID(int=0)


def search_people(session: Session, words: str, *, cursor: str | None, limit: int) -> PersonPage:
    """List a page of people by address: those whose address or name contains the words, or whose id they are.

    Raises:
        InvalidInput: the cursor is not one of ours.
    """
    (after,) = read_cursor(cursor, parts=1) if cursor else ("",)
    rows = queries.SEARCH_PEOPLE.all(session, _pattern(words), _id(words), after, limit + 1)
    page, more = rows[:limit], len(rows) > limit
    seats: dict[UserId, list[SeatFound]] = defaultdict(list)
    for seat in queries.LIST_SEATS_OF_PEOPLE.all(session, [row.id for row in page]) if page else ():
        seats[seat.user_id].append(SeatFound.model_validate(seat))
    return PersonPage(
        people=[ListedPerson(**row._asdict(), seats=seats[row.id]) for row in page],
        next_cursor=write_cursor(page[-1].email) if more else None,
    )


def search_organizations(
    session: Session, words: str, *, cursor: str | None, limit: int
) -> OrganizationPage:
    """List a page of organizations by name: those whose name contains the words, or whose id they are.

    Raises:
        InvalidInput: the cursor is not one of ours.
    """
    after_name, after_id = "", _FIRST
    if cursor:
        after_name, last = read_cursor(cursor, parts=2)
        after_id = _id(last) or _refuse_cursor()
    rows = queries.SEARCH_ORGANIZATIONS.all(
        session, _pattern(words), _id(words), after_name, after_id, limit + 1
    )
    page, more = rows[:limit], len(rows) > limit
    return OrganizationPage(
        organizations=[ListedOrganization.model_validate(row) for row in page],
        next_cursor=write_cursor(page[-1].name, str(page[-1].id)) if more else None,
    )


def _pattern(words: str) -> str:
    r"""Return the pattern of `ilike` for texts that contain the words; `%`, `_` and `\` mean themselves."""
    escaped = words.strip().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def _id(words: str) -> UUID | None:
    try:
        return UUID(words.strip())
    except ValueError:
        return None


def _refuse_cursor() -> UUID:
    words = "This cursor is not valid. Use `nextCursor` from an earlier page."
    raise InvalidInput(
        "The cursor is not valid.", problems=[FieldProblem("cursor", "invalid", words)]
    )

"""Whether an organization keeps an owner when its owners leave, and end each other's seats, at the same moment."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

from shared.access import team
from shared.access.context import ActingMember, Via
from shared.access.errors import LastOwner, SeatAboveOwn
from shared.access.team_schemas import MemberChange
from shared.core.errors import AppError
from shared.core.ids import UserId
from shared.db.session import unit_of_work
from shared.organizations.errors import NoSuchMember
from shared.organizations.models import Member, Role
from tests.builders import a_member, an_organization
from tests.conftest import Configure
from tests.shared.organizations.test_limits_at_once import FirstHeldBack

Act = Callable[[Session, ActingMember, UserId], object]


def leave(session: Session, member: ActingMember, _other: UserId) -> None:
    team.leave_organization(session, member)


def resign(session: Session, member: ActingMember, _other: UserId) -> None:
    team.change_member(session, member, member.person_id, MemberChange(role="ADMIN"))


def disable_other(session: Session, member: ActingMember, other: UserId) -> None:
    team.change_member(session, member, other, MemberChange(disabled=True))


def remove_other(session: Session, member: ActingMember, other: UserId) -> None:
    team.remove_member(session, member, other, keep_keys=())


ACTS: list[Act] = [leave, resign, disable_other, remove_other]


@dataclass
class Owner:
    acting: ActingMember
    act: Act
    other: UserId


def acting_as(member: Member) -> ActingMember:
    return ActingMember(
        organization_id=member.organization_id,
        user_id=member.user_id,
        role=Role.OWNER,
        timezone="UTC",
        via=Via.SESSION,
    )


@pytest.fixture
def held(committed: Engine, configure: Configure) -> Iterator[FirstHeldBack]:
    configure(DATABASE_POOL_SIZE=3)
    hold = FirstHeldBack(committed, 1)
    yield hold
    if event.contains(Session, "before_commit", hold):
        event.remove(Session, "before_commit", hold)


@pytest.mark.parametrize("first", ACTS)
@pytest.mark.parametrize("second", ACTS)
def test_an_owner_stays(committed: Engine, held: FirstHeldBack, first: Act, second: Act) -> None:
    with Session(committed, expire_on_commit=False) as session, session.begin():
        organization = an_organization(session)
        one, two = a_member(session, organization), a_member(session, organization)
    owners = [
        Owner(acting_as(one), first, two.user_id),
        Owner(acting_as(two), second, one.user_id),
    ]
    event.listen(Session, "before_commit", held)

    def run(owner: Owner) -> AppError | None:
        try:
            with unit_of_work() as session:
                owner.act(session, owner.acting, owner.other)
        except AppError as error:
            return error
        finally:
            held.ended.release()
        return None

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(run, owners))
    refused = [answer for answer in answers if answer is not None]
    # Where one only resigns, the other may remove them after that.
    assert len(refused) == 1 or first is not second
    assert all(isinstance(answer, LastOwner | SeatAboveOwn | NoSuchMember) for answer in refused)
    with committed.connect() as connection:
        left = connection.execute(
            text("select user_id from members where role = 'owner' and not disabled")
        )
        assert len(left.all()) == 1

"""What does an event end, and what stays?"""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session as DbSession

from shared.access.endings import Ended, Event, end_access, end_seat
from shared.apps.models import DeviceCode, OAuthApp, OAuthCode
from shared.core import clock
from shared.core.ids import SessionId
from shared.identity.models import Challenge, ChallengeKind, Session
from shared.organizations.models import ApiKey, Member
from tests.builders import a_member, a_user, an_organization
from tests.gateway import as_member, by_grant, by_key

SOON = timedelta(minutes=5)


class World:
    """A person with one of everything in each of two organizations, and somebody else in the first."""

    def __init__(self, session: DbSession) -> None:
        self.session = session
        self.here, self.there = an_organization(session), an_organization(session)
        self.user = a_user(session)
        seats = [a_member(session, one, self.user) for one in (self.here, self.there)]
        for seat in seats:
            self._equip(seat)
        self._equip(a_member(session, self.here))
        self.own = session.query(Session).filter_by(user_id=self.user.id).first()

    def _equip(self, member: Member) -> None:
        session = self.session
        for make in (as_member, by_key, by_grant):
            make(None, session, member)
        app = session.query(OAuthApp).order_by(OAuthApp.id.desc()).first()
        whose = {"organization_id": member.organization_id, "user_id": member.user_id}
        soon: dict[str, Any] = {"expires_at": clock.now() + SOON, "app_id": app and app.id}
        name = str(member.id).encode()
        session.add_all(
            [
                OAuthCode(code_hash=name, redirect_uri="", scopes=[], **whose, **soon),
                DeviceCode(device_code_hash=name, user_code=str(member.id), **whose, **soon),
                Challenge(
                    hash=name,
                    kind=ChallengeKind.RESET_PASSWORD,
                    user_id=member.user_id,
                    expires_at=clock.now() + SOON,
                ),
            ]
        )
        session.flush()

    def left(self) -> dict[str, int]:
        """Count what still gives access, or will."""
        found = self.session.execute(
            text("""
                select (select count(*) from sessions where revoked_at is null) as sessions,
                    (select count(*) from api_keys where revoked_at is null) as keys,
                    (select count(*) from oauth_grants where revoked_at is null) as grants,
                    (select count(*) from oauth_codes where used_at is null) as codes,
                    (select count(*) from device_codes where used_at is null) as devices,
                    (select count(*) from challenges where used_at is null) as challenges
            """)
        ).one()
        return found._asdict()


@pytest.fixture
def world(session: DbSession, aws: None) -> World:
    return World(session)


def counts(sessions: int, programs: int, challenges: int = 1) -> dict[str, int]:
    of_programs = dict.fromkeys(("keys", "grants", "codes", "devices"), programs)
    return {"sessions": sessions, **of_programs, "challenges": challenges}


class TestEndAccess:
    @pytest.mark.parametrize("event", [Event.RESET_BY_MAIL, Event.ADDRESS_PROVEN])
    def test_everything_of_the_person_ends(self, world: World, event: Event) -> None:
        assert world.left() == counts(3, 3, 3)
        ended = end_access(world.session, event, world.user.id)
        assert world.left() == counts(1, 1)
        assert (ended.sessions, len(ended.keys), len(ended.consents)) == (2, 2, 2)
        organizations = {world.here.id, world.there.id}
        assert {key.organization_id for key in ended.keys} == organizations
        assert {consent.organization_id for consent in ended.consents} == organizations
        assert {consent.name for consent in ended.consents} == {"test"}

    def test_a_changed_credential_keeps_the_own_session_and_programs(self, world: World) -> None:
        assert world.own is not None
        event, user_id = Event.CREDENTIAL_CHANGED, world.user.id
        ended = end_access(world.session, event, user_id, own_session=world.own.id)
        assert world.left() == counts(2, 3)
        assert ended == Ended(sessions=1)

    def test_programs_end_where_asked(self, world: World) -> None:
        event, user_id = Event.CREDENTIAL_CHANGED, world.user.id
        ended = end_access(world.session, event, user_id, with_programs=True)
        assert world.left() == counts(1, 1)
        assert len(ended.keys) == 2

    def test_own_session_ends_with_a_reset(self, world: World) -> None:
        assert world.own is not None
        own = SessionId(world.own.id)
        end_access(world.session, Event.RESET_BY_MAIL, world.user.id, own_session=own)
        assert world.left()["sessions"] == 1

    def test_the_link_that_undoes_a_change_of_address_stays(self, world: World) -> None:
        world.session.execute(
            text("update challenges set kind = 'undo_email' where user_id = :user"),
            {"user": world.user.id},
        )
        end_access(world.session, Event.RESET_BY_MAIL, world.user.id)
        assert world.left()["challenges"] == 3

    def test_ending_again_ends_nothing(self, world: World) -> None:
        end_access(world.session, Event.RESET_BY_MAIL, world.user.id)
        assert end_access(world.session, Event.RESET_BY_MAIL, world.user.id) == Ended()

    def test_a_rotated_key_does_not_come_back(self, world: World) -> None:
        key = world.session.query(ApiKey).filter_by(created_by=world.user.id).first()
        assert key is not None
        key.previous_hash, key.previous_ends_at = b"before", clock.now() + SOON
        world.session.flush()
        end_access(world.session, Event.RESET_BY_MAIL, world.user.id)
        world.session.refresh(key)
        assert key.previous_hash is None


class TestEndSeat:
    def test_only_that_organization_ends(self, world: World) -> None:
        ended = end_seat(world.session, world.here.id, world.user.id)
        assert world.left() == counts(3, 2, 3)
        assert [key.organization_id for key in ended.keys] == [world.here.id]
        assert [consent.organization_id for consent in ended.consents] == [world.here.id]

    def test_listed_keys_stay(self, world: World) -> None:
        key = (
            world.session.query(ApiKey)
            .filter_by(created_by=world.user.id, organization_id=world.here.id)
            .one()
        )
        ended = end_seat(world.session, world.here.id, world.user.id, keep_keys=[key.id])
        assert ended.keys == ()
        assert world.left()["keys"] == 3

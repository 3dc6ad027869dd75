"""Whether an organization can be described, its team listed, and its members told of what happened."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from functions.organizations.app import app
from shared.core import clock
from shared.core.ids import new_id
from shared.notifications.models import Notification, NotificationKind
from shared.organizations.models import Member, Role
from tests.builders import a_member, a_user, an_organization
from tests.counting import count_statements
from tests.gateway import as_member, by_key


@pytest.fixture(autouse=True)
def _aws(aws: None) -> None: ...


@pytest.fixture
def member(session: Session) -> Member:
    return a_member(session, an_organization(session))


def a_notification(session: Session, member: Member, **columns: Any) -> Notification:
    values = {
        "id": new_id(),
        "organization_id": member.organization_id,
        "kind": NotificationKind.SUCCESS,
        "title": "Published",
        "content": "It is out.",
    }
    row = Notification(**values | columns)
    session.add(row)
    session.flush()
    return row


class TestOrganization:
    def test_is_changed_and_shown(self, session: Session, member: Member) -> None:
        gateway = as_member(app, session, member)
        change = {"name": "Engines", "timezone": "Europe/Berlin"}
        changed = gateway.put("/settings/organization", change)
        assert changed.status == 200
        shown = gateway.get("/settings/organization").json
        assert shown == changed.json
        assert (shown["name"], shown["timezone"]) == ("Engines", "Europe/Berlin")

    def test_empty_change_is_refused(self, session: Session, member: Member) -> None:
        assert as_member(app, session, member).put("/settings/organization", {}).status == 422

    def test_editor_may_look_only(self, session: Session, member: Member) -> None:
        editor = a_member(session, an_organization(session), role=Role.EDITOR)
        gateway = as_member(app, session, editor)
        assert gateway.get("/settings/organization").status == 200
        assert gateway.put("/settings/organization", {"name": "Mine"}).status == 403


class TestTeam:
    def test_lists_the_members_of_this_organization_only(
        self, session: Session, member: Member
    ) -> None:
        organization = an_organization(session)
        first = a_member(session, organization)
        second = a_member(session, organization, role=Role.VIEWER)
        users = as_member(app, session, first).get("/settings/team").json["users"]
        assert [each["user"]["id"] for each in users] == [str(first.user_id), str(second.user_id)]
        assert [each["role"] for each in users] == ["SUPERADMIN", "VIEWER"]

    def test_costs_three_statements(self, session: Session, member: Member) -> None:
        gateway = as_member(app, session, member)
        with count_statements() as cost:
            gateway.get("/settings/team")
        assert (cost.statements, cost.round_trips) == (3, 3)  # caller, members, invitations


class TestNotifications:
    def test_looking_marks_as_read(self, session: Session, member: Member) -> None:
        session.execute(
            text("update users set last_read_notifications_at = now() - interval '1 day'")
        )
        a_notification(session, member, title="Seen", created_at=clock.now() - timedelta(days=2))
        a_notification(session, member, title="New", created_at=clock.now() - timedelta(hours=2))
        gateway = as_member(app, session, member)
        assert gateway.get("/notifications").json == {"total": 1}
        listed = gateway.get("/notifications/list").json
        assert [(each["title"], each["unread"]) for each in listed["notifications"]] == [
            ("New", True),
            ("Seen", False),
        ]
        assert gateway.get("/notifications").json == {"total": 0}

    def test_marking_as_read_needs_no_look(self, session: Session, member: Member) -> None:
        session.execute(
            text("update users set last_read_notifications_at = now() - interval '1 day'")
        )
        a_notification(session, member, created_at=clock.now() - timedelta(hours=2))
        gateway = as_member(app, session, member)
        assert gateway.post("/notifications/read").status == 200
        assert gateway.get("/notifications").json == {"total": 0}

    def test_pages_follow_each_other_without_a_gap(self, session: Session, member: Member) -> None:
        when = clock.now()
        for number in range(5):
            a_notification(session, member, title=str(number), created_at=when)
        gateway, cursor, seen = as_member(app, session, member), None, []
        for _ in range(3):
            query = {"limit": 2, **({"cursor": cursor} if cursor else {})}
            page = gateway.get("/notifications/list", query=query).json
            seen += [each["title"] for each in page["notifications"]]
            cursor = page["nextCursor"]
        assert sorted(seen) == list("01234")
        assert cursor is None

    @pytest.mark.parametrize("cursor", ["x", "WyJhIiwgImIiXQ", "W10"])
    def test_foreign_cursor_is_refused(self, session: Session, member: Member, cursor: str) -> None:
        answer = as_member(app, session, member).get(
            "/notifications/list", query={"cursor": cursor}
        )
        assert (answer.status, answer.json["errors"][0]["path"]) == (422, "cursor")

    def test_nobody_sees_another_organization(self, session: Session, member: Member) -> None:
        a_notification(session, member)
        stranger = as_member(
            app, session, a_member(session, an_organization(session), a_user(session))
        )
        assert stranger.get("/notifications/list").json["notifications"] == []

    def test_page_costs_two_statements(self, session: Session, member: Member) -> None:
        a_notification(session, member)
        gateway = as_member(app, session, member)
        with count_statements() as cost:
            gateway.get("/notifications/list")
        assert (cost.statements, cost.round_trips) == (2, 2)

    def test_program_has_not_read_anything(self, session: Session, member: Member) -> None:
        assert by_key(app, session, member).get("/notifications").json["code"] == "person_needed"

"""What operators see and end: people, organizations, failed attempts. And whether due posts move, for monitors."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from functions.admin.app import app
from functions.identity.app import app as identity
from functions.root.app import app as root
from shared.channels.models import Channel
from shared.core import clock
from shared.core.ids import new_id
from shared.organizations.models import Member, Organization
from shared.posts.lifecycle import PostState
from shared.publishing.models import Attempt, AttemptState
from tests.builders import a_channel, a_member, a_post, a_session, a_user, an_organization
from tests.gateway import Gateway, as_member, as_operator, in_place_of


@pytest.fixture
def operator(session: Session, aws: None) -> Gateway:
    return as_operator(app, session)


def an_attempt(session: Session, channel: Channel, state: AttemptState, **columns: Any) -> Attempt:
    """Add an attempt that finished just now, of a post of its own."""
    post = a_post(session, channel, state=PostState.FAILED, created_by=columns.pop("author", None))
    now = clock.now()
    values = {
        "id": new_id(), "organization_id": channel.organization_id, "post_id": post.id, "root_id": post.id,
        "channel_id": channel.id, "revision": 1, "generation": 1, "number": 1, "state": state,
        "lease_until": now, "finished_at": now - timedelta(seconds=1),
    }  # fmt: skip
    made = Attempt(**values | columns)
    session.add(made)
    session.flush()
    return made


class TestPeople:
    def people(self, operator: Gateway, search: str, **query: Any) -> list[dict[str, Any]]:
        answer = operator.get("/admin/people", query={"search": search, **query})
        assert answer.status == 200, answer.text
        found: list[dict[str, Any]] = answer.json["people"]
        return found

    def test_seats_and_open_sessions_are_listed(self, session: Session, operator: Gateway) -> None:
        ada = a_user(session, email="ada@engines.example", name="Ada")
        member = a_member(session, an_organization(session, name="Engines"), ada)
        a_session(session, ada.id)
        a_session(session, ada.id, revoked_at=clock.now())
        (found,) = self.people(operator, "@engines.")
        assert (found["id"], found["email"], found["sessions"]) == (str(ada.id), ada.email, 1)
        assert found["lastUsedAt"] is not None
        assert found["seats"] == [
            {
                "id": str(member.id), "role": "SUPERADMIN", "disabled": False,
                "organizationId": str(member.organization_id), "organizationName": "Engines",
            }
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("search", "finds"),
        [("LOVE", True), ("ada@", True), ("Grace", False), ("%", False), ("a_a@", False)],
    )
    def test_by_a_part_of_name_or_address(
        self, session: Session, operator: Gateway, search: str, finds: bool
    ) -> None:
        a_user(session, email="ada@engines.example", name="Ada Lovelace")
        assert bool(self.people(operator, search)) is finds

    def test_by_id(self, session: Session, operator: Gateway) -> None:
        ada = a_user(session)
        assert [one["id"] for one in self.people(operator, str(ada.id))] == [str(ada.id)]

    def test_deleted_people_are_not_there(self, session: Session, operator: Gateway) -> None:
        gone = a_user(session, deleted_at=clock.now())
        assert self.people(operator, str(gone.id)) == []

    def test_pages_follow_each_other(self, session: Session, operator: Gateway) -> None:
        for name in "cab":
            a_user(session, email=f"{name}@paged.example")
        seen: list[str] = []
        query: dict[str, Any] = {"search": "@paged", "limit": 2}
        while True:
            page = operator.get("/admin/people", query=query).json
            seen += [one["email"][0] for one in page["people"]]
            if page["nextCursor"] is None:
                break
            query["cursor"] = page["nextCursor"]
        assert seen == ["a", "b", "c"]


class TestOrganizations:
    def test_pages_by_name_with_members(self, session: Session, operator: Gateway) -> None:
        for name in ("Paged B", "Paged A", "Paged A"):
            organization = an_organization(session, name=name)
            a_member(session, organization)
            a_member(session, organization, disabled=True)
        query: dict[str, Any] = {"search": "paged", "limit": 2}
        first = operator.get("/admin/organizations", query=query).json
        query["cursor"] = first["nextCursor"]
        second = operator.get("/admin/organizations", query=query).json
        found = [*first["organizations"], *second["organizations"]]
        assert [one["name"] for one in found] == ["Paged A", "Paged A", "Paged B"]
        assert {one["members"] for one in found} == {1}
        assert second["nextCursor"] is None

    def test_a_wrong_cursor_is_refused(self, operator: Gateway) -> None:
        for path in ("/admin/organizations", "/admin/people", "/admin/errors"):
            assert operator.get(path, query={"cursor": "nonsense"}).status == 422, path


class TestEndingSessions:
    def test_all_end_and_the_person_sees_it(self, session: Session, operator: Gateway) -> None:
        ada = as_member(identity, session, a_member(session, an_organization(session)))
        own = ada.get("/user/self").json["id"]
        answer = operator.delete(f"/admin/people/{own}/sessions")
        assert (answer.status, answer.json) == (200, {"ended": 1})
        assert ada.get("/user/self").status == 401
        member = session.query(Member).filter_by(user_id=own).one()
        (entry,) = as_member(identity, session, member).get("/user/audit").json["entries"]
        assert (entry["action"], entry["subjectId"]) == ("account.sessions_ended", own)
        assert entry["userId"] != own

    def test_nobody_is_there(self, operator: Gateway) -> None:
        assert operator.delete(f"/admin/people/{new_id()}/sessions").status == 404

    def test_not_in_another_place(self, session: Session, operator: Gateway) -> None:
        member = a_member(session, an_organization(session))
        gateway = in_place_of(app, session, member)
        refused = gateway.delete(f"/admin/people/{member.user_id}/sessions")
        assert (refused.status, refused.json["code"]) == (403, "not_in_their_place")


class TestErrors:
    @pytest.fixture
    def channel(self, session: Session) -> Channel:
        return a_channel(session, an_organization(session, name="Engines"), provider="mastodon")

    def codes(self, operator: Gateway, **query: Any) -> list[str]:
        answer = operator.get("/admin/errors", query=query)
        assert answer.status == 200, answer.text
        return [one["code"] for one in answer.json["errors"]]

    def test_failure_names_whose_and_what(
        self, session: Session, operator: Gateway, channel: Channel
    ) -> None:
        author = a_user(session, email="ada@engines.example")
        made = an_attempt(
            session, channel, AttemptState.REFUSED, author=author.id,
            error_code="duplicate", error_message="The platform has this post already.",
        )  # fmt: skip
        an_attempt(session, channel, AttemptState.RELEASED)
        (found,) = operator.get("/admin/errors").json["errors"]
        assert found.pop("at")
        assert found == {
            "id": str(made.id), "platform": "mastodon", "state": "refused", "code": "duplicate",
            "message": "The platform has this post already.", "email": "ada@engines.example",
            "organizationId": str(channel.organization_id), "organizationName": "Engines",
            "channelId": str(channel.id), "postId": str(made.root_id),
        }  # fmt: skip

    def test_filters_and_order(self, session: Session, operator: Gateway, channel: Channel) -> None:
        author = a_user(session, email="ada@engines.example")
        x = a_channel(session, session.get_one(Organization, channel.organization_id), provider="x")
        ago = [clock.now() - timedelta(minutes=minutes) for minutes in range(5)]
        unknown, refused = AttemptState.UNKNOWN, AttemptState.REFUSED
        an_attempt(session, channel, refused, error_code="new", finished_at=ago[1])
        an_attempt(session, x, unknown, error_code="lost", finished_at=ago[2])
        an_attempt(session, x, refused, error_code="hers", author=author.id, finished_at=ago[3])
        an_attempt(session, x, refused, error_code="old", finished_at=ago[0] - timedelta(days=31))
        assert self.codes(operator) == ["new", "lost", "hers"]
        assert self.codes(operator, unknownFirst="true") == ["lost", "new", "hers"]
        assert self.codes(operator, platform="x") == ["lost", "hers"]
        assert self.codes(operator, email="Ada@Engines.example") == ["hers"]
        early = {"from": (ago[0] - timedelta(days=40)).isoformat(), "to": ago[2].isoformat()}
        assert self.codes(operator, **early) == ["hers", "old"]

    @pytest.mark.parametrize("unknown_first", ["true", "false"])
    def test_pages_follow_each_other(
        self, session: Session, operator: Gateway, channel: Channel, unknown_first: str
    ) -> None:
        states = (AttemptState.REFUSED, AttemptState.UNKNOWN, AttemptState.REFUSED)
        for number, state in enumerate(states):
            an_attempt(session, channel, state, error_code=str(number))
        query: dict[str, Any] = {"limit": 1, "unknownFirst": unknown_first}
        seen: list[str] = []
        for _ in states:
            page = operator.get("/admin/errors", query=query).json
            seen += [one["code"] for one in page["errors"]]
            query["cursor"] = page["nextCursor"]
        assert (sorted(seen), query["cursor"]) == (["0", "1", "2"], None)
        assert seen[0] == ("1" if unknown_first == "true" else "2")

    def test_platforms_with_most_failures_come_first(
        self, session: Session, operator: Gateway, channel: Channel
    ) -> None:
        x = a_channel(session, session.get_one(Organization, channel.organization_id), provider="x")
        an_attempt(session, channel, AttemptState.REFUSED)
        an_attempt(session, x, AttemptState.REFUSED)
        an_attempt(session, x, AttemptState.UNKNOWN)
        an_attempt(session, x, AttemptState.RELEASED)
        assert operator.get("/admin/errors/platforms").json["platforms"] == [
            {"platform": "x", "refused": 1, "unknown": 1},
            {"platform": "mastodon", "refused": 1, "unknown": 0},
        ]

    def test_stats_count_outcomes_and_codes(
        self, session: Session, operator: Gateway, channel: Channel
    ) -> None:
        an_attempt(session, channel, AttemptState.RELEASED)
        an_attempt(session, channel, AttemptState.REFUSED, error_code="duplicate")
        an_attempt(session, channel, AttemptState.REFUSED, error_code="duplicate")
        an_attempt(session, channel, AttemptState.UNKNOWN, error_code="lost")
        stats = operator.get("/admin/stats").json
        assert stats["platforms"] == [
            {"platform": "mastodon", "attempts": 4, "released": 1, "refused": 2, "unknown": 1}
        ]
        assert [(one["code"], one["attempts"]) for one in stats["codes"]] == [
            ("duplicate", 2), ("lost", 1),
        ]  # fmt: skip
        unknown = operator.get("/admin/stats", query={"unknownOnly": "true"}).json
        assert [one["attempts"] for one in unknown["platforms"]] == [1]
        assert [one["code"] for one in unknown["codes"]] == ["lost"]

    @pytest.mark.parametrize("path", ["/admin/errors", "/admin/errors/platforms", "/admin/stats"])
    def test_period_is_bounded(self, operator: Gateway, path: str) -> None:
        for since, until in (("2026-01-01", "2026-04-04"), ("2026-01-02", "2026-01-02")):
            query = {"from": f"{since}T00:00:00Z", "to": f"{until}T00:00:00Z"}
            answer = operator.get(path, query=query)
            assert (answer.status, answer.json["errors"][0]["path"]) == (422, "from")


class TestOperators:
    @pytest.mark.parametrize("path", ["people", "organizations", "errors", "stats"])
    def test_nobody_else_and_nobody_without_a_second_factor(
        self, session: Session, operator: Gateway, path: str
    ) -> None:
        owner = as_member(app, session, a_member(session, an_organization(session)))
        refused = owner.get(f"/admin/{path}")
        assert (refused.status, refused.json["code"]) == (403, "role_too_low")
        session.execute(text("update sessions set methods = '{password}'"))
        refused = operator.get(f"/admin/{path}")
        assert (refused.status, refused.json["code"]) == (403, "mfa_needed")

    def test_operator_without_an_organization(self, session: Session, operator: Gateway) -> None:
        session.execute(text("delete from members"))
        assert operator.get("/admin/organizations").status == 200


class TestMonitor:
    @pytest.fixture
    def channel(self, session: Session) -> Channel:
        return a_channel(session, an_organization(session))

    @pytest.fixture
    def monitor(self, session: Session, aws: None) -> Gateway:
        return Gateway(root)

    def due(self, session: Session, channel: Channel, **columns: Any) -> None:
        ago = clock.now() - timedelta(minutes=6)
        a_post(session, channel, publish_at=ago, **columns)

    def state(self, monitor: Gateway) -> tuple[int, str]:
        answer = monitor.get("/monitor/queue/publish")
        return answer.status, answer.json["status"]

    def test_nothing_is_due(self, session: Session, channel: Channel, monitor: Gateway) -> None:
        a_post(session, channel)
        a_post(session, channel, publish_at=clock.now() - timedelta(minutes=4))
        assert self.state(monitor) == (200, "success")

    def test_due_posts_do_not_move(
        self, session: Session, channel: Channel, monitor: Gateway
    ) -> None:
        self.due(session, channel)
        an_attempt(
            session, channel, AttemptState.RELEASED,
            finished_at=clock.now() - timedelta(minutes=6),
        )  # fmt: skip
        assert self.state(monitor) == (503, "error")

    @pytest.mark.parametrize("finished", [True, False])
    def test_some_post_moves(
        self, session: Session, channel: Channel, monitor: Gateway, finished: bool
    ) -> None:
        self.due(session, channel)
        later = clock.now() + timedelta(minutes=1)
        state = AttemptState.REFUSED if finished else AttemptState.RUNNING
        columns = {} if finished else {"finished_at": None, "lease_until": later}
        an_attempt(session, channel, state, **columns)
        assert self.state(monitor) == (200, "success")

    @pytest.mark.parametrize("held_by", ["rate_limited", "crowded"])
    def test_posts_that_are_held_back_are_not_stuck(
        self, session: Session, channel: Channel, monitor: Gateway, held_by: str
    ) -> None:
        self.due(session, channel, error_code=held_by)
        assert self.state(monitor) == (200, "success")

    def test_other_queues_are_not_watched(self, monitor: Gateway) -> None:
        assert monitor.get("/monitor/queue/main").status == 404

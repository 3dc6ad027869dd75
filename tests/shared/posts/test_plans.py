"""What lists and counts read: the index that is wanted, by name, beside other organizations with many more rows."""

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.core.ids import OrganizationId, PostId
from shared.core.reach import Reach
from shared.db.statement import Statement
from shared.media import queries as media
from shared.notifications import queries as notifications
from shared.posts import find_slot, listing
from shared.posts import read_queries as queries
from shared.posts.lifecycle import PostState
from shared.posts.listing import Filter
from shared.posts.models import Tag
from shared.posts.queries import WRITE
from shared.public_api import list_posts
from shared.public_api import notifications as numbered
from shared.public_api.notifications import list_public_notifications
from shared.publishing.stuck import TAKE_STUCK
from tests.builders import a_channel, a_member, an_organization, any_state

pytestmark = pytest.mark.usefixtures("without_clock")  # before a connection is opened

_POSTS = text("""
    insert into posts (id, organization_id, channel_id, group_id, root_id, position, state, review, content,
        media, settings, content_hash, publish_at, delay_seconds, revision, generation, arm_count, creation_method,
        published_at)
    select id, :organization_id, :channel_id, id, id, 0,
        case when number % 1000 = 0 then 'failed' else 'published' end, 'none', 'x', '[]', '{}', md5(id::text),
        timestamptz '2020-01-01' + number * interval '1 hour', 0, 1, 1, 1, 'web', now()
    from (select gen_random_uuid() as id, number from generate_series(1, :rows) number) made
""")
_TAGGED = text("""
    insert into post_tags (post_id, tag_id, organization_id)
    select id, :tag_id, organization_id from posts where organization_id = :organization_id limit :rows
""")
_NOTIFICATIONS = text("""
    insert into notifications (id, organization_id, kind, title, content, created_at)
    select gen_random_uuid(), :organization_id, 'info', 't', 'c', now() - number * interval '1 minute'
    from generate_series(1, :rows) number
""")
_MEDIA = text("""
    insert into media (id, organization_id, state, key, name, original_name, content_type, size_bytes, created_at,
        variants_made)
    select gen_random_uuid(), :organization_id, 'ready', gen_random_uuid()::text, 'picture ' || number, 'p', 'image/png',
        1, now() - number * interval '1 minute', true
    from generate_series(1, :rows) number
""")


@pytest.fixture
def known(session: Session) -> Mapping[str, Any]:
    """Ids of an organization with 3,000 rows of everything, beside one with ten times as many."""
    found: dict[str, Any] = {}
    for rows in (30_000, 3_000):
        organization = an_organization(session)
        channel = a_channel(session, organization)
        tag = Tag(organization_id=organization.id, name="news", color="#2f6f4f")
        session.add(tag)
        session.flush()
        found = {"organization_id": organization.id, "channel_id": channel.id, "tag_id": tag.id}
        values = found | {"rows": rows}
        with any_state(session):
            for statement in (_POSTS, _NOTIFICATIONS, _MEDIA):
                session.execute(statement, values)
        session.execute(_TAGGED, values | {"rows": rows // 10})
        found["user_id"] = a_member(session, organization).user_id
    for table in ("posts", "post_tags", "notifications", "media", "tags", "channels"):
        session.execute(text(f"analyze {table}"))
    return found


def plan(session: Session, statement: str, values: Mapping[str, Any]) -> str:
    rows = session.execute(text(f"explain (analyze, costs off, timing off) {statement}"), values)
    return "\n".join(row[0] for row in rows)


def plan_for_any(session: Session, statement: Statement[..., Any]) -> str:
    """Return the plan that a connection keeps for any values."""
    rows = session.connection().exec_driver_sql(
        f"explain (generic_plan, costs off) {statement.sql}"
    )
    return "\n".join(row[0] for row in rows)


def wanted(known: Mapping[str, Any], **filters: Any) -> dict[str, Any]:
    return dict(listing._filter(Filter(**filters))) | {
        "organization_id": known["organization_id"],
        "customers": None,
        "after_time": "infinity",
        "after_id": uuid.UUID(int=2**128 - 1),
        "page_size": 21,
    }


class TestPosts:
    @pytest.mark.parametrize(
        ("statement", "filters", "index"),
        [
            (queries.LATEST, {}, "ix_posts_calendar"),
            (queries.LATEST_BY_STATE, {"states": [PostState.FAILED]}, "ix_posts_state"),
            (
                queries.LATEST_BY_STATE,
                {"states": [PostState.QUEUED, PostState.PUBLISHING]},
                "ix_posts_state",
            ),
        ],
    )
    def test_a_list_walks_its_index(
        self,
        session: Session,
        known: Mapping[str, Any],
        statement: Statement[..., Any],
        filters: dict[str, Any],
        index: str,
    ) -> None:
        """Finding 8.8: a list by a rare state scanned the posts of every organization."""
        found = plan(session, statement.text, wanted(known, **filters))
        assert index in found, found
        assert "Seq Scan on posts" not in found, found
        assert "Seq Scan on post_tags" not in found, found

    def test_a_rare_tag_leads_to_its_posts(
        self, session: Session, known: Mapping[str, Any]
    ) -> None:
        """Finding 8.9: a list by a tag that few posts have filtered all posts of the organization."""
        found = plan(session, queries.LATEST_BY_TAG.text, wanted(known, tag_id=known["tag_id"]))
        assert "ix_post_tags_tag_id" in found, found
        assert "pk_posts" in found, found
        assert "ix_posts_calendar" not in found.replace("(never executed)", "") or (
            "never executed" in found
        ), found

    def test_few_and_many_of_a_tag_are_listed_alike(
        self, session: Session, known: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reach = Reach(OrganizationId(known["organization_id"]))
        only = Filter(tag_id=known["tag_id"])

        def listed() -> list[PostId]:
            page = listing.list_latest(session, reach, wanted=only, after=None, page_size=400)
            return [post.id for post in page]

        few = listed()
        assert len(few) == 300
        many = queries.latest_by_tag(5)
        assert many != queries.LATEST_BY_TAG.text
        other_way = Statement("other_way", many, params=queries.LatestPage, row=queries.ListJson)
        monkeypatch.setattr(queries, "LATEST_BY_TAG", other_way)
        assert listed() == few

    def test_both_states_of_one_name_are_merged_by_time(
        self, session: Session, known: Mapping[str, Any]
    ) -> None:
        reach = Reach(OrganizationId(known["organization_id"]))
        states = Filter(states=[PostState.FAILED, PostState.PUBLISHED])
        both = listing.list_latest(session, reach, wanted=states, after=None, page_size=9)
        all_ = listing.list_latest(session, reach, wanted=Filter(), after=None, page_size=9)
        assert [post.id for post in both] == [post.id for post in all_]

    def test_the_calendar_reads_the_tags_of_its_own_posts(
        self, session: Session, known: Mapping[str, Any]
    ) -> None:
        """Finding 8.8: calendar and lists read all of post_tags."""
        values = wanted(known) | {
            "start": "2020-02-01T00:00:00Z",
            "end": "2020-02-28T00:00:00Z",
            "after_time": "2020-02-01T00:00:00Z",
            "after_id": uuid.UUID(int=0),
        }
        found = plan(session, queries.FILTERED_RANGE_JSON.text, values)
        assert "ix_posts_calendar" in found, found
        assert "Seq Scan on post_tags" not in found, found
        assert "hashed SubPlan" not in found, found

    def test_the_calendar_of_a_limited_member_walks_the_same_index(
        self, session: Session, known: Mapping[str, Any]
    ) -> None:
        values = wanted(known) | {
            "customers": [uuid.uuid4(), uuid.uuid4(), uuid.uuid4()],
            "start": "2020-02-01T00:00:00Z",
            "end": "2020-02-28T00:00:00Z",
            "after_time": "2020-02-01T00:00:00Z",
            "after_id": uuid.UUID(int=0),
        }
        found = plan(session, queries.FILTERED_RANGE_JSON_OF_CUSTOMERS.text, values)
        assert "ix_posts_" in found, found
        assert "Seq Scan on posts" not in found, found

    @pytest.mark.usefixtures("without_clock", "known")
    @pytest.mark.parametrize("statement", [queries.RANGE_JSON, list_posts._LIST])
    def test_the_plan_of_a_calendar_for_any_values_is_right(
        self, session: Session, statement: Statement[..., Any]
    ) -> None:
        found = plan_for_any(session, statement)
        assert "Index Scan using ix_posts_calendar" in found, found
        assert "Memoize" in found, found
        assert "Seq Scan on post" not in found, found
        assert "hashed SubPlan" not in found, found

    @pytest.mark.usefixtures("without_clock", "known")
    def test_a_twin_is_found_without_reading_the_channels_other_posts(
        self, session: Session
    ) -> None:
        found = plan_for_any(session, WRITE)
        scan, condition = found.partition("Index Scan using ix_posts_channel on posts twin")[1:]
        assert scan, found
        assert "content_hash" in condition.splitlines()[1], found

    def test_find_slot_reads_a_range_of_its_channel(
        self, session: Session, known: Mapping[str, Any]
    ) -> None:
        """Finding 8.9."""
        found = plan(
            session, find_slot.SLOTS_AND_POSTS.text, {**known, "days": 14, "customers": None}
        )
        assert "ix_posts_channel" in found or "ix_posts_calendar" in found, found
        assert "Seq Scan on posts" not in found, found

    def test_stuck_parts_are_found_by_their_index(
        self, session: Session, known: Mapping[str, Any]
    ) -> None:
        values = {"page_size": 500, "missing": "", "failed": ""}
        found = plan(session, TAKE_STUCK.text, values)
        assert "ix_posts_waiting" in found, found


class TestNotifications:
    def test_nothing_unread_is_known_from_the_newest(
        self, session: Session, known: Mapping[str, Any]
    ) -> None:
        """Finding 8.8: to learn that nothing is unread, every organization's notifications were read."""
        session.execute(
            text("update users set last_read_notifications_at = now() where id = :user_id"), known
        )
        found = plan(session, notifications.COUNT_UNREAD.text, {**known, "customers": None})
        assert "ix_notifications_shown" in found, found
        assert "Seq Scan on notifications" not in found, found

    def test_a_deep_page_skips_in_the_index(
        self, session: Session, known: Mapping[str, Any]
    ) -> None:
        """Finding 8.9: deep pages read every row that they skipped."""
        values = {
            **known,
            "customers": None,
            "limit": 20,
            "offset": 2_900,
            "most": numbered.MOST_NUMBERED,
        }
        # In a transaction that has just written them no page is known to be visible to all, which the planner holds
        # against the index; what is asked here is whether the index alone is enough.
        session.execute(text("set local enable_seqscan = off"))
        session.execute(text("set local enable_bitmapscan = off"))
        found = plan(session, notifications.NUMBERED_PAGE.text, values)
        assert found.count("Index Only Scan") == 2, found
        assert found.count("using ix_notifications_shown") == 2, found

    @pytest.mark.parametrize("page", [0, 14, 15, 16, 10_000])
    def test_no_page_reads_more_than_the_pages_list(
        self,
        session: Session,
        known: Mapping[str, Any],
        monkeypatch: pytest.MonkeyPatch,
        page: int,
    ) -> None:
        """Finding 8.9: counting and skipping grew with the organization, 100 ms at 140,000 notifications."""
        monkeypatch.setattr(numbered, "MOST_NUMBERED", 1_550)
        reach = Reach(OrganizationId(known["organization_id"]))
        told = list_public_notifications(session, reach, page=page)
        assert told.total == 1_550
        assert len(told.notifications) == {0: 100, 14: 100, 15: 50}.get(page, 0)
        assert told.has_more is (page < 15)
        values = {**known, "customers": None, "limit": 50, "offset": 1_500, "most": 1_550}
        read = text(f"explain (analyze, format json) {notifications.NUMBERED_PAGE.text}")
        [whole] = session.execute(read, values).scalar_one()
        assert max(_rows_read(whole["Plan"])) <= 1_550


def _rows_read(node: Mapping[str, Any]) -> Iterator[float]:
    yield node["Actual Rows"] * node["Actual Loops"]
    for inner in node.get("Plans", ()):
        yield from _rows_read(inner)


class TestMedia:
    def test_a_rare_word_is_looked_for_in_the_organization_alone(
        self, session: Session, known: Mapping[str, Any]
    ) -> None:
        """Finding 8.8: a search for a rare word read every organization's files."""
        values = media.Listed(
            known["organization_id"], "goose", kind=None, before_time=None, before_id=None, limit=20
        )
        found = plan(session, media.LIST_MEDIA.text, values._asdict())
        assert "Seq Scan on media" not in found, found
        assert "ix_media" in found, found

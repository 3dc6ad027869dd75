"""Ranges of the calendar in any time zone, their limits, and the plan that reads them."""

import itertools
import json
import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.channels.models import Channel
from shared.core.errors import InvalidInput
from shared.core.ids import ChannelId, PostId
from shared.core.reach import Reach
from shared.db.statement import Statement
from shared.organizations.models import Organization
from shared.posts import listing, read
from shared.posts import read_queries as queries
from shared.posts.lifecycle import PostState
from shared.posts.listing import Filter
from shared.posts.models import PostTag, Tag
from shared.posts.schemas import PostsOut
from tests.builders import a_channel, a_post, an_organization
from tests.conftest import Configure

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati"]
# Those whose clocks change at or around midnight first.
FORTY_ZONES = [
    "America/Santiago", "Africa/Cairo", "Asia/Beirut", "America/Scoresbysund", "America/Nuuk", "America/Havana",
    "America/Asuncion", "Pacific/Easter", "America/Punta_Arenas", "Atlantic/Azores", "Africa/Casablanca",
    "Africa/El_Aaiun", "Asia/Gaza", "Asia/Hebron", "Asia/Jerusalem", "Asia/Amman", "Asia/Damascus", "Asia/Tehran",
    "America/Sao_Paulo", "America/Miquelon", "America/St_Johns", "America/New_York", "America/Los_Angeles",
    "America/Mexico_City", "Europe/London", "Europe/Berlin", "Europe/Chisinau", "Europe/Istanbul", "Africa/Lagos",
    "Asia/Kolkata", "Asia/Kathmandu", "Asia/Tokyo", "Asia/Shanghai", "Australia/Sydney", "Australia/Lord_Howe",
    "Australia/Adelaide", "Pacific/Auckland", "Pacific/Chatham", "Pacific/Kiritimati", "Pacific/Pago_Pago",
]  # fmt: skip
ANY = Filter()


class TestReadRange:
    @pytest.mark.parametrize(
        ("day", "zone", "hours"),
        [
            ("2026-03-29", "Europe/Berlin", 23),
            ("2026-10-25", "Europe/Berlin", 25),
            ("2026-03-08", "America/New_York", 23),
            ("2026-11-01", "America/New_York", 25),
            ("2026-04-05", "Australia/Lord_Howe", 24.5),
            ("2026-03-29", "UTC", 24),
        ],
    )
    def test_a_day_is_as_long_as_on_its_clock(self, day: str, zone: str, hours: float) -> None:
        stretch = read.read_range(day, day, zone)
        length = stretch.end - stretch.start + timedelta(microseconds=1)
        assert length == timedelta(hours=hours)

    @pytest.mark.parametrize("zone", FORTY_ZONES)
    def test_the_days_of_a_year_tile(self, zone: str) -> None:
        """Finding 1.14: where clocks change at midnight, an hour of posts was in no day, or in two."""
        first = date(2026, 1, 1)
        days = [(first + timedelta(days=number)).isoformat() for number in range(366)]
        stretches = [read.read_range(day, day, zone) for day in days]
        for before, after in itertools.pairwise(stretches):
            assert after.start - before.end == timedelta(microseconds=1)
            assert timedelta(hours=22) < before.end - before.start < timedelta(hours=26)
        whole = read.read_range(days[0], days[61], zone)
        assert (whole.start, whole.end) == (stretches[0].start, stretches[61].end)

    @given(
        day=st.dates(date(1990, 1, 1), date(2090, 1, 1)),
        zone=st.sampled_from(ZONES),
        length=st.integers(1, 61),
    )
    def test_neighbouring_ranges_touch_and_never_overlap(
        self, day: date, zone: str, length: int
    ) -> None:
        following = day + timedelta(days=length)
        before = read.read_range(day.isoformat(), (following - timedelta(days=1)).isoformat(), zone)
        after = read.read_range(following.isoformat(), following.isoformat(), zone)
        assert after.start - before.end == timedelta(microseconds=1)
        assert before.start.astimezone(ZoneInfo(zone)).date() == day

    @pytest.mark.parametrize(
        ("written", "utc"),
        [
            ("2026-03-29T00:00:00+02:00", datetime(2026, 3, 28, 22, tzinfo=UTC)),
            ("2026-03-29T00:00:00 02:00", datetime(2026, 3, 28, 22, tzinfo=UTC)),
            ("2026-03-29T00:00:00Z", datetime(2026, 3, 29, tzinfo=UTC)),
            ("2026-07-01T00:00:00.000", datetime(2026, 6, 30, 22, tzinfo=UTC)),
        ],
    )
    def test_times_with_and_without_offset(self, written: str, utc: datetime) -> None:
        end = (utc + timedelta(days=2)).isoformat()
        assert read.read_range(written, end, "Europe/Berlin").start == utc

    @pytest.mark.parametrize(
        ("start", "end", "path", "code"),
        [
            ("2026-01-01", "2026-03-04", "endDate", "range_too_long"),
            ("2026-01-02", "2026-01-01", "endDate", "before_start"),
            ("yesterday", "2026-01-01", "startDate", "invalid_time"),
            ("2026-01-01", "2026-02-30", "endDate", "invalid_time"),
            ("0001-01-01", "0001-01-02", "startDate", "invalid_time"),
            ("", "2026-01-01", "startDate", "invalid_time"),
        ],
    )
    def test_refusals(self, start: str, end: str, path: str, code: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            read.read_range(start, end, "Asia/Kolkata")
        [problem] = refused.value.problems
        assert (problem.path, problem.code) == (path, code)

    def test_the_longest(self) -> None:
        read.read_range("2026-01-01", "2026-03-03", "UTC")


class TestCalendar:
    @pytest.fixture
    def channel(self, session: Session) -> Channel:
        return a_channel(session, an_organization(session))

    def test_both_ends_belong_to_it(self, session: Session, channel: Channel) -> None:
        stretch = read.read_range("2026-05-01T10:00:00Z", "2026-05-01T11:00:00Z", "UTC")
        inside = [
            a_post(session, channel, publish_at=moment) for moment in (stretch.start, stretch.end)
        ]
        a_post(session, channel, publish_at=stretch.end + timedelta(microseconds=1))
        shown, rest = _calendar(session, channel, stretch)
        assert [post.id for post in shown.posts] == [post.id for post in inside]
        assert rest is None

    def test_the_rest_is_reached_by_the_link(
        self,
        session: Session,
        channel: Channel,
        monkeypatch: pytest.MonkeyPatch,
        configure: Configure,
    ) -> None:
        configure(PUBLIC_URL="https://roost.example")
        monkeypatch.setattr(read, "MAX_RANGE_POSTS", 2)
        when = datetime(2026, 5, 1, tzinfo=UTC)
        posts = {a_post(session, channel, publish_at=when).id for _ in range(5)}
        stretch = read.read_range("2026-05-01", "2026-05-02", "UTC")
        seen: list[PostId] = []
        cursor, pages = None, 0
        while True:
            shown, rest = _calendar(session, channel, stretch, cursor=cursor)
            seen += [post.id for post in shown.posts]
            pages += 1
            if rest is None:
                break
            link = read.link_to_rest([("startDate", "2026-05-01"), ("cursor", "old")], rest)
            address, relation = link.split("; ")
            assert relation == 'rel="next"'
            query = parse_qsl(urlsplit(address.strip("<>")).query)
            assert [name for name, _ in query] == ["startDate", "cursor"]
            cursor = dict(query)["cursor"]
        assert (len(seen), set(seen), pages) == (5, posts, 3)

    def test_long_texts_make_shorter_answers(
        self, session: Session, channel: Channel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(read, "MAX_RANGE_CHARACTERS", 15)
        when = datetime(2026, 5, 1, tzinfo=UTC)
        for content in ("x" * 100, "x" * 10):
            a_post(session, channel, publish_at=when, content=content)
        stretch = read.read_range("2026-05-01", "2026-05-01", "UTC")
        shown, rest = _calendar(session, channel, stretch)
        assert len(shown.posts) == 1  # never none, or it would not end
        assert rest

    def test_is_written_by_the_database_as_it_would_be_from_here(
        self, session: Session, channel: Channel
    ) -> None:
        when = datetime(2026, 5, 1, 10, 30, 0, 123_956, tzinfo=UTC)
        for state in PostState:
            a_post(session, channel, publish_at=when, state=state)
        failed = a_post(
            session,
            channel,
            publish_at=when.replace(microsecond=0),
            content='"quoted" \\ \n \u2028 \U0001f30d é',
            title="Title",
            release_id="1",
            release_url="https://social.example/1",
            error_code="rejected",
            error_message="Refused: \t\x1f",
        )
        for name in ("News", "Archive"):
            tag = Tag(organization_id=channel.organization_id, name=name, color="#2f6f4f")
            session.add(tag)
            session.flush()
            session.add(
                PostTag(post_id=failed.id, tag_id=tag.id, organization_id=tag.organization_id)
            )
        a_post(
            session,
            a_channel(
                session,
                session.get_one(Organization, channel.organization_id),
                picture_url="https://x.example/p",
            ),
            publish_at=when,
        )
        stretch = read.read_range("2026-05-01", "2026-05-01", "UTC")
        written, _ = _written(session, channel, stretch)
        shown, _ = _calendar(session, channel, stretch)
        assert [post.publish_date.microsecond for post in shown.posts] == [0] + [123_956] * 7
        assert json.loads(written) == json.loads(shown.model_dump_json(by_alias=True))
        empty, _ = _written(session, channel, read.read_range("2020-05-01", "2020-05-01", "UTC"))
        assert json.loads(empty) == {"posts": []}

    def test_one_that_is_too_long_is_cut_alike(
        self, session: Session, channel: Channel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        when = datetime(2026, 5, 1, 10, 30, 0, 123_956, tzinfo=UTC)
        posts = [
            a_post(session, channel, publish_at=when + timedelta(microseconds=number))
            for number in range(3)
        ]
        stretch = read.read_range("2026-05-01", "2026-05-01", "UTC")
        content = len(posts[0].content)
        for limit, value, fit in (
            ("MAX_RANGE_POSTS", 2, 2),
            ("MAX_RANGE_CHARACTERS", content, 1),
            ("MAX_RANGE_CHARACTERS", 3 * content, 3),
        ):
            with monkeypatch.context() as patch:
                patch.setattr(read, limit, value)
                written, rest = _written(session, channel, stretch)
                shown, cursor = _calendar(session, channel, stretch)
            assert json.loads(written) == json.loads(shown.model_dump_json(by_alias=True))
            assert (len(shown.posts), rest, rest is None) == (fit, cursor, fit == 3)
            following, _ = _written(session, channel, stretch, cursor=rest)
            assert len(json.loads(following)["posts"]) == (3 - fit or 3)

    def test_filters(self, session: Session, channel: Channel) -> None:
        when = datetime(2026, 5, 1, tzinfo=UTC)
        draft = a_post(session, channel, publish_at=when, state=PostState.DRAFT)
        failed = a_post(session, channel, publish_at=when, state=PostState.FAILED)
        unsure = a_post(session, channel, publish_at=when, state=PostState.UNCONFIRMED)
        stretch = read.read_range("2026-05-01", "2026-05-01", "UTC")
        for state, expected in (
            ("DRAFT", {draft.id}),
            ("error", {failed.id, unsure.id}),
            ("unconfirmed", {unsure.id}),
        ):
            wanted = Filter(states=read.read_states(state))
            shown, _ = _calendar(session, channel, stretch, wanted=wanted)
            assert {post.id for post in shown.posts} == expected
        shown, _ = _calendar(
            session, channel, stretch, wanted=Filter(channel_id=ChannelId(uuid.uuid4()))
        )
        assert shown.posts == []
        with pytest.raises(InvalidInput):
            read.read_states("gone")

    def test_a_cursor_that_was_made_up(self, session: Session, channel: Channel) -> None:
        stretch = read.read_range("2026-05-01", "2026-05-01", "UTC")
        for cursor in ("x", "W10", "WyJhIiwgImIiXQ", "WyIwMDAxLTAxLTAxVDAwOjAwKzIzOjAwIiwgImIiXQ"):
            with pytest.raises(InvalidInput):
                _calendar(session, channel, stretch, cursor=cursor)

    @pytest.mark.usefixtures("without_clock")
    @pytest.mark.parametrize("statement", [queries.FILTERED_RANGE_JSON, queries.RANGE])
    def test_it_is_read_by_its_index(
        self, session: Session, channel: Channel, statement: Statement[..., Any]
    ) -> None:
        session.execute(
            text("""
                insert into posts (id, organization_id, channel_id, group_id, root_id, position, state, review, content,
                    media, settings, content_hash, publish_at, delay_seconds, revision, generation, arm_count,
                    creation_method)
                select id, :organization_id, :channel_id, id, id, 0, 'draft', 'none', 'x', '[]', '{}', 'x',
                    timestamptz '2020-01-01' + number * interval '1 hour', 0, 1, 1, 1, 'web'
                from (select gen_random_uuid() as id, number from generate_series(1, 20000) number) made
            """),
            {"organization_id": channel.organization_id, "channel_id": channel.id},
        )
        session.execute(text("analyze posts"))
        plan = _plan(
            session,
            statement.text,
            {
                "organization_id": channel.organization_id,
                "customers": None,
                **listing._filter(ANY),
                "start": datetime(2021, 5, 1, tzinfo=UTC),
                "end": datetime(2021, 6, 1, tzinfo=UTC),
                "after_time": datetime(2021, 5, 1, tzinfo=UTC),
                "after_id": uuid.UUID(int=0),
                "page_size": 5_001,
            },
        )
        assert "ix_posts_calendar" in plan
        assert "Seq Scan on posts" not in plan


def _calendar(
    session: Session,
    channel: Channel,
    stretch: read.Range,
    *,
    wanted: Filter = ANY,
    cursor: str | None = None,
) -> tuple[PostsOut, str | None]:
    reach = Reach(channel.organization_id)
    return read.list_calendar(session, reach, stretch, wanted=wanted, cursor=cursor)


def _written(
    session: Session, channel: Channel, stretch: read.Range, *, cursor: str | None = None
) -> tuple[str, str | None]:
    reach = Reach(channel.organization_id)
    return read.list_calendar_json(session, reach, stretch, wanted=ANY, cursor=cursor)


def _plan(session: Session, statement: str, values: dict[str, Any]) -> str:
    return json.dumps([row[0] for row in session.execute(text(f"explain {statement}"), values)])

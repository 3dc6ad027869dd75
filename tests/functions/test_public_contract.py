"""Details of the public API's contract that clients rely on, each by itself."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from functions.mcp.app import app as mcp
from functions.public_api.app import app
from shared.channels.models import Channel
from shared.core import clock
from shared.organizations.models import Member, Organization
from shared.posts.lifecycle import PostState
from shared.posts.models import Post
from shared.posts.schemas import MAX_DELAY_MINUTES
from tests.builders import a_channel, a_media, a_post
from tests.conftest import Configure
from tests.functions.test_mcp import call, output
from tests.gateway import Gateway, by_key

pytestmark = pytest.mark.usefixtures("queues")

V1 = "/public/v1"
POSTS = f"{V1}/posts"
RANGE = {"startDate": "2020-01-01", "endDate": "2099-01-01"}


@pytest.fixture
def program(session: Session, queues: None, member: Member, configure: Configure) -> Gateway:
    """Call the public API with a key of the organization."""
    configure(MEDIA_PUBLIC_URL="https://media.example")
    return by_key(app, session, member)


def body(channel: Channel, *parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    entry = {"integration": {"id": str(channel.id)}, "value": list(parts)}
    date = clock.to_wire(datetime.now(UTC) + timedelta(minutes=5))
    return {"type": "schedule", "date": date, "shortLink": False, "posts": [entry]} | more


class TestMastodonCustom:
    """Finding 5.2: `mastodon-custom` never existed on this wire, so strict clients refuse it."""

    @pytest.fixture
    def custom(self, session: Session, organization: Organization) -> Channel:
        return a_channel(session, organization, provider="mastodon-custom")

    def test_is_reported_as_mastodon(
        self, session: Session, custom: Channel, program: Gateway
    ) -> None:
        assert [one["identifier"] for one in program.get(f"{V1}/integrations").json] == ["mastodon"]
        post = a_post(session, custom)
        [listed] = program.get(POSTS, query=RANGE).json["posts"]
        for shown in (listed, program.get(f"{POSTS}/{post.id}").json):
            assert shown["integration"]["providerIdentifier"] == "mastodon"
            assert json.loads(shown["settings"])["__type"] == "mastodon"
        refused = program.post(POSTS, body(custom, {"content": "x" * 501}))
        assert (refused.status, refused.json["provider"]) == (400, "mastodon")

    def test_both_are_accepted(self, session: Session, custom: Channel, program: Gateway) -> None:
        for name in ("mastodon", "mastodon-custom"):
            sent = body(custom, {"content": name})
            sent["posts"][0]["settings"] = {"__type": name, "visibility": "unlisted"}
            [made] = program.post(POSTS, sent).json
            assert session.get_one(Post, UUID(made["postId"])).settings == {
                "visibility": "unlisted"
            }
            assert program.get(f"{V1}/integration-settings/{custom.id}").json["output"]["maxLength"]
        answer = program.get(f"{V1}/social/mastodon-custom")
        assert answer.json["msg"].startswith("This integration requires an external URL")

    def test_by_tools(self, session: Session, member: Member, custom: Channel) -> None:
        tools = by_key(mcp, session, member)
        assert [one["platform"] for one in output(tools, "integrationList")["output"]] == [
            "mastodon"
        ]
        guides = [
            output(tools, "integrationSchema", {"platform": one})["output"]["maxLength"]
            for one in ("mastodon", "mastodon-custom")
        ]
        assert guides == [500, 500]


class TestAccepted:
    """Finding 5.3: what the contract accepts is accepted."""

    def test_a_delay_of_years(self, session: Session, channel: Channel, program: Gateway) -> None:
        parts: list[dict[str, Any]] = [{"content": "One"}, {"content": "Two", "delay": 3_600_000}]
        answer = program.post(POSTS, body(channel, *parts))
        assert answer.status == 201, answer.text
        assert answer.headers["warning"] == (
            '299 roost "posts.0.value.1.delay: The longest delay is 43200 minutes, so that is '
            'used."'
        )
        root_id = UUID(answer.json[0]["postId"])
        reply = session.scalars(
            select(Post).where(Post.root_id == root_id, Post.position == 1)
        ).one()
        assert reply.delay_seconds == MAX_DELAY_MINUTES * 60
        answer = program.put(
            f"{POSTS}/{root_id}", {"value": [parts[0], {"content": "x", "delay": 1e9}]}
        )
        assert answer.headers["warning"].startswith('299 roost "value.1.delay:')

    @pytest.mark.parametrize(
        "post_id", ["01a22dda-9164-7303-8846-400548eb31ed", "cm4ean69r0003w8w1cdomox9n"]
    )
    def test_missing_of_an_unknown_post(self, program: Gateway, post_id: str) -> None:
        answer = program.get(f"{POSTS}/{post_id}/missing")
        assert (answer.status, answer.json) == (200, [])

    @pytest.mark.parametrize("date", ["0", "", "7", "3650"])
    def test_days_of_numbers(
        self, session: Session, channel: Channel, program: Gateway, date: str
    ) -> None:
        post = a_post(session, channel)
        for path in (f"{V1}/analytics/{channel.id}", f"{V1}/analytics/post/{post.id}"):
            answer = program.get(path, query={"date": date})
            assert (answer.status, answer.json) == (200, [])
        assert program.get(f"{V1}/analytics/{channel.id}", query={"date": "x"}).status == 400

    def test_error_is_absent_unless_there_is_one(
        self, session: Session, channel: Channel, program: Gateway
    ) -> None:
        """A plug-in takes any top-level `error` of a 200 for a failure."""
        post = a_post(session, channel, state=PostState.DRAFT)
        assert "error" not in program.get(f"{POSTS}/{post.id}").json
        assert "error" not in program.put(f"{POSTS}/{post.id}", {"tags": []}).json
        failed = a_post(session, channel, state=PostState.FAILED, error_message="Too long.")
        assert program.get(f"{POSTS}/{failed.id}").json["error"] == "Too long."


class TestDefaults:
    """Finding 5.5: what has no effect may be left out, and a day is a whole day."""

    def test_short_link(self, channel: Channel, program: Gateway) -> None:
        sent = body(channel, {"content": "One"})
        del sent["shortLink"]
        assert program.post(POSTS, sent).status == 201

    def test_an_end_without_a_time_is_the_whole_day(
        self, session: Session, member: Member, channel: Channel, program: Gateway
    ) -> None:
        for at in (
            datetime(2031, 1, 15, 23, 59, 59, 999_000, UTC),
            datetime(2031, 1, 16, tzinfo=UTC),
        ):
            a_post(session, channel, publish_at=at)
        day = {"startDate": "2031-01-15", "endDate": "2031-01-15"}
        assert len(program.get(POSTS, query=day).json["posts"]) == 1
        moment = {"startDate": "2031-01-15", "endDate": "2031-01-15T00:00:00Z"}
        assert program.get(POSTS, query=moment).json["posts"] == []
        tools = by_key(mcp, session, member)
        assert len(output(tools, "postsListTool", day)["output"]["posts"]) == 1


class TestSentences:
    def test_a_platform_that_is_not_here(self, session: Session, member: Member) -> None:
        """Finding 5.6: a model that misspells a platform hears so, instead of a longest text of 0."""
        result = call(by_key(mcp, session, member), "integrationSchema", {"platform": "mastodonn"})
        assert result.is_error
        assert "The platform 'mastodonn' is not available here." in str(result.content)


class TestCovers:
    """Finding 5.8: where a video's cover is, is kept."""

    def test_kept_with_the_part(
        self, session: Session, organization: Organization, channel: Channel, program: Gateway
    ) -> None:
        media = a_media(session, organization)
        path = f"https://media.example/files/{organization.id}/{media.id}/a.png"
        image = {"id": "x", "path": path, "thumbnailTimestamp": 2_500.4}
        answer = program.post(POSTS, body(channel, {"content": "One", "image": [image]}))
        assert answer.status == 201, answer.text
        assert "warning" not in answer.headers
        post = session.get_one(Post, UUID(answer.json[0]["postId"]))
        assert post.media == [{"id": str(media.id), "thumbnailTimestamp": 2_500}]
        # Naming only another part keeps it.
        reply = a_post(session, channel, parent=post)
        sent = {"value": [{"id": str(reply.id), "content": "Changed"}]}
        shown = program.put(f"{POSTS}/{post.id}", sent).json
        assert shown["value"][0]["image"][0]["thumbnailTimestamp"] == 2_500

    @pytest.mark.parametrize("moment", [-1, 1e12, "soon"])
    def test_what_is_no_moment(self, channel: Channel, program: Gateway, moment: Any) -> None:
        image = {"id": "x", "path": "https://media.example/a.mp4", "thumbnailTimestamp": moment}
        answer = program.post(POSTS, body(channel, {"content": "One", "image": [image]}))
        assert answer.status == 400
        [problem] = answer.json["errors"]
        assert problem["path"] == "posts.0.value.0.image.0.thumbnailTimestamp"

"""Posts through the public API: what existing programs send and read, what is refused in which words, and what it costs."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import boto3
import httpx
import pytest
import respx
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from functions.public_api.app import app
from shared.aws.keys import seal
from shared.channels.models import Channel, Customer
from shared.core import clock
from shared.core.crypto import Purpose
from shared.core.ids import PostId, new_id
from shared.organizations.models import Member, Organization
from shared.posts.lifecycle import PostState
from shared.posts.models import CreationMethod, Post, PostTag, Revision, Tag
from shared.public_api import list_posts
from shared.web.app import make_app
from shared.web.v1 import public_response
from tests.builders import a_channel, a_media, a_member, a_post, an_organization
from tests.conftest import Configure
from tests.counting import count_statements
from tests.gateway import Answer, Gateway, by_key
from tests.shared.channels.builders import set_up_platforms
from tests.shared.media.files import a_picture

pytestmark = pytest.mark.usefixtures("queues")

POSTS = "/public/v1/posts"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
# Nobody's; the same in every process that collects tests.
UNKNOWN = "019bc0de-7a3b-7c1d-8e2f-5a6b7c8d9e0f"
MEDIA = "https://media.example"
SERVER = "https://social.example"


@pytest.fixture
def program(session: Session, queues: None, member: Member, configure: Configure) -> Gateway:
    """Call the public API with a key of the organization."""
    configure(MEDIA_PUBLIC_URL=MEDIA)
    return by_key(app, session, member)


@pytest.fixture
def tag(session: Session, organization: Organization) -> Tag:
    tag = Tag(organization_id=organization.id, name="news", color="#2f6f4f")
    session.add(tag)
    session.flush()
    return tag


@pytest.fixture
def elsewhere(configure: Configure) -> Iterator[respx.MockRouter]:
    """Answer for other people's servers: pictures, but for one that is broken."""
    sqs, buckets = boto3.client("sqs"), boto3.client("s3")
    buckets.create_bucket(Bucket="media")
    configure(
        MEDIA_BUCKET="media",
        VARIANTS_QUEUE_URL=sqs.create_queue(QueueName="variants")["QueueUrl"],
    )
    with respx.mock(assert_all_called=False) as router:
        router.get(url__regex="broken").respond(500)
        router.get(host__regex="example$").respond(content=a_picture(".png"))
        yield router


def asked(router: respx.MockRouter) -> list[str]:
    return [str(call.request.url) for call in router.calls]


def soon(minutes: float = 5) -> str:
    return clock.to_wire(datetime.now(UTC) + timedelta(minutes=minutes))


def entry(channel: Channel, *contents: str, **more: Any) -> dict[str, Any]:
    parts = [{"content": content} for content in contents or ("Hello",)]
    return {"integration": {"id": str(channel.id)}, "value": parts, **more}


def body(*entries: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "schedule", "date": soon(), "shortLink": False, "posts": list(entries)} | more


def created(answer: Answer) -> list[PostId]:
    assert answer.status == 201, answer.text
    return [PostId(UUID(one["postId"])) for one in answer.json]


def one(session: Session, post_id: PostId) -> Post:
    return session.get_one(Post, post_id, populate_existing=True)


def parts_of(session: Session, root_id: PostId) -> list[Post]:
    session.expire_all()
    return list(
        session.scalars(
            select(Post)
            .where(Post.root_id == root_id, Post.deleted_at.is_(None))
            .order_by(Post.position)
        )
    )


def refusal(answer: Answer) -> tuple[int, Any]:
    """What was refused, without the details that the contract does not have."""
    told = answer.json
    assert told["statusCode"] == answer.status
    assert isinstance(told["msg"], str)
    return answer.status, told["message"]


class TestFindSlot:
    def test_of_a_channel(self, channel: Channel, program: Gateway) -> None:
        answer = program.get(f"/public/v1/find-slot/{channel.id}")
        assert answer.status == 200
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:00", answer.json.pop("date"))
        assert program.get("/public/v1/find-slot").json.keys() == {"date"}

    @pytest.mark.parametrize("channel_id", [UNKNOWN, "cm4ean69r0003w8w1cdomox9n"])
    def test_of_an_unknown_channel(self, channel_id: str, program: Gateway) -> None:
        answer = program.get(f"/public/v1/find-slot/{channel_id}")
        assert refusal(answer) == (404, "Integration not found")


class TestCompose:
    def test_answers_ids_alone(
        self, session: Session, organization: Organization, channel: Channel, program: Gateway
    ) -> None:
        other = a_channel(session, organization, provider="bluesky")
        answer = program.post(POSTS, body(entry(channel, "One", "Two"), entry(other, "One")))
        assert answer.status == 201
        first, second = answer.json
        assert first == {"postId": first["postId"], "integration": str(channel.id)}
        assert second == {"postId": second["postId"], "integration": str(other.id)}
        root, reply = parts_of(session, PostId(UUID(first["postId"])))
        assert (root.content, reply.content) == ("One", "Two")
        assert (root.state, root.creation_method) == (PostState.QUEUED, CreationMethod.API)

    @pytest.mark.parametrize(
        ("type_", "state"),
        [
            ("draft", PostState.DRAFT),
            ("schedule", PostState.QUEUED),
            ("now", PostState.QUEUED),
            ("whenever", PostState.QUEUED),
            ("", PostState.QUEUED),
        ],
    )
    def test_types(
        self, session: Session, channel: Channel, program: Gateway, type_: str, state: PostState
    ) -> None:
        [post_id] = created(program.post(POSTS, body(entry(channel), type=type_)))
        assert one(session, post_id).state is state

    def test_now_ignores_its_date(
        self, session: Session, channel: Channel, program: Gateway
    ) -> None:
        sent = body(entry(channel), type="now", date="2020-01-01T00:00:00Z")
        [post_id] = created(program.post(POSTS, sent))
        now = session.execute(select(func.now())).scalar_one()
        assert one(session, post_id).publish_at == now

    @pytest.mark.parametrize(
        ("sent", "kept"),
        [("CLI", CreationMethod.CLI), ("API", CreationMethod.API), ("N8N", CreationMethod.API)],
    )
    def test_creation_method(
        self, session: Session, channel: Channel, program: Gateway, sent: str, kept: CreationMethod
    ) -> None:
        [post_id] = created(program.post(POSTS, body(entry(channel), creationMethod=sent)))
        assert one(session, post_id).creation_method is kept

    def test_empty_words_mean_nothing(
        self, session: Session, channel: Channel, program: Gateway
    ) -> None:
        part = {"content": "Hello", "id": "", "delay": "5", "image": ""}
        sent = entry(channel, group="", settings=[], value=[part, part])
        answer = program.post(
            POSTS,
            body(sent, shortLink="false", inter=0, order="", republish="", tags="", more=[1]),
        )
        root, reply = parts_of(session, created(answer)[0])
        assert (root.delay_seconds, reply.delay_seconds) == (0, 300)

    def test_tags_by_label(
        self, session: Session, channel: Channel, tag: Tag, program: Gateway
    ) -> None:
        tags = [{"value": "x", "label": "news"}, {"value": "news", "label": "unheard of"}]
        [post_id] = created(program.post(POSTS, body(entry(channel), tags=tags)))
        assert session.scalars(select(PostTag.tag_id).where(PostTag.post_id == post_id)).all() == [
            tag.id
        ]

    def test_the_type_in_settings_is_not_read(
        self, session: Session, channel: Channel, program: Gateway
    ) -> None:
        given = {"__type": "something-else", "visibility": "unlisted", "unheard_of": 1}
        [post_id] = created(program.post(POSTS, body(entry(channel, settings=given))))
        assert one(session, post_id).settings == {"visibility": "unlisted", "unheard_of": 1}
        shown = json.loads(program.get(f"{POSTS}/{post_id}").json["settings"])
        assert shown["__type"] == "mastodon"

    def test_an_id_of_a_post_replaces_it(
        self, session: Session, channel: Channel, program: Gateway
    ) -> None:
        [post_id] = created(program.post(POSTS, body(entry(channel, "Before"))))
        sent = entry(channel)
        sent["value"][0] |= {"id": str(post_id), "content": "Now"}
        assert created(program.post(POSTS, body(sent))) == [post_id]
        [root] = parts_of(session, post_id)
        assert (root.content, root.revision) == ("Now", 2)

    def test_a_group_replaces_its_post_on_the_channel(
        self, session: Session, organization: Organization, channel: Channel, program: Gateway
    ) -> None:
        post = a_post(session, channel)
        other = a_post(session, a_channel(session, organization), group_id=post.group_id)
        group = str(post.group_id)
        again = program.post(POSTS, body(entry(channel, "Another", group=group)))
        assert created(again) == [post.id]
        assert one(session, post.id).content == "Another"
        assert one(session, other.id).content == "<p>Hello</p>"

    def test_an_unknown_group_is_none(self, channel: Channel, program: Gateway) -> None:
        assert created(program.post(POSTS, body(entry(channel, group=str(new_id())))))
        assert created(program.post(POSTS, body(entry(channel, group="cm4ean"))))

    def test_what_is_out_is_sent_again_only_when_asked_for(
        self, session: Session, channel: Channel, program: Gateway
    ) -> None:
        post = a_post(session, channel, state=PostState.PUBLISHED, release_id="1")
        sent = entry(channel)
        sent["value"][0]["id"] = str(post.id)
        words = "One of these posts is already published. Send `republish` to post it again."
        assert refusal(program.post(POSTS, body(sent))) == (400, words)
        [again] = created(program.post(POSTS, body(sent, republish=True)))
        assert again != post.id
        assert one(session, post.id).state is PostState.PUBLISHED

    def test_a_date_without_offset_is_utc(
        self, session: Session, channel: Channel, program: Gateway
    ) -> None:
        moment = (datetime.now(UTC) + timedelta(days=3)).replace(microsecond=0)
        sent = body(entry(channel), date=moment.replace(tzinfo=None).isoformat())
        assert one(session, created(program.post(POSTS, sent))[0]).publish_at == moment


class TestPast:
    @pytest.mark.parametrize("minutes", [-0.1, -90, -23 * 60])
    def test_time_that_is_just_over_means_at_once(
        self, minutes: float, session: Session, channel: Channel, program: Gateway
    ) -> None:
        before = datetime.now(UTC) - timedelta(seconds=2)
        sent = body(entry(channel), date=soon(minutes))
        post = one(session, created(program.post(POSTS, sent))[0])
        assert post.state is PostState.QUEUED
        assert before < post.publish_at < datetime.now(UTC) + timedelta(seconds=2)

    def test_time_of_another_day_is_refused(self, channel: Channel, program: Gateway) -> None:
        answer = program.post(POSTS, body(entry(channel), date=soon(-25 * 60)))
        status, [message] = refusal(answer)
        assert (status, message.partition(":")[0]) == (400, "date")
        assert "more than 24 hours ago" in message

    @pytest.mark.parametrize(
        ("state", "sent", "becomes"),
        [
            (PostState.QUEUED, {"date": -90}, "now"),
            (PostState.DRAFT, {"date": -90, "type": "schedule"}, "now"),
            (PostState.DRAFT, {"date": -90}, "that time"),
            (PostState.QUEUED, {"date": -25 * 60}, "refused"),
            (PostState.DRAFT, {"date": -25 * 60, "type": "schedule"}, "refused"),
        ],
    )
    def test_by_put(
        self,
        session: Session,
        channel: Channel,
        program: Gateway,
        state: PostState,
        sent: dict[str, Any],
        becomes: str,
    ) -> None:
        """Finding 5.6: a day is allowed here, so no refusal speaks of five minutes."""
        post, date = a_post(session, channel, state=state), soon(sent["date"])
        answer = program.put(f"{POSTS}/{post.id}", sent | {"date": date})
        if becomes == "refused":
            words = "This time is more than 24 hours ago. Choose a later one, or send type `now`."
            assert refusal(answer) == (400, [f"date: {words}"])
            return
        assert answer.status == 200, answer.text
        assert answer.json["state"] == ("QUEUE" if becomes == "now" else "DRAFT")
        assert (answer.json["publishDate"] == date) == (becomes == "that time")

    def test_draft_keeps_its_time(
        self, session: Session, channel: Channel, program: Gateway
    ) -> None:
        when = soon(-90)
        [draft] = created(program.post(POSTS, body(entry(channel), type="draft", date=when)))
        assert clock.to_wire(one(session, draft).publish_at) == when


class TestStrangers:
    """What others have is not there: ids and groups of theirs name nothing."""

    @pytest.mark.parametrize("type_", ["schedule", "draft"])
    def test_their_posts_stay(
        self, session: Session, channel: Channel, program: Gateway, type_: str
    ) -> None:
        theirs = a_post(session, a_channel(session, an_organization(session)))
        sent = entry(channel, group=str(theirs.group_id))
        sent["value"][0]["id"] = str(theirs.id)
        assert created(program.post(POSTS, body(sent, type=type_))) != [theirs.id]
        assert one(session, theirs.id).revision == 1

    def test_their_channels(self, session: Session, program: Gateway) -> None:
        theirs = a_channel(session, an_organization(session))
        for contents in ("Hello", ""):
            answer = program.post(POSTS, body(entry(theirs, contents), type="draft"))
            assert refusal(answer) == (
                400,
                "This channel does not exist. It may be deleted, or belong "
                "to another organization.",
            )


class TestImages:
    def image(self, path: str, **more: Any) -> dict[str, Any]:
        return {"id": "x7f3kq", "path": path, **more}

    def test_our_address_says_which_file_it_is(
        self, session: Session, organization: Organization, channel: Channel, program: Gateway
    ) -> None:
        media, other = a_media(session, organization), a_media(session, organization)
        path = f"{MEDIA}/files/{organization.id}/{media.id}/0123.png?width=3"
        sent = entry(channel)
        sent["value"][0]["image"] = [{"id": str(other.id), "path": path, "alt": "An owl"}]
        [post_id] = created(program.post(POSTS, body(sent)))
        assert one(session, post_id).media == [{"id": str(media.id), "alt": "An owl"}]

    def test_an_id_of_ours_with_an_address_of_another(
        self,
        session: Session,
        organization: Organization,
        channel: Channel,
        program: Gateway,
        elsewhere: respx.MockRouter,
    ) -> None:
        media = a_media(session, organization)
        sent = entry(channel)
        sent["value"][0]["image"] = [{"id": str(media.id), "path": "https://old.example/a.png"}]
        [post_id] = created(program.post(POSTS, body(sent)))
        assert one(session, post_id).media == [{"id": str(media.id)}]
        assert asked(elsewhere) == []

    def test_other_addresses_are_fetched_once_each(
        self, session: Session, channel: Channel, program: Gateway, elsewhere: respx.MockRouter
    ) -> None:
        first, second = "https://a.example/1.png?x=1", "https://a.example/2.jpg"
        sent = entry(channel, "One", "Two")
        sent["value"][0]["image"] = [self.image(first), self.image(second)]
        sent["value"][1]["image"] = [self.image(first)]
        [post_id] = created(program.post(POSTS, body(sent)))
        assert asked(elsewhere) == [first, second]
        root, reply = parts_of(session, post_id)
        assert reply.media[0]["id"] == root.media[0]["id"] != root.media[1]["id"]

    def test_fetches_are_limited_though_refusals_are_not_counted(
        self,
        session: Session,
        channel: Channel,
        program: Gateway,
        elsewhere: respx.MockRouter,
        configure: Configure,
    ) -> None:
        """Finding 5.5, sibling: posts that were refused in the end had any number of files fetched from anybody."""
        configure(API_LIMIT=9, RATE_LIMITS='{"fetches": 5}')
        [post_id] = created(program.post(POSTS, body(entry(channel))))

        def naming(*numbers: int) -> dict[str, Any]:
            sent = entry(channel, "x" * 501)
            images = [self.image(f"https://a.example/{number}.png") for number in numbers]
            sent["value"][0]["image"] = images
            return body(sent)

        assert program.post(POSTS, naming(1, 2)).status == 400
        assert program.post(POSTS, naming(3, 4)).status == 400
        assert len(asked(elsewhere)) == 4
        refused = program.post(POSTS, naming(5, 6))
        assert (refused.status, 50 < int(refused.headers["retry-after"]) <= 60) == (429, True)
        assert refused.headers["x-ratelimit-remaining"] == "8"  # what made nothing does not count
        change = {"value": naming(7)["posts"][0]["value"]}
        assert program.put(f"{POSTS}/{post_id}", change).status == 429
        assert len(asked(elsewhere)) == 4
        assert program.post(POSTS, body(entry(channel))).status == 201

    def test_a_repeated_request_fetches_nothing(
        self, channel: Channel, program: Gateway, elsewhere: respx.MockRouter
    ) -> None:
        sent = entry(channel)
        sent["value"][0]["image"] = [self.image("https://a.example/1.png")]
        request, key = body(sent), {"idempotency-key": "once"}
        first = program.post(POSTS, request, headers=key)
        assert program.post(POSTS, request, headers=key).json == first.json
        assert len(asked(elsewhere)) == 1

    @pytest.mark.parametrize(
        ("images", "told"),
        [
            (
                ["https://a.example/broken.png"],
                ["posts.0.value.0.image.0.path: Failed to fetch URL. Its server answered 500."],
            ),
            (
                [f"https://a.example/{number}.png" for number in range(11)],
                [
                    "posts.0.value.0.image.10.path: At most 10 files are fetched for one request. "
                    "Upload the others first."
                ],
            ),
            (
                [f"{MEDIA}/files/{UNKNOWN}/{UNKNOWN}/1.png"],
                [
                    "posts.0.value.0.image.0.path: This file is not in the media library, or its "
                    "upload is not complete. Upload it first."
                ],
            ),
            (
                ["https://a.example/a.PNG", "https://a.example/a.svg?a.png"],
                [
                    f"posts.0.value.0.image.{index}.path: The path must end in one of "
                    ".png, .jpg, .jpeg, .gif, .webp, .mp4."
                    for index in range(2)
                ],
            ),
        ],
    )
    def test_refusals(
        self,
        images: list[str],
        told: list[str],
        channel: Channel,
        program: Gateway,
        elsewhere: respx.MockRouter,
    ) -> None:
        sent = entry(channel)
        sent["value"][0]["image"] = [self.image(path) for path in images]
        assert refusal(program.post(POSTS, body(sent, type="draft"))) == (400, told)

    def test_nothing_is_fetched_for_a_channel_of_others(
        self, session: Session, program: Gateway, elsewhere: respx.MockRouter
    ) -> None:
        theirs = a_channel(session, an_organization(session))
        sent = entry(theirs)
        sent["value"][0]["image"] = [self.image("https://a.example/1.png")]
        assert refusal(program.post(POSTS, body(sent))) == (
            400,
            "This channel does not exist. It may be deleted, or belong to another organization.",
        )
        assert asked(elsewhere) == []


def without(sent: dict[str, Any], *path: str | int) -> dict[str, Any]:
    """Take a field out of a body."""
    copy: Any = json.loads(json.dumps(sent))
    *parents, last = path
    inner = copy
    for step in parents:
        inner = inner[step]
    del inner[last]
    return dict(copy)


class TestRefusedFields:
    @pytest.mark.parametrize(
        ("path", "told"),
        [
            (("date",), "date should not be null or undefined"),
            (("posts",), "posts should not be null or undefined"),
            (("posts", 0, "integration"), "posts.0.integration should not be null or undefined"),
            (
                ("posts", 0, "integration", "id"),
                "posts.0.integration.id should not be null or undefined",
            ),
            (("posts", 0, "value"), "posts.0.value should not be null or undefined"),
            (
                ("posts", 0, "value", 0, "content"),
                "posts.0.value.0.content should not be null or undefined",
            ),
        ],
    )
    def test_what_is_required(
        self, channel: Channel, program: Gateway, path: tuple[str | int, ...], told: str
    ) -> None:
        answer = program.post(POSTS, without(body(entry(channel)), *path))
        assert refusal(answer) == (400, [told])
        assert answer.json["error"] == "Bad Request"

    @pytest.mark.parametrize(
        ("changed", "told"),
        [
            ({"posts": []}, "posts should not be empty"),
            ({"date": "tomorrow"}, "date must be a valid ISO 8601 date string"),
            ({"date": 1768472000}, "date must be a valid ISO 8601 date string"),
            ({"tags": 5}, "tags must be an array"),
            (
                {"inter": 7},
                "inter: Repeating posts is not supported yet. Leave `inter` out and send each "
                "post separately.",
            ),
            (
                {"date": "2020-01-01T00:00:00Z"},
                "date: This time is more than 24 hours ago. Choose a later one, or send type `now`.",
            ),
        ],
    )
    def test_fields_of_the_body(
        self, channel: Channel, program: Gateway, changed: dict[str, Any], told: str
    ) -> None:
        answer = program.post(POSTS, body(entry(channel)) | changed)
        assert refusal(answer) == (400, [told])
        assert answer.json["msg"] == told

    @pytest.mark.parametrize("channel_id", [UNKNOWN, "cm4ean69r0003w8w1cdomox9n", 17])
    def test_unknown_channels(self, channel: Channel, program: Gateway, channel_id: Any) -> None:
        unknown = {"integration": {"id": channel_id}, "value": [{"content": "Hello"}]}
        answer = program.post(POSTS, body(entry(channel), unknown))
        assert refusal(answer) == (
            400,
            "This channel does not exist. It may be deleted, or belong to another organization.",
        )
        assert [one["path"] for one in answer.json["errors"]] == ["posts.1.integration.id"]

    def test_unreadable(self, program: Gateway) -> None:
        answer = program.post(POSTS, text="{")
        assert answer.status == 400
        assert isinstance(answer.json["message"], str)


class TestRefusedPosts:
    """What a platform would refuse is told with its name and the channel's."""

    @pytest.mark.parametrize("type_", ["draft", "schedule", "now"])
    def test_nothing_in_it(
        self, session: Session, organization: Organization, program: Gateway, type_: str
    ) -> None:
        channel = a_channel(session, organization, name="Owls")
        answer = program.post(POSTS, body(entry(channel, "<p> </p>"), type=type_))
        assert answer.status == 400
        assert answer.json == {
            "statusCode": 400,
            "provider": "mastodon",
            "name": "Owls",
            "message": "This part is empty. Write some text or add a file.",
            "msg": "This part is empty. Write some text or add a file.",
            "errors": [
                {
                    "path": "posts.0.value.0.content",
                    "code": "empty",
                    "message": "This part is empty. Write some text or add a file.",
                }
            ],
        }

    def test_settings_come_before_files_and_these_before_length(
        self, session: Session, organization: Organization, channel: Channel, program: Gateway
    ) -> None:
        files = [a_media(session, organization) for _ in range(5)]
        images = [{"path": f"{MEDIA}/files/{organization.id}/{file.id}/a.png"} for file in files]
        sent = entry(channel, "x" * 501, settings={"visibility": "nobody"})
        sent["value"][0]["image"] = images
        told = []
        changes: list[dict[str, Any]] = [
            {},
            {"settings": {}},
            {"settings": {}, "value": [{"content": "x" * 501}]},
        ]
        for change in changes:
            answer = program.post(POSTS, body(entry(channel), sent | change))
            assert (answer.status, answer.json["provider"], answer.json["name"]) == (
                400,
                "mastodon",
                "Ada",
            )
            told.append(answer.json["errors"][0]["path"])
        assert told == [
            "posts.1.settings.visibility",
            "posts.1.value.0.image",
            "posts.1.value.0.content",
        ]

    def test_the_first_post_that_is_refused(
        self, session: Session, organization: Organization, channel: Channel, program: Gateway
    ) -> None:
        other = a_channel(session, organization, name="Other")
        answer = program.post(POSTS, body(entry(channel, "x" * 501), entry(other, "")))
        assert answer.json["name"] == "Ada"

    def test_a_draft_may_be_unfinished(self, channel: Channel, program: Gateway) -> None:
        sent = entry(channel, "x" * 501, settings={"visibility": "nobody"})
        assert created(program.post(POSTS, body(sent, type="draft")))

    def test_nothing_is_stored(self, session: Session, channel: Channel, program: Gateway) -> None:
        assert program.post(POSTS, body(entry(channel), entry(channel, ""))).status == 400
        assert session.scalar(select(func.count()).select_from(Post)) == 0


class TestWarnings:
    def test_the_same_content_within_a_day(
        self, session: Session, organization: Organization, program: Gateway
    ) -> None:
        channel = a_channel(session, organization, name='Zoë "Owl"\r\nX: 1')
        first = program.post(POSTS, body(entry(channel, "Hello")))
        assert "warning" not in first.headers
        again = program.post(POSTS, body(entry(channel, "Other"), entry(channel, "<p>hello</p>")))
        assert created(again)
        assert again.headers["warning"] == (
            '299 roost "posts.1: Zo? ?Owl???X: 1 has a post with the same content within 24 hours of this one."'
        )

    def test_twins_in_one_request(self, channel: Channel, program: Gateway) -> None:
        answer = program.post(POSTS, body(entry(channel), entry(channel), entry(channel)))
        assert answer.headers["warning"].count("299 roost") == 2

    def test_unknown_fields_are_named(
        self, session: Session, channel: Channel, program: Gateway
    ) -> None:
        """Finding 1.7: a misspelled field is tolerated here, and not lost in silence."""
        sent = body(entry(channel, "Hello"), colour="red")
        sent["posts"][0]["value"][0]["images"] = [{"id": "1"}]
        answer = program.post(POSTS, sent)
        assert answer.status == 201
        assert answer.headers["warning"] == (
            '299 roost "posts.0.value.0.images: This field is unknown and was ignored.",'
            '299 roost "colour: This field is unknown and was ignored."'
        )

    def test_unknown_fields_of_other_routes(
        self, session: Session, channel: Channel, program: Gateway
    ) -> None:
        """Finding 1.7: so on every route that takes a body, and never on a refusal."""
        post = a_post(session, channel, state=PostState.DRAFT)
        for method, path, sent in (
            ("PUT", f"{POSTS}/{post.id}", {"text": "Now"}),
            ("PUT", f"{POSTS}/{post.id}/settings", {"settings": {}, "text": 1}),
            ("PUT", f"{POSTS}/{post.id}/status", {"status": "draft", "text": 1}),
        ):
            answer = program.call(method, path, sent)
            assert answer.status == 200, answer.text
            words = '299 roost "text: This field is unknown and was ignored."'
            assert answer.headers["warning"] == words
        assert "warning" not in program.put(f"{POSTS}/{post.id}", {"date": "x", "text": 1}).headers

    def test_they_are_bounded(self, channel: Channel, program: Gateway) -> None:
        sent = body(entry(channel), **{f"field{number}": 1 for number in range(500)})
        told = program.post(POSTS, sent).headers["warning"]
        assert told.count("299 roost") == 21
        assert told.endswith('299 roost "Only the first 20 unknown fields are named."')

    def test_unknown_settings(self, session: Session, channel: Channel, program: Gateway) -> None:
        """Finding 1.7: a misspelled setting would publish for everybody what was meant for few."""
        answer = program.post(POSTS, body(entry(channel, settings={"visiblity": "private"})))
        assert answer.headers["warning"] == (
            "299 roost \"posts.0: Ada has no setting 'visiblity', so it was ignored.\""
        )
        [post_id] = created(answer)
        for path, sent in (("/settings", {"visiblity": "x"}), ("", {"visiblity": "x"})):
            answer = program.put(f"{POSTS}/{post_id}{path}", {"settings": sent})
            assert answer.status == 200, answer.text
            assert (
                answer.headers["warning"]
                == '299 roost "settings.visiblity: mastodon has no such setting."'
            )

    def test_unknown_tags(self, channel: Channel, tag: Tag, program: Gateway) -> None:
        """Finding 1.7: a tag that the organization does not have is left out, and named."""
        tags = [{"value": "n", "label": "news"}, {"value": "x", "label": "olds"}]
        headers = {"idempotency-key": "k"}
        words = (
            "299 roost \"tags: The organization has no tag 'olds', so the posts were stored "
            'without it."'
        )
        for _ in range(2):
            answer = program.post(
                POSTS, body(entry(channel), tags=tags, date="2026-12-24"), headers=headers
            )
            assert answer.headers["warning"] == words
        [post_id] = created(answer)
        answer = program.put(f"{POSTS}/{post_id}", {"tags": tags})
        assert answer.headers["warning"] == words
        assert [one["tag"]["name"] for one in answer.json["tags"]] == ["news"]

    def test_other_sites_may_read_it(self, configure: Configure) -> None:
        configure(CORS_ORIGINS="https://calendar.example")
        other = Gateway(make_app("public_api", routers=[], render=public_response))
        answer = other.get(POSTS, headers={"origin": "https://calendar.example"})
        assert "warning" in answer.headers["access-control-expose-headers"]


class TestIdempotency:
    KEY: Mapping[str, str] = {"idempotency-key": "d2f1"}

    def test_the_same_request_is_carried_out_once(
        self, session: Session, channel: Channel, program: Gateway
    ) -> None:
        a_post(session, channel, content="Hello", publish_at=datetime.now(UTC))
        sent = body(entry(channel))
        first = program.post(POSTS, sent, headers=self.KEY)
        second = program.post(POSTS, sent | {"unheard": "of"}, headers=self.KEY)
        assert (second.status, second.json) == (201, first.json)
        assert "warning" not in first.headers
        assert second.headers["warning"].startswith('299 roost "unheard:')
        assert session.scalar(select(func.count()).select_from(Post)) == 2

    def test_another_body_is_refused(self, channel: Channel, program: Gateway) -> None:
        program.post(POSTS, body(entry(channel)), headers=self.KEY)
        answer = program.post(POSTS, body(entry(channel, "Other")), headers=self.KEY)
        words = (
            "This Idempotency-Key was already used for a different request. Use a new one "
            "for each request."
        )
        assert refusal(answer) == (409, words)

    def test_a_refused_request_does_not_use_it_up(self, channel: Channel, program: Gateway) -> None:
        assert program.post(POSTS, body(entry(channel, "")), headers=self.KEY).status == 400
        assert created(program.post(POSTS, body(entry(channel)), headers=self.KEY))


LISTED = {
    "id": str,
    "content": str,
    "publishDate": str,
    "releaseURL": (str, type(None)),
    "releaseId": (str, type(None)),
    "state": str,
    "intervalInDays": type(None),
    "group": str,
    "creationMethod": str,
    "settings": str,
    "tags": list,
    "integration": dict,
}


def has_types(shown: Mapping[str, Any], types: Mapping[str, Any]) -> None:
    assert shown.keys() == types.keys()
    for name, kind in types.items():
        assert isinstance(shown[name], kind), name


RANGE = {"startDate": "2026-11-01T00:00:00.000Z", "endDate": "2026-12-01T00:00:00.000Z"}
NOVEMBER = datetime(2026, 11, 5, 10, tzinfo=UTC)


class TestList:
    def ids(self, program: Gateway, **query: str) -> list[str]:
        answer = program.get(POSTS, query=RANGE | query)
        assert answer.status == 200, answer.text
        return [post["id"] for post in answer.json["posts"]]

    def test_every_field(
        self,
        session: Session,
        organization: Organization,
        channel: Channel,
        tag: Tag,
        program: Gateway,
    ) -> None:
        post = a_post(
            session, channel, state=PostState.PUBLISHED, publish_at=NOVEMBER, release_id="179",
            release_url="https://social.example/179", settings={"visibility": "public"},
            creation_method=CreationMethod.CLI,
        )  # fmt: skip
        a_post(session, channel, parent=post)
        session.add(PostTag(post_id=post.id, tag_id=tag.id, organization_id=organization.id))
        session.flush()
        answer = program.get(POSTS, query=RANGE)
        assert answer.status == 200
        [shown] = answer.json["posts"]
        has_types(shown, LISTED)
        assert json.loads(shown.pop("settings")) == {"__type": "mastodon", "visibility": "public"}
        [tagged] = shown.pop("tags")
        for name in ("createdAt", "updatedAt"):
            assert TIME.fullmatch(tagged["tag"].pop(name))
        assert tagged == {
            "tag": {
                "id": str(tag.id), "name": "news", "color": "#2f6f4f", "orgId": str(organization.id),
                "deletedAt": None,
            }
        }  # fmt: skip
        assert shown == {
            "id": str(post.id),
            "content": "<p>Hello</p>",
            "publishDate": "2026-11-05T10:00:00.000Z",
            "releaseURL": "https://social.example/179",
            "releaseId": "179",
            "state": "PUBLISHED",
            "intervalInDays": None,
            "group": str(post.group_id),
            "creationMethod": "CLI",
            "integration": {
                "id": str(channel.id), "providerIdentifier": "mastodon", "name": "Ada", "picture": None,
            },
        }  # fmt: skip

    def test_both_ends_are_in_it(
        self, session: Session, channel: Channel, program: Gateway
    ) -> None:
        first = a_post(session, channel, publish_at=datetime(2026, 11, 1, tzinfo=UTC))
        last = a_post(session, channel, publish_at=datetime(2026, 12, 1, tzinfo=UTC))
        a_post(session, channel, publish_at=datetime(2026, 12, 1, 0, 0, 1, tzinfo=UTC))
        assert self.ids(program) == [str(first.id), str(last.id)]

    @pytest.mark.parametrize("state", list(PostState))
    def test_all_states(
        self, session: Session, channel: Channel, program: Gateway, state: PostState
    ) -> None:
        a_post(session, channel, state=state, publish_at=NOVEMBER)
        [post] = program.get(POSTS, query=RANGE).json["posts"]
        assert post["state"] in {"QUEUE", "PUBLISHED", "ERROR", "DRAFT"}

    def test_not_of_deleted_channels_nor_deleted_posts(
        self, session: Session, organization: Organization, channel: Channel, program: Gateway
    ) -> None:
        gone = a_channel(session, organization, deleted_at=datetime.now(UTC))
        a_post(session, gone, publish_at=NOVEMBER)
        a_post(session, channel, publish_at=NOVEMBER, deleted_at=datetime.now(UTC))
        assert self.ids(program) == []

    def test_of_a_customer(
        self, session: Session, organization: Organization, channel: Channel, program: Gateway
    ) -> None:
        customer = Customer(organization_id=organization.id, name="Owls")
        session.add(customer)
        session.flush()
        theirs = a_channel(session, organization, customer_id=customer.id)
        post = a_post(session, theirs, publish_at=NOVEMBER)
        other = a_post(session, channel, publish_at=NOVEMBER + timedelta(hours=1))
        assert self.ids(program, customer=str(customer.id)) == [str(post.id)]
        assert self.ids(program, customer="cm4ean") == []
        assert self.ids(program, customer="") == [str(post.id), str(other.id)]

    def test_offsets_and_long_ranges(
        self, session: Session, channel: Channel, program: Gateway
    ) -> None:
        a_post(session, channel, publish_at=NOVEMBER)
        query = "startDate=2000-01-01&endDate=2026-11-05T12:00:00+02:00"
        assert len(program.get(POSTS, query=query).json["posts"]) == 1

    @pytest.mark.parametrize(
        ("query", "told"),
        [
            (
                {},
                ["startDate should not be null or undefined", "endDate should not be null or undefined"],
            ),
            ({"endDate": "soon"}, [
                "startDate should not be null or undefined", "endDate must be a valid ISO 8601 date string",
            ]),
        ],
    )  # fmt: skip
    def test_refusals(self, program: Gateway, query: dict[str, str], told: list[str]) -> None:
        answer = program.get(POSTS, query=query)
        assert refusal(answer) == (400, told)
        assert answer.json["error"] == "Bad Request"

    def test_a_header_leads_to_the_rest(
        self,
        session: Session,
        channel: Channel,
        program: Gateway,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(list_posts, "MAX_RANGE_POSTS", 2)
        # Within one millisecond, which is all that the wire has.
        posts = [
            a_post(session, channel, publish_at=NOVEMBER + timedelta(microseconds=number))
            for number in range(5)
        ]
        seen, answer = list[str](), program.get(POSTS, query=RANGE)
        for _ in range(2):
            seen += [post["id"] for post in answer.json["posts"]]
            [link] = re.findall(
                r'<[^?]*/public/v1/posts\?(.*)>; rel="next"', answer.headers["link"]
            )
            answer = program.get(POSTS, query=link)
        seen += [post["id"] for post in answer.json["posts"]]
        assert "link" not in answer.headers
        assert seen == [str(post.id) for post in posts]

    def test_an_answer_is_cut_where_it_is_too_large(
        self, session: Session, channel: Channel, program: Gateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(list_posts, "MAX_RANGE_CHARACTERS", 20)
        for number in range(3):
            a_post(
                session, channel, publish_at=NOVEMBER + timedelta(hours=number), content="x" * 12
            )
        answer = program.get(POSTS, query=RANGE)
        assert len(answer.json["posts"]) == 1
        assert "link" in answer.headers

    def test_a_foreign_cursor(self, program: Gateway) -> None:
        assert program.get(POSTS, query=RANGE | {"cursor": "x"}).status == 400


class TestOne:
    def test_every_field(
        self, session: Session, organization: Organization, channel: Channel, program: Gateway
    ) -> None:
        media = a_media(session, organization, alt="An owl", thumbnail_key="files/t.jpg")
        post = a_post(session, channel, media=[{"id": str(media.id)}])
        reply = a_post(
            session,
            channel,
            parent=post,
            delay_seconds=300,
            state=PostState.FAILED,
            error_message="No.",
        )
        answer = program.get(f"{POSTS}/{post.id}")
        assert answer.status == 200
        shown = answer.json
        has_types(shown, LISTED | {"value": list, "createdAt": str, "updatedAt": str})
        assert (
            TIME.fullmatch(shown["createdAt"]) and TIME.fullmatch(shown["publishDate"])
        ) is not None
        [listed] = program.get(
            POSTS, query={"startDate": "2020-01-01", "endDate": "2099-01-01"}
        ).json["posts"]
        assert {name: shown[name] for name in listed} == listed
        assert shown["value"] == [
            {
                "id": str(post.id), "content": "<p>Hello</p>", "delay": 0, "state": "QUEUE", "releaseURL": None,
                "releaseId": None, "error": None,
                "image": [
                    {
                        "id": str(media.id), "path": f"{MEDIA}/{media.key}", "alt": "An owl",
                        "thumbnail": f"{MEDIA}/files/t.jpg", "thumbnailTimestamp": None,
                    }
                ],
            },
            {
                "id": str(reply.id), "content": "<p>Hello</p>", "delay": 5, "state": "ERROR", "releaseURL": None,
                "releaseId": None, "error": "No.", "image": [],
            },
        ]  # fmt: skip
        assert program.get(f"{POSTS}/{reply.id}").json == shown

    @pytest.mark.parametrize("post_id", [UNKNOWN, "cm4ean"])
    @pytest.mark.parametrize(
        ("method", "path", "sent", "status", "words"),
        [
            (
                "GET",
                "",
                None,
                404,
                "This post does not exist. It may be deleted, or belong to another organization.",
            ),
            (
                "PUT",
                "",
                {},
                404,
                "This post does not exist. It may be deleted, or belong to another organization.",
            ),
            (
                "DELETE",
                "",
                None,
                404,
                "This post does not exist. It may be deleted, or belong to another organization.",
            ),
            (
                "PUT",
                "/settings",
                {"settings": {}},
                404,
                "This post does not exist. It may be deleted, or belong to another organization.",
            ),
            (
                "PUT",
                "/release-id",
                {"releaseId": "1"},
                404,
                "This post does not exist. It may be deleted, or belong to another organization.",
            ),
            ("PUT", "/status", {"status": "draft"}, 400, "Post not found"),
        ],
    )
    def test_unknown(
        self,
        program: Gateway,
        post_id: str,
        method: str,
        path: str,
        sent: Any,
        status: int,
        words: str,
    ) -> None:
        answer = program.call(method, f"{POSTS}/{post_id}{path}", sent)
        assert refusal(answer) == (status, words)


class TestEdit:
    def test_what_is_sent_changes_and_the_rest_stays(
        self,
        session: Session,
        organization: Organization,
        channel: Channel,
        tag: Tag,
        program: Gateway,
    ) -> None:
        post = a_post(session, channel, settings={"visibility": "unlisted"})
        a_post(session, channel, parent=post)
        media = a_media(session, organization)
        path = f"{MEDIA}/files/{organization.id}/{media.id}/0123.png"
        sent = {"content": "Now", "id": "", "image": [{"id": "q3", "path": path}]}
        answer = program.put(
            f"{POSTS}/{post.id}",
            {
                "value": [sent],
                "group": str(post.group_id),
                "tags": [{"value": "1", "label": "news"}],
            },
        )
        assert answer.status == 200, answer.text
        assert answer.json == program.get(f"{POSTS}/{post.id}").json
        shown = answer.json
        [part] = shown["value"]
        assert (part["content"], part["image"][0]["id"]) == ("Now", str(media.id))
        assert json.loads(shown["settings"])["visibility"] == "unlisted"
        assert [one["tag"]["name"] for one in shown["tags"]] == ["news"]
        assert shown["state"] == "QUEUE"

    def test_another_time_and_a_draft(
        self, session: Session, channel: Channel, program: Gateway
    ) -> None:
        post, date = a_post(session, channel), soon(2000)
        shown = program.put(f"{POSTS}/{post.id}", {"type": "draft", "date": date}).json
        assert (shown["state"], shown["publishDate"]) == ("DRAFT", date)

    @pytest.mark.parametrize(
        ("sent", "path", "words"),
        [
            (
                {"value": [{"content": ""}]},
                "value.0.content",
                "This part is empty. Write some text or add a file.",
            ),
            (
                {"value": [{"content": "x" * 501}]},
                "value.0.content",
                "Mastodon allows at most 500 characters; this part has 501.",
            ),
        ],
    )
    def test_what_the_platform_would_refuse(
        self, session: Session, channel: Channel, program: Gateway, sent: Any, path: str, words: str
    ) -> None:
        post = a_post(session, channel)
        answer = program.put(f"{POSTS}/{post.id}", sent)
        assert refusal(answer) == (400, words)
        assert (answer.json["provider"], answer.json["name"]) == ("mastodon", "Ada")
        assert [one["path"] for one in answer.json["errors"]] == [path]
        assert one(session, post.id).revision == 1

    @pytest.mark.parametrize(
        ("sent", "told"),
        [
            ({"value": []}, "value should not be empty"),
            ({"value": [{}]}, "value.0.content should not be null or undefined"),
            ({"date": "soon"}, "date must be a valid ISO 8601 date string"),
        ],
    )
    def test_fields(
        self, session: Session, channel: Channel, program: Gateway, sent: Any, told: str
    ) -> None:
        post = a_post(session, channel)
        assert refusal(program.put(f"{POSTS}/{post.id}", sent)) == (400, [told])

    def test_what_is_out_stays(self, session: Session, channel: Channel, program: Gateway) -> None:
        post = a_post(session, channel, state=PostState.PUBLISHED)
        answer = program.put(f"{POSTS}/{post.id}", {"value": [{"content": "Now"}]})
        words = (
            "This post, or a part of it, is already published. Duplicate it to post it again. "
            "Parts that are not out yet can be resent or deleted by their own ids."
        )
        assert refusal(answer) == (409, words)


class TestDelete:
    def test_a_post_with_its_thread(
        self, session: Session, organization: Organization, channel: Channel, program: Gateway
    ) -> None:
        post = a_post(session, channel)
        a_post(session, channel, parent=post)
        other = a_post(session, a_channel(session, organization), group_id=post.group_id)
        answer = program.delete(f"{POSTS}/{post.id}", headers={"content-type": "application/json"})
        assert (answer.status, answer.json) == (200, {"id": str(post.id)})
        assert parts_of(session, post.id) == []
        assert parts_of(session, other.id)
        assert refusal(program.delete(f"{POSTS}/{post.id}")) == (
            404,
            "This post does not exist. It may be deleted, or belong to another organization.",
        )

    def test_a_group(
        self, session: Session, organization: Organization, channel: Channel, program: Gateway
    ) -> None:
        post = a_post(session, channel)
        other = a_post(session, a_channel(session, organization), group_id=post.group_id)
        answer = program.delete(f"{POSTS}/group/{post.group_id}")
        assert (answer.status, answer.json) == (200, {"id": str(post.group_id)})
        assert parts_of(session, post.id) == parts_of(session, other.id) == []

    @pytest.mark.parametrize("group_id", [UNKNOWN, "cm4ean"])
    def test_an_unknown_group(self, program: Gateway, group_id: str) -> None:
        """Finding 5.3: a group that is not there is deleted already."""
        answer = program.delete(f"{POSTS}/group/{group_id}")
        assert (answer.status, answer.json) == (200, {"id": group_id})

    def test_a_thread_by_the_id_of_its_reply(
        self, session: Session, channel: Channel, program: Gateway
    ) -> None:
        """Finding 5.3: any part's id names the thread."""
        post = a_post(session, channel)
        reply = a_post(session, channel, parent=post)
        answer = program.delete(f"{POSTS}/{reply.id}")
        assert (answer.status, answer.json) == (200, {"id": str(reply.id)})
        assert parts_of(session, post.id) == []


class TestMissing:
    def test_nothing_is_listed(self, session: Session, channel: Channel, program: Gateway) -> None:
        post = a_post(session, channel, state=PostState.PUBLISHED, release_id="missing")
        answer = program.get(f"{POSTS}/{post.id}/missing")
        assert (answer.status, answer.json) == (200, [])


class TestSettings:
    @pytest.mark.parametrize("state", [PostState.QUEUED, PostState.DRAFT])
    def test_they_are_put_over_the_stored_ones(
        self, session: Session, channel: Channel, program: Gateway, state: PostState
    ) -> None:
        when = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=7)
        post = a_post(
            session,
            channel,
            state=state,
            publish_at=when,
            settings={"visibility": "public", "kept": 1},
        )
        answer = program.put(
            f"{POSTS}/{post.id}/settings", {"settings": {"__type": "x", "visibility": "unlisted"}}
        )
        assert answer.status == 200, answer.text
        assert answer.json == {
            "postId": str(post.id),
            "publishDate": when.strftime("%Y-%m-%dT%H:%M:%S"),
        }
        assert one(session, post.id).settings == {"visibility": "unlisted", "kept": 1}

    def test_null_takes_one_away(
        self, session: Session, channel: Channel, program: Gateway
    ) -> None:
        post = a_post(session, channel, settings={"visibility": "private", "kept": 1})
        sent = {"settings": {"visibility": None}}
        assert program.put(f"{POSTS}/{post.id}/settings", sent).status == 200
        assert one(session, post.id).settings == {"kept": 1}

    @pytest.mark.parametrize("state", [PostState.QUEUED, PostState.DRAFT])
    def test_what_the_platform_would_refuse(
        self, session: Session, channel: Channel, program: Gateway, state: PostState
    ) -> None:
        post = a_post(session, channel, state=state)
        answer = program.put(f"{POSTS}/{post.id}/settings", {"settings": {"visibility": "nobody"}})
        status, words = refusal(answer)
        assert status == 400
        assert words.startswith("Ada: ")
        assert answer.json["error"] == "Bad Request"
        assert [one["path"] for one in answer.json["errors"]] == ["settings.visibility"]

    @pytest.mark.parametrize(
        ("columns", "words"),
        [
            (
                {"state": PostState.PUBLISHED},
                "This post is published, so its settings can no longer be changed.",
            ),
            (
                {"publish_at": datetime(2026, 1, 1, tzinfo=UTC)},
                "The time of this post has passed, so its settings can no longer be changed.",
            ),
        ],
    )
    def test_no_longer(
        self, session: Session, channel: Channel, program: Gateway, columns: Any, words: str
    ) -> None:
        post = a_post(session, channel, **columns)
        answer = program.put(f"{POSTS}/{post.id}/settings", {"settings": {}})
        assert refusal(answer) == (400, words)

    def test_of_a_reply(self, session: Session, channel: Channel, program: Gateway) -> None:
        post = a_post(session, channel)
        reply = a_post(session, channel, parent=post)
        answer = program.put(f"{POSTS}/{reply.id}/settings", {"settings": {}})
        words = f"This id belongs to a reply. Use the id of its post: {post.id}."
        assert refusal(answer) == (400, words)

    def test_fields(self, session: Session, channel: Channel, program: Gateway) -> None:
        post = a_post(session, channel)
        answer = program.put(f"{POSTS}/{post.id}/settings", {})
        assert refusal(answer) == (400, ["settings should not be null or undefined"])
        answer = program.put(f"{POSTS}/{post.id}/settings", {"settings": "x"})
        assert refusal(answer) == (400, ["settings must be an object"])


class TestStatus:
    @pytest.mark.parametrize(
        ("before", "asked", "state", "shown"),
        [
            (PostState.QUEUED, "draft", PostState.DRAFT, "DRAFT"),
            (PostState.DRAFT, "schedule", PostState.QUEUED, "QUEUE"),
            (PostState.FAILED, "schedule", PostState.QUEUED, "QUEUE"),
        ],
    )
    def test_moves(
        self, session: Session, channel: Channel, program: Gateway, before: PostState, asked: str,
        state: PostState, shown: str,
    ) -> None:  # fmt: skip
        post = a_post(session, channel, state=before)
        answer = program.put(f"{POSTS}/{post.id}/status", {"status": asked})
        assert (answer.status, answer.json) == (200, {"id": str(post.id), "state": shown})
        assert one(session, post.id).state is state

    def test_another_word(self, session: Session, channel: Channel, program: Gateway) -> None:
        post = a_post(session, channel)
        answer = program.put(f"{POSTS}/{post.id}/status", {"status": "published"})
        status, [told] = refusal(answer)
        assert status == 400
        assert told.startswith("status: ")

    def test_what_the_platform_would_refuse(
        self, session: Session, channel: Channel, program: Gateway
    ) -> None:
        post = a_post(session, channel, state=PostState.DRAFT, content="x" * 501)
        answer = program.put(f"{POSTS}/{post.id}/status", {"status": "schedule"})
        words = "Mastodon allows at most 500 characters; this part has 501."
        assert refusal(answer) == (400, words)
        assert answer.json["provider"] == "mastodon"


class TestReleaseId:
    @pytest.fixture
    def custom(self, session: Session, organization: Organization, configure: Configure) -> Channel:
        set_up_platforms(configure)
        details = json.dumps({"base": SERVER, "clientId": "a", "clientSecret": "b"})
        return a_channel(
            session,
            organization,
            provider="mastodon-custom",
            remote_id="7@social.example",
            username="ada@social.example",
            sealed_token=seal("token", Purpose.CHANNEL, organization.id),
            details=seal(details, Purpose.CHANNEL, organization.id),
        )

    def test_of_a_post_whose_release_is_missing(
        self, session: Session, custom: Channel, program: Gateway, respx_mock: respx.MockRouter
    ) -> None:
        status = {"id": "7321", "url": f"{SERVER}/@ada/7321", "account": {"id": "7"}}
        respx_mock.get(f"{SERVER}/api/v1/statuses/7321").respond(json=status)
        post = a_post(session, custom, state=PostState.PUBLISHED, release_id="missing")
        answer = program.put(f"{POSTS}/{post.id}/release-id", {"releaseId": "7321"})
        assert (answer.status, answer.json) == (200, {"id": str(post.id), "releaseId": "7321"})
        assert one(session, post.id).release_id == "7321"
        [told] = session.scalars(select(Revision).where(Revision.root_id == post.id))
        assert (told.action, told.changes) == ("release_named", {"releaseId": ["missing", "7321"]})
        again = program.put(f"{POSTS}/{post.id}/release-id", {"releaseId": "1"})
        words = "You can only set the address of a published post whose address is unknown."
        assert refusal(again) == (400, words)

    @pytest.mark.parametrize("there", [None, "8"])
    def test_that_is_not_there_or_not_the_channels_own(
        self,
        session: Session,
        program: Gateway,
        custom: Channel,
        respx_mock: respx.MockRouter,
        there: str | None,
    ) -> None:
        """Finding 1.1d: any id was accepted."""
        status = {"id": "7321", "url": f"{SERVER}/@bob/7321", "account": {"id": there}}
        answer_of_server = (
            httpx.Response(200, json=status)
            if there
            else httpx.Response(404, json={"error": "Record not found"})
        )
        respx_mock.get(f"{SERVER}/api/v1/statuses/7321").mock(answer_of_server)
        post = a_post(session, custom, state=PostState.PUBLISHED, release_id="missing")
        answer = program.put(f"{POSTS}/{post.id}/release-id", {"releaseId": "7321"})
        words = f"{custom.name} has no post with this id on Mastodon. Copy the id from there."
        assert refusal(answer) == (400, words)
        assert one(session, post.id).release_id == "missing"

    def test_that_cannot_be_an_id(
        self, session: Session, program: Gateway, custom: Channel
    ) -> None:
        post = a_post(session, custom, state=PostState.PUBLISHED, release_id="missing")
        answer = program.put(f"{POSTS}/{post.id}/release-id", {"releaseId": "../accounts/7"})
        assert answer.status == 400

    def test_at_a_server_that_does_not_answer(
        self, session: Session, program: Gateway, custom: Channel, respx_mock: respx.MockRouter
    ) -> None:
        """Finding 1.1d: nothing is recorded unchecked."""
        respx_mock.get(f"{SERVER}/api/v1/statuses/7321").mock(side_effect=httpx.ReadTimeout)
        post = a_post(session, custom, state=PostState.PUBLISHED, release_id="missing")
        answer = program.put(f"{POSTS}/{post.id}/release-id", {"releaseId": "7321"})
        status, words = refusal(answer)
        assert status == 503
        assert "Roost cannot check this" in words
        assert one(session, post.id).release_id == "missing"

    def test_on_a_platform_that_says_it_is_somebody_elses(
        self,
        session: Session,
        organization: Organization,
        program: Gateway,
        configure: Configure,
        respx_mock: respx.MockRouter,
    ) -> None:
        """Finding 1.1d: LinkedIn was not asked, so any id was accepted."""
        set_up_platforms(configure)
        channel = a_channel(
            session,
            organization,
            provider="linkedin-page",
            remote_id="42",
            sealed_token=seal("token", Purpose.CHANNEL, organization.id),
        )
        asked = respx_mock.get(url__startswith="https://api.linkedin.com/rest/posts/")
        asked.respond(json={"author": "urn:li:organization:8"})
        post = a_post(session, channel, state=PostState.PUBLISHED, release_id="missing")
        sent = {"releaseId": "urn:li:share:7321"}
        answer = program.put(f"{POSTS}/{post.id}/release-id", sent)
        words = f"{channel.name} has no post with this id on LinkedIn Page. Copy the id from there."
        assert refusal(answer) == (400, words)
        assert one(session, post.id).release_id == "missing"

    def test_that_is_there_gets_its_address_too(
        self, session: Session, program: Gateway, custom: Channel, respx_mock: respx.MockRouter
    ) -> None:
        url = f"{SERVER}/@ada/7321"
        status = {"id": "7321", "url": url, "account": {"id": "7"}}
        respx_mock.get(f"{SERVER}/api/v1/statuses/7321").respond(json=status)
        post = a_post(session, custom, state=PostState.PUBLISHED, release_id="missing")
        answer = program.put(f"{POSTS}/{post.id}/release-id", {"releaseId": "7321"})
        assert (answer.status, answer.json["releaseId"]) == (200, "7321")
        assert one(session, post.id).release_url == url

    def test_that_another_post_is(
        self, session: Session, custom: Channel, program: Gateway, respx_mock: respx.MockRouter
    ) -> None:
        status = {"id": "1", "url": f"{SERVER}/@ada/1", "account": {"id": "7"}}
        respx_mock.get(f"{SERVER}/api/v1/statuses/1").respond(json=status)
        a_post(session, custom, state=PostState.PUBLISHED, release_id="1")
        post = a_post(session, custom, state=PostState.PUBLISHED, release_id="missing")
        answer = program.put(f"{POSTS}/{post.id}/release-id", {"releaseId": "1"})
        words = "Another post already has this address. Copy the address of this post."
        assert refusal(answer) == (409, words)

    @pytest.mark.parametrize(
        ("sent", "told"),
        [
            ({}, "releaseId should not be null or undefined"),
            ({"releaseId": ""}, "releaseId should not be empty"),
        ],
    )
    def test_fields(
        self, session: Session, channel: Channel, program: Gateway, sent: Any, told: str
    ) -> None:
        post = a_post(session, channel, state=PostState.PUBLISHED, release_id="missing")
        answer = program.put(f"{POSTS}/{post.id}/release-id", sent)
        assert refusal(answer) == (400, [told])


ROUTES: list[tuple[str, str, Any]] = [
    ("GET", "/public/v1/find-slot", None),
    ("GET", POSTS, None),
    ("POST", POSTS, {}),
    ("GET", f"{POSTS}/1", None),
    ("PUT", f"{POSTS}/1", {}),
    ("DELETE", f"{POSTS}/1", None),
    ("DELETE", f"{POSTS}/group/1", None),
    ("GET", f"{POSTS}/1/missing", None),
    ("PUT", f"{POSTS}/1/settings", {}),
    ("PUT", f"{POSTS}/1/status", {}),
    ("PUT", f"{POSTS}/1/release-id", {}),
]


class TestKeys:
    @pytest.mark.parametrize(("method", "path", "sent"), ROUTES)
    @pytest.mark.parametrize(
        ("headers", "msg"),
        [
            ({}, "No API Key found"),
            ({"authorization": "roost_unknown"}, "Invalid API key"),
            ({"authorization": "pos_unknown"}, "Invalid OAuth token"),
        ],
    )
    def test_nobody_is_let_in_without(
        self,
        session: Session,
        queues: None,
        method: str,
        path: str,
        sent: Any,
        headers: dict[str, str],
        msg: str,
    ) -> None:
        answer = Gateway(app, headers).call(method, path, sent)
        assert answer.status == 401
        assert answer.json == {"message": msg, "msg": msg, "statusCode": 401}

    @pytest.mark.parametrize(("method", "path", "sent"), ROUTES)
    def test_a_key_that_reads_does_not_write(
        self, session: Session, queues: None, member: Member, method: str, path: str, sent: Any
    ) -> None:
        reader = by_key(app, session, member, scopes=["read"])
        assert (reader.call(method, path, sent).status == 403) == (method != "GET")

    @pytest.mark.parametrize("before", ["Bearer ", "bearer ", "BEARER   "])
    def test_bearer_is_taken_too(self, channel: Channel, program: Gateway, before: str) -> None:
        program.headers["authorization"] = before + program.headers["authorization"]
        assert program.get(f"/public/v1/find-slot/{channel.id}").status == 200


class TestRateLimit:
    def test_headers_and_what_is_told_at_the_end(
        self, session: Session, channel: Channel, program: Gateway, configure: Configure
    ) -> None:
        configure(API_LIMIT=2)
        for remaining in ("1", "0"):
            answer = program.post(POSTS, body(entry(channel)))
            assert answer.status == 201
            assert answer.headers["x-ratelimit-limit"] == "2"
            assert answer.headers["x-ratelimit-remaining"] == remaining
            assert 3590 < int(answer.headers["x-ratelimit-reset"]) <= 3600
        refused = program.post(POSTS, body(entry(channel)))
        words = "ThrottlerException: Too Many Requests"
        assert refused.status == 429
        assert refused.json == {"statusCode": 429, "message": words, "msg": words}
        assert refused.headers["x-ratelimit-remaining"] == "0"
        assert 3590 < int(refused.headers["retry-after"]) <= 3600
        # Only composing is counted here, and other organizations are counted apart.
        assert program.get(POSTS, query=RANGE).status == 200
        other = a_member(session, an_organization(session))
        assert by_key(app, session, other).post(POSTS, {}).status == 400

    @pytest.mark.parametrize("scopes", [("read",), ("read", "write")])
    def test_only_what_is_made_counts(
        self, session: Session, member: Member, channel: Channel, configure: Configure, scopes: Any
    ) -> None:
        """Finding 5.5: a program that sends what is refused keeps its calls."""
        configure(API_LIMIT=2)
        caller = by_key(app, session, member, scopes=scopes)
        for _ in range(5):
            assert caller.post(POSTS, {}).status == (400 if "write" in scopes else 403)
        maker = by_key(app, session, member)
        for remaining in ("1", "0"):
            answer = maker.post(POSTS, body(entry(channel)))
            assert answer.status == 201, answer.text
            assert answer.headers["x-ratelimit-remaining"] == remaining
            refused = maker.post(POSTS, {})
            assert refused.status == (400 if remaining == "1" else 429)
            assert refused.headers["x-ratelimit-remaining"] == remaining

    def test_refusals_are_bounded_too(
        self, program: Gateway, configure: Configure, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        configure(API_LIMIT=2)
        monkeypatch.setattr("shared.access.give_back.MAX_GIVEN_BACK", 3)
        told = [program.post(POSTS, {}).status for _ in range(7)]
        assert told == [400, 400, 400, 400, 400, 429, 429]

    @pytest.mark.parametrize(
        ("headers", "sent", "status"),
        [
            ({}, "{", 400),
            ({}, '{"type": 1e', 400),
            ({"sec-purpose": "prefetch"}, "{}", 403),
            ({"purpose": "prefetch"}, "{", 400),
        ],
    )
    def test_what_was_never_counted_gives_nothing_back(
        self,
        channel: Channel,
        program: Gateway,
        configure: Configure,
        headers: dict[str, str],
        sent: str,
        status: int,
    ) -> None:
        """Finding 5.5, sibling: a refusal before the call is counted does not free the place of another call."""
        configure(API_LIMIT=2)
        for remaining in ("1", "0"):
            made = program.post(POSTS, body(entry(channel)))
            assert made.headers["x-ratelimit-remaining"] == remaining
            refused = program.post(POSTS, text=sent, headers=headers)
            assert refused.status == status, refused.text
        assert program.post(POSTS, body(entry(channel))).status == 429

    def test_a_replay_takes_no_place(
        self, channel: Channel, program: Gateway, configure: Configure
    ) -> None:
        """Finding 5.5, sibling: only what is made counts, and a repeated request makes nothing."""
        configure(API_LIMIT=2)
        wanted, key = body(entry(channel)), {"idempotency-key": "once"}
        first = program.post(POSTS, wanted, headers=key)
        for _ in range(4):
            again = program.post(POSTS, wanted, headers=key)
            assert (again.status, again.json) == (201, first.json)
            assert again.headers["x-ratelimit-remaining"] == "1"
        assert program.post(POSTS, wanted).headers["x-ratelimit-remaining"] == "0"
        assert program.post(POSTS, wanted).status == 429

    def test_ninety_an_hour(self, channel: Channel, program: Gateway) -> None:
        answer = program.post(POSTS, {})
        assert (answer.status, answer.headers["x-ratelimit-limit"]) == (400, "90")


class TestCost:
    """Statements, without BEGIN and COMMIT; authentication is one of them."""

    def test_of_composing(
        self, session: Session, organization: Organization, channel: Channel, program: Gateway
    ) -> None:
        media = a_media(session, organization)
        image = [{"id": "x", "path": f"{MEDIA}/files/{organization.id}/{media.id}/a.png"}]
        channels = [channel, *(a_channel(session, organization) for _ in range(4))]
        entries = [
            {**entry(one), "value": [{"content": "Hi", "image": image}, {"content": "Two"}]}
            for one in channels
        ]
        program.post(POSTS, body(entry(channel)))
        with count_statements() as cost:
            created(program.post(POSTS, body(*entries)))
        assert cost.statements <= 8
        plain = cost.statements
        with count_statements() as cost:
            created(program.post(POSTS, body(*entries, tags=[{"value": "a", "label": "news"}])))
        assert cost.statements <= plain + 1
        with count_statements() as cost:
            created(program.post(POSTS, body(*entries), headers={"idempotency-key": "k"}))
        assert cost.statements <= plain + 2  # reserved, and kept

    @pytest.mark.parametrize("path", ["", "/{id}"])
    def test_of_reading(
        self, session: Session, channel: Channel, program: Gateway, path: str
    ) -> None:
        posts = [a_post(session, channel, publish_at=NOVEMBER) for _ in range(3)]
        with count_statements() as cost:
            answer = program.get(POSTS + path.format(id=posts[0].id), query=RANGE)
        assert answer.status == 200
        assert cost.statements == 2

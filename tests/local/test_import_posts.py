"""Do posts come over from an installation that speaks the same API, once each, and never queued in two places?"""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import boto3
import httpx
import pytest
from sqlalchemy import Connection, delete, select, text
from sqlalchemy.orm import Session

from functions.public_api.app import app
from local import import_posts
from local.import_posts import Done, ImportRefused, Plan, api
from shared.channels.models import Channel
from shared.organizations.models import IdempotencyKey, Organization
from shared.posts.lifecycle import PostState
from shared.posts.models import Post
from tests.builders import a_channel, a_member, an_organization
from tests.conftest import Configure
from tests.gateway import by_key

WHOLE: dict[str, list[dict[str, Any]]] = {
    name: [{"content": name, "image": []}] for name in ("cm1", "cm2")
}
NOW = datetime.now(UTC).replace(microsecond=0)


class OldInstallation:
    """The part of the contract that the import uses, as it was recorded: ids are no UUIDs, settings are a text."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.refuses_to_take_back = False

    def holds(self, post_id: str, *, hours: float, state: str = "QUEUE", **more: Any) -> None:
        self.rows[post_id] = {
            "id": post_id,
            "content": f"<p>{post_id}</p>",
            "publishDate": f"{NOW + timedelta(hours=hours):%Y-%m-%dT%H:%M:%S}.000Z",
            "releaseURL": None,
            "releaseId": None,
            "state": state,
            "intervalInDays": None,
            "group": "a-group",
            "creationMethod": "WEB",
            "settings": json.dumps({"__type": "mastodon"}),
            "tags": [],
            "integration": {"id": "cm-old", "providerIdentifier": "mastodon", "name": "Old"},
            **more,
        }

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "old-key"
        if request.method == "GET":
            assert request.url.path == "/api/public/v1/posts"
            asked = parse_qs(request.url.query.decode())
            begins, ends = (
                datetime.fromisoformat(asked[name][0]) for name in ("startDate", "endDate")
            )
            found = [
                row
                for row in self.rows.values()
                if begins <= datetime.fromisoformat(row["publishDate"]) <= ends
            ]
            return httpx.Response(200, json={"posts": found})
        post_id = request.url.path.split("/")[-2]
        assert json.loads(request.content) == {"status": "draft"}
        if self.refuses_to_take_back:
            return httpx.Response(400, json={"msg": "Post not found"})
        self.rows[post_id]["state"] = "DRAFT"
        return httpx.Response(200, json={"id": post_id, "state": "DRAFT"})


@pytest.fixture
def organization(session: Session) -> Organization:
    return an_organization(session)


@pytest.fixture
def channel(session: Session, organization: Organization) -> Channel:
    return a_channel(session, organization)


@pytest.fixture
def there() -> OldInstallation:
    return OldInstallation()


@pytest.fixture
def old(there: OldInstallation) -> httpx.Client:
    transport = httpx.MockTransport(there)
    return api("https://old.example/api/", "old-key", transport)


@pytest.fixture
def new(
    session: Session, aws: None, configure: Configure, organization: Organization
) -> httpx.Client:
    """Call the public API itself."""
    queue = boto3.client("sqs").create_queue(QueueName="publish")["QueueUrl"]
    configure(PUBLISH_QUEUE_URL=queue)
    gateway = by_key(app, session, a_member(session, organization))

    def answer(request: httpx.Request) -> httpx.Response:
        headers = {
            name: value for name, value in request.headers.items() if name == "idempotency-key"
        }
        said = gateway.call(
            request.method, request.url.path, json.loads(request.content), headers=headers
        )
        return httpx.Response(said.status, headers=dict(said.headers), text=said.text)

    return api("https://new.example", "new-key", httpx.MockTransport(answer))


@pytest.fixture
def run(
    old: httpx.Client, new: httpx.Client, channel: Channel, tmp_path: Path
) -> Callable[..., import_posts.Result]:
    def run(
        export: dict[str, list[dict[str, Any]]] | None = None, **plan: bool
    ) -> import_posts.Result:
        posts = import_posts.read_posts(old, NOW, NOW + timedelta(days=90), export or {})
        wanted = Plan({"cm-old": str(channel.id)}, **plan)
        return import_posts.import_posts(
            old, new, posts, wanted, now=NOW, done=Done(tmp_path / "done")
        )

    return run


def stored(session: Session) -> list[Post]:
    return list(session.scalars(select(Post).order_by(Post.publish_at, Post.position)))


class TestDrafts:
    def test_what_is_ahead_becomes_drafts(
        self, session: Session, there: OldInstallation, run: Callable[..., import_posts.Result]
    ) -> None:
        there.holds("cm1", hours=2)
        there.holds("cm2", hours=40 * 24, state="DRAFT")
        there.holds("cm3", hours=3, state="PUBLISHED")
        there.holds("cm4", hours=-3)
        assert run() == import_posts.Result(drafts=2)
        posts = stored(session)
        assert [post.state for post in posts] == [PostState.DRAFT] * 2
        assert [post.publish_at for post in posts] == [
            NOW + timedelta(hours=2),
            NOW + timedelta(days=40),
        ]
        assert there.rows["cm1"]["state"] == "QUEUE"

    def test_again_makes_nothing_twice(
        self, session: Session, there: OldInstallation, run: Callable[..., import_posts.Result]
    ) -> None:
        there.holds("cm1", hours=2)
        assert run() == run() == import_posts.Result(drafts=1)
        assert len(stored(session)) == 1

    def test_nor_when_the_key_is_forgotten(
        self, session: Session, there: OldInstallation, run: Callable[..., import_posts.Result]
    ) -> None:
        there.holds("cm1", hours=2)
        run()
        session.execute(delete(IdempotencyKey))
        assert run() == import_posts.Result(drafts=1)
        assert len(stored(session)) == 1

    def test_nor_when_it_is_forgotten_what_was_done(
        self,
        session: Session,
        there: OldInstallation,
        tmp_path: Path,
        run: Callable[..., import_posts.Result],
    ) -> None:
        there.holds("cm1", hours=2)
        run()
        (tmp_path / "done").unlink()
        run()
        assert len(stored(session)) == 1

    def test_dry_run_makes_nothing(
        self, session: Session, there: OldInstallation, run: Callable[..., import_posts.Result]
    ) -> None:
        there.holds("cm1", hours=2)
        assert run(WHOLE, dry_run=True, take_over=True) == import_posts.Result()
        assert stored(session) == []
        assert there.rows["cm1"]["state"] == "QUEUE"

    def test_channel_that_the_map_does_not_name_is_left_there(
        self, session: Session, there: OldInstallation, run: Callable[..., import_posts.Result]
    ) -> None:
        there.holds("cm1", hours=2, integration={"id": "cm-other", "name": "Other"})
        assert run() == import_posts.Result(skipped=1)
        assert stored(session) == []

    def test_repeated_post_comes_once_at_its_next_time(
        self, there: OldInstallation, old: httpx.Client
    ) -> None:
        there.holds("cm1", hours=50, intervalInDays=1)
        occurrences = [dict(there.rows["cm1"]) for _ in range(3)]
        for hours, row in zip((50, 26, -22), occurrences, strict=True):
            row["publishDate"] = f"{NOW + timedelta(hours=hours):%Y-%m-%dT%H:%M:%S}.000Z"
        there.rows = {str(number): row for number, row in enumerate(occurrences)}
        (post,) = import_posts.read_posts(old, NOW, NOW + timedelta(days=4), {})
        assert post.publish_at == NOW + timedelta(hours=26)
        assert post.repeats_every_days == 1

    def test_replies_come_from_the_export(
        self,
        session: Session,
        there: OldInstallation,
        tmp_path: Path,
        run: Callable[..., import_posts.Result],
    ) -> None:
        there.holds("cm1", hours=2)
        parts = [
            {"content": "first", "delay": 0, "image": None},
            {"content": "second", "delay": 5, "image": "[]"},
        ]
        file = tmp_path / "posts.json"
        file.write_text(json.dumps({"id": "cm1", "value": parts}) + "\n")
        assert run(import_posts._read_export(file)) == import_posts.Result(drafts=1)
        assert [post.delay_seconds for post in stored(session)] == [0, 300]

    def test_refusal_is_told_and_the_next_one_comes_over(
        self,
        session: Session,
        there: OldInstallation,
        capsys: pytest.CaptureFixture[str],
        run: Callable[..., import_posts.Result],
    ) -> None:
        there.holds("cm1", hours=2, content="")
        there.holds("cm2", hours=3)
        assert run() == import_posts.Result(drafts=1, failed=1)
        assert "cm1: refused here, it said 400" in capsys.readouterr().out
        assert len(stored(session)) == 1


class TestTakeOver:
    def test_is_queued_here_and_a_draft_there(
        self, session: Session, there: OldInstallation, run: Callable[..., import_posts.Result]
    ) -> None:
        there.holds("cm1", hours=2)
        there.holds("cm2", hours=3, state="DRAFT")
        assert run(WHOLE, take_over=True) == import_posts.Result(drafts=1, queued=1)
        assert [post.state for post in stored(session)] == [PostState.QUEUED, PostState.DRAFT]
        assert there.rows["cm1"]["state"] == "DRAFT"

    def test_stays_a_draft_here_when_the_other_keeps_it(
        self, session: Session, there: OldInstallation, run: Callable[..., import_posts.Result]
    ) -> None:
        there.holds("cm1", hours=2)
        there.refuses_to_take_back = True
        assert run(WHOLE, take_over=True) == import_posts.Result(failed=1)
        assert [post.state for post in stored(session)] == [PostState.DRAFT]
        assert there.rows["cm1"]["state"] == "QUEUE"

    def test_goes_on_where_it_was_stopped(
        self, session: Session, there: OldInstallation, run: Callable[..., import_posts.Result]
    ) -> None:
        there.holds("cm1", hours=2)
        there.refuses_to_take_back = True
        run(WHOLE, take_over=True)
        there.refuses_to_take_back = False
        assert run(WHOLE, take_over=True) == import_posts.Result(queued=1)
        assert [post.state for post in stored(session)] == [PostState.QUEUED]

    def test_goes_on_when_it_was_stopped_after_taking_back(
        self,
        session: Session,
        there: OldInstallation,
        tmp_path: Path,
        run: Callable[..., import_posts.Result],
    ) -> None:
        there.holds("cm1", hours=2)
        run(WHOLE, take_over=True)
        steps = (tmp_path / "done").read_text().splitlines()
        (tmp_path / "done").write_text("\n".join(steps[:2]) + "\n")
        (post,) = stored(session)
        post.state = PostState.DRAFT
        session.flush()
        assert there.rows["cm1"]["state"] == "DRAFT"
        assert run(WHOLE, take_over=True) == import_posts.Result(queued=1)
        session.expire_all()
        assert [post.state for post in stored(session)] == [PostState.QUEUED]

    def test_what_is_queued_here_is_left_alone(
        self, session: Session, there: OldInstallation, run: Callable[..., import_posts.Result]
    ) -> None:
        there.holds("cm1", hours=2)
        run(WHOLE, take_over=True)
        assert run(WHOLE, take_over=True) == import_posts.Result(skipped=1)

    def test_what_goes_out_within_minutes_is_left_there(
        self, session: Session, there: OldInstallation, run: Callable[..., import_posts.Result]
    ) -> None:
        there.holds("cm1", hours=0.1)
        assert run(WHOLE, take_over=True) == import_posts.Result(skipped=1)
        assert stored(session) == []
        assert there.rows["cm1"]["state"] == "QUEUE"

    def test_what_the_export_does_not_have_is_left_there(
        self, session: Session, there: OldInstallation, run: Callable[..., import_posts.Result]
    ) -> None:
        there.holds("cm3", hours=2)
        assert run(WHOLE, take_over=True) == import_posts.Result(skipped=1)
        assert there.rows["cm3"]["state"] == "QUEUE"

    def test_draft_made_of_the_list_gets_its_replies_first(
        self, session: Session, there: OldInstallation, run: Callable[..., import_posts.Result]
    ) -> None:
        there.holds("cm1", hours=2)
        run()
        thread = [{"content": "first", "image": []}, {"content": "second", "image": []}]
        assert run({"cm1": thread}, take_over=True) == import_posts.Result(queued=1)
        session.expire_all()
        assert [(post.content, post.state) for post in stored(session)] == [
            ("first", PostState.QUEUED),
            ("second", PostState.QUEUED),
        ]

    def test_needs_what_the_list_does_not_tell(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        asked = ["--from", "https://old.example", "--to", "https://new.example", "--take-over"]
        assert import_posts.main(asked) == 1
        assert "needs --export" in capsys.readouterr().err


class TestLimits:
    def test_waits_as_long_as_it_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        slept: list[float] = []
        monkeypatch.setattr(time, "sleep", slept.append)
        answers = [httpx.Response(429, headers={"retry-after": "7"}), httpx.Response(201)]
        client = api("https://new.example", "key", httpx.MockTransport(lambda _: answers.pop(0)))
        assert import_posts._send(client, "POST", "/posts", {}).status_code == 201
        assert slept == [7.0]

    def test_list_that_is_refused_ends_it(self, there: OldInstallation) -> None:
        refused = httpx.MockTransport(
            lambda _: httpx.Response(401, json={"msg": "Invalid API key"})
        )
        with pytest.raises(ImportRefused, match="Invalid API key"):
            import_posts.read_posts(
                api("https://old.example", "key", refused), NOW, NOW + timedelta(days=1), {}
            )


class TestExport:
    @pytest.mark.parametrize("text", ["{", '{"id": "a"}', '["a"]'])
    def test_file_that_is_none_is_refused(self, tmp_path: Path, text: str) -> None:
        file = tmp_path / "posts.json"
        file.write_text(text)
        with pytest.raises(ImportRefused, match="is not an export"):
            import_posts._read_export(file)

    def test_statement_of_the_page_writes_such_a_file(
        self, empty_database: Connection, tmp_path: Path
    ) -> None:
        page = (Path(__file__).parents[2] / "docs" / "migrating.md").read_text()
        statement = page.partition("```sql\n")[2].partition("```")[0]
        empty_database.execute(
            text("""
            create table "Post" (id text, content text, image text, delay int, state text, "parentPostId" text,
                "deletedAt" timestamp);
        """)
        )
        empty_database.execute(
            text("""
            insert into "Post" values
            ('a', E'<p>"one"</p>\\n', '[{"id": "1", "path": "https://old.example/a.png"}]', 0, 'QUEUE', null, null),
            ('b', 'two', '[]', 5, 'QUEUE', 'a', null),
            ('c', 'three', null, 0, 'QUEUE', 'b', null),
            ('d', 'deleted', null, 0, 'QUEUE', 'c', now()),
            ('e', 'published', null, 0, 'PUBLISHED', null, null)
        """)
        )
        file = tmp_path / "posts.json"
        lines = empty_database.exec_driver_sql(statement).scalars()
        file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        assert import_posts._read_export(file) == {
            "a": [
                {
                    "content": '<p>"one"</p>\n',
                    "delay": 0,
                    "image": [{"path": "https://old.example/a.png", "alt": None}],
                },
                {"content": "two", "delay": 5, "image": []},
                {"content": "three", "delay": 0, "image": []},
            ]
        }

    def test_pictures_come_by_their_address(self) -> None:
        image = json.dumps([{"id": "x", "path": "https://old.example/a.png", "alt": "A"}])
        assert import_posts._part({"content": "c", "image": image})["image"] == [
            {"path": "https://old.example/a.png", "alt": "A"}
        ]

"""An article on X goes its whole way: two requests, one article, whatever happens between and after them."""

import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.aws import storage
from shared.channels import connection
from shared.core import clock
from shared.core.ids import PostId
from shared.posts.hints import Queued, arm
from shared.providers.http import AppCredentials
from tests.builders import a_channel, a_media, a_post, an_organization
from tests.shared.publishing.test_faults import reset
from tests.shared.publishing.world import Stopped, World

TITLE = "The owls are back"


class Site:
    """X as far as articles go: it counts drafts and articles."""

    def __init__(self) -> None:
        self.drafts: list[dict[str, Any]] = []
        self.articles: list[tuple[str, str]] = []
        self.answers: Iterator[str] = iter(())

    def behave(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/2/articles/draft":
            self.drafts.append(json.loads(request.content))
            return httpx.Response(201, json={"data": {"id": str(len(self.drafts)), "title": TITLE}})
        if path.startswith("/2/articles/"):
            return self.publish(path.split("/")[3], request)
        if path.endswith("/tweets") and request.method == "GET":
            found = [
                {"id": f"10{draft}", "created_at": at, "text": "t", "article": {"title": TITLE}}
                for draft, at in self.articles
            ]
            return httpx.Response(200, json={"data": found})
        return httpx.Response(200, json={"data": {"id": "77"}})

    def publish(self, draft: str, request: httpx.Request) -> httpx.Response:
        answer = next(self.answers, "")
        if answer == "unreachable":
            raise httpx.ConnectError("no way", request=request)
        if answer == "limited":
            reset = int((clock.now() + timedelta(hours=3)).timestamp())
            headers = {
                "x-user-limit-24hour-remaining": "0",
                "x-user-limit-24hour-reset": str(reset),
            }
            return httpx.Response(429, headers=headers)
        if draft not in [number for number, _ in self.articles]:
            self.articles.append((draft, clock.now().isoformat()))
        if answer == "silent":
            raise httpx.ReadTimeout("no answer", request=request)
        return httpx.Response(200, json={"data": {"post_id": f"10{draft}"}})


@pytest.fixture
def site(world: World, monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site()
    monkeypatch.setattr(world.platform, "behave", site.behave)
    monkeypatch.setattr(connection, "our_application", lambda _spec: AppCredentials("id", "secret"))
    monkeypatch.setattr(storage, "read_range", lambda _key, _start, length: bytes(length))
    return site


def an_article(
    world: World,
    *,
    status: str = "published",
    cover: bool = False,
    title: str | None = None,
    article_title: str = TITLE,
) -> PostId:
    now = datetime.now(UTC)
    with Session(world.engine, expire_on_commit=False) as session, session.begin():
        organization = an_organization(session)
        channel = a_channel(
            session, organization, provider="x", details=b'{"tokenSecret": "hidden"}'
        )
        files = [{"id": str(a_media(session, organization).id), "setting": "article_cover"}]
        root = a_post(
            session,
            channel,
            publish_at=now,
            content="<p>They came at dusk.</p>",
            media=files if cover else [],
            settings={
                "post_type": "article",
                "article_title": article_title,
                "article_status": status,
            },
            title=title,
        )
    with contextlib.suppress(Stopped):
        arm([Queued(root.id, root.organization_id, 1, root.arm_count, now, 0.0, cover)])
    return root.id


def release(world: World, root: PostId) -> tuple[str, str | None]:
    with world.engine.connect() as connection:
        row = connection.execute(
            text("select state, release_url from posts where id = :id"), {"id": root}
        ).one()
    return row.state, row.release_url


class TestArticles:
    def test_it_goes_out_with_its_cover(self, world: World, site: Site) -> None:
        root = an_article(world, cover=True)
        world.run()
        assert release(world, root) == ("published", "https://x.com/ada/status/101")
        (draft,) = site.drafts
        assert draft["cover_media"] == {"media_id": "77", "media_category": "tweet_image"}

    @pytest.mark.parametrize(
        ("title", "article_title", "sent"),
        [("Owls at dusk", "", "Owls at dusk"), ("Internal name", TITLE, TITLE)],
    )
    def test_the_post_s_title_is_the_article_s_where_that_has_none_of_its_own(
        self, world: World, site: Site, title: str, article_title: str, sent: str
    ) -> None:
        """Findings, section 9: a title was stored, edited and shown, and never reached a provider."""
        root = an_article(world, title=title, article_title=article_title)
        world.run()
        assert release(world, root)[0] == "published"
        assert [draft["title"] for draft in site.drafts] == [sent]

    def test_a_draft_stays_one(self, world: World, site: Site) -> None:
        root = an_article(world, status="draft")
        world.run()
        assert release(world, root) == ("published", "https://x.com/compose/articles/edit/1")
        assert (len(site.drafts), site.articles) == (1, [])

    @pytest.mark.parametrize(
        "answers", [["unreachable"], ["limited"], ["silent"], ["limited", "silent"]]
    )
    def test_there_is_one_article_from_one_draft(
        self, world: World, site: Site, answers: list[str]
    ) -> None:
        site.answers = iter(answers)
        root = an_article(world)
        world.run(until=8 * 3600.0)
        assert release(world, root) == ("published", "https://x.com/ada/status/101")
        assert (len(site.drafts), len(site.articles)) == (1, 1)

    def test_there_is_never_a_second_article_wherever_the_process_is_stopped(
        self, world: World, site: Site
    ) -> None:
        an_article(world)
        world.run()
        for step in range(len(world.ticks)):
            reset(world)
            site.drafts.clear()
            site.articles.clear()
            world.stop_at = step
            root = an_article(world)
            world.run()
            state, _ = release(world, root)
            assert state in {"published", "unconfirmed"}, step
            assert len(site.articles) == 1 or (state, site.articles) == ("unconfirmed", []), step

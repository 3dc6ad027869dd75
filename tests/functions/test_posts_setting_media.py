"""Files that a post's settings name: they go out with it, are refused where they are missing, and are not shown in it."""

from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from shared.channels.models import Channel
from shared.channels.schemas import catalogue
from shared.organizations.models import Organization
from shared.posts.media_use import MEDIA_STILL_NEEDED
from shared.posts.models import Post
from shared.providers.registry import provider, slugs
from tests.builders import a_channel, a_media
from tests.functions.test_posts import body, compose, entry, paths
from tests.gateway import Gateway

pytestmark = pytest.mark.usefixtures("queues")


@pytest.fixture
def account(session: Session, organization: Organization) -> Channel:
    return a_channel(session, organization, provider="x")


def an_article(account: Channel, cover: Any, *files: str) -> dict[str, Any]:
    settings = {
        "post_type": "article",
        "article_title": "The owls are back",
        "article_status": "published",
        "article_cover": cover,
    }
    written = entry(account, "<p>They came at dusk.</p>", settings=settings)
    written["value"][0]["image"] = [{"id": file} for file in files]
    return written


def media_of(session: Session, post_id: str) -> list[dict[str, Any]]:
    return session.get_one(Post, post_id, populate_existing=True).media


class TestTitle:
    """Findings, section 9: a title was stored, edited and shown, and never reached a provider."""

    def test_a_post_s_title_serves_an_article_without_one(
        self, account: Channel, caller: Gateway
    ) -> None:
        article = an_article(account, None)
        article["settings"]["article_title"] = " "
        del article["settings"]["article_cover"]
        (post,) = caller.post("/posts/valid", body(article)).json["posts"]
        assert [problem["path"] for problem in post["errors"]] == ["posts.0.settings.article_title"]
        article["title"] = "Owls at dusk"
        (post,) = caller.post("/posts/valid", body(article)).json["posts"]
        assert post["errors"] == []

    def test_platforms_say_whether_they_publish_it(self) -> None:
        tables = {one.identifier: one.title_setting for one in catalogue(slugs()).social}
        assert tables["x"] == "article_title"
        assert tables["bluesky"] is None
        for slug in slugs():
            spec = provider(slug).spec
            assert not spec.title_setting or spec.title_setting in spec.settings.model_fields


class TestSettingMedia:
    def test_a_cover_goes_out_with_the_post_and_is_not_shown_in_it(
        self, session: Session, organization: Organization, account: Channel, caller: Gateway
    ) -> None:
        shown, cover = a_media(session, organization), a_media(session, organization)
        named = {"id": str(cover.id), "path": "https://elsewhere.example/a.png"}
        [created] = compose(caller, an_article(account, named, str(shown.id)))
        stored = media_of(session, created["postId"])
        assert stored == [
            {"id": str(shown.id)},
            {"id": str(cover.id), "setting": "article_cover"},
        ]
        assert {shown.id, cover.id} <= set(session.scalars(text(MEDIA_STILL_NEEDED)))
        read = caller.get(f"/posts/{created['postId']}").json
        assert [image["id"] for image in read["posts"][0]["image"]] == [str(shown.id)]
        assert read["settings"]["article_cover"]["id"] == str(cover.id)

    def test_it_is_named_by_its_address_too(
        self, session: Session, organization: Organization, account: Channel, caller: Gateway
    ) -> None:
        cover = a_media(session, organization)
        address = f"https://media.example/files/{organization.id}/{cover.id}/a.png"
        [created] = compose(caller, an_article(account, {"path": address}))
        assert media_of(session, created["postId"]) == [
            {"id": str(cover.id), "setting": "article_cover"}
        ]

    @pytest.mark.parametrize("cover", [None, {}, {"id": "", "path": None}])
    def test_there_need_be_none(
        self, session: Session, account: Channel, caller: Gateway, cover: Any
    ) -> None:
        [created] = compose(caller, an_article(account, cover))
        assert media_of(session, created["postId"]) == []

    @pytest.mark.parametrize("cover", [{"id": "none of ours"}, "a.png", 7])
    def test_what_names_no_file_is_refused_there(
        self, account: Channel, caller: Gateway, cover: Any
    ) -> None:
        refused = caller.post("/posts", body(an_article(account, cover)))
        assert refused.status == 422
        assert paths(refused) == ["posts.0.settings.article_cover"]

    def test_the_dry_run_says_the_same(
        self, session: Session, organization: Organization, account: Channel, caller: Gateway
    ) -> None:
        video = a_media(session, organization, content_type="video/mp4", name="a.mp4")
        said = caller.post("/posts/valid", body(an_article(account, {"id": str(video.id)}))).json
        (post,) = said["posts"]
        assert [problem["path"] for problem in post["errors"]] == ["posts.0.settings.article_cover"]
        assert post["maximumCharacters"] == 100_000

    def test_an_edit_changes_one_without_the_other(
        self, session: Session, organization: Organization, account: Channel, caller: Gateway
    ) -> None:
        old, new, shown = (str(a_media(session, organization).id) for _ in range(3))
        [created] = compose(caller, an_article(account, {"id": old}))
        at = f"/posts/{created['postId']}"
        assert caller.put(at, {"image": [{"id": shown}]}).status == 200
        cover = {"id": old, "setting": "article_cover"}
        assert media_of(session, created["postId"]) == [{"id": shown}, cover]
        settings = an_article(account, {"id": new})["settings"]
        assert caller.put(at, {"settings": settings}).status == 200
        cover = {"id": new, "setting": "article_cover"}
        assert media_of(session, created["postId"]) == [{"id": shown}, cover]
        revision = caller.get(at).json["revision"]
        assert caller.put(at, {"image": [{"id": shown}]}).status == 200
        assert caller.get(at).json["revision"] == revision

    def test_another_platform_has_no_such_setting(
        self, session: Session, organization: Organization, account: Channel, caller: Gateway
    ) -> None:
        [created] = compose(
            caller, an_article(account, {"id": str(a_media(session, organization).id)})
        )
        other = a_channel(session, organization, provider="mastodon")
        moved = {"integration": {"id": str(other.id)}, "settings": {}}
        assert caller.put(f"/posts/{created['postId']}", moved).status == 200
        assert session.scalars(select(Post.media).where(Post.channel_id == other.id)).one() == []

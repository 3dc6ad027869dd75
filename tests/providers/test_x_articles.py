"""Articles on X: what is refused while composing, how one is drafted and published, and what is left open if it fails."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx
import time_machine

from shared.providers import rules
from shared.providers.base import DraftPart, MediaInfo, OutgoingPost, Processing, Released, Staged
from shared.providers.errors import (
    ContentRejected,
    OutcomeUnknown,
    PlatformUnavailable,
    ProviderError,
    RateLimited,
)
from shared.providers.platforms.x import X
from tests.providers.builders import NOON, Storage, a_post
from tests.providers.conftest import SAMPLES, sample
from tests.providers.published import judge
from tests.providers.test_x import HOST, line

DESCRIPTION: Path = SAMPLES / "x" / "articles.openapi.json"
ARTICLE, POST = "2030915708830224384", "2030916179745800224"
DRAFT_URL = f"https://x.com/compose/articles/edit/{ARTICLE}"
PUBLISHED = {
    "post_type": "article",
    "article_title": "The owls are back",
    "article_status": "published",
}
DRAFT = {**PUBLISHED, "article_status": "draft"}
PNG, GIF = MediaInfo("image/png", 9, 9, 9), MediaInfo("image/gif", 9, 9, 9)
VIDEO = MediaInfo("video/mp4", 9, 9, 9, 4_000)


def an_article(
    html: str = "<p>They came at dusk.</p>",
    *,
    settings: dict[str, Any] | None = None,
    **about: Any,
) -> OutgoingPost:
    known = a_post(settings=settings or PUBLISHED, media=about.pop("media", ()))
    fields = {name: getattr(known, name) for name in OutgoingPost.__dataclass_fields__}
    return OutgoingPost(**fields | {"html": html} | about)


@pytest.fixture
def drafts(platform: respx.MockRouter) -> respx.Route:
    return platform.post(f"{HOST}/2/articles/draft").mock(sample("x", "article_drafted", 201))


@pytest.fixture
def publications(platform: respx.MockRouter) -> respx.Route:
    route = platform.post(f"{HOST}/2/articles/{ARTICLE}/publish")
    return route.mock(sample("x", "article_published"))


def judged(route: respx.Route) -> httpx.Request:
    request: httpx.Request = route.calls.last.request
    assert request.headers["authorization"].startswith("OAuth oauth_consumer_key=")
    judge(request, DESCRIPTION)
    return request


def body_of(route: respx.Route) -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(judged(route).content)
    return sent


class TestPublish:
    def test_a_draft_is_made_then_published_under_the_number_of_its_post(
        self, drafts: respx.Route, publications: respx.Route
    ) -> None:
        marks: list[tuple[int, int]] = []
        api = line(mark_sending=lambda: marks.append((drafts.call_count, publications.call_count)))
        waits = X().publish(api, an_article())
        assert waits == Processing({"article": ARTICLE}, timedelta(0))
        assert not api.sent
        assert body_of(drafts) == {
            "title": "The owls are back",
            "content_state": {
                "blocks": [{"text": "They came at dusk.", "type": "unstyled"}],
                "entities": [],
            },
        }
        released = X().resume(api, an_article(), json.loads(json.dumps(waits.state)))
        assert released == Released(POST, f"https://x.com/roost/status/{POST}")
        assert judged(publications).content == b""
        assert marks == [(1, 0)]

    def test_a_rich_text_fits_what_x_describes(self, drafts: respx.Route) -> None:
        X().publish(
            line(),
            an_article(
                "<h1>Owls</h1><ul><li><strong>barn</strong> 🦉</li></ul>"
                '<p><a href="https://example.org">@roost #owls</a> @roost #owls <u>x</u></p>'
            ),
        )
        assert len(body_of(drafts)["content_state"]["blocks"]) == 3

    def test_pictures_stand_in_it_and_the_cover_above(
        self, drafts: respx.Route, storage: Storage
    ) -> None:
        X().publish(
            line(),
            an_article(
                media=[storage.picture()],
                setting_media={"article_cover": storage.picture("cover.png")},
                staged={"ids": ["11", "22"]},
            ),
        )
        sent = body_of(drafts)
        assert sent["cover_media"] == {"media_id": "22", "media_category": "tweet_image"}
        (image,) = sent["content_state"]["entities"]
        assert image["value"]["data"]["media_items"] == [
            {"media_id": "11", "media_category": "tweet_image"}
        ]

    def test_it_never_goes_out_without_its_cover(
        self, drafts: respx.Route, storage: Storage
    ) -> None:
        cover = {"article_cover": storage.picture()}
        with pytest.raises(PlatformUnavailable):
            X().publish(line(), an_article(setting_media=cover))
        assert drafts.call_count == 0

    def test_a_draft_that_stays_one_is_what_is_released(
        self, drafts: respx.Route, publications: respx.Route
    ) -> None:
        marks: list[int] = []
        api = line(mark_sending=lambda: marks.append(drafts.call_count))
        assert X().publish(api, an_article(settings=DRAFT)) == Released(ARTICLE, DRAFT_URL)
        assert marks == [0]
        assert publications.call_count == 0

    @pytest.mark.parametrize(
        ("settings", "error"), [(PUBLISHED, PlatformUnavailable), (DRAFT, OutcomeUnknown)]
    )
    def test_only_a_draft_that_stays_one_may_not_be_made_twice(
        self, drafts: respx.Route, settings: dict[str, Any], error: type[ProviderError]
    ) -> None:
        drafts.mock(side_effect=httpx.ReadTimeout("no answer"))
        api = line()
        with pytest.raises(error):
            X().publish(api, an_article(settings=settings))
        assert api.sent is (settings is DRAFT)

    @pytest.mark.parametrize(
        ("answer", "error", "sent"),
        [
            (httpx.Response(503), OutcomeUnknown, True),
            (httpx.Response(200, json={"data": {}}), OutcomeUnknown, True),
            (sample("x", "article_refused", 403), ContentRejected, False),
            (httpx.Response(429), RateLimited, False),
        ],
    )
    def test_what_the_answer_to_publishing_leaves_open(
        self,
        publications: respx.Route,
        answer: httpx.Response,
        error: type[ProviderError],
        sent: bool,
    ) -> None:
        publications.mock(return_value=answer)
        api = line()
        with pytest.raises(error):
            X().resume(api, an_article(), {"article": ARTICLE})
        assert api.sent is sent

    def test_the_member_hears_that_a_subscription_is_missing(self, drafts: respx.Route) -> None:
        drafts.mock(sample("x", "article_refused", 403))
        with pytest.raises(ContentRejected, match="A Premium subscription is required"):
            X().publish(line(), an_article())

    def test_a_day_s_allowance_is_waited_for(self, drafts: respx.Route) -> None:
        reset = str(int((NOON + timedelta(hours=9)).timestamp()))
        headers = {
            "x-user-limit-24hour-remaining": "0",
            "x-user-limit-24hour-reset": reset,
            "x-rate-limit-reset": str(int(NOON.timestamp())),
        }
        drafts.mock(return_value=httpx.Response(429, headers=headers))
        with time_machine.travel(NOON, tick=False), pytest.raises(RateLimited) as refused:
            X().publish(line(), an_article())
        assert refused.value.retry_after == timedelta(hours=9)
        assert not refused.value.whole_app


class TestStage:
    @pytest.mark.parametrize(("settings", "count"), [(PUBLISHED, 2), ({}, 1)])
    def test_the_cover_of_an_article_is_uploaded_too(
        self,
        platform: respx.MockRouter,
        storage: Storage,
        settings: dict[str, Any],
        count: int,
    ) -> None:
        base = f"{HOST}/2/media/upload"
        ids = iter(["11", "22"])
        begun = platform.post(f"{base}/initialize").mock(
            side_effect=lambda _: httpx.Response(200, json={"data": {"id": next(ids)}})
        )
        platform.post(url__regex=rf"{base}/\d+/append").respond(json={"data": {}})
        platform.post(url__regex=rf"{base}/\d+/finalize").respond(json={"data": {"id": "1"}})
        post = an_article(
            settings={"post_type": "post", **settings},
            media=[storage.picture()],
            setting_media={"article_cover": storage.picture("cover.png")},
        )
        staged = X().stage(line(storage=storage), post, {})
        assert isinstance(staged, Staged)
        assert staged.data == {"ids": ["11", "22"][:count]}
        assert json.loads(begun.calls.last.request.content)["media_category"] == "tweet_image"


class TestLookUp:
    def test_an_article_is_known_by_its_title(self, platform: respx.MockRouter) -> None:
        route = platform.get(f"{HOST}/2/users/2244994945/tweets")
        route.mock(sample("x", "article_timeline"))
        (found,) = X().look_up(line(), an_article(), to=None, since=NOON)
        judge(route.calls.last.request, "x/openapi.json")
        assert found.released.id == POST
        assert found.created_at == datetime(2026, 11, 22, 12, 0, 4, tzinfo=UTC)

    def test_a_draft_cannot_be_found(self, platform: respx.MockRouter) -> None:
        assert X().look_up(line(), an_article(settings=DRAFT), to=None, since=NOON) == []
        assert platform.calls.call_count == 0

    def test_an_answer_to_an_article_is_a_post(self, platform: respx.MockRouter) -> None:
        platform.get(f"{HOST}/2/users/2244994945/tweets").mock(sample("x", "article_timeline"))
        reply = an_article(text="The owls are back", position=1)
        (found,) = X().look_up(line(), reply, to=None, since=NOON)
        assert found.released.id == "2030916179745800223"


class TestRules:
    @pytest.mark.parametrize(
        ("settings", "parts", "paths"),
        [
            (PUBLISHED, [DraftPart("a", [PNG, PNG], {"article_cover": PNG})], []),
            (PUBLISHED, [DraftPart("a" * 100_000), DraftPart("b")], []),
            (PUBLISHED, [DraftPart("a" * 100_001)], ["value.0.content"]),
            (PUBLISHED, [DraftPart("a"), DraftPart("b" * 281)], ["value.1.content"]),
            ({}, [DraftPart("a" * 281)], ["value.0.content"]),
            (DRAFT, [DraftPart("a"), DraftPart("b")], ["value.1"]),
            (
                {"post_type": "article"},
                [DraftPart("a")],
                ["settings.article_title", "settings.article_status"],
            ),
            ({**PUBLISHED, "article_title": " "}, [DraftPart("a")], ["settings.article_title"]),
            (
                {**PUBLISHED, "article_status": "later"},
                [DraftPart("a")],
                ["settings.article_status"],
            ),
            ({**PUBLISHED, "article_cover": "a.png"}, [DraftPart("a")], ["settings.article_cover"]),
            (PUBLISHED, [DraftPart("a", [VIDEO])], ["value.0.image.0"]),
            (PUBLISHED, [DraftPart("a", [PNG, GIF])], ["value.0.image.1"]),
            (PUBLISHED, [DraftPart("a"), DraftPart("b", [PNG, GIF])], ["value.1.image"]),
            (PUBLISHED, [DraftPart("a", [], {"article_cover": GIF})], ["settings.article_cover"]),
            (
                {
                    **PUBLISHED,
                    "who_can_reply_post": "following",
                    "community": "https://x.com/i/communities/1",
                    "made_with_ai": True,
                    "paid_partnership": True,
                },
                [DraftPart("a")],
                [
                    "settings.who_can_reply_post",
                    "settings.community",
                    "settings.made_with_ai",
                    "settings.paid_partnership",
                ],
            ),
        ],
    )
    def test_what_an_article_cannot_be(
        self, settings: dict[str, Any], parts: list[DraftPart], paths: list[str]
    ) -> None:
        assert [one.path for one in rules.check(X(), parts, settings)] == paths


class TestReleaseFromUrl:
    @pytest.mark.parametrize(
        ("url", "released"),
        [
            (DRAFT_URL, Released(ARTICLE, DRAFT_URL)),
            (f"{DRAFT_URL}/preview", Released(ARTICLE, DRAFT_URL)),
            (
                f"https://x.com/roost/article/{POST}",
                Released(POST, f"https://x.com/roost/status/{POST}"),
            ),
            (f"https://x.com/other/article/{POST}", None),
            (f"https://x.com/i/article/{ARTICLE}", None),
            ("https://x.com/compose/articles", None),
        ],
    )
    def test_reads_the_post_or_the_draft(self, url: str, released: Released | None) -> None:
        found = X().release_from_url(url, remote_id="2244994945", username="roost")
        assert found == released

    def test_a_draft_has_no_counters(self, platform: respx.MockRouter) -> None:
        assert X().post_series(line(), Released(ARTICLE, DRAFT_URL)) == []
        assert platform.calls.call_count == 0

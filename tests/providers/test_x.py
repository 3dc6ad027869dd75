import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import respx
import time_machine

from shared.providers import rules
from shared.providers.base import (
    DraftPart,
    MediaInfo,
    Processing,
    Released,
    Series,
    Staged,
    ThreadPosition,
)
from shared.providers.errors import (
    AppMisconfigured,
    ChannelDisconnected,
    ContentRejected,
    MediaRejected,
    PlatformUnavailable,
    ProviderError,
    RateLimited,
    TokenExpired,
)
from shared.providers.http import Api
from shared.providers.platforms.x import CHUNK_BYTES, X
from tests.providers.builders import NOON, Storage, a_post, an_access, an_api
from tests.providers.conftest import sample
from tests.providers.published import judge

HOST = "https://api.x.com"
MEDIA = "1146654567674912769"


def line(**about: Any) -> Api:
    access = an_access(remote_id="2244994945", details={"tokenSecret": "the-token-s-secret"})
    return an_api(X(), access=access, **about)


def judged(route: respx.Route) -> httpx.Request:
    request: httpx.Request = route.calls.last.request
    assert request.headers["authorization"].startswith("OAuth oauth_consumer_key=")
    judge(request, "x/openapi.json")
    return request


def body_of(route: respx.Route) -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(judged(route).content)
    return sent


@pytest.fixture
def tweets(platform: respx.MockRouter) -> respx.Route:
    return platform.post(f"{HOST}/2/tweets").mock(sample("x", "created", 201))


@pytest.fixture
def uploads(platform: respx.MockRouter) -> dict[str, respx.Route]:
    base = f"{HOST}/2/media/upload"
    return {
        "initialize": platform.post(f"{base}/initialize").mock(sample("x", "initialized")),
        "append": platform.post(f"{base}/{MEDIA}/append").respond(json={"data": {"expires_at": 1}}),
        "finalize": platform.post(f"{base}/{MEDIA}/finalize").mock(sample("x", "finalized_image")),
        "status": platform.get(base).mock(sample("x", "status_succeeded")),
        "metadata": platform.post(f"{HOST}/2/media/metadata").respond(json={"data": {"id": MEDIA}}),
    }


class TestPublish:
    def test_creates_the_post_and_says_where_it_is(self, tweets: respx.Route) -> None:
        marks: list[int] = []
        api = line(mark_sending=lambda: marks.append(tweets.call_count))
        released = X().publish(api, a_post("The owls are back."))
        assert released == Released(
            "1994300000000000001", "https://x.com/roost/status/1994300000000000001"
        )
        assert body_of(tweets) == {"text": "The owls are back."}
        assert marks == [0]

    def test_sends_what_the_member_chose(self, tweets: respx.Route) -> None:
        chosen = {
            "who_can_reply_post": "mentionedUsers",
            "community": "https://x.com/i/communities/1493446837214187523",
            "made_with_ai": True,
            "paid_partnership": True,
        }
        X().publish(line(), a_post(settings=chosen))
        assert body_of(tweets) == {
            "text": "The owls are back.",
            "reply_settings": "mentionedUsers",
            "community_id": "1493446837214187523",
            "share_with_followers": True,
            "made_with_ai": True,
            "paid_partnership": True,
        }

    def test_attaches_staged_media(self, tweets: respx.Route, storage: Storage) -> None:
        X().publish(line(), a_post(media=[storage.picture()], staged={"ids": [MEDIA]}))
        assert body_of(tweets)["media"] == {"media_ids": [MEDIA]}

    def test_never_goes_out_without_its_media(self, tweets: respx.Route, storage: Storage) -> None:
        with pytest.raises(PlatformUnavailable):
            X().publish(line(), a_post(media=[storage.picture()]))
        assert tweets.call_count == 0

    def test_a_reply_names_the_part_before_and_chooses_nothing(self, tweets: respx.Route) -> None:
        to = ThreadPosition(root=Released("1", "u1"), parent=Released("2", "u2"))
        X().reply(line(), a_post(settings={"who_can_reply_post": "following"}), to=to)
        assert body_of(tweets) == {
            "text": "The owls are back.",
            "reply": {"in_reply_to_tweet_id": "2"},
        }


class TestStage:
    def test_a_described_picture(self, uploads: dict[str, respx.Route], storage: Storage) -> None:
        picture = storage.picture(alt="An owl on a roof")
        staged = X().stage(line(storage=storage), a_post(media=[picture]), {})
        assert isinstance(staged, Staged)
        assert staged.data == {"ids": [MEDIA]}
        assert body_of(uploads["initialize"]) == {
            "media_type": "image/png",
            "media_category": "tweet_image",
            "total_bytes": picture.size_bytes,
        }
        assert b'name="segment_index"\r\n\r\n0' in judged(uploads["append"]).content
        judged(uploads["finalize"])
        assert body_of(uploads["metadata"])["metadata"] == {
            "alt_text": {"text": "An owl on a roof"}
        }
        assert uploads["status"].call_count == 0

    def test_a_video_in_segments_and_waits_as_long_as_x_says(
        self, uploads: dict[str, respx.Route], storage: Storage
    ) -> None:
        uploads["finalize"].mock(sample("x", "finalized_video"))
        uploads["status"].mock(
            side_effect=[sample("x", "status_in_progress"), sample("x", "status_succeeded")]
        )
        video = storage.video(content=bytes(CHUNK_BYTES * 2 + 5))
        api, post = line(storage=storage), a_post(media=[video])
        waits = X().stage(api, post, {})
        assert waits == Processing({"ids": [MEDIA], "waiting": [MEDIA]}, timedelta(seconds=11))
        judged(uploads["status"])
        done = X().stage(api, post, json.loads(json.dumps(waits.state)))
        assert isinstance(done, Staged)
        assert body_of(uploads["initialize"])["media_category"] == "tweet_video"
        assert uploads["append"].call_count == 3
        assert [length for _, _, length in storage.reads] == [CHUNK_BYTES, CHUNK_BYTES, 5]

    def test_goes_on_with_the_next_segment(
        self, uploads: dict[str, respx.Route], storage: Storage
    ) -> None:
        video = storage.video(content=bytes(CHUNK_BYTES * 2 + 5))
        post = a_post(media=[video])
        hurried = line(storage=storage, deadline=time.monotonic() + 10)
        early = X().stage(hurried, post, {})
        assert early == Processing(
            {"ids": [], "waiting": [], "upload": MEDIA, "segment": 1}, timedelta(0)
        )
        done = X().stage(line(storage=storage), post, early.state)
        assert isinstance(done, Staged)
        assert (uploads["initialize"].call_count, uploads["append"].call_count) == (1, 3)

    def test_a_failed_video_is_refused_with_the_reason(
        self, uploads: dict[str, respx.Route], storage: Storage
    ) -> None:
        uploads["finalize"].mock(sample("x", "finalized_video"))
        uploads["status"].mock(sample("x", "status_failed"))
        with pytest.raises(MediaRejected, match="Unsupported video format"):
            X().stage(line(storage=storage), a_post(media=[storage.video()]), {})


class TestLookUp:
    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("Owls & co. https://example.org/owls/", ["1994300000000000009"]),
            ("Owls & co.\n\nexample.org/owls", ["1994300000000000009"]),
            ("Owls & co. https://example.org/other", []),
            ("Owls", []),
        ],
    )
    def test_compares_through_short_links(
        self, platform: respx.MockRouter, text: str, found: list[str]
    ) -> None:
        route = platform.get(f"{HOST}/2/users/2244994945/tweets").mock(sample("x", "timeline"))
        matches = X().look_up(line(), a_post(text), to=None, since=NOON - timedelta(minutes=2))
        judged(route)
        assert [match.released.id for match in matches] == found
        assert all(
            match.created_at == datetime(2026, 11, 22, 12, 0, 2, tzinfo=UTC) for match in matches
        )


class TestClassify:
    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            (sample("x", "duplicate", 403), ContentRejected),
            (sample("x", "suspended", 403), ChannelDisconnected),
            (sample("x", "permissions", 403), AppMisconfigured),
            (httpx.Response(402, json={"title": "CreditsDepleted"}), AppMisconfigured),
            (httpx.Response(403, json={"title": "Unsupported Authentication"}), TokenExpired),
            (httpx.Response(400, json={"detail": "Your media IDs are invalid."}), MediaRejected),
            (
                httpx.Response(
                    403,
                    json={"detail": "You are not allowed to post a video longer than 2 minutes."},
                ),
                MediaRejected,
            ),
        ],
    )
    def test_reads_x_s_refusals(
        self, platform: respx.MockRouter, answer: httpx.Response, error: type[ProviderError]
    ) -> None:
        platform.post(f"{HOST}/2/tweets").mock(answer)
        with pytest.raises(error):
            X().publish(line(), a_post())

    @pytest.mark.parametrize(
        ("answer", "whole_app"),
        [
            (sample("x", "usage_capped", 403), True),
            (httpx.Response(429, headers={"x-app-limit-24hour-remaining": "0"}), True),
            (httpx.Response(429, headers={"x-rate-limit-reset": "9999999999"}), False),
        ],
    )
    def test_tells_a_limit_of_the_application_from_the_channel_s(
        self, platform: respx.MockRouter, answer: httpx.Response, whole_app: bool
    ) -> None:
        platform.post(f"{HOST}/2/tweets").mock(answer)
        with pytest.raises(RateLimited) as refused:
            X().publish(line(), a_post())
        assert refused.value.whole_app is whole_app


class TestRules:
    @pytest.mark.parametrize(
        ("account", "longest"),
        [
            ({}, 280),
            ({"verified": False, "verifiedType": "none"}, 280),
            ({"verified": True}, 4_000),
            ({"verified": True, "verifiedType": "blue"}, 25_000),
        ],
    )
    def test_the_subscription_decides_the_length(
        self, account: dict[str, Any], longest: int
    ) -> None:
        fits, too_long = [DraftPart("x" * longest)], [DraftPart("x" * (longest + 1))]
        assert rules.check(X(), fits, {}, account=account) == []
        assert [one.code for one in rules.check(X(), too_long, {}, account=account)] == ["too_long"]

    @pytest.mark.parametrize(("minutes", "codes"), [(20, []), (21, ["video_too_long"])])
    def test_a_video_ends_where_every_account_s_does(self, minutes: int, codes: list[str]) -> None:
        video = MediaInfo("video/mp4", 1_000, 640, 360, minutes * 60_000)
        refused = rules.check(X(), [DraftPart("a", [video])], {})
        assert [one.code for one in refused] == codes

    def test_a_gif_goes_alone(self) -> None:
        gif, png = MediaInfo("image/gif", 9, 9, 9), MediaInfo("image/png", 9, 9, 9)
        (one,) = rules.check(X(), [DraftPart("a", [gif, png])], {})
        assert (one.path, one.code) == ("value.0.image", "mixed_media")

    @pytest.mark.parametrize(
        ("settings", "path"),
        [
            ({"community": "https://elsewhere.example/1"}, "settings.community"),
            ({"post_type": "story"}, "settings.post_type"),
            ({"who_can_reply_post": "nobody"}, "settings.who_can_reply_post"),
        ],
    )
    def test_a_wrong_choice_is_named(self, settings: dict[str, Any], path: str) -> None:
        assert [one.path for one in rules.check(X(), [DraftPart("a")], settings)] == [path]


class TestMentions:
    def test_looks_up_one_exact_handle(self, platform: respx.MockRouter) -> None:
        route = platform.get(f"{HOST}/2/users/by/username/roost").mock(sample("x", "me"))
        (found,) = X().find_mentions(line(), "@roost")
        judged(route)
        assert X().format_mention(found.id, found.label) == "@roost"

    def test_what_is_no_handle_is_not_asked(self, platform: respx.MockRouter) -> None:
        assert X().find_mentions(line(), "the owl society") == []
        assert platform.calls.call_count == 0


class TestReleaseFromUrl:
    @pytest.mark.parametrize(
        "url",
        [
            "https://x.com/Roost/status/1445880548472328192",
            "https://twitter.com/roost/status/1445880548472328192?s=20",
            "mobile.twitter.com/roost/status/1445880548472328192/photo/1",
            "https://x.com/i/status/1445880548472328192",
            " https://www.x.com/i/web/status/1445880548472328192/ ",
        ],
    )
    def test_reads_the_post(self, url: str) -> None:
        released = X().release_from_url(url, remote_id="2244994945", username="roost")
        assert released == Released(
            "1445880548472328192", "https://x.com/roost/status/1445880548472328192"
        )

    @pytest.mark.parametrize(
        "url",
        [
            "https://x.com/other/status/1445880548472328192",
            "https://x.com/roost",
            "https://x.com/roost/status/1445880548472328192x",
            "https://x.com.example/roost/status/1445880548472328192",
            "https://example.org/?https://x.com/roost/status/1445880548472328192",
            "javascript://x.com/roost/status/1445880548472328192",
        ],
    )
    def test_anything_else_is_none_of_ours(self, url: str) -> None:
        assert X().release_from_url(url, remote_id="2244994945", username="roost") is None


class TestReports:
    def test_sums_each_day_s_posts(self, platform: respx.MockRouter) -> None:
        route = platform.get(f"{HOST}/2/users/2244994945/tweets").mock(sample("x", "metrics"))
        with time_machine.travel(NOON, tick=False):
            series = {one.label: one for one in X().account_series(line(), days=7)}
        judged(route)
        assert series["Impressions"] == Series(
            "Impressions", [("2026-11-20", 50), ("2026-11-21", 400)]
        )
        assert series["Likes"].points == [("2026-11-20", 1), ("2026-11-21", 7)]

    def test_reads_a_post_s_counters(self, platform: respx.MockRouter) -> None:
        first = sample("x", "metrics").json()["data"][0]
        route = platform.get(f"{HOST}/2/tweets/3").respond(json={"data": first})
        with time_machine.travel(NOON, tick=False):
            series = {one.label: one.points for one in X().post_series(line(), Released("3", "u"))}
        judged(route)
        assert series["Bookmarks"] == [("2026-11-22", 2)]


class TestRevoke:
    @pytest.mark.parametrize("status", [200, 401])
    def test_ends_the_token_if_it_still_lives(
        self, platform: respx.MockRouter, status: int
    ) -> None:
        route = platform.post(f"{HOST}/1.1/oauth/invalidate_token").respond(status, json={})
        X().revoke(line())
        assert "oauth_token=" in route.calls.last.request.headers["authorization"]

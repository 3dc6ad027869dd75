import io
import json
import time
import tracemalloc
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

import httpx
import pytest
import respx
import time_machine
from pypdf import PdfReader

from shared.providers import rules
from shared.providers.base import (
    DraftPart,
    MediaInfo,
    OutgoingPost,
    PlatformPage,
    Processing,
    Released,
    Staged,
    ThreadPosition,
)
from shared.providers.errors import (
    AppMisconfigured,
    ChannelDisconnected,
    ContentRejected,
    MediaRejected,
    OutcomeUnknown,
    PlatformUnavailable,
    ProviderError,
    RateLimited,
    TokenExpired,
    Unsupported,
)
from shared.providers.families.linkedin.carousel import document_of
from shared.providers.families.linkedin.rest import VERSION
from shared.providers.families.linkedin.text import little_text
from shared.providers.http import Api
from shared.providers.platforms.linkedin import LinkedInPage
from shared.providers.uploads import MAX_RANGE, RangeFile
from tests.providers.builders import NOON, REFRESH_TOKEN, TOKEN, Storage, a_post, an_access, an_api
from tests.providers.conftest import sample
from tests.providers.not_judged import not_judged
from tests.providers.published import judge
from tests.shared.core.pictures import a_jpeg

HOST = "https://api.linkedin.com"
PAGE = "urn:li:organization:2414183"
SHARE = "urn:li:share:7000000000000000001"
ROOT = Released(SHARE, f"https://www.linkedin.com/feed/update/{SHARE}")
QUOTED_SHARE = "urn%3Ali%3Ashare%3A7000000000000000001"


def line(**about: Any) -> Api:
    return an_api(LinkedInPage(), access=an_access(remote_id="2414183"), **about)


def body_of(route: respx.Route, *, described: str | None = None) -> dict[str, Any]:
    request: httpx.Request = route.calls.last.request
    assert request.headers["linkedin-version"] == VERSION
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    if described:
        # The description leaves out the /rest prefix under which the versioned API lives.
        bare = str(request.url).replace("/rest/", "/")
        copy = httpx.Request(request.method, bare, headers=request.headers, content=request.content)
        judge(copy, f"linkedin/{described}.openapi.json")
    else:
        not_judged(f"{request.method} {request.url.path}", "this test names no description")
    sent: dict[str, Any] = json.loads(request.content) if request.content else {}
    return sent


@pytest.fixture
def posts(platform: respx.MockRouter) -> respx.Route:
    return platform.post(f"{HOST}/rest/posts").respond(201, headers={"x-restli-id": SHARE})


class TestConnect:
    def test_without_approval_there_is_no_refresh_token_and_sixty_days(
        self, platform: respx.MockRouter
    ) -> None:
        platform.post("https://www.linkedin.com/oauth/v2/accessToken").mock(
            sample("linkedin-page", "token_without_refresh")
        )
        platform.get(f"{HOST}/v2/me").mock(sample("linkedin-page", "me"))
        connection = LinkedInPage().connect(line(), code="c", redirect_uri="r", remember={})
        assert connection.tokens.refresh is None
        assert connection.tokens.expires_at is not None


class TestPages:
    def test_lists_those_the_person_may_post_to(self, platform: respx.MockRouter) -> None:
        platform.get(f"{HOST}/rest/organizationAcls").mock(sample("linkedin-page", "acls"))
        lookup = platform.get(url__startswith=f"{HOST}/rest/organizationsLookup").mock(
            sample("linkedin-page", "lookup")
        )
        assert LinkedInPage().pages(line()) == [PlatformPage("2414183", "Roost", "roost")]
        assert str(lookup.calls.last.request.url).endswith("?ids=List(2414183)")
        body_of(lookup, described="community")

    def test_no_page_is_an_empty_list(self, platform: respx.MockRouter) -> None:
        platform.get(f"{HOST}/rest/organizationAcls").respond(json={"elements": []})
        assert LinkedInPage().pages(line()) == []

    def test_a_chosen_page_takes_the_person_s_token(self, platform: respx.MockRouter) -> None:
        platform.get(f"{HOST}/rest/organizationAcls").mock(sample("linkedin-page", "acls"))
        platform.get(url__startswith=f"{HOST}/v2/organizations/2414183").mock(
            sample("linkedin-page", "organization")
        )
        person = an_api(LinkedInPage(), access=an_access(remote_id="yrZCpj2Z12", expires_at=NOON))
        connection = LinkedInPage().choose_page(person, "2414183")
        assert connection.account.remote_id == "2414183"
        assert connection.account.picture_url == "https://media.licdn.com/dms/image/roost"
        assert (connection.tokens.access, connection.tokens.refresh) == (TOKEN, REFRESH_TOKEN)
        assert connection.tokens.expires_at == NOON
        assert connection.details == {"person": "yrZCpj2Z12"}

    def test_a_page_of_others_is_refused(self, platform: respx.MockRouter) -> None:
        platform.get(f"{HOST}/rest/organizationAcls").mock(sample("linkedin-page", "acls"))
        with pytest.raises(ChannelDisconnected):
            LinkedInPage().choose_page(line(), "999")


class TestPublish:
    def test_creates_the_post_and_says_where_it_is(self, posts: respx.Route) -> None:
        marks: list[int] = []
        released = LinkedInPage().publish(
            line(mark_sending=lambda: marks.append(posts.call_count)), a_post("Owls")
        )
        assert released == ROOT
        assert body_of(posts, described="content") == {
            "author": PAGE,
            "commentary": "Owls",
            "visibility": "PUBLIC",
            "distribution": {
                "feedDistribution": "MAIN_FEED",
                "targetEntities": [],
                "thirdPartyDistributionChannels": [],
            },
            "lifecycleState": "PUBLISHED",
            "isReshareDisabledByAuthor": False,
        }
        assert marks == [0]

    def test_nothing_in_a_text_is_read_as_markup(self, posts: respx.Route) -> None:
        LinkedInPage().publish(line(), a_post("Owls (all of them)"))
        assert body_of(posts)["commentary"] == r"Owls \(all of them\)"

    def test_one_picture_and_several(self, posts: respx.Route, storage: Storage) -> None:
        one, two = storage.picture(alt="An owl"), storage.picture("b.png")
        LinkedInPage().publish(line(), a_post(media=[one], staged={"urns": ["urn:li:image:1"]}))
        assert body_of(posts)["content"] == {"media": {"id": "urn:li:image:1", "altText": "An owl"}}
        LinkedInPage().publish(
            line(), a_post(media=[one, two], staged={"urns": ["urn:li:image:1", "urn:li:image:2"]})
        )
        assert body_of(posts)["content"] == {
            "multiImage": {
                "images": [{"id": "urn:li:image:1", "altText": "An owl"}, {"id": "urn:li:image:2"}]
            }
        }

    def test_never_goes_out_without_its_media(self, posts: respx.Route, storage: Storage) -> None:
        with pytest.raises(PlatformUnavailable):
            LinkedInPage().publish(line(), a_post(media=[storage.picture()]))
        assert posts.call_count == 0

    def test_a_post_without_a_name_is_unknown(self, platform: respx.MockRouter) -> None:
        platform.post(f"{HOST}/rest/posts").respond(201)
        with pytest.raises(OutcomeUnknown):
            LinkedInPage().publish(line(), a_post())

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            (sample("linkedin-page", "duplicate", 422), ContentRejected),
            (
                httpx.Response(
                    403, json={"message": "Not enough permissions to access: partnerApiPosts"}
                ),
                ChannelDisconnected,
            ),
            (httpx.Response(403, json={"message": "resource is forbidden"}), PlatformUnavailable),
            (
                httpx.Response(
                    426,
                    json={
                        "code": "NONEXISTENT_VERSION",
                        "message": "Requested version 20240401 is not active",
                    },
                ),
                AppMisconfigured,
            ),
            (
                httpx.Response(
                    401, json={"message": "The token has expired", "code": "EXPIRED_ACCESS_TOKEN"}
                ),
                TokenExpired,
            ),
        ],
    )
    def test_says_linkedin_s_reason(
        self, platform: respx.MockRouter, answer: httpx.Response, error: type[ProviderError]
    ) -> None:
        platform.post(f"{HOST}/rest/posts").mock(answer)
        with pytest.raises(error):
            LinkedInPage().publish(line(), a_post())

    @pytest.mark.parametrize(
        ("words", "whole_app", "hours"),
        [
            (
                "Resource level throttle APPLICATION DAY limit for calls to this resource is reached.",
                True,
                12,
            ),
            (
                "Resource level throttle MEMBER DAY limit for calls to this resource is reached.",
                False,
                12,
            ),
            ("Too many requests", False, 1 / 60),
        ],
    )
    def test_a_daily_limit_ends_at_midnight(
        self, platform: respx.MockRouter, words: str, whole_app: bool, hours: float
    ) -> None:
        platform.post(f"{HOST}/rest/posts").respond(429, json={"message": words})
        with time_machine.travel(NOON, tick=False), pytest.raises(RateLimited) as refused:
            LinkedInPage().publish(line(), a_post())
        assert refused.value.whole_app is whole_app
        assert refused.value.retry_after == timedelta(hours=hours)


class TestReply:
    def test_comments_on_the_root(self, platform: respx.MockRouter) -> None:
        route = platform.post(url__startswith=f"{HOST}/rest/socialActions/").respond(
            201, headers={"x-restli-id": "6636062862760562688"}
        )
        to = ThreadPosition(root=ROOT, parent=Released("urn:li:comment:(x,1)", "u"))
        released = LinkedInPage().reply(
            line(), a_post("Hi (you) @[Acme](urn:li:organization:1)"), to=to
        )
        assert (
            route.calls.last.request.url.raw_path
            == f"/rest/socialActions/{QUOTED_SHARE}/comments".encode()
        )
        assert body_of(route) == {
            "actor": PAGE,
            "object": SHARE,
            "message": {"text": "Hi (you) Acme"},
        }
        assert released.id == "urn:li:comment:(share:7000000000000000001,6636062862760562688)"
        assert released.url != ROOT.url

    def test_takes_no_files(self) -> None:
        parts = [DraftPart("a"), DraftPart("b", [MediaInfo("image/png", 9, 9, 9)])]
        assert [one.code for one in rules.check(LinkedInPage(), parts, {})] == ["media_in_replies"]


class TestLittleText:
    @pytest.mark.parametrize(
        ("written", "escaped"),
        [
            ("plain, really!", "plain, really!"),
            (
                "a (b) [c] {d} <e> f|g *h* ~i~ j_k \\ @l",
                r"a \(b\) \[c\] \{d\} \<e\> f\|g \*h\* \~i\~ j\_k \\ \@l",
            ),
            ("#owls and #1 & C# #a_b", r"{hashtag|\#|owls} and \#1 & C\# {hashtag|\#|a\_b}"),
            ("@[Acme (Inc)](urn:li:organization:12)!", r"@[Acme \(Inc\)](urn:li:organization:12)!"),
            ("@[x](https://evil.example)", r"\@\[x\]\(https://evil.example\)"),
        ],
    )
    def test_escapes_markup_and_keeps_mentions_and_hashtags(
        self, written: str, escaped: str
    ) -> None:
        assert little_text(written) == escaped


class TestStage:
    def test_uploads_a_picture_and_waits_until_it_is_available(
        self, platform: respx.MockRouter, storage: Storage
    ) -> None:
        begun = platform.post(f"{HOST}/rest/images?action=initializeUpload").mock(
            sample("linkedin-page", "image_upload")
        )
        put = platform.put("https://www.linkedin.com/dms-uploads/C4E/uploaded-image/0").respond(201)
        status = platform.get(url__startswith=f"{HOST}/rest/images/urn").mock(
            side_effect=[
                httpx.Response(200, json={"status": "PROCESSING"}),
                httpx.Response(200, json={"status": "AVAILABLE"}),
            ]
        )
        picture = storage.picture()
        api, post = line(storage=storage), a_post(media=[picture])
        waits = LinkedInPage().stage(api, post, {})
        assert isinstance(waits, Processing)
        done = LinkedInPage().stage(api, post, json.loads(json.dumps(waits.state)))
        assert isinstance(done, Staged)
        assert done.data == {"urns": ["urn:li:image:C4E10AQ"]}
        assert body_of(begun, described="content") == {"initializeUploadRequest": {"owner": PAGE}}
        assert put.calls.last.request.content == storage.files[picture.key]
        assert (begun.call_count, put.call_count, status.call_count) == (1, 1, 2)

    def video(self, platform: respx.MockRouter) -> tuple[respx.Route, respx.Route, respx.Route]:
        begun = platform.post(f"{HOST}/rest/videos?action=initializeUpload").mock(
            sample("linkedin-page", "video_upload")
        )
        put = platform.put(url__startswith="https://www.linkedin.com/dms-uploads/C5F/").mock(
            side_effect=lambda request: httpx.Response(
                200, headers={"etag": f'"etag-{request.url.path[-1]}"'}
            )
        )
        end = platform.post(f"{HOST}/rest/videos?action=finalizeUpload").respond(200)
        platform.get(url__startswith=f"{HOST}/rest/videos/urn").respond(
            json={"status": "AVAILABLE"}
        )
        return begun, put, end

    def test_uploads_a_video_in_the_pieces_asked_for(
        self, platform: respx.MockRouter, storage: Storage
    ) -> None:
        begun, put, end = self.video(platform)
        post = a_post(media=[storage.video(content=bytes(5_000_000))])
        staged = LinkedInPage().stage(line(storage=storage), post, {})
        assert isinstance(staged, Staged)
        assert (
            body_of(begun, described="content")["initializeUploadRequest"]["fileSizeBytes"]
            == 5_000_000
        )
        assert [len(call.request.content) for call in put.calls] == [4_194_304, 805_696]
        assert body_of(end)["finalizeUploadRequest"] == {
            "video": "urn:li:video:C5F10AQ",
            "uploadToken": "",
            "uploadedPartIds": ["etag-0", "etag-1"],
        }

    def test_goes_on_with_the_next_piece(
        self, platform: respx.MockRouter, storage: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun, put, _ = self.video(platform)
        post = a_post(media=[storage.video(content=bytes(5_000_000))])
        hurried = line(storage=storage)
        monkeypatch.setattr(
            hurried, "time_left", lambda: timedelta(seconds=10 if storage.reads else 900)
        )
        early = LinkedInPage().stage(hurried, post, {})
        assert isinstance(early, Processing)
        assert put.call_count == 1
        done = LinkedInPage().stage(
            line(storage=storage), post, json.loads(json.dumps(early.state))
        )
        assert isinstance(done, Staged)
        assert (begun.call_count, put.call_count) == (1, 2)

    def test_a_failed_file_is_refused_with_the_reason(
        self, platform: respx.MockRouter, storage: Storage
    ) -> None:
        platform.get(url__startswith=f"{HOST}/rest/images/urn").respond(
            json={"status": "PROCESSING_FAILED", "processingFailureReason": "too grainy"}
        )
        progress = {"urns": ["urn:li:image:1"], "waiting": ["urn:li:image:1"]}
        with pytest.raises(MediaRejected, match="too grainy"):
            LinkedInPage().stage(line(storage=storage), a_post(media=[storage.picture()]), progress)


class TestLookUp:
    def test_compares_the_page_s_latest_posts(self, platform: respx.MockRouter) -> None:
        route = platform.get(url__startswith=f"{HOST}/rest/posts?q=author").mock(
            sample("linkedin-page", "posts")
        )
        found = LinkedInPage().look_up(
            line(),
            a_post("The owls are back (again)"),
            to=None,
            since=NOON - timedelta(minutes=2),
        )
        assert [one.released.id for one in found] == ["urn:li:share:7000000000000000002"]
        assert "author=urn%3Ali%3Aorganization%3A2414183" in str(route.calls.last.request.url)


class TestLookUpComment:
    TO = ThreadPosition(root=ROOT, parent=Released("urn:li:comment:(x,1)", "u"))
    WRITTEN = "Part two (of two)\n\nMore at @[Acme](urn:li:organization:1)"
    NUMBER = "6636062862760562688"

    @pytest.fixture
    def comments(self, platform: respx.MockRouter) -> respx.Route:
        return platform.get(url__startswith=f"{HOST}/rest/socialActions/{QUOTED_SHARE}/comments?")

    def look_up(self, text: str = WRITTEN, *, since: timedelta = timedelta(minutes=2)) -> list[str]:
        post = a_post(text, position=1)
        found = LinkedInPage().look_up(line(), post, to=self.TO, since=NOON - since)
        return [one.released.id for one in found]

    def some(self, *numbers: int, **paging: int) -> httpx.Response:
        """Answer a page of comments, all with the text and of the page."""
        (written, *_) = json.loads(sample("linkedin-page", "comments").content)["elements"]
        elements = [{**written, "id": str(number)} for number in numbers]
        return httpx.Response(200, json={"elements": elements, "paging": paging})

    def test_finds_the_page_s_own_with_that_text_since_then(self, comments: respx.Route) -> None:
        comments.mock(sample("linkedin-page", "comments"))
        assert self.look_up() == [f"urn:li:comment:(share:7000000000000000001,{self.NUMBER})"]
        assert comments.call_count == 1, "the answer says how many there are"
        assert self.look_up("Part two (of two)") == []
        assert self.look_up(since=timedelta(days=2)) == [
            f"urn:li:comment:(share:7000000000000000001,{number})"
            for number in (self.NUMBER, "6636062862760562691")
        ]

    @pytest.mark.parametrize(
        "header", [NUMBER, f"urn:li:comment:(urn:li:activity:7000000000000000009,{NUMBER})"]
    )
    def test_names_it_as_the_answer_would_have(
        self, platform: respx.MockRouter, comments: respx.Route, header: str
    ) -> None:
        platform.post(url__startswith=f"{HOST}/rest/socialActions/").respond(
            201, headers={"x-restli-id": header}
        )
        comments.mock(sample("linkedin-page", "comments"))
        made = LinkedInPage().reply(line(), a_post(self.WRITTEN, position=1), to=self.TO)
        assert self.look_up() == [made.id]

    def test_a_short_page_is_not_taken_for_the_last(self, comments: respx.Route) -> None:
        comments.mock(side_effect=[self.some(1, 2), self.some(3, 2), self.some()])
        assert len(self.look_up()) == 3
        asked = [call.request.url.params["start"] for call in comments.calls]
        assert asked == ["0", "2", "4"]

    def test_a_platform_that_knows_no_pages_is_asked_twice(self, comments: respx.Route) -> None:
        comments.mock(return_value=self.some(1))
        assert len(self.look_up()) == 1
        assert comments.call_count == 2

    def test_among_too_many_none_is_surely_the_only_one(self, comments: respx.Route) -> None:
        pages = [self.some(number, total=1_000) for number in range(11)]
        comments.mock(side_effect=pages)
        with pytest.raises(Unsupported, match="too many comments"):
            self.look_up()
        assert comments.call_count == 10

    def test_not_being_allowed_to_look_is_no_word_on_the_channel(
        self, comments: respx.Route
    ) -> None:
        words = "Not enough permissions to access: partnerApiSocialActions.GET_ALL.20260601"
        comments.respond(403, json={"message": words, "status": 403})
        with pytest.raises(Unsupported, match="does not let Roost check") as refused:
            self.look_up()
        assert refused.value.evidence.status == 403


class TestRules:
    def test_a_comment_is_shorter_than_a_post(self) -> None:
        long, longest = DraftPart("x" * 1_251), DraftPart("x" * 1_250)
        assert rules.check(LinkedInPage(), [long, longest], {}) == []
        (one,) = rules.check(LinkedInPage(), [longest, long], {})
        assert (one.path, one.code) == ("value.1.content", "too_long")
        assert one.context == {"limit": 1_250, "actual": 1_251}

    def test_a_long_comment_is_refused_once(self) -> None:
        (one,) = rules.check(LinkedInPage(), [DraftPart("a"), DraftPart("x" * 3_001)], {})
        assert one.code == "too_long"


class TestCarousel:
    ON: ClassVar[dict[str, Any]] = {
        "post_as_images_carousel": True,
        "carousel_name": "Owls at dusk",
    }
    PICTURE = MediaInfo("image/jpeg", 400_000, 1_080, 1_350)

    def refused(self, *media: MediaInfo, **settings: Any) -> list[tuple[str, str]]:
        found = rules.check(LinkedInPage(), [DraftPart("a", media)], {**self.ON, **settings})
        return [(one.path, one.code) for one in found]

    def post(self, storage: Storage, *pictures: bytes, **changes: Any) -> OutgoingPost:
        media = [
            storage.picture(f"{number}.jpg", content, content_type="image/jpeg", alt="An owl")
            for number, content in enumerate(pictures)
        ]
        return a_post(media=media, **{"settings": self.ON, **changes})

    def upload(self, platform: respx.MockRouter) -> tuple[respx.Route, respx.Route]:
        begun = platform.post(f"{HOST}/rest/documents?action=initializeUpload").mock(
            sample("linkedin-page", "document_upload")
        )
        put = platform.put(url__startswith="https://www.linkedin.com/dms-uploads/D4E/").respond(201)
        return begun, put

    @pytest.mark.parametrize(
        ("media", "problems"),
        [
            ([PICTURE] * 2, []),
            ([PICTURE] * 100, []),
            ([PICTURE, MediaInfo("image/png", 9_000_000, 7_000, 4_000)], []),
            ([], [("value.0.image", "too_few_media")]),
            ([PICTURE], [("value.0.image", "too_few_media")]),
            (
                [PICTURE] * 301,
                [("value.0.image", "too_many_media"), ("value.0.image", "too_large")],
            ),
            (
                [PICTURE, PICTURE, MediaInfo("video/mp4", 9, duration_ms=9_000)],
                [("value.0.image", "too_many_media")],
            ),
            (
                [PICTURE, PICTURE, MediaInfo("image/gif", 9, 9, 9, moves=True)],
                [("value.0.image.2", "moving_picture")],
            ),
            ([MediaInfo("image/jpeg", 9_000_000, 9, 9)] * 12, [("value.0.image", "too_large")]),
        ],
    )
    def test_what_makes_none_is_refused(
        self, media: list[MediaInfo], problems: list[tuple[str, str]]
    ) -> None:
        assert self.refused(*media) == problems

    def test_refusals_speak_of_a_carousel(self) -> None:
        video = MediaInfo("video/mp4", 9, duration_ms=9_000)
        media = [self.PICTURE, self.PICTURE, video]
        (one,) = rules.check(LinkedInPage(), [DraftPart("a", media)], self.ON)
        assert one.message == "LinkedIn Page allows no videos in a carousel; there are 1."

    def test_switched_off_it_asks_for_nothing(self) -> None:
        assert self.refused(self.PICTURE, post_as_images_carousel=False) == []

    def test_comments_stay_text_only(self) -> None:
        parts = [DraftPart("a", [self.PICTURE] * 2), DraftPart("b", [self.PICTURE])]
        assert [one.path for one in rules.check(LinkedInPage(), parts, self.ON)] == [
            "value.1.image"
        ]

    def test_a_title_that_is_too_long_is_refused(self) -> None:
        assert self.refused(self.PICTURE, self.PICTURE, carousel_name="x" * 256) == [
            ("settings.carousel_name", "string_too_long")
        ]

    def test_goes_out_as_one_document_once_its_pages_are_made(
        self, platform: respx.MockRouter, storage: Storage, posts: respx.Route
    ) -> None:
        begun, put = self.upload(platform)
        status = platform.get(url__startswith=f"{HOST}/rest/documents/urn%3Ali%3Adocument").mock(
            side_effect=[
                httpx.Response(200, json={"status": "PROCESSING"}),
                httpx.Response(200, json={"status": "AVAILABLE"}),
            ]
        )
        post = self.post(storage, a_jpeg(1_080, 1_350), a_jpeg(600, 800, orientation=6))
        uploaded = LinkedInPage().stage(line(storage=storage), post, {})
        assert isinstance(uploaded, Processing)
        assert (uploaded.after, status.call_count) == (timedelta(0), 0), "it is to be stored first"
        waits = LinkedInPage().stage(line(), post, json.loads(json.dumps(uploaded.state)))
        assert isinstance(waits, Processing)
        assert waits.after > timedelta(0)
        done = LinkedInPage().stage(line(), post, json.loads(json.dumps(waits.state)))
        assert isinstance(done, Staged)
        assert (begun.call_count, put.call_count, status.call_count) == (1, 1, 2)
        assert body_of(begun, described="content") == {"initializeUploadRequest": {"owner": PAGE}}

        upload = put.calls.last.request
        assert upload.headers["content-type"] == "application/pdf"
        assert upload.headers["content-length"] == str(len(upload.content))
        document = PdfReader(io.BytesIO(upload.content), strict=True)
        sizes = [tuple(page.mediabox[2:]) for page in document.pages]
        assert sizes == [(1_080, 1_350), (800, 600)]
        assert document.metadata is not None
        assert document.metadata.title == "Owls at dusk"

        staged = json.loads(json.dumps(done.data))
        released = LinkedInPage().publish(line(), replace(post, staged=staged))
        assert released == ROOT
        assert body_of(posts, described="content")["content"] == {
            "media": {"title": "Owls at dusk", "id": "urn:li:document:D4E10AQ"}
        }

    @pytest.mark.parametrize("named", [{}, {"carousel_name": "  "}])
    def test_has_a_title_when_none_is_given(
        self, posts: respx.Route, storage: Storage, named: dict[str, str]
    ) -> None:
        post = self.post(
            storage,
            a_jpeg(),
            a_jpeg(),
            settings={"post_as_images_carousel": True, **named},
            staged={"urns": ["urn:li:document:1"]},
        )
        LinkedInPage().publish(line(), post)
        assert body_of(posts)["content"]["media"]["title"] == "slides"

    @pytest.mark.parametrize("urns", [[], ["urn:li:image:1", "urn:li:image:2"]])
    def test_never_goes_out_without_its_document(
        self, posts: respx.Route, storage: Storage, urns: list[str]
    ) -> None:
        post = self.post(storage, a_jpeg(), a_jpeg(), staged={"urns": urns})
        with pytest.raises(PlatformUnavailable):
            LinkedInPage().publish(line(), post)
        assert posts.call_count == 0

    def test_is_not_begun_when_time_is_short(
        self, platform: respx.MockRouter, storage: Storage
    ) -> None:
        begun, _ = self.upload(platform)
        post = self.post(storage, a_jpeg(), a_jpeg())
        hurried = line(storage=storage, deadline=time.monotonic() + 10)
        assert LinkedInPage().stage(hurried, post, {}) == Processing({}, timedelta(0))
        assert (begun.call_count, storage.reads) == (0, [])

    def test_a_damaged_picture_is_named(self, platform: respx.MockRouter, storage: Storage) -> None:
        begun, _ = self.upload(platform)
        post = self.post(storage, a_jpeg(), a_jpeg()[:100])
        with pytest.raises(MediaRejected, match="Picture 2"):
            LinkedInPage().stage(line(storage=storage), post, {})
        assert begun.call_count == 0

    def test_a_document_that_is_too_large_is_not_begun(
        self, platform: respx.MockRouter, storage: Storage
    ) -> None:
        begun, _ = self.upload(platform)
        post = self.post(storage, *[a_jpeg() + bytes(9_000_000)] * 12)
        with pytest.raises(MediaRejected, match=r"100 MB.*108"):
            LinkedInPage().stage(line(storage=storage), post, {})
        assert begun.call_count == 0

    def test_a_document_without_pages_is_refused_with_the_reason(
        self, platform: respx.MockRouter, storage: Storage
    ) -> None:
        platform.get(url__startswith=f"{HOST}/rest/documents/urn").respond(
            json={"status": "PROCESSING_FAILED", "processingFailureReason": "unreadable"}
        )
        progress = {"urns": ["urn:li:document:1"], "waiting": ["urn:li:document:1"]}
        with pytest.raises(MediaRejected, match="unreadable"):
            LinkedInPage().stage(
                line(storage=storage), self.post(storage, a_jpeg(), a_jpeg()), progress
            )

    def test_holds_one_range_whatever_the_size(self, storage: Storage) -> None:
        post = self.post(storage, *[a_jpeg() + bytes(9_000_000)] * 11)
        api = line(storage=storage)
        tracemalloc.start()
        body = RangeFile(api, document_of(api, post.media, "slides"))
        sent = sum(len(part) for part in iter(lambda: body.read(65_536), b""))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert sent > 99_000_000
        assert peak < 16 * 1024**2
        assert max(length for _, _, length in storage.reads) <= MAX_RANGE


class TestReleaseFromUrl:
    @pytest.mark.parametrize(
        ("url", "urn"),
        [
            (ROOT.url, SHARE),
            (
                "linkedin.com/feed/update/urn%3Ali%3AugcPost%3A71/?actorCompanyId=24",
                "urn:li:ugcPost:71",
            ),
            ("https://de.linkedin.com/feed/update/urn:li:activity:72", "urn:li:activity:72"),
            (
                "https://www.linkedin.com/posts/roost_owls-activity-73-aB_c?x=y",
                "urn:li:activity:73",
            ),
            ("https://www.linkedin.com/posts/roost_owls-ugcPost-74-aBcD", "urn:li:ugcPost:74"),
        ],
    )
    def test_reads_the_post(self, url: str, urn: str) -> None:
        released = LinkedInPage().release_from_url(url, remote_id="2414183")
        assert released == Released(urn, f"https://www.linkedin.com/feed/update/{urn}")

    def test_reads_a_comment_that_the_address_names(self, platform: respx.MockRouter) -> None:
        platform.post(url__startswith=f"{HOST}/rest/socialActions/").respond(
            201, headers={"x-restli-id": "6636062862760562688"}
        )
        made = LinkedInPage().reply(line(), a_post("Hi"), to=ThreadPosition(ROOT, ROOT))
        assert LinkedInPage().release_from_url(made.url, remote_id="2414183") == made

    @pytest.mark.parametrize(
        "url",
        [
            "https://www.linkedin.com/company/roost",
            "https://www.linkedin.com/feed/update/urn:li:person:1",
            "https://www.linkedin.com/feed/update/urn:li:share:1),List(2",
            "https://linkedin.com.example/feed/update/urn:li:share:1",
        ],
    )
    def test_anything_else_is_no_post(self, url: str) -> None:
        assert LinkedInPage().release_from_url(url, remote_id="2414183") is None


class TestMentions:
    def test_finds_a_company_by_its_address(self, platform: respx.MockRouter) -> None:
        route = platform.get(f"{HOST}/v2/organizations").respond(
            json={"elements": [{"id": 12, "localizedName": "Acme", "vanityName": "acme"}]}
        )
        (found,) = LinkedInPage().find_mentions(line(), "https://www.linkedin.com/company/acme/")
        assert route.calls.last.request.url.params["vanityName"] == "acme"
        assert (
            LinkedInPage().format_mention(found.id, found.label)
            == "@[Acme](urn:li:organization:12)"
        )

    def test_a_tool_says_how_a_company_is_mentioned(self, platform: respx.MockRouter) -> None:
        route = platform.get(f"{HOST}/v2/organizations").respond(
            json={"elements": [{"id": 12, "localizedName": "Acme", "vanityName": "acme"}]}
        )
        (tool,) = LinkedInPage.tools
        (field,) = tool.fields
        sent = {field.key: "https://www.linkedin.com/company/acme/"}
        found = LinkedInPage().run_tool(line(), tool.name, sent)
        assert found == [{"label": "Acme", "value": "@[Acme](urn:li:organization:12)"}]
        assert LinkedInPage().run_tool(line(), tool.name, {}) == []
        assert route.call_count == 1


class TestReports:
    def test_reads_the_page_s_days(self, platform: respx.MockRouter) -> None:
        asked = {
            name: platform.get(url__startswith=f"{HOST}/rest/{path}").mock(
                sample("linkedin-page", name)
            )
            for name, path in (
                ("page_statistics", "organizationPageStatistics"),
                ("share_statistics", "organizationalEntityShareStatistics"),
                ("follower_statistics", "organizationalEntityFollowerStatistics"),
            )
        }
        with time_machine.travel(NOON, tick=False):
            series = {
                one.label: one.points for one in LinkedInPage().account_series(line(), days=7)
            }
        assert series == {
            "Page Views": [("2026-11-21", 31)],
            "Clicks": [("2026-11-21", 9)],
            "Shares": [("2026-11-21", 2)],
            "Engagement": [("2026-11-21", 0.11)],
            "Comments": [("2026-11-21", 1)],
            "Organic Followers": [("2026-11-21", 3)],
            "Paid Followers": [("2026-11-21", 0)],
        }
        for route in asked.values():
            assert "timeGranularityType:DAY" in str(route.calls.last.request.url)
            body_of(route, described="community")

    def test_reads_a_post_s_numbers(self, platform: respx.MockRouter) -> None:
        route = platform.get(
            url__startswith=f"{HOST}/rest/organizationalEntityShareStatistics"
        ).mock(sample("linkedin-page", "share_statistics"))
        series = {one.label: one.points[0][1] for one in LinkedInPage().post_series(line(), ROOT)}
        assert series["Impressions"] == 100
        assert f"shares=List({QUOTED_SHARE})" in str(route.calls.last.request.url)

    def test_of_a_comment_there_are_none(self) -> None:
        comment = Released("urn:li:comment:(share:7,8)", "https://www.linkedin.com/feed/update/x")
        assert LinkedInPage().post_series(line(), comment) == []

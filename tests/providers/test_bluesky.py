import dataclasses
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import respx
import time_machine

from shared.core.config import settings
from shared.core.errors import InvalidInput
from shared.providers import rules
from shared.providers.base import (
    DraftPart,
    OutgoingMedia,
    Processing,
    Released,
    Staged,
    ThreadPosition,
)
from shared.providers.errors import (
    ChannelDisconnected,
    ContentRejected,
    GrantRejected,
    MediaRejected,
    OutcomeUnknown,
    PlatformUnavailable,
    ProviderError,
    TokenExpired,
)
from shared.providers.http import Api
from shared.providers.platforms.bluesky import VIDEO_SERVICE, Bluesky, record_key
from tests.providers.builders import (
    NOON,
    PIXEL,
    REFRESH_TOKEN,
    Storage,
    a_post,
    an_access,
    an_api,
)
from tests.providers.conftest import sample
from tests.providers.published import judge_lexicon

DID = "did:plc:jpsfolrrnlcxddv6rtbbplqv"
HOST = "https://morel.us-east.host.bsky.network"
CID = "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua"
FORM = {
    "service": "https://bsky.social",
    "identifier": "roost.bsky.social",
    "password": "app-password",
}
BLOB = sample("bluesky", "blob").json()["blob"]


def line(**about: Any) -> Api:
    return an_api(Bluesky(), access=an_access(remote_id=DID, details={"base": HOST}), **about)


# What @atproto/pds 0.4.217 answers to a record with a picture of 1.5 MB.
TOO_BIG = {
    "error": "InvalidRequest",
    "message": (
        "Invalid app.bsky.feed.post record: blob too big (maximum 1000000, got 1500000) "
        "at $.record.embed.images[0].image"
    ),
}


def with_spare(storage: Storage) -> OutgoingMedia:
    """Store a photo that some servers find too large, and its smaller copy."""
    spare = storage.picture("spare.png", PIXEL + b"s")
    photo = storage.picture("photo.png", PIXEL + b"photo", width=4, height=3, alt="An owl")
    return dataclasses.replace(photo, spare=spare)


@pytest.fixture
def put(platform: respx.MockRouter) -> respx.Route:
    return platform.post(f"{HOST}/xrpc/com.atproto.repo.putRecord").mock(
        sample("bluesky", "written")
    )


def record_of(route: respx.Route) -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(route.calls.last.request.content)
    judge_lexicon(sent, "com.atproto.repo.putRecord")
    judge_lexicon(sent["record"], "app.bsky.feed.post")
    record: dict[str, Any] = sent["record"]
    return record


def directory(platform: respx.MockRouter, **changes: Any) -> respx.Route:
    """Answer as the directory of DIDs does."""
    document = {**sample("bluesky", "did").json(), **changes}
    return platform.get(f"https://plc.directory/{DID}").respond(json=document)


def entryway(platform: respx.MockRouter) -> respx.Route:
    """Let bsky.social log in for the account's own server."""
    directory(platform)
    session = sample("bluesky", "session").json()
    platform.get(f"{HOST}/xrpc/com.atproto.server.getSession").respond(
        json={name: session[name] for name in ("did", "handle")}
    )
    return platform.post("https://bsky.social/xrpc/com.atproto.server.createSession").mock(
        sample("bluesky", "session")
    )


class TestConnect:
    def test_goes_on_at_the_account_s_own_server(self, platform: respx.MockRouter) -> None:
        login = entryway(platform)
        profile = platform.get(f"{HOST}/xrpc/app.bsky.actor.getProfile").mock(
            sample("bluesky", "profile")
        )
        connection = Bluesky().connect(
            an_api(Bluesky()), code=json.dumps(FORM), redirect_uri="", remember={}
        )
        judge_lexicon(
            json.loads(login.calls.last.request.content), "com.atproto.server.createSession"
        )
        judge_lexicon(dict(profile.calls.last.request.url.params), "app.bsky.actor.getProfile")
        assert connection.details == {"base": HOST}
        assert connection.account.remote_id == DID
        assert connection.account.name == "Roost"
        assert connection.tokens.expires_at == datetime(2026, 11, 22, 14, 0, tzinfo=UTC)
        assert "app-password" not in repr(connection)

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (
                {"error": "AuthenticationRequired", "message": "Invalid identifier or password"},
                "Invalid identifier",
            ),
            (
                {"error": "AuthFactorTokenRequired", "message": "A sign in code"},
                "Use an app password",
            ),
        ],
    )
    def test_a_refused_login_says_why(
        self, platform: respx.MockRouter, body: dict[str, str], words: str
    ) -> None:
        platform.post("https://bsky.social/xrpc/com.atproto.server.createSession").respond(
            401, json=body
        )
        with pytest.raises(GrantRejected, match=words):
            Bluesky().connect(
                an_api(Bluesky()), code=json.dumps(FORM), redirect_uri="", remember={}
            )

    def test_a_server_without_profiles_is_enough(self, platform: respx.MockRouter) -> None:
        entryway(platform)
        platform.get(f"{HOST}/xrpc/app.bsky.actor.getProfile").respond(
            501, json={"error": "MethodNotImplemented"}
        )
        connection = Bluesky().connect(
            an_api(Bluesky()), code=json.dumps(FORM), redirect_uri="", remember={}
        )
        assert connection.account.name == "roost.bsky.social"

    @pytest.mark.parametrize(
        "endpoint", ["http://169.254.169.254", "https://[abc", "https://a.example:port", "", None]
    )
    def test_a_document_that_leads_inside_or_nowhere_is_refused(
        self, platform: respx.MockRouter, endpoint: str | None
    ) -> None:
        """Finding 4.2f, for servers that a document names: an address that cannot be read is a refusal too."""
        entryway(platform)
        named = {"serviceEndpoint": endpoint}
        directory(platform, service=[{**sample("bluesky", "did").json()["service"][0], **named}])
        with pytest.raises(InvalidInput):
            Bluesky().connect(
                an_api(Bluesky()), code=json.dumps(FORM), redirect_uri="", remember={}
            )

    def test_the_document_that_a_server_hands_over_is_not_believed(
        self, platform: respx.MockRouter
    ) -> None:
        """Finding 2.1: `didDoc` in the answer to a login is the server's own claim."""
        evil = sample("bluesky", "session").json()
        evil["didDoc"]["service"][0]["serviceEndpoint"] = "https://evil.example"
        entryway(platform).respond(json=evil)
        platform.get(f"{HOST}/xrpc/app.bsky.actor.getProfile").mock(sample("bluesky", "profile"))
        connection = Bluesky().connect(
            an_api(Bluesky()), code=json.dumps(FORM), redirect_uri="", remember={}
        )
        assert connection.details == {"base": HOST}

    def test_the_directory_s_address_is_a_setting(
        self, platform: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        entryway(platform)
        platform.get(f"{HOST}/xrpc/app.bsky.actor.getProfile").mock(sample("bluesky", "profile"))
        ours = platform.get(f"http://127.0.0.1:9/{DID}").mock(sample("bluesky", "did"))
        monkeypatch.setenv("PROVIDER_BASE_URLS", '{"plc.directory": "http://127.0.0.1:9/"}')
        settings.cache_clear()
        try:
            Bluesky().connect(
                an_api(Bluesky()), code=json.dumps(FORM), redirect_uri="", remember={}
            )
        finally:
            monkeypatch.undo()
            settings.cache_clear()
        assert ours.called


class TestRefresh:
    def test_trades_the_refresh_token(self, platform: respx.MockRouter) -> None:
        route = platform.post(f"{HOST}/xrpc/com.atproto.server.refreshSession").mock(
            sample("bluesky", "session")
        )
        tokens = Bluesky().refresh(line())
        assert route.calls.last.request.headers["authorization"] == f"Bearer {REFRESH_TOKEN}"
        assert tokens.refresh == sample("bluesky", "session").json()["refreshJwt"]

    @pytest.mark.parametrize(
        ("status", "name", "error"),
        [
            (400, "ExpiredToken", GrantRejected),
            (401, "InvalidToken", GrantRejected),
            (400, "InvalidRequest", PlatformUnavailable),
            (502, "UpstreamFailure", PlatformUnavailable),
        ],
    )
    def test_only_an_ended_session_disconnects(
        self, platform: respx.MockRouter, status: int, name: str, error: type[ProviderError]
    ) -> None:
        platform.post(f"{HOST}/xrpc/com.atproto.server.refreshSession").respond(
            status, json={"error": name}
        )
        with pytest.raises(error):
            Bluesky().refresh(line())


class TestPublish:
    def test_writes_the_record_only_where_there_is_none(self, put: respx.Route) -> None:
        marks: list[int] = []
        with time_machine.travel(NOON + timedelta(days=3), tick=False):
            released = Bluesky().publish(
                line(mark_sending=lambda: marks.append(put.call_count)), a_post()
            )
        assert released == Released(
            f"at://{DID}/app.bsky.feed.post/3m66qxkzv5k2a",
            f"https://bsky.app/profile/{DID}/post/3m66qxkzv5k2a",
            {"cid": CID},
        )
        sent = json.loads(put.calls.last.request.content)
        assert sent["swapRecord"] is None
        assert sent["rkey"] == record_key(a_post())
        # Feeds sort by it: a post composed three days ago must not appear three days old.
        assert record_of(put)["createdAt"] == "2026-11-25T12:00:00.000Z"
        assert marks == [0]

    def test_a_reply_names_root_and_parent(self, put: respx.Route) -> None:
        root = Released(f"at://{DID}/app.bsky.feed.post/a", "u", {"cid": CID})
        parent = Released(f"at://{DID}/app.bsky.feed.post/b", "u", {"cid": CID})
        Bluesky().reply(line(), a_post(), to=ThreadPosition(root, parent))
        assert record_of(put)["reply"] == {
            "root": {"uri": root.id, "cid": CID},
            "parent": {"uri": parent.id, "cid": CID},
        }

    def test_pictures_carry_description_and_ratio(self, put: respx.Route, storage: Storage) -> None:
        pictures = [
            storage.picture(width=4, height=3, alt="An owl"),
            storage.picture("b.png", width=None),
        ]
        Bluesky().publish(line(), a_post(media=pictures, staged={"blobs": [BLOB, BLOB]}))
        assert record_of(put)["embed"]["images"] == [
            {"image": BLOB, "alt": "An owl", "aspectRatio": {"width": 4, "height": 3}},
            {"image": BLOB, "alt": ""},
        ]

    def test_a_picture_that_the_server_calls_too_big_is_replaced_by_its_smaller_copy(
        self, platform: respx.MockRouter, storage: Storage
    ) -> None:
        """Finding 1.10: the post failed for good, "blob too big". Read from @atproto/pds 0.4.217."""
        refusal = httpx.Response(400, json=TOO_BIG)
        put = platform.post(f"{HOST}/xrpc/com.atproto.repo.putRecord").mock(
            side_effect=[refusal, sample("bluesky", "written")]
        )
        upload = platform.post(f"{HOST}/xrpc/com.atproto.repo.uploadBlob").mock(
            sample("bluesky", "blob")
        )
        photo, small = with_spare(storage), storage.picture("small.png", width=4, height=3)
        first = {**BLOB, "size": photo.size_bytes}
        kept = {**BLOB, "size": small.size_bytes}
        api = line(storage=storage)
        Bluesky().publish(api, a_post(media=[photo, small], staged={"blobs": [first, kept]}))
        assert photo.spare is not None
        assert [call.request.content for call in upload.calls] == [storage.files[photo.spare.key]]
        before, after = (json.loads(call.request.content) for call in put.calls)
        assert (before["rkey"], before["swapRecord"]) == (after["rkey"], after["swapRecord"])
        assert [one["image"] for one in after["record"]["embed"]["images"]] == [BLOB, kept]
        assert [one["alt"] for one in record_of(put)["embed"]["images"]] == ["An owl", ""]

    @pytest.mark.parametrize("staged_size", ["the spare's", "the photo's"])
    def test_a_picture_that_stays_too_big_is_refused_after_one_repeat(
        self, platform: respx.MockRouter, storage: Storage, staged_size: str
    ) -> None:
        """Finding 1.10: and the smaller copy is not sent twice."""
        put = platform.post(f"{HOST}/xrpc/com.atproto.repo.putRecord").respond(400, json=TOO_BIG)
        platform.post(f"{HOST}/xrpc/com.atproto.repo.uploadBlob").mock(sample("bluesky", "blob"))
        photo = with_spare(storage)
        assert photo.spare is not None
        is_spare = staged_size == "the spare's"
        blob = {**BLOB, "size": photo.spare.size_bytes if is_spare else photo.size_bytes}
        api = line(storage=storage)
        with pytest.raises(MediaRejected, match="blob too big"):
            Bluesky().publish(api, a_post(media=[photo], staged={"blobs": [blob]}))
        assert put.call_count == (1 if is_spare else 2)
        assert not api.sent

    def test_a_text_that_is_too_big_is_no_picture_s_fault(
        self, platform: respx.MockRouter, storage: Storage
    ) -> None:
        message = "Invalid app.bsky.feed.post record: string too big (maximum 3000, got 3001) at $.record.text"
        put = platform.post(f"{HOST}/xrpc/com.atproto.repo.putRecord").respond(
            400, json={"error": "InvalidRequest", "message": message}
        )
        photo = with_spare(storage)
        blob = {**BLOB, "size": photo.size_bytes}
        with pytest.raises(ContentRejected):
            Bluesky().publish(line(), a_post(media=[photo], staged={"blobs": [blob]}))
        assert put.call_count == 1

    def test_an_answer_that_is_lost_after_the_smaller_copy_is_in_doubt(
        self, platform: respx.MockRouter, storage: Storage
    ) -> None:
        """Finding 1.10: the refusal of the first request says nothing of the second."""
        platform.post(f"{HOST}/xrpc/com.atproto.repo.putRecord").mock(
            side_effect=[httpx.Response(400, json=TOO_BIG), httpx.ReadTimeout("silence")]
        )
        platform.post(f"{HOST}/xrpc/com.atproto.repo.uploadBlob").mock(sample("bluesky", "blob"))
        photo = with_spare(storage)
        blob = {**BLOB, "size": photo.size_bytes}
        api = line(storage=storage)
        with pytest.raises(OutcomeUnknown):
            Bluesky().publish(api, a_post(media=[photo], staged={"blobs": [blob]}))
        assert api.sent

    def test_never_goes_out_without_its_media(self, put: respx.Route, storage: Storage) -> None:
        with pytest.raises(PlatformUnavailable):
            Bluesky().publish(line(), a_post(media=[storage.picture()]))
        assert put.call_count == 0

    @pytest.mark.parametrize(
        ("stored", "outcome"), [("The owls are back.", "released"), ("Something else", "refused")]
    )
    def test_a_repeat_finds_the_first_try_s_post(
        self, platform: respx.MockRouter, stored: str, outcome: str
    ) -> None:
        platform.post(f"{HOST}/xrpc/com.atproto.repo.putRecord").respond(
            400, json={"error": "InvalidSwap", "message": "Record was at ..."}
        )
        uri = f"at://{DID}/app.bsky.feed.post/3m66qxkzv5k2a"
        value = {"text": stored, "createdAt": "2026-11-22T12:00:00.000Z"}
        platform.get(f"{HOST}/xrpc/com.atproto.repo.getRecord").respond(
            json={"uri": uri, "cid": CID, "value": value}
        )
        if outcome == "released":
            assert Bluesky().publish(line(), a_post()).id == uri
        else:
            with pytest.raises(ContentRejected):
                Bluesky().publish(line(), a_post())

    @pytest.mark.parametrize(
        ("status", "name", "error"),
        [
            (400, "InvalidRequest", ContentRejected),
            (400, "ExpiredToken", TokenExpired),
            (400, "AccountTakedown", ChannelDisconnected),
            (502, "UpstreamFailure", OutcomeUnknown),
        ],
    )
    def test_says_the_server_s_reason(
        self, platform: respx.MockRouter, status: int, name: str, error: type[ProviderError]
    ) -> None:
        body = {"error": name, "message": "because"}
        platform.post(f"{HOST}/xrpc/com.atproto.repo.putRecord").respond(status, json=body)
        with pytest.raises(error, match="because") as refused:
            Bluesky().publish(line(), a_post())
        assert refused.value.evidence.platform_code == name


class TestReleaseFromUrl:
    @pytest.mark.parametrize(
        "url",
        [
            "https://bsky.app/profile/Roost.bsky.social/post/3m66qxkzv5k2a",
            f"https://bsky.app/profile/{DID}/post/3m66qxkzv5k2a/liked-by",
            "bsky.app/profile/did%3Aplc%3Ajpsfolrrnlcxddv6rtbbplqv/post/3m66qxkzv5k2a?x=y",
        ],
    )
    def test_names_the_record_of_the_account(self, url: str) -> None:
        assert Bluesky().release_from_url(
            url, remote_id=DID, username="roost.bsky.social"
        ) == Released(
            f"at://{DID}/app.bsky.feed.post/3m66qxkzv5k2a",
            f"https://bsky.app/profile/{DID}/post/3m66qxkzv5k2a",
        )

    @pytest.mark.parametrize(
        "url",
        [
            "https://bsky.app/profile/other.bsky.social/post/3m66qxkzv5k2a",
            "https://bsky.app/profile/did:plc:other/post/3m66qxkzv5k2a",
            f"https://bsky.app.example/profile/{DID}/post/3m66qxkzv5k2a",
            f"https://bsky.app/profile/{DID}",
            f"https://bsky.app/profile/{DID}/post/a b",
        ],
    )
    def test_anything_else_is_none_of_ours(self, url: str) -> None:
        assert Bluesky().release_from_url(url, remote_id=DID, username="roost.bsky.social") is None

    def test_another_s_did_is_none_of_ours_even_where_the_handle_is_not_known(self) -> None:
        url = "https://bsky.app/profile/did:plc:other/post/3m66qxkzv5k2a"
        assert Bluesky().release_from_url(url, remote_id=DID) is None

    def test_can_be_answered(self, platform: respx.MockRouter, put: respx.Route) -> None:
        found = Bluesky().release_from_url(
            f"https://bsky.app/profile/{DID}/post/3m66qxkzv5k2a", remote_id=DID
        )
        assert found is not None
        platform.get(
            f"{HOST}/xrpc/com.atproto.repo.getRecord",
            params={"repo": DID, "collection": "app.bsky.feed.post", "rkey": "3m66qxkzv5k2a"},
        ).respond(json={"uri": found.id, "cid": CID, "value": {}})
        Bluesky().reply(line(), a_post(), to=ThreadPosition(found, found))
        assert record_of(put)["reply"]["root"] == {"uri": found.id, "cid": CID}


class TestLanguages:
    def langs(self, put: respx.Route, text: str, language: str = "") -> Any:
        Bluesky().publish(line(), a_post(text, settings={"language": language}))
        return record_of(put).get("langs")

    @pytest.mark.parametrize(
        ("text", "langs"),
        [
            ("부엉이가 Seoul 지붕 위에 돌아왔습니다", ["ko"]),
            ("ふくろうが屋根に帰ってきた", ["ja"]),
            ("นกฮูกกลับมาแล้ว", ["th"]),
            ("Οι κουκουβάγιες επέστρεψαν", ["el"]),
            ("הינשופים חזרו https://example.org/a-long-address-in-latin-letters", ["he"]),
            ("ბუები დაბრუნდნენ", ["ka"]),
            ("Բուերը վերադարձել են", ["hy"]),
            ("The owls are back", None),
            ("Совы вернулись", None),
            ("عادت البوم", None),
            ("貓頭鷹回來了", None),
            ("優の良品，貓頭鷹回來了", None),
            ("The angle α is small", None),
            ("🦉 2026", None),
        ],
    )
    def test_only_a_script_of_one_language_decides(
        self, put: respx.Route, text: str, langs: list[str] | None
    ) -> None:
        """Finding 4.6: no post named its language."""
        assert self.langs(put, text) == langs

    def test_the_member_s_word_goes_before_the_script(self, put: respx.Route) -> None:
        """Finding 4.6."""
        assert self.langs(put, "부엉이", "en, pt-BR,zh-Hant-TW,en") == ["en", "pt-BR", "zh-Hant-TW"]

    @pytest.mark.parametrize(
        ("language", "said"),
        [
            ("English", '"English" is not a language code. Write one such as en or pt-BR.'),
            ("en_US", '"en_US" is not a language code'),
            ("en pt", '"en pt" is not a language code'),
            ("en,de,fr,it", "at most 3 languages; there are 4"),
        ],
    )
    def test_refuses_what_is_no_code_and_names_the_field(self, language: str, said: str) -> None:
        """Finding 4.6."""
        (refused,) = rules.check(Bluesky(), [DraftPart("<p>Owls</p>")], {"language": language})
        assert refused.path == "settings.language"
        assert said in refused.message


class TestFindRelease:
    """Finding 1.1d: an invented address was accepted; the record is read now."""

    KEY = "3m66qxkzv5k2a"
    URI = f"at://{DID}/app.bsky.feed.post/{KEY}"
    URL = f"https://bsky.app/profile/{DID}/post/{KEY}"

    def record(self, platform: respx.MockRouter) -> respx.Route:
        return platform.get(
            f"{HOST}/xrpc/com.atproto.repo.getRecord",
            params={"repo": DID, "collection": "app.bsky.feed.post", "rkey": self.KEY},
        )

    @pytest.mark.parametrize(
        "url", [URL, f"https://bsky.app/profile/an-older-handle.example/post/{KEY}"]
    )
    def test_reads_the_record_of_an_address(self, platform: respx.MockRouter, url: str) -> None:
        self.record(platform).respond(json={"uri": self.URI, "cid": CID, "value": {}})
        found = Bluesky().find_release(line(), url)
        assert found is not None
        assert (found.id, found.url, found.data["cid"]) == (self.URI, self.URL, CID)

    @pytest.mark.parametrize("id", [URI, KEY])
    def test_reads_the_record_of_an_id(self, platform: respx.MockRouter, id: str) -> None:
        self.record(platform).respond(json={"uri": self.URI, "cid": CID, "value": {}})
        found = Bluesky().find_release_by_id(line(), id)
        assert found is not None
        assert found.id == self.URI

    def test_there_is_none(self, platform: respx.MockRouter) -> None:
        self.record(platform).respond(400, json={"error": "RecordNotFound", "message": "no"})
        assert Bluesky().find_release(line(), self.URL) is None
        assert Bluesky().find_release_by_id(line(), self.KEY) is None

    @pytest.mark.parametrize(
        "id",
        [
            "",
            "..",
            ".",
            "a/b",
            "at://did:plc:other/app.bsky.feed.post/1",
            f"at://{DID}/app.bsky.feed.like/1",
        ],
    )
    def test_nobody_is_asked_for_what_is_no_post_of_the_account(self, id: str) -> None:
        assert Bluesky().find_release_by_id(line(), id) is None
        assert (
            Bluesky().find_release(line(), f"https://bsky.app/profile/did:plc:other/post/{id}")
            is None
        )

    def test_a_server_that_fails_is_no_answer(self, platform: respx.MockRouter) -> None:
        self.record(platform).respond(502)
        with pytest.raises(PlatformUnavailable):
            Bluesky().find_release(line(), self.URL)


class TestFacets:
    def test_marks_utf8_bytes_and_only_handles_that_exist(
        self, platform: respx.MockRouter, put: respx.Route
    ) -> None:
        def resolve(request: httpx.Request) -> httpx.Response:
            if request.url.params["handle"] == "ada.example":
                return httpx.Response(200, json={"did": "did:plc:ada"})
            return httpx.Response(
                400, json={"error": "InvalidRequest", "message": "Unable to resolve handle"}
            )

        platform.get(f"{HOST}/xrpc/com.atproto.identity.resolveHandle").mock(side_effect=resolve)
        text = "👩‍👧 ü @ada.example (@bob.example) https://ex.org/é? see ex.org. #owls, #1 #Größe!"
        Bluesky().publish(line(), a_post(text))
        marked = {
            text.encode()[facet["index"]["byteStart"] : facet["index"]["byteEnd"]].decode(): facet[
                "features"
            ][0]
            for facet in record_of(put)["facets"]
        }
        assert marked == {
            "@ada.example": {"$type": "app.bsky.richtext.facet#mention", "did": "did:plc:ada"},
            "https://ex.org/é": {
                "$type": "app.bsky.richtext.facet#link",
                "uri": "https://ex.org/é",
            },
            "ex.org": {"$type": "app.bsky.richtext.facet#link", "uri": "https://ex.org"},
            "#owls": {"$type": "app.bsky.richtext.facet#tag", "tag": "owls"},
            "#Größe": {"$type": "app.bsky.richtext.facet#tag", "tag": "Größe"},
        }


class TestRecordKey:
    def test_is_the_same_at_every_try_and_its_own_for_every_part_and_generation(self) -> None:
        keys = [
            f"0190a000-0000-7000-8000-{part:012d}.{generation}"
            for part in range(500)
            for generation in (1, 2)
        ]
        made = [record_key(a_post(key=key)) for key in keys]
        assert made == [record_key(a_post(key=key)) for key in keys]
        assert len(set(made)) == len(keys)

    def test_keys_of_a_thread_ascend(self) -> None:
        """Finding 4.6: a thread's records are in order by their keys."""
        keys = [record_key(a_post(key=f"part-{n}.1", position=n)) for n in range(50)]
        assert keys == sorted(set(keys))

    def test_is_a_tid_of_the_part_s_second(self) -> None:
        key = record_key(a_post())
        digits = "234567abcdefghijklmnopqrstuvwxyz"
        number = 0
        for digit in key:
            number = number * 32 + digits.index(digit)
        assert len(key) == 13
        assert (number >> 10) // 1_000_000 == int(NOON.timestamp())


class TestStage:
    def test_a_picture_becomes_a_blob(self, platform: respx.MockRouter, storage: Storage) -> None:
        upload = platform.post(f"{HOST}/xrpc/com.atproto.repo.uploadBlob").mock(
            sample("bluesky", "blob")
        )
        picture = storage.picture()
        staged = Bluesky().stage(line(storage=storage), a_post(media=[picture]), {})
        assert isinstance(staged, Staged)
        assert staged.data == {"blobs": [BLOB]}
        sent = upload.calls.last.request
        assert (sent.headers["content-type"], sent.content) == (
            "image/png",
            storage.files[picture.key],
        )

    @pytest.mark.parametrize(
        ("status", "error"), [(413, "PayloadTooLarge"), (400, "BlobTooLarge"), (413, None)]
    )
    def test_the_smaller_copy_is_uploaded_where_the_server_refuses_the_first(
        self, platform: respx.MockRouter, storage: Storage, status: int, error: str | None
    ) -> None:
        """Finding 1.10: some servers refuse a file by its size before any record names it."""
        refusal = httpx.Response(
            status, json={"error": error, "message": "request entity too large"}
        )
        upload = platform.post(f"{HOST}/xrpc/com.atproto.repo.uploadBlob").mock(
            side_effect=[refusal, sample("bluesky", "blob")]
        )
        photo = with_spare(storage)
        staged = Bluesky().stage(line(storage=storage), a_post(media=[photo]), {})
        assert isinstance(staged, Staged)
        assert staged.data == {"blobs": [BLOB]}
        assert photo.spare is not None
        assert upload.calls.last.request.content == storage.files[photo.spare.key]

    @pytest.mark.parametrize(
        ("status", "error"), [(413, "PayloadTooLarge"), (400, "InvalidMimeType")]
    )
    def test_a_file_without_a_smaller_copy_or_of_a_wrong_type_is_refused(
        self, platform: respx.MockRouter, storage: Storage, status: int, error: str
    ) -> None:
        upload = platform.post(f"{HOST}/xrpc/com.atproto.repo.uploadBlob").respond(
            status, json={"error": error, "message": "no"}
        )
        media = storage.picture() if status == 413 else with_spare(storage)
        with pytest.raises(MediaRejected):
            Bluesky().stage(line(storage=storage), a_post(media=[media]), {})
        assert upload.call_count == 1

    def video_service(self, platform: respx.MockRouter, *states: str) -> respx.Route:
        platform.get(f"{HOST}/xrpc/com.atproto.server.getServiceAuth").respond(
            json={"token": "service-token"}
        )
        platform.get(f"{VIDEO_SERVICE}/xrpc/app.bsky.video.getJobStatus").mock(
            side_effect=[sample("bluesky", state) for state in states]
        )
        return platform.post(
            url__startswith=f"{VIDEO_SERVICE}/xrpc/app.bsky.video.uploadVideo"
        ).mock(sample("bluesky", "job_created"))

    def test_a_video_is_made_into_a_blob_by_the_service(
        self, platform: respx.MockRouter, storage: Storage
    ) -> None:
        upload = self.video_service(platform, "job_encoding", "job_completed")
        api, post = line(storage=storage), a_post(media=[storage.video()])
        waits = Bluesky().stage(api, post, {})
        assert waits == Processing({"blobs": [], "job": "c8f4"}, timedelta(seconds=5))
        done = Bluesky().stage(api, post, json.loads(json.dumps(waits.state)))
        assert isinstance(done, Staged)
        assert done.data["blobs"][0]["mimeType"] == "video/mp4"
        assert upload.call_count == 1
        assert upload.calls.last.request.headers["authorization"] == "Bearer service-token"
        asked = next(
            call.request for call in platform.calls if "getServiceAuth" in call.request.url.path
        )
        assert asked.url.params["aud"] == "did:web:morel.us-east.host.bsky.network"

    def test_a_video_that_is_there_already_names_its_job(
        self, platform: respx.MockRouter, storage: Storage
    ) -> None:
        upload = self.video_service(platform, "job_completed")
        upload.respond(409, json={"error": "already_exists", "jobId": "c8f4"})
        staged = Bluesky().stage(line(storage=storage), a_post(media=[storage.video()]), {})
        assert isinstance(staged, Staged)

    def test_a_refused_video_says_why(self, platform: respx.MockRouter, storage: Storage) -> None:
        self.video_service(platform, "job_failed")
        with pytest.raises(MediaRejected, match="Video is too long"):
            Bluesky().stage(line(storage=storage), a_post(media=[storage.video()]), {})

    def test_another_server_takes_the_video_as_it_is(
        self, platform: respx.MockRouter, storage: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PROVIDER_BASE_URLS", json.dumps({"bluesky": HOST}))
        settings.cache_clear()
        platform.post(f"{HOST}/xrpc/com.atproto.repo.uploadBlob").mock(sample("bluesky", "blob"))
        staged = Bluesky().stage(line(storage=storage), a_post(media=[storage.video()]), {})
        settings.cache_clear()
        assert isinstance(staged, Staged)

    def test_ends_early_with_its_position(self, storage: Storage) -> None:
        api = line(storage=storage, deadline=time.monotonic() + 5)
        post = a_post(media=[storage.picture(), storage.picture("b.png")])
        assert Bluesky().stage(api, post, {"blobs": [BLOB]}) == Processing(
            {"blobs": [BLOB], "job": None}, timedelta(0)
        )


class TestLookUp:
    def test_a_record_that_is_not_there_is_not_found(self, platform: respx.MockRouter) -> None:
        route = platform.get(f"{HOST}/xrpc/com.atproto.repo.getRecord").respond(
            400, json={"error": "RecordNotFound"}
        )
        assert Bluesky().look_up(line(), a_post(), to=None, since=NOON) == []
        judge_lexicon(dict(route.calls.last.request.url.params), "com.atproto.repo.getRecord")

    def test_a_server_that_fails_has_not_said_so(self, platform: respx.MockRouter) -> None:
        platform.get(f"{HOST}/xrpc/com.atproto.repo.getRecord").respond(
            400, json={"error": "InvalidRequest"}
        )
        with pytest.raises(ProviderError):
            Bluesky().look_up(line(), a_post(), to=None, since=NOON)


class TestRules:
    @pytest.mark.parametrize(
        ("text", "codes"),
        [("👨‍👩‍👧‍👦" * 110, []), ("x" * 301, ["too_long"]), ("👨‍👩‍👧‍👦" * 130, ["too_long"])],
    )
    def test_counts_what_readers_count_and_bytes(self, text: str, codes: list[str]) -> None:
        assert [one.code for one in rules.check(Bluesky(), [DraftPart(text)], {})] == codes


class TestMentions:
    def test_finds_people_and_writes_their_handle(self, platform: respx.MockRouter) -> None:
        actor = sample("bluesky", "profile").json()
        platform.get(f"{HOST}/xrpc/app.bsky.actor.searchActorsTypeahead").respond(
            json={"actors": [actor]}
        )
        (found,) = Bluesky().find_mentions(line(), "roo")
        assert Bluesky().format_mention(found.id, found.label) == "@roost.bsky.social"


class TestRevoke:
    @pytest.mark.parametrize("status", [200, 400, 401])
    def test_ends_the_session_if_it_still_lives(
        self, platform: respx.MockRouter, status: int
    ) -> None:
        route = platform.post(f"{HOST}/xrpc/com.atproto.server.deleteSession").respond(
            status, json={}
        )
        Bluesky().revoke(line())
        assert route.calls.last.request.headers["authorization"] == f"Bearer {REFRESH_TOKEN}"

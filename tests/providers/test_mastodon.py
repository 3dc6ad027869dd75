import dataclasses
import json
import time
import urllib.parse
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import httpx
import pytest
import respx

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
    MediaRejected,
    PlatformUnavailable,
    ProviderError,
    ScopesTooNarrow,
    TokenExpired,
)
from shared.providers.platforms.mastodon import Mastodon, MastodonCustom
from tests.providers.builders import NOON, TOKEN, Storage, a_post, an_access, an_api
from tests.providers.conftest import sample
from tests.providers.published import judge

HOST = "https://mastodon.social"
STATUS = "117020585924712638"
REDIRECT = "http://127.0.0.1:3000/app/integrations/social/mastodon-custom"


def body_of(route: respx.Route) -> dict[str, Any]:
    request: httpx.Request = route.calls.last.request
    judge(request, "mastodon/openapi.json")
    sent: dict[str, Any] = json.loads(request.content)
    return sent


@pytest.fixture
def statuses(platform: respx.MockRouter) -> respx.Route:
    return platform.post(f"{HOST}/api/v1/statuses").mock(sample("mastodon", "status"))


class TestPublish:
    def test_creates_the_status_and_says_where_it_is(self, statuses: respx.Route) -> None:
        marks: list[int] = []
        api = an_api(Mastodon(), mark_sending=lambda: marks.append(statuses.call_count))
        released = Mastodon().publish(api, a_post("The owls are back."))
        assert released == Released(
            id=STATUS, url="https://mastodon.example/@roost/117020585924712638"
        )
        assert body_of(statuses) == {
            "status": "The owls are back.",
            "visibility": "public",
            "sensitive": False,
        }
        assert marks == [0]  # marked once, before the one request

    def test_carries_the_part_s_key(self, statuses: respx.Route) -> None:
        Mastodon().publish(an_api(Mastodon()), a_post(key="part.2"))
        headers = statuses.calls.last.request.headers
        assert headers["idempotency-key"] == "part.2"
        assert headers["authorization"] == f"Bearer {TOKEN}"

    def test_sends_what_the_member_chose(self, statuses: respx.Route) -> None:
        chosen = {
            "visibility": "unlisted",
            "spoiler_text": "Owls",
            "sensitive": True,
            "language": "en",
        }
        Mastodon().publish(an_api(Mastodon()), a_post(settings=chosen))
        assert chosen.items() <= body_of(statuses).items()

    def test_attaches_staged_media(self, statuses: respx.Route, storage: Storage) -> None:
        post = a_post(
            media=[storage.picture(), storage.picture("b.png")], staged={"ids": ["7", "8"]}
        )
        Mastodon().publish(an_api(Mastodon()), post)
        assert body_of(statuses)["media_ids"] == ["7", "8"]

    def test_never_goes_out_without_its_media(
        self, statuses: respx.Route, storage: Storage
    ) -> None:
        with pytest.raises(PlatformUnavailable):
            Mastodon().publish(an_api(Mastodon()), a_post(media=[storage.picture()]))
        assert statuses.call_count == 0

    def test_a_reply_names_the_part_before(self, statuses: respx.Route) -> None:
        to = ThreadPosition(root=Released("1", "u1"), parent=Released("2", "u2"))
        Mastodon().reply(an_api(Mastodon()), a_post(), to=to)
        assert body_of(statuses)["in_reply_to_id"] == "2"

    @pytest.mark.parametrize(
        ("status", "words", "error"),
        [
            (422, "Validation failed: Text character limit of 500 exceeded", ContentRejected),
            (
                422,
                "Cannot attach files that have not finished processing. Try again in a moment!",
                PlatformUnavailable,
            ),
            (422, "Validation failed: File content type is invalid", MediaRejected),
            (403, "Your login is currently disabled", ChannelDisconnected),
            (403, "This action is outside the authorized scopes", ChannelDisconnected),
        ],
    )
    def test_says_the_instance_s_reason(
        self, platform: respx.MockRouter, status: int, words: str, error: type[ProviderError]
    ) -> None:
        platform.post(f"{HOST}/api/v1/statuses").respond(status, json={"error": words})
        with pytest.raises(error, match=words[:20]):
            Mastodon().publish(an_api(Mastodon()), a_post())


class TestDeadToken:
    """Finding 4.2c: a revoked token answered 400 was taken for a refusal of the post, and every later post failed too."""

    @pytest.mark.parametrize(
        "answer",
        [
            httpx.Response(400, json={"error": "Bad Request: Invalid Bearer token"}),
            httpx.Response(403, json={"error": "The access token is invalid"}),
            httpx.Response(400, headers={"www-authenticate": 'Bearer error="invalid_token"'}),
        ],
    )
    def test_is_recognized_by_what_is_said(
        self, platform: respx.MockRouter, answer: httpx.Response
    ) -> None:
        platform.post(f"{HOST}/api/v1/statuses").mock(answer)
        api = an_api(Mastodon())
        with pytest.raises(TokenExpired):
            Mastodon().publish(api, a_post())
        assert not api.sent

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            (httpx.Response(401, json={"error": "unauthorized"}), TokenExpired),
            (httpx.Response(400, json={"error": "bad request"}), TokenExpired),
            (httpx.Response(503), ContentRejected),
            (sample("mastodon", "account"), ContentRejected),
        ],
    )
    def test_is_recognized_by_asking_whose_it_is(
        self, platform: respx.MockRouter, answer: httpx.Response, error: type[ProviderError]
    ) -> None:
        platform.post(f"{HOST}/api/v1/statuses").respond(400, json={"error": "Bad Request"})
        platform.get(f"{HOST}/api/v1/accounts/verify_credentials").mock(answer)
        api = an_api(Mastodon())
        with pytest.raises(error) as refused:
            Mastodon().publish(api, a_post())
        assert refused.value.evidence.path == "/api/v1/statuses"
        assert not api.sent


class TestStage:
    def test_uploads_then_waits_until_processed(
        self, platform: respx.MockRouter, storage: Storage
    ) -> None:
        picture = storage.picture(alt="An owl on a roof")
        upload = platform.post(f"{HOST}/api/v2/media").mock(
            sample("mastodon", "media_processing", 202)
        )
        poll = platform.get(f"{HOST}/api/v1/media/117020576894251992").mock(
            side_effect=[sample("mastodon", "media_processing", 206), sample("mastodon", "media")]
        )
        api, post = an_api(Mastodon(), storage=storage), a_post(media=[picture])
        first = Mastodon().stage(api, post, {})
        assert first == Processing(
            {"ids": ["117020576894251992"], "pending": ["117020576894251992"]}, timedelta(seconds=2)
        )
        done = Mastodon().stage(api, post, json.loads(json.dumps(first.state)))
        assert isinstance(done, Staged)
        assert done.data == {"ids": ["117020576894251992"]}
        assert done.expires_at is not None
        assert (upload.call_count, poll.call_count) == (1, 2)
        form = upload.calls.last.request.content
        assert b'name="description"\r\n\r\nAn owl on a roof' in form
        assert b'filename="roof.png"\r\nContent-Type: image/png' in form
        assert storage.files[picture.key] in form

    def test_a_file_that_is_ready_at_once_is_not_asked_for(
        self, platform: respx.MockRouter, storage: Storage
    ) -> None:
        platform.post(f"{HOST}/api/v2/media").mock(sample("mastodon", "media", 200))
        post = a_post(media=[storage.picture()])
        staged = Mastodon().stage(an_api(Mastodon(), storage=storage), post, {})
        assert isinstance(staged, Staged)

    def test_a_large_video_is_read_in_ranges(
        self, platform: respx.MockRouter, storage: Storage
    ) -> None:
        platform.post(f"{HOST}/api/v2/media").mock(sample("mastodon", "media", 200))
        video = storage.video(content=bytes(20 * 1024**2))
        Mastodon().stage(an_api(Mastodon(), storage=storage), a_post(media=[video]), {})
        assert max(length for _, _, length in storage.reads) <= 8 * 1024**2
        assert sum(length for _, _, length in storage.reads) == video.size_bytes

    def test_ends_early_with_its_position(
        self, platform: respx.MockRouter, storage: Storage
    ) -> None:
        upload = platform.post(f"{HOST}/api/v2/media").mock(sample("mastodon", "media", 200))
        post = a_post(media=[storage.picture(), storage.picture("b.png")])
        api = an_api(Mastodon(), storage=storage, deadline=time.monotonic() + 5)
        early = Mastodon().stage(api, post, {"ids": ["1"], "pending": []})
        assert early == Processing({"ids": ["1"], "pending": []}, timedelta(0))
        assert upload.call_count == 0

    def test_an_unreadable_file_is_refused_for_good(
        self, platform: respx.MockRouter, storage: Storage
    ) -> None:
        platform.post(f"{HOST}/api/v2/media").respond(422, json={"error": "Error processing media"})
        with pytest.raises(MediaRejected, match="Error processing media"):
            Mastodon().stage(
                an_api(Mastodon(), storage=storage), a_post(media=[storage.picture()]), {}
            )


class TestLookUp:
    WRITTEN = "The owls are back, @ada@other.example!\nSee https://example.org/a/long/path & more\n\n#owls"

    def look_up(
        self,
        platform: respx.MockRouter,
        text: str,
        *,
        late: timedelta = timedelta(0),
        media: Sequence[OutgoingMedia] = (),
    ) -> list[str]:
        latest = [
            sample("mastodon", "status_with_links").json(),
            sample("mastodon", "status").json(),
        ]
        platform.get(f"{HOST}/api/v1/accounts/42/statuses").respond(json=latest)
        api = an_api(Mastodon(), access=an_access(remote_id="42@mastodon.social"))
        found = Mastodon().look_up(api, a_post(text, media=media), to=None, since=NOON + late)
        judge(platform.calls.last.request, "mastodon/openapi.json")
        return [one.released.id for one in found]

    def test_finds_the_post_through_the_instance_s_markup(self, platform: respx.MockRouter) -> None:
        assert self.look_up(platform, self.WRITTEN) == ["117020585924712640"]

    def test_another_text_is_not_ours(self, platform: respx.MockRouter) -> None:
        assert self.look_up(platform, self.WRITTEN + " again") == []

    def test_a_post_with_other_files_is_not_ours(self, platform: respx.MockRouter) -> None:
        """Who says the same words twice, once with a picture, has two posts."""
        assert self.look_up(platform, self.WRITTEN, media=[Storage().picture()]) == []

    def test_an_older_post_is_not_ours(self, platform: respx.MockRouter) -> None:
        assert self.look_up(platform, self.WRITTEN, late=timedelta(seconds=10)) == []


class TestRules:
    def test_the_instance_s_own_limit_holds(self) -> None:
        draft = [DraftPart("x" * 600)]
        assert [one.code for one in rules.check(Mastodon(), draft, {})] == ["too_long"]
        assert rules.check(Mastodon(), draft, {}, account={"maxCharacters": 5000}) == []

    def test_a_link_counts_23(self) -> None:
        draft = [DraftPart("x" * 476 + " https://example.org/" + "y" * 100)]
        assert rules.check(Mastodon(), draft, {}) == []

    def test_an_unknown_visibility_is_named(self) -> None:
        (one,) = rules.check(Mastodon(), [DraftPart("x")], {"visibility": "everybody"})
        assert one.path == "settings.visibility"


class TestAccount:
    def test_reads_who_and_what_the_instance_allows(self, platform: respx.MockRouter) -> None:
        platform.get(f"{HOST}/api/v1/accounts/verify_credentials").mock(
            sample("mastodon", "account")
        )
        platform.get(f"{HOST}/api/v2/instance").mock(sample("mastodon", "instance"))
        account = Mastodon().account(an_api(Mastodon()))
        assert account.remote_id == "117020565966271181@mastodon.social"
        assert account.username == "roost@mastodon.social"
        assert account.settings["maxCharacters"] == 5000
        assert account.settings["software"] == "mastodon"

    def test_a_server_without_the_document_tells_no_limit(self, platform: respx.MockRouter) -> None:
        platform.get(f"{HOST}/api/v1/accounts/verify_credentials").mock(
            sample("mastodon", "account")
        )
        platform.get(f"{HOST}/api/v2/instance").respond(404)
        platform.get(f"{HOST}/api/v1/instance").respond(404)
        assert Mastodon().account(an_api(Mastodon())).settings == {}


class TestReleaseFromUrl:
    @pytest.mark.parametrize(
        "path",
        [
            "/@roost/117020585924712638",
            "/@Roost/117020585924712638/?x#y",
            "/deck/@roost/117020585924712638",
            "/users/roost/statuses/117020585924712638",
            "/statuses/117020585924712638",
        ],
    )
    def test_reads_the_status(self, path: str) -> None:
        released = Mastodon().release_from_url(
            f"https://mastodon.example{path}", remote_id="7@mastodon.example", username="roost@x"
        )
        assert released is not None
        assert released.id == "117020585924712638"
        assert released.url.startswith("https://mastodon.example/")
        assert "?" not in released.url

    @pytest.mark.parametrize(
        "url",
        [
            "https://elsewhere.example/@roost/117020585924712638",
            "https://a.mastodon.example/@roost/117020585924712638",
            "https://mastodon.example/@other/117020585924712638",
            "https://mastodon.example/@roost@elsewhere.example/117020585924712638",
            "https://mastodon.example/@roost",
            "https://mastodon.example/@roost/1/2",
        ],
    )
    def test_anything_else_is_none_of_ours(self, url: str) -> None:
        assert (
            Mastodon().release_from_url(url, remote_id="7@mastodon.example", username="roost@x")
            is None
        )


class TestMentions:
    def test_finds_people_and_writes_their_handle(self, platform: respx.MockRouter) -> None:
        platform.get(f"{HOST}/api/v1/accounts/search").mock(
            httpx.Response(200, json=sample("mastodon", "search").json())
        )
        (found,) = Mastodon().find_mentions(an_api(Mastodon()), "roo")
        assert Mastodon().format_mention(found.id, found.label) == "@roost"


class TestMastodonCustom:
    def test_registers_at_the_instance_and_connects_there(self, platform: respx.MockRouter) -> None:
        host, provider = "https://owls.example", MastodonCustom()
        apps = platform.post(f"{host}/api/v1/apps").mock(sample("mastodon", "app"))
        tokens = platform.post(f"{host}/oauth/token").mock(sample("mastodon", "token"))
        platform.get(f"{host}/api/v1/accounts/verify_credentials").mock(
            sample("mastodon", "account")
        )
        platform.get(f"{host}/api/v2/instance").mock(sample("mastodon", "instance"))
        begun = provider.authorize(an_api(provider), redirect_uri=REDIRECT, instance="Owls.example")
        assert body_of(apps)["redirect_uris"] == REDIRECT
        assert begun.url.startswith(f"{host}/oauth/authorize?")
        assert "client_id=redacted-client-id" in begun.url
        connection = provider.connect(
            an_api(provider), code="c", redirect_uri=REDIRECT, remember=begun.remember
        )
        form = dict(urllib.parse.parse_qsl(tokens.calls.last.request.content.decode()))
        assert form["client_secret"] == "redacted-client-secret"
        assert connection.details["base"] == host
        assert connection.account.remote_id == "117020565966271181@owls.example"

    def test_publishes_at_its_instance(self, platform: respx.MockRouter) -> None:
        route = platform.post("https://owls.example/api/v1/statuses").mock(
            sample("mastodon", "status")
        )
        access = dataclasses.replace(an_access(), details={"base": "https://owls.example"})
        MastodonCustom().publish(an_api(MastodonCustom(), access=access), a_post())
        assert route.call_count == 1

    @pytest.mark.parametrize("scope", ["read write follow push", "read write"])
    def test_coarse_scopes_cover_the_fine_ones(
        self, platform: respx.MockRouter, scope: str
    ) -> None:
        """Finding 4.2: "leave every box ticked", although everything was granted."""
        self.answers(platform, scope=scope)
        remember = {"base": self.OWLS, "clientId": "a", "clientSecret": "b"}
        connection = MastodonCustom().connect(
            an_api(MastodonCustom()), code="c", redirect_uri=REDIRECT, remember=remember
        )
        assert connection.account.username == "roost@owls.example"

    def test_a_scope_that_is_missing_is_still_named(self, platform: respx.MockRouter) -> None:
        self.answers(platform, scope="read follow")
        remember = {"base": self.OWLS, "clientId": "a", "clientSecret": "b", "scopes": "read write"}
        with pytest.raises(ChannelDisconnected, match="write:media, write:statuses"):
            MastodonCustom().connect(
                an_api(MastodonCustom()), code="c", redirect_uri=REDIRECT, remember=remember
            )

    def test_a_server_that_knows_no_fine_scopes_is_asked_for_coarse_ones(
        self, platform: respx.MockRouter
    ) -> None:
        """Finding 4.2: such a server could not be connected."""
        apps = platform.post(f"{self.OWLS}/api/v1/apps")
        apps.side_effect = [
            httpx.Response(422, json={"error": "invalid scope"}),
            sample("mastodon", "app"),
        ]
        begun = MastodonCustom().authorize(
            an_api(MastodonCustom()), redirect_uri=REDIRECT, instance="owls.example"
        )
        assert [json.loads(call.request.content)["scopes"] for call in apps.calls] == [
            "read:accounts read:statuses write:media write:statuses",
            "read write",
        ]
        assert "scope=read+write&" in begun.url
        assert begun.remember["scopes"] == "read write"

    def test_a_server_that_wants_wider_scopes_is_asked_once_more(
        self, platform: respx.MockRouter
    ) -> None:
        """Finding 4.2b: verify_credentials wanted `read`, and the member was told to connect again."""
        self.answers(platform)
        platform.get(f"{self.OWLS}/api/v1/accounts/verify_credentials").respond(
            403, json={"error": "out_of_scope_for_token"}
        )
        remember = {"base": self.OWLS, "clientId": "a", "clientSecret": "b"}
        one, api = MastodonCustom(), an_api(MastodonCustom())
        with pytest.raises(ScopesTooNarrow):
            one.connect(api, code="c", redirect_uri=REDIRECT, remember=remember)
        platform.post(f"{self.OWLS}/api/v1/apps").mock(sample("mastodon", "app"))
        wider = one.ask_wider(api, redirect_uri=REDIRECT, remember=remember)
        assert wider is not None
        assert wider.url.startswith(f"{self.OWLS}/oauth/authorize?")
        assert "scope=read+write&" in wider.url
        with pytest.raises(ChannelDisconnected) as refused:
            one.connect(api, code="c", redirect_uri=REDIRECT, remember=wider.remember)
        assert one.ask_wider(api, redirect_uri=REDIRECT, remember=wider.remember) is None
        assert "out_of_scope" in refused.value.message

    OWLS = "https://owls.example"

    def answers(self, platform: respx.MockRouter, **token: str) -> None:
        granted = {"access_token": "granted-token", "token_type": "Bearer", **token}
        platform.post(f"{self.OWLS}/oauth/token").respond(json=granted)
        platform.get(f"{self.OWLS}/api/v1/accounts/verify_credentials").mock(
            sample("mastodon", "account")
        )
        platform.get(f"{self.OWLS}/api/v2/instance").mock(sample("mastodon", "instance"))

    @pytest.mark.parametrize("instance", [None, "", "http://127.0.0.1:3000"])
    def test_needs_the_name_of_a_public_server(self, instance: str | None) -> None:
        with pytest.raises(InvalidInput) as refused:
            MastodonCustom().authorize(
                an_api(MastodonCustom()), redirect_uri=REDIRECT, instance=instance
            )
        assert [problem.path for problem in refused.value.problems] == ["externalUrl"]

    @pytest.mark.parametrize(
        "answer",
        [
            httpx.Response(404, json={"message": "Not Found"}),
            httpx.Response(200, text="<html>Owls</html>"),
            httpx.Response(200, json={"owls": 2}),
        ],
    )
    def test_another_kind_of_server_is_named(
        self, platform: respx.MockRouter, answer: httpx.Response
    ) -> None:
        platform.post("https://owls.example/api/v1/apps").mock(answer)
        with pytest.raises(
            InvalidInput, match=r"owls\.example does not respond like a Mastodon server"
        ):
            MastodonCustom().authorize(
                an_api(MastodonCustom()), redirect_uri=REDIRECT, instance="owls.example"
            )

    @pytest.mark.parametrize("answer", [httpx.ConnectError("no route"), httpx.Response(503)])
    def test_a_server_that_is_down_may_be_up_again(
        self, platform: respx.MockRouter, answer: httpx.Response | Exception
    ) -> None:
        platform.post("https://owls.example/api/v1/apps").mock(side_effect=[answer])
        with pytest.raises(PlatformUnavailable, match=r"owls\.example does not answer"):
            MastodonCustom().authorize(
                an_api(MastodonCustom()), redirect_uri=REDIRECT, instance="owls.example"
            )


class TestRevoke:
    def test_ends_the_token_with_our_application(self, platform: respx.MockRouter) -> None:
        route = platform.post("https://owls.example/oauth/revoke").respond(json={})
        details = {"base": "https://owls.example", "clientId": "ours", "clientSecret": "secret"}
        access = dataclasses.replace(an_access(), details=details)
        MastodonCustom().revoke(an_api(MastodonCustom(), access=access))
        form = dict(urllib.parse.parse_qsl(route.calls.last.request.content.decode()))
        expected = {"client_id": "ours", "client_secret": "secret", "token": access.access_token}
        assert form == expected

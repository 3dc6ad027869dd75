"""Does a Mastodon server that others wrote take what we send? `mastodon-mock`, in process and on loopback, so in every run."""

import urllib.parse
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from mastodon_mock.testing.server import MockServer

from shared.core.config import settings
from shared.providers.base import Connection, Released, Staged, ThreadPosition
from shared.providers.errors import ContentRejected, GrantRejected, OutcomeUnknown, TokenExpired
from shared.providers.http import Api
from shared.providers.oauth import access_with
from shared.providers.platforms.mastodon import MastodonCustom
from tests.providers.builders import Storage, a_post, an_access, an_api

REDIRECT = "http://127.0.0.1:3000/app/integrations/social/mastodon-custom"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    running = MockServer().start()
    yield running.base_url
    running.stop()


@pytest.fixture
def mastodon(monkeypatch: pytest.MonkeyPatch) -> Iterator[MastodonCustom]:
    monkeypatch.setenv("ALLOW_LOOPBACK_ADDRESSES", "true")
    settings.cache_clear()
    yield MastodonCustom()
    settings.cache_clear()


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client() as client:
        yield client


@pytest.fixture
def connection(server: str, mastodon: MastodonCustom, client: httpx.Client) -> Connection:
    nobody = an_api(mastodon, access=an_access(access_token=""), client=client)
    begun = mastodon.authorize(nobody, redirect_uri=REDIRECT, instance=server)
    asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(begun.url).query))
    allowed = client.post(f"{server}/oauth/authorize", data={**asked, "username": "alice"})
    came_back = dict(
        urllib.parse.parse_qsl(urllib.parse.urlsplit(allowed.headers["location"]).query)
    )
    assert came_back["state"] == begun.state
    return mastodon.connect(
        nobody, code=came_back["code"], redirect_uri=REDIRECT, remember=begun.remember
    )


@pytest.fixture
def storage() -> Storage:
    return Storage()


@pytest.fixture
def api(
    mastodon: MastodonCustom, connection: Connection, client: httpx.Client, storage: Storage
) -> Api:
    access = access_with(
        connection.tokens, connection.details, remote_id=connection.account.remote_id
    )
    return an_api(mastodon, access=access, client=client, storage=storage)


def stored(api: Api, release: Released) -> dict[str, Any]:
    found: dict[str, Any] = api.read(api.request("GET", f"/api/v1/statuses/{release.id}"))
    return found


class TestConnect:
    def test_names_the_account_and_its_instance(self, server: str, connection: Connection) -> None:
        host = urllib.parse.urlsplit(server).netloc
        assert connection.account.username == f"alice@{host}"
        assert connection.details["base"] == server

    def test_a_code_of_nobody_is_refused(
        self, server: str, mastodon: MastodonCustom, client: httpx.Client
    ) -> None:
        nobody = an_api(mastodon, client=client)
        begun = mastodon.authorize(nobody, redirect_uri=REDIRECT, instance=server)
        with pytest.raises(GrantRejected):
            mastodon.connect(
                nobody, code="nonsense", redirect_uri=REDIRECT, remember=begun.remember
            )


class TestPublish:
    def test_a_thread_with_a_described_picture_arrives(
        self, mastodon: MastodonCustom, api: Api, storage: Storage
    ) -> None:
        picture = storage.picture(alt="An owl on a roof")
        staged = mastodon.stage(api, a_post(media=[picture]), {})
        assert isinstance(staged, Staged)
        root = mastodon.publish(
            api, a_post("One", media=[picture], staged=staged.data, key="thread.0")
        )
        second = mastodon.reply(api, a_post("Two", key="thread.1"), to=ThreadPosition(root, root))
        (attached,) = stored(api, root)["media_attachments"]
        assert attached["description"] == "An owl on a roof"
        assert stored(api, second)["in_reply_to_id"] == root.id
        assert root.url.endswith(root.id)

    def test_choices_arrive(self, mastodon: MastodonCustom, api: Api) -> None:
        chosen = {
            "visibility": "unlisted",
            "spoiler_text": "Owls",
            "sensitive": True,
            "language": "de",
        }
        status = stored(api, mastodon.publish(api, a_post(settings=chosen, key="chosen.1")))
        assert {name: status[name] for name in chosen} == chosen

    def test_a_repeat_makes_no_second_status(self, mastodon: MastodonCustom, api: Api) -> None:
        assert mastodon.publish(api, a_post(key="twice.1")) == mastodon.publish(
            api, a_post(key="twice.1")
        )
        assert mastodon.publish(api, a_post(key="twice.2")) != mastodon.publish(
            api, a_post(key="twice.1")
        )

    def test_a_broken_answer_is_unknown_and_the_post_is_found(
        self, server: str, mastodon: MastodonCustom, api: Api, client: httpx.Client
    ) -> None:
        begun = api.now() - timedelta(minutes=2)
        post = a_post("Lost & found: https://example.org/owls @bob", key="lost.1")
        kept = mastodon.publish(api, post)
        rule = {
            "match": {"path": "/api/v1/statuses"},
            "effect": {"type": "malformed"},
            "count": 1,
        }
        client.post(f"{server}/api/v1/_mock/faults", json=rule).raise_for_status()
        with pytest.raises(OutcomeUnknown):
            mastodon.publish(api, post)
        client.delete(f"{server}/api/v1/_mock/faults")
        assert [one.released for one in mastodon.look_up(api, post, to=None, since=begun)] == [kept]

    def test_a_refusal_is_shown_in_the_server_s_words(
        self, mastodon: MastodonCustom, api: Api
    ) -> None:
        with pytest.raises(ContentRejected, match=r"\(422\)"):
            mastodon.publish(api, a_post("", key="empty.1"))

    def test_a_bad_token_asks_for_a_refresh(
        self, server: str, mastodon: MastodonCustom, client: httpx.Client
    ) -> None:
        access = an_access(access_token="nonsense", details={"base": server})
        with pytest.raises(TokenExpired):
            mastodon.publish(an_api(mastodon, access=access, client=client), a_post())


class TestMentions:
    def test_finds_people(self, mastodon: MastodonCustom, api: Api) -> None:
        assert "bob" in [found.id for found in mastodon.find_mentions(api, "bo")]

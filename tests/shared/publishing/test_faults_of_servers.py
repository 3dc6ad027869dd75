"""Every provider against a server that keeps keys and one that does not, with every answer that can go wrong.

In the end there is one post, or the part is unconfirmed and there is one or none. Findings 1.1, 1.1b, 1.2 and 4.3: a
server that keeps no keys got up to five equal posts, and no test noticed a false claim about keys.
"""

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.channels import line
from shared.providers.http import AppCredentials
from shared.providers.registry import provider, slugs
from shared.providers.spec import IdempotencyForm
from tests.builders import a_channel, a_post, an_organization
from tests.fakes.stand_ins import FAULTS, STAND_INS, StandIn, Transport, cut_off, replaced_by
from tests.shared.publishing.world import MOMENTS, World

RUN_SECONDS = 2 * 3600.0
A_SERVER = [(slug, keeps) for slug in STAND_INS for keeps in (True, False)]


@contextlib.contextmanager
def served(server: StandIn, patch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    with httpx.Client(transport=Transport(server)) as client, patch.context() as here:
        here.setattr(line, "http_client", lambda _spec: client)
        here.setattr(line, "our_application", lambda _spec: AppCredentials("id", "secret"))
        yield server


def publish(world: World, server: StandIn, *texts: str) -> dict[str, dict[str, Any]]:
    """Publish posts on the server; return their rows by their texts."""
    with Session(world.engine) as session, session.begin():
        channel = a_channel(
            session,
            an_organization(session),
            provider=server.slug,
            remote_id=server.remote_id,
            details=json.dumps(dict(server.details)).encode(),
        )
        for one in texts:
            a_post(session, channel, publish_at=datetime.now(UTC), content=f"<p>{one}</p>")
    world.run(until=RUN_SECONDS)
    server.arrive()
    with world.engine.connect() as connection:
        rows = connection.execute(
            text(
                "select p.*, c.account_settings from posts p join channels c on c.id = p.channel_id"
            )
        ).mappings()
        return {row["content"][3:-4]: dict(row) for row in rows}


def publish_one(world: World, server: StandIn) -> tuple[str, dict[str, Any]]:
    """Publish one post; return its state, and its row."""
    row = publish(world, server, "one")["one"]
    return row["state"], row


@pytest.fixture(autouse=True)
def _posts_keep_their_birthday(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time passes by moving moments back; the one that record keys are made of stays."""
    moved = tuple(name for name in MOMENTS["posts"] if name != "created_at")
    monkeypatch.setitem(MOMENTS, "posts", moved)


class TestEveryAnswerThatCanGoWrong:
    @pytest.mark.parametrize(("slug", "keeps_keys"), A_SERVER)
    def test_one_post_or_a_doubt(
        self, world: World, monkeypatch: pytest.MonkeyPatch, slug: str, keeps_keys: bool
    ) -> None:
        spoiled = {
            f"{name}, {'always' if always else 'once'}": (fault, always)
            for name, fault in FAULTS.items()
            for always in (False, True)
        }
        server = STAND_INS[slug](keeps_keys=keeps_keys, by_text=dict(spoiled))
        with served(server, monkeypatch):
            rows = publish(world, server, *spoiled)
        made = Counter(post.text for post in server.made)
        for name in spoiled:
            when = f"{name}: {made[name]} posts, {rows[name]['state']}"
            if rows[name]["state"] == "unconfirmed":
                assert made[name] <= 1, when
            else:
                assert (rows[name]["state"], made[name]) == ("published", 1), when
        assert {row["state"] for row in rows.values()} == {"published", "unconfirmed"}

    @pytest.mark.parametrize(("slug", "keeps_keys"), A_SERVER)
    @pytest.mark.parametrize("name", ["compressed", "declared empty"])
    def test_a_packed_answer_is_an_answer(
        self, world: World, monkeypatch: pytest.MonkeyPatch, slug: str, keeps_keys: bool, name: str
    ) -> None:
        """Finding 4.3: it counted as lost, and the post was sent again."""
        server = STAND_INS[slug](keeps_keys=keeps_keys, faults=[FAULTS[name]])
        with served(server, monkeypatch):
            state, _ = publish_one(world, server)
        posts = [request for request in server.requests if server.creates(request)]
        assert (state, len(server.made), len(posts)) == ("published", 1, 1)

    def test_every_provider_has_a_stand_in(self) -> None:
        assert set(STAND_INS) == set(slugs())


class TestClaims:
    """Finding 1.2: what a table claims about repeated requests is proven here, or shown to be false."""

    @pytest.mark.parametrize("slug", STAND_INS)
    def test_a_claim_is_used_and_holds_on_a_server_that_keeps_it(
        self, world: World, monkeypatch: pytest.MonkeyPatch, slug: str
    ) -> None:
        server = STAND_INS[slug](faults=[cut_off])
        with served(server, monkeypatch):
            state, _ = publish_one(world, server)
        claimed = provider(slug).spec.idempotency
        sent = [request for request in server.requests if server.creates(request)]
        assert (state, len(server.made)) == ("published", 1)
        assert len(sent) == (1 if claimed.form is IdempotencyForm.NONE else 2)
        assert len({server.made[0].key, *map(key_of, sent)}) == 1

    @pytest.mark.parametrize("slug", STAND_INS)
    def test_without_a_claim_the_server_is_looked_through_and_never_sent_to_again(
        self, world: World, monkeypatch: pytest.MonkeyPatch, slug: str
    ) -> None:
        server = STAND_INS[slug](keeps_keys=False, faults=[cut_off])
        with served(server, monkeypatch):
            state, _ = publish_one(world, server)
        assert (state, len(server.made)) == ("published", 1)
        if (
            slug != "bluesky"
        ):  # there the record's name, which is not the server's to forget, is the key
            assert len([request for request in server.requests if server.creates(request)]) == 1

    @pytest.mark.parametrize("slug", slugs())
    def test_a_claim_names_its_source(self, slug: str) -> None:
        claimed = provider(slug).spec.idempotency
        if claimed.form is IdempotencyForm.NONE:
            assert not claimed.source
        else:
            assert "https://" in claimed.source
            assert "read 20" in claimed.source


def key_of(request: httpx.Request) -> str | None:
    body = json.loads(request.content)
    key: str | None = body.get("rkey") or request.headers.get("idempotency-key")
    return key


class TestServerThatIsReadAgain:
    def test_what_it_runs_is_kept_with_the_channel_before_anything_is_sent(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Finding 1.1: the name is read again before sending when it is older than a day."""
        server = STAND_INS["mastodon-custom"](keeps_keys=False)
        with served(server, monkeypatch):
            _, row = publish_one(world, server)
        assert row["account_settings"]["softwareVersion"] == "0.20.0+git-1a2b3c4"
        paths = [request.url.path for request in server.requests]
        assert paths == ["/api/v2/instance", "/api/v1/statuses"]

    def test_one_that_says_nothing_promises_nothing(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = STAND_INS["mastodon-custom"](faults=[cut_off])
        answer = server.answer

        def silent(request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/instance"):
                return httpx.Response(503)
            return answer(request)

        monkeypatch.setattr(server, "answer", silent)
        with served(server, monkeypatch):
            state, row = publish_one(world, server)
        assert state == "published"
        assert row["account_settings"] == {}
        assert len([request for request in server.requests if server.creates(request)]) == 1

    def test_a_repetition_that_it_fails_at_is_looked_up(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Finding 1.1: a 5xx to a repetition leads to the look-up, not to a further one."""
        failing = replaced_by(503, carried_out=False)
        server = STAND_INS["mastodon-custom"](faults=[cut_off, failing, failing, failing])
        with served(server, monkeypatch):
            state, _ = publish_one(world, server)
        assert (state, len(server.made)) == ("published", 1)
        assert len([request for request in server.requests if server.creates(request)]) == 2


class TestSeveralFound:
    def test_are_told_with_their_addresses(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Finding 1.1c: several equal posts were told as "it was not found there"."""
        server = STAND_INS["mastodon-custom"](keeps_keys=False, faults=[cut_off])
        server.keep("one", None)
        with served(server, monkeypatch):
            state, row = publish_one(world, server)
        assert state == "unconfirmed"
        assert row["error_code"] == "several_found"
        for made in server.made:
            assert f"https://owls.example/@ada/{made.id}" in row["error_message"]
        with world.engine.connect() as connection:
            notice = connection.execute(
                text("select title, content from notifications where title like 'Several%'")
            ).one()
        assert "https://owls.example/@ada/1" in notice.content
        assert "another copy" in notice.content

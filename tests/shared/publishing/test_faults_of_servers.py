"""Every provider against a server that keeps keys and one that does not, with every answer that can go wrong.

In the end there is one post, or the part is unconfirmed and there is one or none. Findings 1.1, 1.1b, 1.2 and 4.3: a
server that keeps no keys got up to five equal posts, and no test noticed a false claim about keys.
"""

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.channels import connection
from shared.channels.models import Channel
from shared.organizations.models import Organization
from shared.providers.http import AppCredentials
from shared.providers.registry import provider, slugs
from shared.providers.spec import IdempotencyForm
from shared.publishing.prepare import prepare
from tests.builders import a_channel, a_media, a_post, an_organization
from tests.fakes.stand_ins import (
    FAULTS,
    GIVEN_UP,
    OWN_500,
    OWN_503,
    STAND_INS,
    Carry,
    Fault,
    StandIn,
    Transport,
    cut_off,
    failed,
    lost,
    replaced_by,
    still_running,
)
from tests.shared.publishing.world import MOMENTS, World

pytestmark = pytest.mark.broad

RUN_SECONDS = 2 * 3600.0
A_SERVER = [(slug, keeps) for slug in STAND_INS for keeps in (True, False)]
# `mastodon` runs the same code as `mastodon-custom`.
A_SERVER_OF_ITS_OWN = [(slug, keeps) for slug, keeps in A_SERVER if slug != "mastodon"]


@contextlib.contextmanager
def served(server: StandIn, patch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    with httpx.Client(transport=Transport(server)) as client, patch.context() as here:
        here.setattr(connection, "http_client", lambda _spec: client)
        here.setattr(connection, "our_application", lambda _spec: AppCredentials("id", "secret"))
        yield server


def channel_of(session: Session, server: StandIn) -> Channel:
    """Connect an account of the server."""
    return a_channel(
        session,
        an_organization(session),
        provider=server.slug,
        remote_id=server.remote_id,
        details=json.dumps(dict(server.details)).encode(),
    )


def publish(
    world: World, server: StandIn, *texts: str, as_replies: bool = False, with_media: bool = False
) -> dict[str, dict[str, Any]]:
    """Publish posts on the server, or a reply of each text; return the rows by their texts."""
    with Session(world.engine) as session, session.begin():
        channel = channel_of(session, server)
        owner = session.get_one(Organization, channel.organization_id)
        for one in texts:
            first = f"Before {one}" if as_replies else one
            root = a_post(
                session,
                channel,
                publish_at=datetime.now(UTC),
                content=f"<p>{first}</p>",
                media=[{"id": str(a_media(session, owner).id)}] if with_media else [],
            )
            if as_replies:
                a_post(session, channel, parent=root, content=f"<p>{one}</p>")
    pass_time = world.pass_time

    def pass_everywhere(seconds: float) -> None:
        pass_time(seconds)
        server.pass_time(seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "pass_time", pass_everywhere)
        world.run(until=RUN_SECONDS)
    server.arrive()
    server.pass_time(RUN_SECONDS)
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

    @pytest.mark.parametrize(("slug", "keeps_keys"), A_SERVER_OF_ITS_OWN)
    def test_one_reply_or_a_doubt(
        self, world: World, monkeypatch: pytest.MonkeyPatch, slug: str, keeps_keys: bool
    ) -> None:
        spoiled = {name: (fault, False) for name, fault in FAULTS.items()}
        server = STAND_INS[slug](keeps_keys=keeps_keys, by_text=dict(spoiled))
        with served(server, monkeypatch):
            rows = publish(world, server, *spoiled, as_replies=True)
        made = Counter(post.text for post in server.made)
        for name in spoiled:
            when = f"{name}: {made[name]} replies, {rows[name]['state']}"
            assert made[f"Before {name}"] == 1, when
            assert rows[name]["position"] == 1
            if rows[name]["state"] == "unconfirmed":
                assert made[name] <= 1, when
            else:
                assert (rows[name]["state"], made[name]) == ("published", 1), when

    @pytest.mark.parametrize(("slug", "keeps_keys"), A_SERVER_OF_ITS_OWN)
    def test_a_request_that_goes_on_after_its_sender_was_turned_away(
        self, world: World, monkeypatch: pytest.MonkeyPatch, slug: str, keeps_keys: bool
    ) -> None:
        """Finding 1.1: Mastodon keeps a key only after it has made the post, so a repetition at once was a second one."""
        spoiled = {
            f"{name}, {seconds} s": (still_running(seconds, fault), True)
            for name, fault in GIVEN_UP.items()
            for seconds in (50, 175, 590)
        }
        server = STAND_INS[slug](keeps_keys=keeps_keys, by_text=dict(spoiled))
        with served(server, monkeypatch):
            rows = publish(world, server, *spoiled)
        made = Counter(post.text for post in server.made)
        found = {name: (rows[name]["state"], made[name]) for name in spoiled}
        is_repeated = slug == "mastodon-custom" and keeps_keys
        # Where no repetition can follow, the last look-up comes after three minutes.
        late = ("published" if is_repeated else "unconfirmed", 1)
        assert found == {
            name: late if name.endswith(" 590 s") else ("published", 1) for name in spoiled
        }

    @pytest.mark.parametrize(("slug", "keeps_keys"), A_SERVER_OF_ITS_OWN)
    def test_what_is_never_answered_is_found_from_the_first_request_on(
        self, world: World, monkeypatch: pytest.MonkeyPatch, slug: str, keeps_keys: bool
    ) -> None:
        """The post is as old as the first request, however often it was sent again."""
        server = STAND_INS[slug](keeps_keys=keeps_keys, by_text={"one": (cut_off, True)})
        with served(server, monkeypatch):
            state, _ = publish_one(world, server)
        assert (state, len(server.made)) == ("published", 1)

    def test_what_is_shown_late_is_found_from_the_first_request_on(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The list lags for longer than a request can run, so it is sent again, under its key, and lost once more."""
        server = STAND_INS["mastodon-custom"](faults=[cut_off, cut_off])
        answer = server.answer

        def lagging(request: httpx.Request) -> httpx.Response:
            sent = [one for one in server.requests if server.creates(one)]
            if request.url.path.endswith("/statuses") and len(sent) < 2:
                return httpx.Response(200, json=[])
            return answer(request)

        monkeypatch.setattr(server, "answer", lagging)
        with served(server, monkeypatch):
            state, _ = publish_one(world, server)
        sent = [one for one in server.requests if server.creates(one)]
        assert (state, len(server.made), len(sent)) == ("published", 1, 2)

    @pytest.mark.parametrize("answer", [OWN_500, OWN_503], ids=["500", "503"])
    @pytest.mark.parametrize("keeps_keys", [True, False])
    def test_an_application_that_fails_after_it_has_made_the_post(
        self,
        world: World,
        monkeypatch: pytest.MonkeyPatch,
        keeps_keys: bool,
        answer: tuple[int, dict[str, Any]],
    ) -> None:
        """Finding 1.1: it has not kept the key by then, so it is looked up before anything is repeated."""
        server = STAND_INS["mastodon-custom"](
            keeps_keys=keeps_keys, faults=[failed(carried_out=True, answer=answer)]
        )
        with served(server, monkeypatch):
            state, _ = publish_one(world, server)
        assert (state, len(server.made)) == ("published", 1)

    @pytest.mark.parametrize("answer", [OWN_500, OWN_503], ids=["500", "503"])
    def test_an_application_that_has_failed_is_asked_again_at_once(
        self, world: World, monkeypatch: pytest.MonkeyPatch, answer: tuple[int, dict[str, Any]]
    ) -> None:
        """Finding 1.1: a clean failure ends the request there, so there is nothing to wait for; 503 took minutes."""
        server = STAND_INS["mastodon-custom"](faults=[failed(carried_out=False, answer=answer)])
        with served(server, monkeypatch):
            state, row = publish_one(world, server)
        assert (state, len(server.made)) == ("published", 1)
        assert server.requests[-1].headers["accept"] == "application/json"
        assert [request.method for request in server.requests] == ["GET", "POST", "GET", "POST"]
        assert row["published_at"] - row["publish_at"] < timedelta(minutes=3)

    @pytest.mark.parametrize("made_by_the_second", [True, False])
    def test_one_that_fails_twice_is_asked_a_third_time(
        self, world: World, monkeypatch: pytest.MonkeyPatch, made_by_the_second: bool
    ) -> None:
        """Finding 1.1: a server that was away for a minute left the post unconfirmed."""
        faults = [failed(carried_out=False), failed(carried_out=made_by_the_second)]
        server = STAND_INS["mastodon-custom"](faults=faults)
        with served(server, monkeypatch):
            state, _ = publish_one(world, server)
        sent = [request for request in server.requests if server.creates(request)]
        expected = 2 if made_by_the_second else 3
        assert (state, len(server.made), len(sent)) == ("published", 1, expected)

    @pytest.mark.parametrize("first", [lost, replaced_by(502, carried_out=False)])
    def test_it_is_not_asked_a_third_time_where_one_request_had_no_answer_of_its_own(
        self, world: World, monkeypatch: pytest.MonkeyPatch, first: Fault
    ) -> None:
        server = STAND_INS["mastodon-custom"](faults=[first, failed(carried_out=False)])
        with served(server, monkeypatch):
            state, _ = publish_one(world, server)
        sent = [request for request in server.requests if server.creates(request)]
        assert (state, len(server.made), len(sent)) == ("unconfirmed", 0, 2)

    def test_every_provider_has_a_stand_in(self) -> None:
        assert set(STAND_INS) == set(slugs())


class TestClaims:
    """Finding 1.2: what a table claims about repeated requests is proven here, or shown to be false."""

    @pytest.mark.parametrize("slug", STAND_INS)
    def test_a_claim_is_used_and_holds_on_a_server_that_keeps_it(
        self, world: World, monkeypatch: pytest.MonkeyPatch, slug: str
    ) -> None:
        """A request that was lost on its way is sent once more, under the same key."""
        server = STAND_INS[slug](faults=[lost])
        with served(server, monkeypatch):
            state, _ = publish_one(world, server)
        claimed = provider(slug).spec.idempotency
        sent = [request for request in server.requests if server.creates(request)]
        if claimed.form is IdempotencyForm.NONE:
            assert (state, len(server.made), len(sent)) == ("unconfirmed", 0, 1)
            return
        assert (state, len(server.made), len(sent)) == ("published", 1, 2)
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
        # It names no software, so NodeInfo is asked for too.
        assert paths == ["/api/v2/instance", "/.well-known/nodeinfo", "/api/v1/statuses"]

    def test_it_is_read_minutes_ahead(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Finding 1.1: the second itself has no time to lose with it."""
        server = STAND_INS["mastodon-custom"]()
        with Session(world.engine, expire_on_commit=False) as session, session.begin():
            in_ten_minutes = datetime.now(UTC) + timedelta(minutes=10)
            post = a_post(session, channel_of(session, server), publish_at=in_ten_minutes)
        with served(server, monkeypatch):
            prepare(post.id, post.revision)
            assert [request.url.path for request in server.requests] == ["/api/v2/instance"]
            prepare(post.id, post.revision)
            world.run(until=RUN_SECONDS)
        paths = [request.url.path for request in server.requests]
        assert paths == ["/api/v2/instance", "/api/v1/statuses"]

    def test_one_that_says_nothing_ahead_is_asked_again_when_it_is_time(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = STAND_INS["mastodon-custom"]()
        answer = server.answer
        monkeypatch.setattr(server, "answer", lambda _request: httpx.Response(503))
        with Session(world.engine, expire_on_commit=False) as session, session.begin():
            in_ten_minutes = datetime.now(UTC) + timedelta(minutes=10)
            post = a_post(session, channel_of(session, server), publish_at=in_ten_minutes)
        with served(server, monkeypatch):
            prepare(post.id, post.revision)
            monkeypatch.setattr(server, "answer", answer)
            world.run(until=RUN_SECONDS)
        assert world.states(post.id) == ["published"]
        assert server.requests[-2].url.path == "/api/v2/instance"

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
        server = STAND_INS["mastodon-custom"](faults=[lost, replaced_by(503), failing, failing])
        with served(server, monkeypatch):
            state, _ = publish_one(world, server)
        assert (state, len(server.made)) == ("published", 1)
        assert len([request for request in server.requests if server.creates(request)]) == 2


class TestHostOfAnOldChannel:
    @pytest.mark.parametrize(
        ("slug", "host"),
        [("bluesky", "pds.example"), ("mastodon-custom", "owls.example"), ("x", None)],
    )
    def test_is_stored_when_it_publishes(
        self, world: World, monkeypatch: pytest.MonkeyPatch, slug: str, host: str | None
    ) -> None:
        """Finding 2.2: a Bluesky channel from before hosts were stored was not bounded until its next renewal."""
        server = STAND_INS[slug]()
        with served(server, monkeypatch):
            publish_one(world, server)
        with world.engine.connect() as connection:
            assert connection.execute(text("select named_host from channels")).scalar() == host


class TestSeveralFound:
    def test_are_told_with_their_addresses(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Finding 1.1c: several equal posts were told as "it was not found there"."""

        def twice(server: StandIn, carry_out: Carry) -> httpx.Response:
            carry_out()
            return cut_off(server, carry_out)

        server = STAND_INS["mastodon-custom"](keeps_keys=False, faults=[twice])
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

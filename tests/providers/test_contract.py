"""What must hold for every provider, whoever writes it: its table, its refusals, its mark, its silence about secrets."""

import itertools
import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from local.docs.providers import PAGE, markdown
from shared.core.log import log
from shared.providers import rules
from shared.providers.base import (
    CanListPages,
    CanLookUp,
    CanReply,
    CanRunTools,
    CanStage,
    DraftPart,
    MediaInfo,
    OutgoingPost,
    Provider,
    Released,
    ThreadPosition,
)
from shared.providers.errors import (
    ChannelDisconnected,
    ContentRejected,
    OutcomeUnknown,
    PlatformUnavailable,
    ProviderError,
    RateLimited,
    TokenExpired,
)
from shared.providers.http import Api, configured_base_url
from shared.providers.registry import PROVIDERS, UnknownProvider, provider, slugs, specs
from shared.providers.spec import Idempotency, IdempotencyForm, OAuth1, OAuth2
from shared.providers.variants import MAKEABLE
from tests.providers.builders import CLIENT_SECRET, REFRESH_TOKEN, TOKEN, a_post, an_access, an_api

every_provider = pytest.mark.parametrize("slug", slugs())
SECRETS = (TOKEN, REFRESH_TOKEN, CLIENT_SECRET, "the-token-s-secret")
# What each platform answers to the request that creates: enough for `publish` to name what was made.
CREATED: dict[str, httpx.Response] = {
    "x": httpx.Response(201, json={"data": {"id": "1"}}),
    "linkedin-page": httpx.Response(201, headers={"x-restli-id": "urn:li:share:1"}),
    "mastodon": httpx.Response(200, json={"id": "1", "url": "https://mastodon.example/@roost/1"}),
    "mastodon-custom": httpx.Response(
        200, json={"id": "1", "url": "https://mastodon.example/@roost/1"}
    ),
    "bluesky": httpx.Response(
        200, json={"uri": "at://did:plc:a/app.bsky.feed.post/1", "cid": "bafy"}
    ),
}

_RELEASED = Released("urn:li:share:1", "https://example.org/1")
SOMEWHERE = ThreadPosition(root=_RELEASED, parent=_RELEASED)


class Recorder:
    """A platform that answers everything alike, and notes what was marked before which request.

    Only asked whether the token still lives, it says yes: Mastodon's servers are asked that after some refusals.
    """

    def __init__(self, one: Provider, answer: httpx.Response | httpx.HTTPError) -> None:
        self.requests: list[httpx.Request] = []
        self.marked_before: list[int] = []
        self.one, self.answer = one, answer
        base = configured_base_url(one.spec) or "https://own.example"
        access = an_access(details={"tokenSecret": "the-token-s-secret", "base": base})
        self.api: Api = an_api(
            one,
            access=access,
            client=httpx.Client(transport=httpx.MockTransport(self._handle)),
            mark_sending=lambda: self.marked_before.append(len(self.requests)),
        )

    def _handle(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET" and request.url.path.endswith("/verify_credentials"):
            return httpx.Response(200, json={"id": "42", "username": "roost"})
        self.requests.append(request)
        if isinstance(self.answer, httpx.HTTPError):
            raise self.answer
        return self.answer

    def publish(self, post: OutgoingPost | None = None) -> Released:
        released = self.one.publish(self.api, post or a_post())
        assert isinstance(released, Released)
        return released

    def reply(self) -> Released:
        assert isinstance(self.one, CanReply)
        at = Released("urn:li:share:1", "https://example.org/1", {"cid": "bafy"})
        released = self.one.reply(self.api, a_post(position=1), to=ThreadPosition(at, at))
        assert isinstance(released, Released)
        return released


def shown(error: ProviderError) -> str:
    return f"{error!r} {error} {error.message} {json.dumps(error.evidence.as_json())}"


class TestTable:
    @every_provider
    def test_names_itself_as_the_registry_does(self, slug: str) -> None:
        spec = provider(slug).spec
        assert spec.slug == slug
        assert spec.name
        assert urlsplit(spec.docs_url).scheme == "https"

    @every_provider
    def test_is_consistent_with_its_powers(self, slug: str) -> None:
        one, spec = provider(slug), provider(slug).spec
        assert (spec.max_parts > 1) == isinstance(one, CanReply)
        assert spec.choose_page == isinstance(one, CanListPages)
        if spec.media.videos.max_count and (spec.media.videos.max_bytes or 0) > 50 * 1024**2:
            assert isinstance(one, CanStage), "the publish function carries no large media"
        if spec.media.images.max_count and spec.media.videos.max_count and not spec.media.mixed:
            assert spec.media.max_count >= max(
                spec.media.images.max_count, spec.media.videos.max_count
            )

    @every_provider
    def test_describes_its_tools(self, slug: str) -> None:
        one = provider(slug)
        tools = one.tools if isinstance(one, CanRunTools) else ()
        assert bool(tools) == isinstance(one, CanRunTools)
        assert len({tool.name for tool in tools}) == len(tools)
        for tool in tools:
            assert tool.description.endswith(".")
            assert all(field.key and field.description for field in tool.fields)

    @every_provider
    def test_never_leaves_a_post_unconfirmed_where_it_can_be_told(self, slug: str) -> None:
        one = provider(slug)
        assert one.spec.idempotency.form is not IdempotencyForm.NONE or isinstance(one, CanLookUp)

    @every_provider
    def test_a_promise_names_its_source(self, slug: str) -> None:
        promised = provider(slug).spec.idempotency
        assert bool(promised.source) == (promised.form is not IdempotencyForm.NONE)

    @pytest.mark.parametrize("source", ["", "https://docs.example.org/keys", "read 2026-11"])
    def test_a_promise_without_a_link_and_a_date_is_refused(self, source: str) -> None:
        """A post is sent a second time on its word."""
        with pytest.raises(ValueError, match="source"):
            Idempotency(IdempotencyForm.HEADER, timedelta(hours=1), source)
        Idempotency(IdempotencyForm.HEADER, source="https://docs.example.org/keys, read 2026-11")
        assert Idempotency(source=source).form is IdempotencyForm.NONE

    @every_provider
    def test_limits_can_be_met(self, slug: str) -> None:
        spec = provider(slug).spec
        assert spec.text.max_length > 0
        if spec.media.images.max_count:
            assert MAKEABLE & set(spec.media.images.types), "no copy that fits could be made"
        assert all("/" in kind for kind in (*spec.media.images.types, *spec.media.videos.types))

    @every_provider
    def test_modes_are_switched_on_by_a_setting(self, slug: str) -> None:
        spec = provider(slug).spec
        assert spec.media_for({}) is spec.media
        for mode in spec.media_modes:
            assert spec.settings.model_fields[mode.setting].annotation is bool
            assert spec.media_for({mode.setting: True}) is mode.media
            assert MAKEABLE & set(mode.media.images.types), "no copy that fits could be made"

    @every_provider
    def test_addresses_are_complete_and_can_be_replaced(self, slug: str) -> None:
        spec = provider(slug).spec
        if isinstance(spec.auth, OAuth2):
            addresses = [spec.auth.authorize_url, spec.auth.token_url]
        elif isinstance(spec.auth, OAuth1):
            addresses = [
                spec.auth.authorize_url,
                spec.auth.request_token_url,
                spec.auth.access_token_url,
            ]
        else:
            addresses = []
        assert all(address.startswith(("https://", "{base}/")) for address in addresses)
        assert spec.instance or spec.base_url.startswith("https://")

    @every_provider
    def test_settings_have_a_default_and_a_form(self, slug: str) -> None:
        model = provider(slug).spec.settings
        assert model.model_json_schema()["type"] == "object"
        # Clients of other schedulers send `__type`; the defaults must be enough.
        assert isinstance(model.model_validate({"__type": slug}), model)

    def test_every_slug_is_listed_once(self) -> None:
        assert [spec.slug for spec in specs()] == list(PROVIDERS)

    def test_an_unknown_slug_is_said(self) -> None:
        with pytest.raises(UnknownProvider):
            provider("nowhere")


class TestRefusedBeforeSending:
    @every_provider
    def test_too_long(self, slug: str) -> None:
        one = provider(slug)
        draft = [DraftPart("x" * (one.spec.text.max_length + 1))]
        assert ("value.0.content", "too_long") in [
            (r.path, r.code) for r in rules.check(one, draft, {})
        ]

    @every_provider
    def test_just_right(self, slug: str) -> None:
        one = provider(slug)
        assert rules.check(one, [DraftPart("x" * one.spec.text.max_length)], {}) == []

    @every_provider
    def test_too_many_parts(self, slug: str) -> None:
        one = provider(slug)
        draft = [DraftPart("a")] * (one.spec.max_parts + 1)
        assert "too_many_parts" in [refused.code for refused in rules.check(one, draft, {})]

    @every_provider
    def test_too_many_files(self, slug: str) -> None:
        one = provider(slug)
        picture = MediaInfo(one.spec.media.images.types[0], 1, 1, 1)
        draft = [DraftPart("a", [picture] * (one.spec.media.images.max_count + 1))]
        assert "too_many_media" in [refused.code for refused in rules.check(one, draft, {})]

    @every_provider
    def test_every_reason_is_a_sentence(self, slug: str) -> None:
        one = provider(slug)
        draft = [DraftPart("x" * 200_000, [MediaInfo("application/pdf", 1)] * 30)] * (
            one.spec.max_parts + 1
        )
        for refused in rules.check(one, draft, {}):
            assert refused.message.endswith(".")
            assert refused.message[0].isupper()


class TestMark:
    @every_provider
    def test_exactly_the_creating_request_is_marked(self, slug: str) -> None:
        seen = Recorder(provider(slug), CREATED[slug])
        seen.publish()
        assert seen.marked_before == [len(seen.requests) - 1]
        assert seen.requests[-1].method in {"POST", "PUT"}

    @every_provider
    def test_exactly_the_answering_request_is_marked(self, slug: str) -> None:
        if not isinstance(provider(slug), CanReply):
            pytest.skip("takes no replies")
        seen = Recorder(provider(slug), CREATED[slug])
        seen.reply()
        assert seen.marked_before == [len(seen.requests) - 1]

    @every_provider
    def test_a_repeat_is_the_same_request(self, slug: str) -> None:
        one = provider(slug)
        if one.spec.idempotency.form is IdempotencyForm.NONE:
            pytest.skip("the platform recognizes no repeats")
        keys = set()
        for _ in range(2):
            seen = Recorder(one, CREATED[slug])
            seen.publish()
            last = seen.requests[-1]
            body = json.loads(last.content)
            keys.add(last.headers.get("idempotency-key") or body["rkey"])
        seen = Recorder(one, CREATED[slug])
        seen.publish(a_post(key="0190a000-0000-7000-8000-000000000001.2"))  # the next generation
        last = seen.requests[-1]
        keys.add(last.headers.get("idempotency-key") or json.loads(last.content)["rkey"])
        assert len(keys) == 2


class TestRefusals:
    @every_provider
    @pytest.mark.parametrize(
        ("answer", "errors"),
        [
            (httpx.Response(401, json={"error": "x"}), (TokenExpired, ChannelDisconnected)),
            (httpx.Response(429, headers={"retry-after": "7"}), (RateLimited,)),
            (httpx.Response(400, json={"message": "no"}), (ContentRejected,)),
            (httpx.Response(500), (OutcomeUnknown,)),
            (httpx.Response(503, text="<html>"), (OutcomeUnknown,)),
            (httpx.Response(200, text="<html>cut off"), (OutcomeUnknown,)),
            (httpx.ReadTimeout("silence"), (OutcomeUnknown,)),
            (httpx.RemoteProtocolError("cut off"), (OutcomeUnknown,)),
            (httpx.ConnectError("no route"), (PlatformUnavailable,)),
        ],
    )
    def test_of_a_post_say_what_to_do_next(
        self,
        slug: str,
        answer: httpx.Response | httpx.HTTPError,
        errors: tuple[type[ProviderError], ...],
    ) -> None:
        seen = Recorder(provider(slug), answer)
        with pytest.raises(errors) as refused:
            seen.publish()
        assert refused.value.message.strip()
        assert refused.value.evidence.method
        assert len(seen.requests) == 1, "a provider never tries again by itself"

    @every_provider
    def test_of_anything_else_may_be_repeated(self, slug: str) -> None:
        one = provider(slug)
        if not isinstance(one, CanLookUp):
            pytest.skip("cannot look up")
        answers: tuple[httpx.Response | httpx.HTTPError, ...] = (
            httpx.Response(500),
            httpx.ReadTimeout("silence"),
        )
        for answer, to in itertools.product(answers, (None, SOMEWHERE)):
            seen = Recorder(one, answer)
            with pytest.raises(PlatformUnavailable):
                one.look_up(seen.api, a_post(), to=to, since=seen.api.now())
            assert seen.marked_before == []


class TestReleaseFromUrl:
    @every_provider
    @pytest.mark.parametrize("url", ["", "words", "https://example.org/1", "https://[::1", "//"])
    def test_what_leads_elsewhere_is_none_of_ours(self, slug: str, url: str) -> None:
        assert provider(slug).release_from_url(url, remote_id="42", username="roost") is None


class TestSecrets:
    @pytest.fixture
    def lines(self) -> Iterator[list[str]]:
        written: list[str] = []

        class Keep(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                written.append(self.format(record) + repr(record.__dict__))

        keep = Keep()
        names = ("", "httpx", "httpcore", log.name)
        for name in names:
            logging.getLogger(name).addHandler(keep)
        yield written
        for name in names:
            logging.getLogger(name).removeHandler(keep)

    @every_provider
    @pytest.mark.parametrize("status", [400, 401, 403, 422, 500])
    def test_are_in_no_error_and_no_log(self, slug: str, status: int, lines: list[str]) -> None:
        echo: dict[str, Any] = {
            "message": " ".join(SECRETS),
            "error": SECRETS[0],
            "access_token": SECRETS[1],
        }
        seen = Recorder(provider(slug), httpx.Response(status, json=echo))
        with pytest.raises(ProviderError) as refused:
            seen.publish()
        everything = (
            shown(refused.value) + repr(seen.api.access) + repr(seen.api.app) + "".join(lines)
        )
        assert [secret for secret in SECRETS if secret in everything] == []


class TestDocumentation:
    def test_the_page_is_current(self) -> None:
        assert PAGE.read_text() == markdown(), "run make docs"

    @every_provider
    def test_the_file_names_its_source_and_when_it_was_read(self, slug: str) -> None:
        module = __import__(type(provider(slug)).__module__, fromlist=["x"])
        first = (module.__doc__ or "").splitlines()[0]
        assert "Source: " in first
        assert "read 20" in first

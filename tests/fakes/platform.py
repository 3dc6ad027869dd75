"""A platform in memory, and the providers that speak to it: one for each promise a platform can make.

The platform counts what was created, so that a test can say "once". It answers through httpx's own transport, so the
real `Api` sends, marks and classifies.
"""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from shared.channels import connection
from shared.core import clock
from shared.providers import registry
from shared.providers.base import (
    Authorization,
    CanLookUp,
    CanReply,
    CanStage,
    Connection,
    Found,
    OutgoingPost,
    Processing,
    Provider,
    Released,
    Staged,
    ThreadPosition,
    Tokens,
)
from shared.providers.http import Api
from shared.providers.spec import (
    Fields,
    Idempotency,
    IdempotencyForm,
    ImageRules,
    MediaRules,
    ProviderSpec,
    TextRules,
)

BASE = "https://platform.example"
Answer = Callable[[httpx.Request], httpx.Response]


@dataclass
class Created:
    """A post on the platform."""

    id: str
    text: str
    key: str | None
    reply_to: str | None
    created_at: datetime


@dataclass
class Platform:
    """What the platform holds, and how it misbehaves: `answers` are used up before it behaves."""

    created: list[Created] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)
    keeps_keys: bool = True
    around: Callable[[str], None] = lambda _moment: None
    refreshes: int = 0
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.around("before the platform")
        response = self.answers.pop(0)(request) if self.answers else self.behave(request)
        self.around("after the platform")
        return response

    def behave(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/posts" and request.method == "POST":
            return self.create(request)
        if request.url.path == "/posts":
            return httpx.Response(200, json=[self._shown(post) for post in self.created])
        if request.url.path == "/media":
            return httpx.Response(200, json={"id": f"media-{next(self._numbers)}"})
        if request.url.path.startswith("/jobs/"):
            return httpx.Response(200, json={"done": True, **self._shown(self.created[-1])})
        return httpx.Response(404, json={"error": "no such thing"})

    def create(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        key = request.headers.get("idempotency-key")
        if key and self.keeps_keys:
            for post in self.created:
                if post.key == key:
                    return httpx.Response(200, json=self._shown(post))
        post = Created(
            f"post-{next(self._numbers)}", body["text"], key, body.get("reply_to"), clock.now()
        )
        self.created.append(post)
        return httpx.Response(200, json=self._shown(post))

    def accept_and_drop(self, request: httpx.Request) -> httpx.Response:
        """Carry the request out and never answer."""
        self.behave(request)
        raise httpx.ReadTimeout("no answer", request=request)

    def pass_time(self, seconds: float) -> None:
        """Let the posts grow older."""
        for post in self.created:
            post.created_at -= timedelta(seconds=seconds)

    def texts(self) -> list[str]:
        return [post.text for post in self.created]

    @staticmethod
    def _shown(post: Created) -> dict[str, Any]:
        return {
            "id": post.id,
            "url": f"{BASE}/{post.id}",
            "text": post.text,
            "at": post.created_at.isoformat(),
        }


def refuse(status: int, *, headers: Mapping[str, str] | None = None, message: str = "no") -> Answer:
    """Answer with a refusal and create nothing."""
    return lambda request: httpx.Response(
        status, headers=dict(headers or {}), json={"error": message}, request=request
    )


def no_connection(request: httpx.Request) -> httpx.Response:
    """Fail before anything is sent."""
    raise httpx.ConnectError("refused", request=request)


class Keyless(Provider, CanReply, CanStage):
    """No idempotency key, and nobody to ask."""

    spec = ProviderSpec(
        slug="keyless",
        name="Keyless",
        docs_url=BASE,
        auth=Fields(()),
        text=TextRules(max_length=500),
        media=MediaRules(images=ImageRules(max_count=4), max_count=4),
        max_parts=10,
        base_url=BASE,
    )

    def publish(self, api: Api, post: OutgoingPost) -> Released | Processing:
        return self._create(api, post, reply_to=None)

    def reply(self, api: Api, post: OutgoingPost, *, to: ThreadPosition) -> Released | Processing:
        return self._create(api, post, reply_to=to.parent.id)

    def stage(
        self, api: Api, post: OutgoingPost, progress: Mapping[str, Any]
    ) -> Staged | Processing:
        done = [*progress.get("ids", [])]
        if len(done) < len(post.media):
            done.append(
                api.request("POST", "/media", json={"key": post.media[len(done)].key}).json()["id"]
            )
            return Processing({"ids": done}, timedelta(0))
        return Staged({"ids": done})

    def authorize(self, api: Api, *, redirect_uri: str, instance: str | None) -> Authorization:
        raise LookupError("tests connect by builders")

    def connect(
        self, api: Api, *, code: str, redirect_uri: str, remember: Mapping[str, str]
    ) -> Connection:
        raise LookupError("tests connect by builders")

    def refresh(self, api: Api) -> Tokens:
        answer = api.request("POST", "/token", json={"refresh": api.access.refresh_token})
        return Tokens(access=answer.json()["access"], refresh=answer.json().get("refresh"))

    def headers(self, post: OutgoingPost) -> dict[str, str]:
        return {}

    def _create(
        self, api: Api, post: OutgoingPost, *, reply_to: str | None
    ) -> Released | Processing:
        body = {"text": post.text, "reply_to": reply_to, "media": list(post.staged.get("ids", ()))}
        answer = api.request(
            "POST", "/posts", json=body, headers=self.headers(post), irrevocable=True
        ).json()
        return Released(answer["id"], answer["url"])


class Keyed(Keyless):
    """Keeps idempotency keys for an hour."""

    spec = ProviderSpec(
        **{name: getattr(Keyless.spec, name) for name in Keyless.spec.__slots__}
        | {"slug": "keyed", "name": "Keyed",
           "idempotency": Idempotency(IdempotencyForm.HEADER, timedelta(hours=1), "https://platform.example/keys, read 2026-12")}
    )  # fmt: skip

    def headers(self, post: OutgoingPost) -> dict[str, str]:
        return {"Idempotency-Key": post.key}


class Searchable(Keyless, CanLookUp):
    """No key, but the account's posts can be listed."""

    spec = ProviderSpec(
        **{name: getattr(Keyless.spec, name) for name in Keyless.spec.__slots__}
        | {"slug": "searchable", "name": "Searchable"}
    )

    def look_up(
        self, api: Api, post: OutgoingPost, *, to: ThreadPosition | None, since: datetime
    ) -> Sequence[Found]:
        del to  # every post is listed
        found = api.request("GET", "/posts").json()
        return [
            Found(Released(one["id"], one["url"]), datetime.fromisoformat(one["at"]))
            for one in reversed(found)
            if one["text"] == post.text
        ]


class Slow(Keyless):
    """Takes the post, works on it, and says so when asked again."""

    spec = ProviderSpec(
        **{name: getattr(Keyless.spec, name) for name in Keyless.spec.__slots__}
        | {"slug": "slow", "name": "Slow"}
    )

    def _create(
        self, api: Api, post: OutgoingPost, *, reply_to: str | None
    ) -> Released | Processing:
        created = super()._create(api, post, reply_to=reply_to)
        assert isinstance(created, Released)
        return Processing({"job": created.id}, timedelta(seconds=5))

    def resume(
        self, api: Api, post: OutgoingPost, state: Mapping[str, Any]
    ) -> Released | Processing:
        answer = api.request("GET", f"/jobs/{state['job']}").json()
        return Released(answer["id"], answer["url"])


FAKES: Sequence[type[Provider]] = (Keyless, Keyed, Searchable, Slow)


@contextmanager
def fake_platform(patch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """Offer the fakes as providers, answered by one platform."""
    platform = Platform()
    client = httpx.Client(transport=httpx.MockTransport(platform.handle))
    named = {fake.spec.slug: f"{fake.__module__}:{fake.__name__}" for fake in FAKES}
    patch.setattr(registry, "PROVIDERS", registry.PROVIDERS | named)
    known = registry.provider
    instances = {fake.spec.slug: fake() for fake in FAKES}

    def provider(slug: str) -> Provider:
        return instances[slug] if slug in instances else known(slug)

    for module in ("shared.channels.connection", "shared.channels.tokens"):
        patch.setattr(f"{module}.provider", provider)
    patch.setattr(registry, "provider", provider)
    patch.setattr(connection, "http_client", lambda _spec: client)
    yield platform
    client.close()

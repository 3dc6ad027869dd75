"""Servers in memory for every provider that we have: each takes a post and lists what it holds, and may spoil its answer.

They stand in for what the platforms' documentation says, so that a provider's claim about repeated requests can be held
against a server that keeps the promise and one that does not. Answers go through the same unpacking as real ones.
"""

import gzip
import itertools
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

import httpx

from shared.core import clock
from shared.core.net import MAX_BYTES, bounded

Carry = Callable[[], httpx.Response]
Fault = Callable[["StandIn", Carry], httpx.Response]
PAGE = "<!doctype html><title>Bad gateway</title><h1>The web server reported an error.</h1>"


@dataclass(frozen=True, slots=True)
class Made:
    """A post on the server. `key` is what the request was recognized by, if anything."""

    id: str
    text: str
    key: str | None
    created_at: datetime
    files: int = 0
    on: str | None = None  # the post that it comments on, where replies are comments


@dataclass
class StandIn(ABC):
    """A server. `faults` are used up, one by each request that creates; those `by_text` spoil the posts of that text.

    A fault by text spoils the first request alone, or every one. `upload_faults` are used up by the requests that bring
    a file.
    """

    keeps_keys: bool = True
    faults: list[Fault] = field(default_factory=list)
    by_text: dict[str, tuple[Fault, bool]] = field(default_factory=dict)
    upload_faults: list[Fault] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)
    delayed: list[Carry] = field(default_factory=list)
    running: list[tuple[float, Carry]] = field(default_factory=list)
    now: float = 0.0
    requests: list[httpx.Request] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    slug: ClassVar[str]
    remote_id: ClassVar[str] = "42"
    details: ClassVar[Mapping[str, str]] = {}

    def handle(self, request: httpx.Request) -> httpx.Response:
        """Answer a request; a fault may spoil the answer to one that creates."""
        request.read()
        self.requests.append(request)
        if not self.creates(request):
            if self.uploads(request) and self.upload_faults:
                return self.upload_faults.pop(0)(self, lambda: self.answer(request))
            return self.answer(request)
        fault = self._fault(self.text_of(json.loads(request.content)))
        if fault is None:
            return self.create(request)
        return fault(self, lambda: self.create(request))

    def _fault(self, text: str) -> Fault | None:
        if text in self.by_text:
            fault, always = self.by_text[text]
            if not always:
                del self.by_text[text]
            return fault
        return self.faults.pop(0) if self.faults else None

    def arrive(self) -> None:
        """Carry out the requests that were on their way for so long that nobody waited for them any more."""
        waiting, self.delayed = self.delayed, []
        for carry_out in waiting:
            carry_out()

    def pass_time(self, seconds: float) -> None:
        """Let `seconds` pass: posts grow older, and requests that were running end as long as they take."""
        end = self.now + seconds
        for moment in sorted({at for at, _ in self.running if at <= end}):
            self._grow_older(moment)
            for one in [one for one in self.running if one[0] == moment]:
                self.running.remove(one)
                one[1]()
        self._grow_older(end)

    def _grow_older(self, until: float) -> None:
        passed, self.now = timedelta(seconds=until - self.now), until
        self.made = [replace(one, created_at=one.created_at - passed) for one in self.made]

    def known(self, key: str | None) -> Made | None:
        """Find the post that a key was kept for."""
        return next((one for one in self.made if key and self.keeps_keys and one.key == key), None)

    def keep(self, text: str, key: str | None, *, files: int = 0, on: str | None = None) -> Made:
        """Make a post, and keep its key with it."""
        post = Made(f"{next(self._numbers)}", text, key, clock.now(), files, on)
        self.made.append(post)
        return post

    def begin(self, request: httpx.Request) -> Carry:
        """Begin to carry a request out; what is returned ends it."""
        return lambda: self.create(request)

    @abstractmethod
    def creates(self, request: httpx.Request) -> bool:
        """Return whether the request makes a post."""

    @abstractmethod
    def uploads(self, request: httpx.Request) -> bool:
        """Return whether the request is part of bringing a file; everything of it can be repeated."""

    @abstractmethod
    def text_of(self, body: Mapping[str, Any]) -> str:
        """Read the text of a post from the request that makes it."""

    @abstractmethod
    def create(self, request: httpx.Request) -> httpx.Response:
        """Make the post."""

    @abstractmethod
    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer any other request."""


class MastodonServer(StandIn):
    """Mastodon where it keeps keys, else what GoToSocial says of itself. Source: docs.joinmastodon.org, read 2026-11."""

    slug = "mastodon-custom"
    remote_id = "42@owls.example"
    details: ClassVar[Mapping[str, str]] = {
        "base": "https://owls.example", "clientId": "id", "clientSecret": "secret"
    }  # fmt: skip

    def creates(self, request: httpx.Request) -> bool:
        return (request.method, request.url.path) == ("POST", "/api/v1/statuses")

    def uploads(self, request: httpx.Request) -> bool:
        return "/media" in request.url.path

    def text_of(self, body: Mapping[str, Any]) -> str:
        return str(body["status"])

    def begin(self, request: httpx.Request) -> Carry:
        """Look for the key first, and keep it last, as Mastodon does: two requests at once are two posts."""
        key, body = request.headers.get("idempotency-key"), json.loads(request.content)
        files = len(body.get("media_ids", ()))
        known = self.known(key)
        return lambda: httpx.Response(
            200, json=self._shown(known or self.keep(body["status"], key, files=files))
        )

    def create(self, request: httpx.Request) -> httpx.Response:
        return self.begin(request)()

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/instance"):
            limits = {"statuses": {"max_characters": 500}}
            named = (
                {"version": "4.5.0", "source_url": "https://github.com/mastodon/mastodon"}
                if self.keeps_keys
                else {"version": "0.20.0+git-1a2b3c4"}
            )
            return httpx.Response(200, json={**named, "configuration": limits})
        if request.url.path == "/api/v1/accounts/42/statuses":
            return httpx.Response(200, json=[self._shown(made) for made in reversed(self.made)])
        if self.uploads(request):
            return httpx.Response(200, json={"id": f"{next(self._numbers)}", "type": "image"})
        return httpx.Response(404, json={"error": "Record not found"})

    @staticmethod
    def _shown(made: Made) -> dict[str, Any]:
        return {
            "id": made.id,
            "url": f"https://owls.example/@ada/{made.id}",
            "content": f"<p>{made.text}</p>",
            "created_at": made.created_at.isoformat(),
            "media_attachments": [{"id": f"{made.id}-{file}"} for file in range(made.files)],
        }


class ConfiguredMastodon(MastodonServer):
    """The instance that the operator names."""

    slug = "mastodon"
    details: ClassVar[Mapping[str, str]] = {}


class XServer(StandIn):
    """X has no idempotency keys. Source: docs.x.com, read 2026-11."""

    slug = "x"
    details: ClassVar[Mapping[str, str]] = {"tokenSecret": "secret"}

    def creates(self, request: httpx.Request) -> bool:
        return (request.method, request.url.path) == ("POST", "/2/tweets")

    def uploads(self, request: httpx.Request) -> bool:
        return request.url.path.startswith("/2/media/")

    def text_of(self, body: Mapping[str, Any]) -> str:
        return str(body["text"])

    def create(self, request: httpx.Request) -> httpx.Response:
        text = json.loads(request.content)["text"]
        made = self.keep(text, None)
        return httpx.Response(201, json={"data": {"id": made.id, "text": text}})

    def answer(self, request: httpx.Request) -> httpx.Response:
        if self.uploads(request):
            return httpx.Response(200, json={"data": {"id": f"{next(self._numbers)}"}})
        listed = [
            {"id": made.id, "text": made.text, "created_at": made.created_at.isoformat()}
            for made in reversed(self.made)
        ]
        return httpx.Response(200, json={"data": listed, "meta": {"result_count": len(listed)}})


class LinkedInServer(StandIn):
    """LinkedIn has no idempotency keys. Source: learn.microsoft.com/en-us/linkedin, read 2026-11.

    One that "keeps no keys" lets nobody read comments, as it answers applications that it has not approved.
    """

    slug = "linkedin-page"

    def creates(self, request: httpx.Request) -> bool:
        path = request.url.path
        return request.method == "POST" and (path == "/rest/posts" or path.endswith("/comments"))

    def uploads(self, request: httpx.Request) -> bool:
        return request.url.path.startswith(("/rest/images", "/upload/"))

    def text_of(self, body: Mapping[str, Any]) -> str:
        return str(body["commentary"] if "commentary" in body else body["message"]["text"])

    def create(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        made = self.keep(self.text_of(body), None, on=body.get("object"))
        name = made.id if made.on else f"urn:li:share:{made.id}"
        return httpx.Response(201, headers={"x-restli-id": name})

    def answer(self, request: httpx.Request) -> httpx.Response:
        if self.uploads(request):
            return self._file(request)
        newest = list(reversed(self.made))
        if not request.url.path.endswith("/comments"):
            posts = [self._shown(made) for made in newest if made.on is None]
            return httpx.Response(200, json={"elements": posts})
        if not self.keeps_keys:
            return httpx.Response(403, json={"message": "Not enough permissions to access"})
        comments = [
            self._comment(made)
            for made in newest
            if made.on is not None and f"/{made.on}/" in request.url.path
        ]
        return httpx.Response(200, json={"elements": comments, "paging": {"total": len(comments)}})

    def _file(self, request: httpx.Request) -> httpx.Response:
        """Take a picture: its name and where it goes, then the bytes, then whether it is there."""
        if request.method == "PUT":
            return httpx.Response(201)
        if request.method == "GET":
            return httpx.Response(200, json={"status": "AVAILABLE"})
        number = next(self._numbers)
        return httpx.Response(
            200,
            json={
                "value": {
                    "uploadUrl": f"https://api.linkedin.com/upload/{number}",
                    "image": f"urn:li:image:{number}",
                }
            },
        )

    @staticmethod
    def _shown(made: Made) -> dict[str, Any]:
        return {
            "id": f"urn:li:share:{made.id}",
            "commentary": made.text,
            "createdAt": int(made.created_at.timestamp() * 1000),
        }

    def _comment(self, made: Made) -> dict[str, Any]:
        return {
            "id": made.id,
            "object": made.on,
            "actor": f"urn:li:organization:{self.remote_id}",
            "created": {"time": int(made.created_at.timestamp() * 1000)},
            "message": {"text": made.text},
        }


class BlueskyServer(StandIn):
    """A personal data server: a record's name is chosen by who writes it, so none can be written twice.

    One that "keeps no keys" does not refuse the second writing either: it replaces the record, and there is still one.
    """

    slug = "bluesky"
    remote_id = "did:plc:owls"
    details: ClassVar[Mapping[str, str]] = {"base": "https://pds.example"}

    def creates(self, request: httpx.Request) -> bool:
        return request.url.path.endswith("com.atproto.repo.putRecord")

    def uploads(self, request: httpx.Request) -> bool:
        return request.url.path.endswith("com.atproto.repo.uploadBlob")

    def text_of(self, body: Mapping[str, Any]) -> str:
        return str(body["record"]["text"])

    def create(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        key, text = body["rkey"], body["record"]["text"]
        if any(made.key == key for made in self.made) and self.keeps_keys:
            return httpx.Response(400, json={"error": "InvalidSwap", "message": "Record was at x"})
        self.made = [made for made in self.made if made.key != key]
        made = self.keep(text, key)
        return httpx.Response(200, json=self._named(made))

    def answer(self, request: httpx.Request) -> httpx.Response:
        if self.uploads(request):
            blob = {"$type": "blob", "ref": {"$link": f"bafkrei{next(self._numbers)}"}, "size": 68}
            return httpx.Response(200, json={"blob": blob})
        key = request.url.params.get("rkey")
        for made in self.made:
            if made.key == key:
                value = {"text": made.text, "createdAt": clock.to_wire(made.created_at)}
                return httpx.Response(200, json={**self._named(made), "value": value})
        return httpx.Response(400, json={"error": "RecordNotFound", "message": "no such record"})

    def _named(self, made: Made) -> dict[str, str]:
        return {
            "uri": f"at://{self.remote_id}/app.bsky.feed.post/{made.key}",
            "cid": f"bafy{made.id}",
        }


STAND_INS: Mapping[str, type[StandIn]] = {
    kind.slug: kind
    for kind in (MastodonServer, ConfiguredMastodon, XServer, LinkedInServer, BlueskyServer)
}


class Transport(httpx.BaseTransport):
    """Brings requests to a stand-in, and its answers back through the unpacking of `shared.core.net`."""

    def __init__(self, server: StandIn) -> None:
        self._server = server

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return bounded(self._server.handle(request), MAX_BYTES)


class _Body(httpx.SyncByteStream):
    """A body that nothing unpacks on its way here."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self._content


def cut_off(_server: StandIn, carry_out: Carry) -> httpx.Response:
    """Carry the request out, and close the connection."""
    carry_out()
    raise httpx.RemoteProtocolError("Server disconnected without sending a response.")


def lost(_server: StandIn, _carry_out: Carry) -> httpx.Response:
    """Lose the request on its way."""
    raise httpx.ReadError("Connection reset by peer")


def halved(_server: StandIn, carry_out: Carry) -> httpx.Response:
    """Send half of the body, complete as far as HTTP can tell."""
    answer = carry_out()
    headers = {name: value for name, value in answer.headers.items() if name == "content-type"}
    return httpx.Response(answer.status_code, headers=headers, content=answer.content[: len(answer.content) // 2])  # fmt: skip


def delayed(_server: StandIn, carry_out: Carry) -> httpx.Response:
    """Carry the request out, and answer when nobody waits any more."""
    carry_out()
    raise httpx.ReadTimeout("The request took too long.")


def delayed_on_its_way(server: StandIn, carry_out: Carry) -> httpx.Response:
    """Carry the request out long after its sender has given up."""
    server.delayed.append(carry_out)
    raise httpx.ReadTimeout("The request took too long.")


def replaced_by(status: int, body: str = PAGE, *, carried_out: bool = True) -> Fault:
    """Let something in between answer, after the server has carried the request out or instead of it."""

    def fault(_server: StandIn, carry_out: Carry) -> httpx.Response:
        if carried_out:
            carry_out()
        return httpx.Response(status, headers={"content-type": "text/html"}, content=body.encode())

    return fault


OWN_500 = (500, {"status": 500, "error": "Internal Server Error"})
# Mastodon's, where it waits for a lock or for something else that is not there (families/mastodon_api/failures.py).
OWN_503 = (503, {"error": "There was a temporary problem serving your request, please try again"})


def failed(*, carried_out: bool, answer: tuple[int, Mapping[str, Any]] = OWN_500) -> Fault:
    """Let the application itself say that it failed, before it has made the post or after it."""

    def fault(server: StandIn, carry_out: Carry) -> httpx.Response:
        if carried_out:
            carry_out()
            server.made[-1] = replace(
                server.made[-1], key=None
            )  # it stopped before it kept the key
        status, body = answer
        return httpx.Response(status, json=body)

    return fault


def still_running(seconds: float, answer: Fault) -> Fault:
    """Go on with a request for `seconds` although its sender was given something else than its answer."""

    def fault(server: StandIn, _carry_out: Carry) -> httpx.Response:
        server.running.append((server.now + seconds, server.begin(server.requests[-1])))
        return answer(server, lambda: httpx.Response(500))

    return fault


def packed(encoding: str, pack: Callable[[bytes], bytes]) -> Fault:
    """Pack the answer, whatever the request allows."""

    def fault(_server: StandIn, carry_out: Carry) -> httpx.Response:
        answer = carry_out()
        headers = {
            name: value for name, value in answer.headers.items() if name != "content-length"
        }
        headers["content-encoding"] = encoding
        return httpx.Response(
            answer.status_code, headers=headers, stream=_Body(pack(answer.content))
        )

    return fault


FAULTS: Mapping[str, Fault] = {
    "cut off": cut_off,
    "lost": lost,
    "halved": halved,
    "delayed": delayed,
    "delayed on its way": delayed_on_its_way,
    "500": replaced_by(500),
    "502": replaced_by(502),
    "502, not carried out": replaced_by(502, carried_out=False),
    "503, not carried out": replaced_by(503, carried_out=False),
    "504": replaced_by(504),
    "a failure of its own": failed(carried_out=False),
    "a 503 of its own": failed(carried_out=False, answer=OWN_503),
    "520": replaced_by(520),
    "520, not carried out": replaced_by(520, carried_out=False),
    "a page": replaced_by(200),
    "a page, not carried out": replaced_by(200, carried_out=False),
    "empty": replaced_by(200, ""),
    "empty 204": replaced_by(204, ""),
    "compressed": packed("gzip", gzip.compress),
    "declared empty": packed("", bytes),
    "compressed and cut": packed("gzip", lambda body: gzip.compress(body)[:-6]),
    "compressed in an unknown way": packed("br", gzip.compress),
}

# What the sender sees while the request goes on.
GIVEN_UP: Mapping[str, Fault] = {
    "no answer": delayed,
    "cut off": cut_off,
    "502": replaced_by(502),
    "503": replaced_by(503),
    "504": replaced_by(504),
    "520": replaced_by(520),
    "524": replaced_by(524),
    "a page": replaced_by(200),
    "a page of a 500": replaced_by(500),
    "a gateway's 500": replaced_by(500, '{"message": "Internal server error"}'),
    "a gateway's 503": replaced_by(503, '{"error": "Service Unavailable"}'),
}

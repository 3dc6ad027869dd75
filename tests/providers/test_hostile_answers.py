"""Every question that a provider puts, with every field of every recorded answer made wrong in every way.

Finding 2.4: anybody may run a server, so a field may be missing, of another type, huge, or text that cannot be stored.
Whatever it is, the provider returns something that can be stored or raises an error of ours.
"""

import copy
import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from shared.core.errors import AppError
from shared.providers.base import (
    CanFindRelease,
    CanListPages,
    CanLookUp,
    CanMention,
    CanReadServer,
    CanReply,
    CanReport,
    CanStage,
    OutgoingPost,
    Processing,
    Provider,
    Released,
    ThreadPosition,
)
from shared.providers.errors import ProviderError
from shared.providers.http import Api
from shared.providers.registry import provider, slugs
from tests.providers.builders import Storage, a_post, an_access, an_api
from tests.providers.conftest import SAMPLES

pytestmark = pytest.mark.broad

_MISSING = object()
_NESTED: Any = "x"
for _ in range(40):
    _NESTED = [_NESTED]
HOSTILE: Mapping[str, Any] = {
    "missing": _MISSING,
    "null": None,
    "true": True,
    "zero": 0,
    "negative": -1,
    "huge number": 10**30,
    "not a number": float("nan"),
    "empty": "",
    "words": "no such thing",
    "NUL": "a\x00b",
    "half of a pair": "a\ud800b",
    "long": "x" * 300_000,
    "list": ["x"],
    "list of lists": [[]],
    "list of nulls": [None],
    "object": {"x": None},
    "nested": _NESTED,
}
# Where the platforms' refusals have their words and codes.
REFUSAL_FIELDS = (
    "error",
    "errors",
    "error_description",
    "message",
    "detail",
    "title",
    "code",
    "reason",
    "status",
)
MOST_KEPT = 50_000  # characters of a result
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
DID = "did:plc:jpsfolrrnlcxddv6rtbbplqv"
RELEASED = Released("urn:li:share:7000000000000000001", "https://example.org/1", {"cid": "bafy"})
POSITION = ThreadPosition(RELEASED, RELEASED)
Ask = Callable[[Any, Api, Storage], Any]


def _sample(slug: str, name: str) -> Any:
    return json.loads((SAMPLES / slug / f"{name}.json").read_text())


@dataclass(frozen=True)
class Question:
    """One call of a provider and what the platform answers: by a pattern of method, host, path and query."""

    slug: str
    ask: Ask
    answers: Mapping[str, Any]
    access: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def _with_picture(storage: Storage, **known: Any) -> OutgoingPost:
    return a_post(media=[storage.picture()], **known)


def _stage(provider: CanStage, api: Api, post: OutgoingPost) -> Any:
    """Stage as the publisher does, which keeps the progress as JSON, for a few rounds."""
    progress: Mapping[str, Any] = {}
    answer: Any = None
    for _ in range(4):
        answer = provider.stage(api, post, progress)
        if not isinstance(answer, Processing):
            return answer
        progress = json.loads(json.dumps(answer.state))
    return answer


def _staged(provider: Any, api: Api, post: OutgoingPost) -> Any:
    """Stage the files, and publish with what the publisher keeps of that."""
    staged = _stage(provider, api, post)
    if isinstance(staged, Processing):
        return staged
    kept = json.loads(json.dumps(staged.data))
    return provider.publish(api, dataclasses.replace(post, staged=kept))


_STATUS = _sample("mastodon", "status")
_ARTICLE = {"post_type": "article", "article_title": "The owls are back"}
_COMMENTS = _sample("linkedin-page", "comments")
_SHOWN: Mapping[str, Any] = {
    "uri": f"at://{DID}/app.bsky.feed.post/3m66qxkzv5k2a",
    "cid": "bafy",
    "value": {"text": "The owls are back.", "createdAt": "2026-11-22T12:00:00.000Z"},
}
_BLUESKY = {"remote_id": DID, "details": {"base": "https://morel.us-east.host.bsky.network"}}
_X = {"remote_id": "2244994945"}
_PAGE = {"remote_id": "2414183"}
_INSTANCE = {
    "GET .*/api/v2/instance": _sample("mastodon", "instance"),
    "GET .*/api/v1/instance": {"version": "4.5.0", "max_toot_chars": 500},
}
_VIDEO_JOB = {
    "GET .*getServiceAuth": {"token": "a.b.c"},
    "POST .*uploadVideo": _sample("bluesky", "job_created"),
    "GET .*getJobStatus": _sample("bluesky", "job_completed"),
}
_FORM = json.dumps({"service": "https://bsky.social", "identifier": "a", "password": "b"})
_OF_OWLS: Mapping[str, Any] = {
    "content": "<p>The owls are back.</p>",
    "media_attachments": [],
    "account": {"id": "42"},
}

QUESTIONS: Mapping[str, Question] = {
    # Mastodon
    "mastodon account": Question(
        "mastodon",
        lambda p, api, _: p.account(api),
        {"GET .*verify_credentials": _sample("mastodon", "account"), **_INSTANCE},
    ),
    "mastodon connect": Question(
        "mastodon",
        lambda p, api, _: p.connect(
            api, code="c", redirect_uri="https://a.example", remember={"verifier": "v"}
        ),
        {
            "POST .*oauth/token": _sample("mastodon", "token"),
            "GET .*verify_credentials": _sample("mastodon", "account"),
            **_INSTANCE,
        },
    ),
    "mastodon-custom authorize": Question(
        "mastodon-custom",
        lambda p, api, _: p.authorize(
            api, redirect_uri="https://a.example", instance="mastodon.example"
        ),
        {"POST .*api/v1/apps": _sample("mastodon", "app")},
    ),
    "mastodon read_server": Question("mastodon", lambda p, api, _: p.read_server(api), _INSTANCE),
    "mastodon read_server without a name": Question(
        "mastodon-custom",
        lambda p, api, _: p.read_server(api),
        {
            "GET .*/api/v2/instance": {
                "version": "4.2.0",
                "configuration": {"statuses": {"max_characters": 500}},
            },
            "GET .*/.well-known/nodeinfo": {
                "links": [
                    {
                        "rel": "http://nodeinfo.diaspora.software/ns/schema/2.0",
                        "href": "https://owls.example/nodeinfo/2.0",
                    }
                ]
            },
            "GET .*/nodeinfo/2.0": {"software": {"name": "mastodon", "version": "4.2.0"}},
        },
        {"details": {"base": "https://owls.example"}},
    ),
    "mastodon publish": Question(
        "mastodon", lambda p, api, _: p.publish(api, a_post()), {"POST .*statuses": _STATUS}
    ),
    "mastodon reply": Question(
        "mastodon",
        lambda p, api, _: p.reply(api, a_post(), to=POSITION),
        {"POST .*statuses": _STATUS},
    ),
    "mastodon stage": Question(
        "mastodon",
        lambda p, api, storage: _staged(p, api, _with_picture(storage)),
        {
            "POST .*api/v2/media": _sample("mastodon", "media_processing"),
            "GET .*api/v1/media": _sample("mastodon", "media"),
            "POST .*statuses": _STATUS,
        },
    ),
    "mastodon look_up": Question(
        "mastodon",
        lambda p, api, _: p.look_up(api, a_post(), to=None, since=SINCE),
        {"GET .*accounts/42/statuses": [_STATUS | _OF_OWLS, _STATUS]},
    ),
    "mastodon find_mentions": Question(
        "mastodon",
        lambda p, api, _: p.find_mentions(api, "owl"),
        {"GET .*accounts/search": _sample("mastodon", "search")},
    ),
    "mastodon find_release": Question(
        "mastodon",
        lambda p, api, _: p.find_release(api, _STATUS["url"]),
        {
            "GET .*api/v1/statuses/": _STATUS | _OF_OWLS,
            "GET .*accounts/42/statuses": [_STATUS | _OF_OWLS],
        },
    ),
    # X
    "x account": Question(
        "x", lambda p, api, _: p.account(api), {"GET .*users/me": _sample("x", "me")}
    ),
    "x publish": Question(
        "x",
        lambda p, api, _: p.publish(api, a_post()),
        {"POST .*2/tweets": _sample("x", "created")},
    ),
    "x article": Question(
        "x",
        lambda p, api, _: p.resume(
            api,
            a_post(),
            p.publish(api, a_post(settings={**_ARTICLE, "article_status": "published"})).state,
        ),
        {
            "POST .*articles/draft": _sample("x", "article_drafted"),
            "POST .*/publish": _sample("x", "article_published"),
        },
    ),
    "x stage": Question(
        "x",
        lambda p, api, storage: _staged(
            p, api, a_post(media=[storage.video(content=b"v" * 9_000, alt="An owl")])
        ),
        {
            "POST .*initialize": _sample("x", "initialized"),
            "POST .*append": {},
            "POST .*finalize": _sample("x", "finalized_video"),
            "GET .*media/upload": _sample("x", "status_in_progress"),
            "POST .*2/tweets": _sample("x", "created"),
        },
    ),
    "x look_up": Question(
        "x",
        lambda p, api, _: p.look_up(
            api, a_post("Owls & co. https://example.org/owls"), to=None, since=SINCE
        ),
        {"GET .*tweets": _sample("x", "timeline")},
        _X,
    ),
    "x look_up of a long post": Question(
        "x",
        lambda p, api, _: p.look_up(api, a_post(), to=None, since=SINCE),
        {
            "GET .*tweets": {
                "data": [
                    {
                        "id": "1",
                        "created_at": "2026-11-22T12:00:02.000Z",
                        "text": "The owls",
                        "note_tweet": {"text": "The owls are back.", "entities": {"urls": []}},
                    }
                ]
            }
        },
        _X,
    ),
    "x look_up of an article": Question(
        "x",
        lambda p, api, _: p.look_up(
            api,
            a_post(settings={**_ARTICLE, "article_status": "published"}),
            to=None,
            since=SINCE,
        ),
        {"GET .*tweets": _sample("x", "article_timeline")},
        _X,
    ),
    "x find_mentions": Question(
        "x",
        lambda p, api, _: p.find_mentions(api, "owl"),
        {"GET .*by/username": _sample("x", "me")},
    ),
    "x find_release": Question(
        "x",
        lambda p, api, _: p.find_release(api, "https://x.com/i/status/1994300000000000001"),
        {"GET .*2/tweets/": {"data": {"id": "1994300000000000001", "author_id": "2244994945"}}},
        _X,
    ),
    "x account_series": Question(
        "x",
        lambda p, api, _: p.account_series(api, days=7),
        {"GET .*tweets": _sample("x", "metrics")},
    ),
    "x post_series": Question(
        "x",
        lambda p, api, _: p.post_series(api, RELEASED),
        {"GET .*tweets/": {"data": _sample("x", "metrics")["data"][0]}},
    ),
    # LinkedIn
    "linkedin-page account": Question(
        "linkedin-page",
        lambda p, api, _: p.account(api),
        {"GET .*v2/me": _sample("linkedin-page", "me")},
    ),
    "linkedin-page connect": Question(
        "linkedin-page",
        lambda p, api, _: p.connect(api, code="c", redirect_uri="https://a.example", remember={}),
        {
            "POST .*accessToken": _sample("linkedin-page", "token"),
            "GET .*v2/me": _sample("linkedin-page", "me"),
        },
    ),
    "linkedin-page refresh": Question(
        "linkedin-page",
        lambda p, api, _: p.refresh(api),
        {"POST .*accessToken": _sample("linkedin-page", "token")},
    ),
    "linkedin-page pages": Question(
        "linkedin-page",
        lambda p, api, _: p.pages(api),
        {
            "GET .*organizationAcls": _sample("linkedin-page", "acls"),
            "GET .*organizationsLookup": _sample("linkedin-page", "lookup"),
        },
    ),
    "linkedin-page choose_page": Question(
        "linkedin-page",
        lambda p, api, _: p.choose_page(api, "2414183"),
        {
            "GET .*organizationAcls": _sample("linkedin-page", "acls"),
            "GET .*v2/organizations/": _sample("linkedin-page", "organization"),
        },
    ),
    "linkedin-page stage": Question(
        "linkedin-page",
        lambda p, api, storage: _staged(p, api, _with_picture(storage)),
        {
            "POST .*rest/images": _sample("linkedin-page", "image_upload"),
            "PUT .*dms-uploads": {},
            "GET .*rest/images": {"status": "AVAILABLE"},
            "POST .*rest/posts": {},
        },
        _PAGE,
        {"x-restli-id": "urn:li:share:1"},
    ),
    "linkedin-page stage a video": Question(
        "linkedin-page",
        lambda p, api, storage: _stage(
            p, api, a_post(media=[storage.video(content=bytes(5_000_000))])
        ),
        {
            "POST .*initializeUpload": _sample("linkedin-page", "video_upload"),
            "PUT .*dms-uploads": {},
            "POST .*finalizeUpload": {},
            "GET .*rest/videos": {"status": "PROCESSING_FAILED", "processingFailureReason": "no"},
        },
        _PAGE,
    ),
    "linkedin-page look_up": Question(
        "linkedin-page",
        lambda p, api, _: p.look_up(api, a_post("The owls are back (again)"), to=None, since=SINCE),
        {"GET .*rest/posts": _sample("linkedin-page", "posts")},
        _PAGE,
    ),
    "linkedin-page look_up of a comment": Question(
        "linkedin-page",
        lambda p, api, _: p.look_up(
            api, a_post("Part two (of two)\n\nMore at Acme"), to=POSITION, since=SINCE
        ),
        {"GET .*comments": _COMMENTS},
        _PAGE,
    ),
    "linkedin-page find_release": Question(
        "linkedin-page",
        lambda p, api, _: p.find_release_by_id(api, "urn:li:share:7"),
        {"GET .*rest/posts/": {"author": "urn:li:organization:2414183"}},
        _PAGE,
    ),
    "linkedin-page find_release of a comment": Question(
        "linkedin-page",
        lambda p, api, _: p.find_release_by_id(
            api, "urn:li:comment:(urn:li:share:7,6636062862760562688)"
        ),
        {"GET .*comments": _COMMENTS},
        _PAGE,
    ),
    "linkedin-page find_mentions": Question(
        "linkedin-page",
        lambda p, api, _: p.find_mentions(api, "https://www.linkedin.com/company/roost"),
        {"GET .*organizations": {"elements": [{"id": 2414183, "localizedName": "Roost"}]}},
    ),
    "linkedin-page account_series": Question(
        "linkedin-page",
        lambda p, api, _: p.account_series(api, days=7),
        {
            "GET .*PageStatistics": _sample("linkedin-page", "page_statistics"),
            "GET .*ShareStatistics": _sample("linkedin-page", "share_statistics"),
            "GET .*FollowerStatistics": _sample("linkedin-page", "follower_statistics"),
        },
        _PAGE,
    ),
    "linkedin-page post_series": Question(
        "linkedin-page",
        lambda p, api, _: p.post_series(api, RELEASED),
        {"GET .*ShareStatistics": _sample("linkedin-page", "share_statistics")},
        _PAGE,
    ),
    # Bluesky
    "bluesky connect": Question(
        "bluesky",
        lambda p, api, _: p.connect(api, code=_FORM, redirect_uri="", remember={}),
        {
            "POST .*createSession": _sample("bluesky", "session"),
            "GET .*plc.directory": _sample("bluesky", "did"),
            "GET .*getSession": _sample("bluesky", "session"),
            "GET .*getProfile": _sample("bluesky", "profile"),
        },
    ),
    "bluesky refresh": Question(
        "bluesky",
        lambda p, api, _: p.refresh(api),
        {"POST .*refreshSession": _sample("bluesky", "session")},
        _BLUESKY,
    ),
    "bluesky publish": Question(
        "bluesky",
        lambda p, api, _: p.publish(api, a_post("Hi @owl.example")),
        {"GET .*resolveHandle": {"did": DID}, "POST .*putRecord": _sample("bluesky", "written")},
        _BLUESKY,
    ),
    "bluesky reply": Question(
        "bluesky",
        lambda p, api, _: p.reply(
            api, a_post(), to=ThreadPosition(Released(_SHOWN["uri"], ""), RELEASED)
        ),
        {"GET .*getRecord": _SHOWN, "POST .*putRecord": _sample("bluesky", "written")},
        _BLUESKY,
    ),
    "bluesky stage": Question(
        "bluesky",
        lambda p, api, storage: _staged(p, api, _with_picture(storage)),
        {
            "POST .*uploadBlob": _sample("bluesky", "blob"),
            "POST .*putRecord": _sample("bluesky", "written"),
        },
        _BLUESKY,
    ),
    "bluesky stage a video": Question(
        "bluesky",
        lambda p, api, storage: _staged(p, api, a_post(media=[storage.video()])),
        {**_VIDEO_JOB, "POST .*putRecord": _sample("bluesky", "written")},
        _BLUESKY,
    ),
    "bluesky stage a video that fails": Question(
        "bluesky",
        lambda p, api, storage: _stage(p, api, a_post(media=[storage.video()])),
        {**_VIDEO_JOB, "GET .*getJobStatus": _sample("bluesky", "job_failed")},
        _BLUESKY,
    ),
    "bluesky look_up": Question(
        "bluesky",
        lambda p, api, _: p.look_up(api, a_post(), to=None, since=SINCE),
        {"GET .*getRecord": _SHOWN},
        _BLUESKY,
    ),
    "bluesky find_release": Question(
        "bluesky",
        lambda p, api, _: p.find_release_by_id(api, "3m66qxkzv5k2a"),
        {"GET .*getRecord": _SHOWN},
        _BLUESKY,
    ),
    "bluesky find_mentions": Question(
        "bluesky",
        lambda p, api, _: p.find_mentions(api, "owl"),
        {"GET .*searchActors": {"actors": [_sample("bluesky", "profile")]}},
        _BLUESKY,
    ),
}

# Their recorded answers say that the file could not be processed.
REFUSED = frozenset({"linkedin-page stage a video", "bluesky stage a video that fails"})


def _places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """List every place in an answer, the whole first; of a list, its first two items."""
    yield path
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _places(inner, (*path, name))
    if isinstance(value, list):
        for number, inner in enumerate(value[:2]):
            yield from _places(inner, (*path, number))


def _with(answer: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """Return the answer with another value at a place."""
    if not path:
        return None if value is _MISSING else value
    changed = copy.deepcopy(answer)
    holder = changed
    for step in path[:-1]:
        holder = holder[step]
    if value is _MISSING:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return changed


def _put(question: Question, answers: Mapping[str, bytes], *, status: int = 200) -> Any:
    """Put the question to a platform that answers like that."""

    def answer(request: httpx.Request) -> httpx.Response:
        asked = f"{request.method} {request.url}"
        for pattern, body in answers.items():
            if re.match(pattern, asked):
                return httpx.Response(status, content=body, headers=dict(question.headers))
        return httpx.Response(404, json={"error": "There is no such thing."})

    storage, one = Storage(), provider(question.slug)
    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        api = an_api(one, access=an_access(**question.access), storage=storage, client=client)
        return question.ask(one, api, storage)


def _json(value: Any) -> bytes:
    return json.dumps(
        value
    ).encode()  # half of a pair and "not a number" are written as Python does


def _check(result: Any) -> None:
    """Check that a result can be stored, sent and shown."""
    plain = [dataclasses.asdict(one) if _is_made(one) else one for one in _flat(result)]
    written = json.dumps(plain, default=str, ensure_ascii=False, allow_nan=False)
    written.encode()
    assert not any("\x00" in one for one in _strings(plain))
    assert len(written) < MOST_KEPT


def _strings(value: Any) -> Iterator[str]:
    """Yield every string in a value, the names of fields included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _strings(key)
            yield from _strings(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _strings(one)


def _is_made(one: Any) -> bool:
    return dataclasses.is_dataclass(one) and not isinstance(one, type)


def _flat(result: Any) -> list[Any]:
    return list(result) if isinstance(result, list | tuple) else [result]


class TestQuestions:
    @pytest.mark.parametrize("name", QUESTIONS)
    def test_a_good_answer_is_understood(self, name: str) -> None:
        question = QUESTIONS[name]
        answers = {pattern: _json(body) for pattern, body in question.answers.items()}
        if name in REFUSED:
            with pytest.raises(ProviderError, match="could not"):
                _put(question, answers)
            return
        result = _put(question, answers)
        assert result, "the recorded answers bring a result"
        _check(result)

    @pytest.mark.parametrize("name", QUESTIONS)
    def test_a_hostile_answer_ends_in_a_result_or_an_error_of_ours(self, name: str) -> None:
        """Finding 2.4: a wrong type in an optional field was an exception that nobody expected."""
        question = QUESTIONS[name]
        good = {pattern: _json(body) for pattern, body in question.answers.items()}
        unexpected: dict[str, str] = {}
        for pattern, body in question.answers.items():
            for path in _places(body):
                for kind, value in HOSTILE.items():
                    answers = {**good, pattern: _json(_with(body, path, value))}
                    try:
                        _check(_put(question, answers))
                    except (ProviderError, AppError):
                        pass
                    except Exception as error:  # noqa: BLE001  what is listed here is what the test looks for
                        unexpected[f"{pattern} {path}: {kind}"] = (
                            f"{type(error).__name__}: {error}"[:200]
                        )
        assert not unexpected

    @pytest.mark.parametrize("name", [name for name in QUESTIONS if name not in REFUSED])
    @pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
    def test_a_hostile_refusal_ends_in_an_error_of_ours(self, name: str, status: int) -> None:
        """Finding 2.4: a refusal is searched for its words and its code, wherever a platform puts them."""
        question = QUESTIONS[name]
        unexpected = []
        for kind, value in HOSTILE.items():
            body = _json({} if value is _MISSING else dict.fromkeys(REFUSAL_FIELDS, value))
            refusals = dict.fromkeys(question.answers, body)
            try:
                _check(_put(question, refusals, status=status))
            except (ProviderError, AppError) as error:
                evidence = getattr(error, "evidence", None)
                _check([error.message, evidence.as_json() if evidence else None])
            except Exception as error:  # noqa: BLE001, all of them are collected
                unexpected.append(f"{kind}: {error!r}")
        assert not unexpected

    @pytest.mark.parametrize("slug", slugs())
    def test_every_power_is_asked(self, slug: str) -> None:
        """A provider with a new power needs a question here."""
        asked = {name.split(" ")[1] for name, one in QUESTIONS.items() if one.slug == slug}
        if slug == "mastodon-custom":  # speaks as `mastodon` does, but registers itself first
            assert "authorize" in asked
            return
        powers: Mapping[type, tuple[str, ...]] = {
            Provider: ("publish", "connect"),
            CanReply: ("reply",),
            CanStage: ("stage",),
            CanLookUp: ("look_up",),
            CanFindRelease: ("find_release",),
            CanReadServer: ("read_server",),
            CanListPages: ("pages", "choose_page"),
            CanMention: ("find_mentions",),
            CanReport: ("account_series", "post_series"),
        }
        expected = {
            name
            for power, names in powers.items()
            if isinstance(provider(slug), power)
            for name in names
        }
        # X's answers while connecting are no JSON; its replies and LinkedIn's comments are answered like posts.
        known = {"x": {"connect", "reply"}, "linkedin-page": {"reply", "publish"}}.get(slug, set())
        assert expected - known <= asked

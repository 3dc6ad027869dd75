"""A provider's HTTP requests: time limits, the mark before an irrevocable request, and the meaning of refusals.

One `Api` is one channel's connection to its platform for one task. Platform files never see `httpx.Client`, the
database or another channel's token.
"""

import copy
import email.utils
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from json import dumps as as_json
from typing import Any, Protocol
from urllib.parse import quote, quote_plus

import httpx

from shared.core import clock, trace
from shared.core.config import settings
from shared.core.log import names_a_secret
from shared.core.net import ENDS_AT, AnswerUnreadable
from shared.providers.answers import is_readable, read_json
from shared.providers.errors import (
    AppMisconfigured,
    ContentRejected,
    Evidence,
    MediaRejected,
    OutcomeUnknown,
    PlatformUnavailable,
    ProviderError,
    RateLimited,
    TokenExpired,
)
from shared.providers.spec import ProviderSpec

CONNECT_TIMEOUT = timedelta(seconds=5)
READ_TIMEOUT = timedelta(seconds=25)  # for the whole of a request that can be repeated
LONGEST_SILENCE = timedelta(minutes=5)  # between two bytes of a long upload
ROOM_FOR_RECORD = timedelta(seconds=7)  # of a task's time: the outcome of a post must be recorded
LEAST_TIME_TO_ANSWER = timedelta(seconds=5)
# With less time, an irrevocable request might not be answered, or its answer not recorded.
LEAST_TIME_TO_SEND = LEAST_TIME_TO_ANSWER + ROOM_FOR_RECORD
DEFAULT_RETRY_AFTER = timedelta(minutes=1)
_MOST_DIGITS = 11  # three thousand years in seconds
REDIRECTS = frozenset({301, 302, 307, 308})
MAX_BODY_IN_EVIDENCE = 2_000
MAX_BODY_READ = 20_000  # secrets are removed before it is cut, so that no part of one is kept
MAX_WORDS = 300
SHORT_SECRET = 6  # characters
_SECRET_IN_JSON = re.compile(
    r'("[^"]*(?:token|jwt|secret|password|passwd|api_?key|verifier)[^"]*"\s*:\s*)"[^"]*"',
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class AppCredentials:
    """Our application on a platform; empty strings where the platform needs none."""

    client_id: str = ""
    client_secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class ChannelAccess:
    """The credentials of one account. Never logged and never part of an error.

    `details` is the connection's; its `base` may hold the address of the account's own server.
    """

    remote_id: str = ""
    username: str | None = None
    access_token: str = field(default="", repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    details: Mapping[str, str] = field(default_factory=dict, repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict)
    expires_at: datetime | None = None


class MediaReader(Protocol):
    """Reads a range of a stored file. `length` is at most 8 MiB, so that memory does not grow with the file's size."""

    def __call__(self, key: str, start: int, length: int) -> bytes: ...


def no_media(key: str, start: int, length: int) -> bytes:
    """The reader of tasks without media, in which reading is a bug."""
    raise LookupError(f"this task carries no media: {key} {start}+{length}")


def nothing_irrevocable() -> None:
    """The mark of repeatable tasks (connecting, staging, reading)."""


class Api:
    """One channel's connection to its platform.

    Args:
        spec: the provider's table.
        client: shared connection pool; tests replace its transport.
        base_url: the platform's address; None: `configured_base_url`. An account's own server takes precedence over both.
        classify: the provider's own classification of a refusal; None leaves it to the general table.
        mark_sending: called right before a request that cannot be taken back; raises when the lease is lost.
        read_media: see `MediaReader`.
        deadline: `time.monotonic()` value at which the task must have ended.
    """

    def __init__(
        self,
        spec: ProviderSpec,
        client: httpx.Client,
        *,
        access: ChannelAccess | None = None,
        app: AppCredentials | None = None,
        base_url: str | None = None,
        classify: Callable[[httpx.Response], ProviderError | None] = lambda _response: None,
        mark_sending: Callable[[], None] = nothing_irrevocable,
        read_media: MediaReader = no_media,
        deadline: float | None = None,
    ) -> None:
        self.spec = spec
        self.access = access or ChannelAccess()
        self.app = app or AppCredentials()
        self.base_url = (
            self.access.details.get("base") or base_url or configured_base_url(spec)
        ).rstrip("/")
        self.read_media = read_media
        # One post may need several irrevocable requests; a refusal of one does not apply to the others.
        self._unrefused: set[httpx.Request] = set()
        self._hidden: set[str] = set()
        self._client = client
        self._classify = classify
        self._mark_sending = mark_sending
        self._deadline = deadline

    @property
    def sent(self) -> bool:
        """True if an irrevocable request was sent and not cleanly refused."""
        return bool(self._unrefused)

    def acting_as(self, access: ChannelAccess, app: AppCredentials | None = None) -> "Api":
        """Return this connection with another account's access, as connecting needs once it has a token."""
        other = copy.copy(self)
        other.access, other.app = access, app or self.app
        other.base_url = (access.details.get("base") or self.base_url).rstrip("/")
        return other

    def hide(self, secrets: Iterable[str]) -> None:
        """Keep secrets that are sent only while connecting out of errors and logs: some platforms echo the request."""
        for secret in filter(None, secrets):
            self._hidden |= {
                secret,
                as_json(secret)[1:-1],
                quote(secret, safe=""),
                quote_plus(secret),
            }

    def address(self, declared: str) -> str:
        """Complete an address of the table: fill in `{base}`, and change the origin if the base address is overridden."""
        overridden = settings().provider_base_urls.get(self.spec.slug)
        if overridden and "://" in declared:
            path = declared.split("://", 1)[1].partition("/")[2]
            return f"{overridden.rstrip('/')}/{path}"
        return declared.replace("{base}", self.base_url)

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        return clock.now()

    def time_left(self) -> timedelta:
        """Return how long this task may still take; an hour if there is no limit."""
        if self._deadline is None:
            return timedelta(hours=1)
        return timedelta(seconds=max(0.0, self._deadline - time.monotonic()))

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        data: Mapping[str, Any] | None = None,
        files: Any = None,
        content: bytes | Iterable[bytes] | None = None,
        auth: httpx.Auth | None = None,
        irrevocable: bool = False,
        accept: tuple[int, ...] = (),
        timeout: timedelta = READ_TIMEOUT,
    ) -> httpx.Response:
        """Send one request and return its answer if it is a 2xx or listed in `accept`.

        `url` is absolute, or a path under the base address. `timeout` bounds the whole exchange, from the DNS lookup
        to the last byte of the answer. An `irrevocable` request is marked in the database first; from then on a missing
        answer is `OutcomeUnknown`. The task waits for its answer as long as it has time, whatever `timeout` says, because
        a late answer is better than none.

        Raises:
            ProviderError: the class says what to do next.
        """
        target = url if "://" in url else f"{self.base_url}{url}"
        longest = self._longest(timeout, irrevocable=irrevocable)
        try:
            request = self._client.build_request(
                method,
                target,
                headers=dict(headers or {}),
                params=dict(params) if params else None,
                json=json,
                data=dict(data) if data else None,
                files=files,
                content=content,
                timeout=httpx.Timeout(
                    min(longest, LONGEST_SILENCE).total_seconds(),
                    connect=CONNECT_TIMEOUT.total_seconds(),
                ),
                extensions={ENDS_AT: time.monotonic() + longest.total_seconds()},
            )
        except httpx.InvalidURL as error:  # part of it came from the platform: an id, a path
            raise PlatformUnavailable(
                f"{self.spec.name} returned an address that cannot be used.",
                evidence=Evidence(method=method, body=self._without_secrets(str(error))),
            ) from error
        if irrevocable:
            if self.time_left() < LEAST_TIME_TO_SEND:
                raise PlatformUnavailable(
                    f"There was no time left to send the post to {self.spec.name}."
                )
            self._mark_sending()
            self._unrefused.add(request)
        try:
            with trace.call(request.url.host, method) as call:
                response = self._client.send(request, auth=auth)
                call.status = response.status_code
        except _NOTHING_SENT as error:
            self._unrefused.discard(request)
            raise PlatformUnavailable(
                f"{self.spec.name} cannot be reached.",
                evidence=self._evidence(request, None, str(error)),
            ) from error
        except AnswerUnreadable as error:
            # The server has answered: its status shows whether it refused, but not what it created.
            response = httpx.Response(
                error.status, headers=_without_body(error.headers), request=request
            )
        except httpx.HTTPError as error:
            raise self._unanswered(request, error, irrevocable) from error
        response.extensions["irrevocable"] = request if irrevocable else None
        if response.is_success or response.status_code in accept:
            return response
        raise self.read_refusal(response, irrevocable=irrevocable)

    def _longest(self, timeout: timedelta, *, irrevocable: bool) -> timedelta:
        """Return how long an exchange may take before the task must record its outcome."""
        left = self.time_left()
        longest = left - ROOM_FOR_RECORD if irrevocable else min(timeout, left)
        return max(timedelta(milliseconds=1), longest)

    def read(self, response: httpx.Response, *required: str) -> dict[str, Any]:
        """Read an answer as a JSON object in which `required` keys (dotted: `data.id`) are set and not empty.

        Required ids are strings or integers, names are strings, and tokens fit in a header (`is_readable`).

        Raises:
            OutcomeUnknown: the answer to an irrevocable request is broken: the post may exist.
            PlatformUnavailable: any other broken answer.
        """
        try:
            body = read_json(response)
        except ValueError:
            body = None
        if isinstance(body, dict) and all(
            is_readable(key.rpartition(".")[2], _at(body, key)) for key in required
        ):
            return body
        raise self._unreadable(response)

    def read_list(self, response: httpx.Response) -> list[dict[str, Any]]:
        """Read an answer as a JSON array of objects; refused like `read`."""
        try:
            body = read_json(response)
        except ValueError:
            body = None
        if isinstance(body, list) and all(isinstance(item, dict) for item in body):
            return body
        raise self._unreadable(response)

    def _unreadable(self, response: httpx.Response) -> ProviderError:
        evidence = self._evidence(response.request, response, response.text)
        name = self.spec.name
        if response.extensions.get("irrevocable"):
            return OutcomeUnknown(
                f"{name} accepted the post, but its response cannot be read.", evidence=evidence
            )
        return PlatformUnavailable(
            f"{name} sent a response that cannot be read.", evidence=evidence
        )

    def read_refusal(self, response: httpx.Response, *, irrevocable: bool) -> ProviderError:
        """Turn a refusal into the error that says what to do next; the provider's own classification comes first."""
        error = self._classify(response) or classify_generally(
            self.spec.name, response, irrevocable=irrevocable
        )
        return self.with_evidence(error, response)

    def with_evidence(self, error: ProviderError, response: httpx.Response) -> ProviderError:
        """Add the answer to an error that a provider raised, and remove secrets from its message."""
        if not isinstance(error, OutcomeUnknown):
            self._unrefused.discard(response.extensions.get("irrevocable"))
        if not error.evidence.method:
            code = error.evidence.platform_code or platform_code(response)
            error.evidence = self._evidence(response.request, response, response.text, code)
        error.message = self._without_secrets(error.message)
        error.args = (error.message,)
        return error

    def _unanswered(
        self, request: httpx.Request, error: httpx.HTTPError, irrevocable: bool
    ) -> ProviderError:
        evidence = self._evidence(request, None, f"{type(error).__name__}: {error}")
        if irrevocable:
            return OutcomeUnknown(
                f"{self.spec.name} did not answer after the post was sent.", evidence=evidence
            )
        return PlatformUnavailable(f"{self.spec.name} did not answer.", evidence=evidence)

    def _evidence(
        self,
        request: httpx.Request,
        response: httpx.Response | None,
        body: str,
        code: str | None = None,
    ) -> Evidence:
        headers: Mapping[str, str] = response.headers if response is not None else {}
        return Evidence(
            method=request.method,
            host=request.url.host,
            path=self._without_secrets(request.url.path),
            status=response.status_code if response is not None else None,
            platform_code=self._without_secrets(code) if code else None,
            body=self._without_secrets(body[:MAX_BODY_READ])[:MAX_BODY_IN_EVIDENCE],
            request_id=next(
                (headers[name] for name in _REQUEST_ID_HEADERS if name in headers), None
            ),
        )

    def _without_secrets(self, text: str) -> str:
        """Redact the secrets we sent and those the platform labels as such: some platforms echo the request."""
        held = [self.access.access_token, self.access.refresh_token, self.app.client_secret]
        held += [value for key, value in self.access.details.items() if names_a_secret(key)]
        # Longest first: one may be part of another.
        for secret in sorted(filter(None, (*held, *self._hidden)), key=len, reverse=True):
            text = _blank(text, secret)
        return _SECRET_IN_JSON.sub(r'\1"[redacted]"', text)


def _blank(text: str, secret: str) -> str:
    """Replace a secret wherever it occurs; a short one only as a whole word, since its letters occur in other words."""
    if len(secret) >= SHORT_SECRET:
        return text.replace(secret, "[redacted]")
    return re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "[redacted]", text)


_NOTHING_SENT = (
    httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol,
)  # fmt: skip


def _without_body(headers: Mapping[str, str]) -> dict[str, str]:
    described = {"content-encoding", "content-length", "content-type", "transfer-encoding"}
    return {name: value for name, value in headers.items() if name.lower() not in described}


_REQUEST_ID_HEADERS = ("x-request-id", "x-li-uuid", "x-transaction-id", "x-fb-trace-id")


def configured_base_url(spec: ProviderSpec) -> str:
    """Return the platform's address: the override for its slug, else the setting's, else the table's."""
    overridden = settings().provider_base_urls.get(spec.slug)
    configured = str(getattr(settings(), spec.base_url_setting)) if spec.base_url_setting else ""
    return overridden or configured or spec.base_url


def _at(body: Any, dotted: str) -> Any:
    for key in dotted.split("."):
        body = body.get(key) if isinstance(body, dict) else None
    return body


def _redirected(name: str, response: httpx.Response) -> str:
    """Explain a redirect. The server chooses the address, so it is cut."""
    to = response.headers.get("location", "")[:200]
    return (
        f"{name} redirects to another address{f' ({to})' if to else ''}, and nothing was created. "
        "If the server has moved, connect the channel again with its new name."
    )


def classify_generally(name: str, response: httpx.Response, *, irrevocable: bool) -> ProviderError:
    """Classify a refusal by its status alone.

    A 5xx after the mark is unknown unless the provider's `classify` knows better, because some platforms answer 5xx
    to posts they have accepted. A redirect is a refusal: we do not follow it, so the server it points to got no request.
    The exception is 303, which answers a request that was carried out (RFC 9110, section 15.4.4, read 2026-11).
    """
    status, words = response.status_code, reason_in(response)
    if status == 401:
        return TokenExpired(f"{name} no longer accepts the channel's token. {words}")
    if status == 429:
        return RateLimited(
            f"{name}'s rate limit was reached. {words}", retry_after=retry_after(response)
        )
    if status in {413, 415}:
        return MediaRejected(f"{name} refused the file. {words}")
    if status in REDIRECTS:
        return ContentRejected(_redirected(name, response), code="redirected")
    if (status >= 500 or status < 400) and irrevocable:
        return OutcomeUnknown(
            f"{name} answered {status} after the post was sent. {words}",
            request_ended=_is_applications_own_failure(response),
        )
    if status >= 500 or status in {408, 425}:
        return PlatformUnavailable(f"{name} is not available ({status}). {words}")
    return ContentRejected(f"{name} refused the post ({status}). {words}")


def _is_applications_own_failure(response: httpx.Response) -> bool:
    """Return whether a 500 comes from the application itself, and not from a gateway that gave up waiting for it.

    Only a JSON object with a sentence under `error` counts: Rails answers requests for JSON that way, and so do the
    servers that speak Mastodon's API and Bluesky's. Gateways send HTML, or JSON in another form.
    """
    if response.status_code != 500:
        return False
    try:
        body = read_json(response)
    except ValueError:
        return False
    return isinstance(body, dict) and isinstance(body.get("error"), str) and bool(body["error"])


def reason_in(response: httpx.Response) -> str:
    """Return the platform's own words, at most 300 characters, from wherever APIs usually put them."""
    try:
        words = _find_words(read_json(response))
    except ValueError:
        text = response.text.strip()
        words = "" if text.startswith("<") else text
    if len(words) <= MAX_WORDS:
        return words
    return f"{words[:MAX_WORDS].rpartition(' ')[0]} ..."  # never part of a word: it could be part of a secret


def platform_code(response: httpx.Response) -> str | None:
    """Return the platform's own short code for a refusal (`invalid_grant`), if it gives one."""
    try:
        body = read_json(response)
    except ValueError:
        return None
    if not isinstance(body, dict):
        return None
    inner = body.get("error")
    for holder in (inner if isinstance(inner, dict) else {}, body):
        for key in ("code", "error", "serviceErrorCode", "type"):
            value = holder.get(key)
            if (
                isinstance(value, str | int)
                and not isinstance(value, bool)
                and " " not in str(value)
            ):
                return str(value)[:100]
    return None


def _find_words(body: Any) -> str:
    if isinstance(body, str):
        return body
    if isinstance(body, list):
        return next((words for item in body if (words := _find_words(item))), "")
    if isinstance(body, dict):
        for key in ("error_description", "message", "detail", "error", "errors", "title", "reason"):
            if words := _find_words(body.get(key)):
                return words
    return ""


def retry_after(response: httpx.Response) -> timedelta:
    """Read `Retry-After` (seconds or a date) or a reset header (epoch seconds or a date); a minute if there is neither."""
    value = response.headers.get("retry-after", "").strip()
    if (seconds := _number(value)) is not None:
        return timedelta(seconds=seconds)
    for name in ("retry-after", "x-ratelimit-reset", "x-rate-limit-reset", "ratelimit-reset"):
        if moment := _moment(response.headers.get(name, "").strip()):
            return max(timedelta(seconds=1), moment - clock.now())
    return DEFAULT_RETRY_AFTER


def _moment(value: str) -> datetime | None:
    if not value:
        return None
    if (number := _number(value)) is not None:
        return (
            datetime.fromtimestamp(number, UTC)
            if number > 1_000_000_000
            else clock.now() + timedelta(seconds=number)
        )
    for read in (datetime.fromisoformat, email.utils.parsedate_to_datetime):
        try:
            return clock.as_utc(read(value))
        except (ValueError, OverflowError):
            continue
    return None


def _number(value: str) -> int | None:
    """Read digits, at most as many as a date calculation can take: the sender is not trusted."""
    return int(value[:_MOST_DIGITS]) if value.isascii() and value.isdigit() else None


def misconfigured(name: str, words: str) -> AppMisconfigured:
    """Report that our application, not the member, is refused."""
    return AppMisconfigured(f"{name} refuses this server's application. {words}".strip())

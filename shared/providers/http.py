"""How a provider talks to its platform: every request, its time limit, the mark before the irrevocable one, and what a refusal means.

One `Api` is one channel's line for one task. Platform files never see `httpx.Client`, the database or a token that is
not theirs.
"""

import email.utils
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import httpx

from shared.core import clock
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
READ_TIMEOUT = timedelta(seconds=25)     # below the publish function's 60 s with room for the record
DEFAULT_RETRY_AFTER = timedelta(minutes=1)
MAX_BODY_IN_EVIDENCE = 2_000


@dataclass(frozen=True, slots=True)
class AppCredentials:
    """Our application on a platform; empty strings where the platform needs none."""

    client_id: str = ""
    client_secret: str = ""


@dataclass(frozen=True, slots=True)
class ChannelAccess:
    """What acting for one account takes. Never logged, never part of an error."""

    remote_id: str = ""
    username: str | None = None
    access_token: str = field(default="", repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    details: Mapping[str, str] = field(default_factory=dict, repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict)


class MediaReader(Protocol):
    """Reads a range of a stored file. `length` at most 8 MiB, so that memory stays flat whatever the file's size."""

    def __call__(self, key: str, start: int, length: int) -> bytes: ...


def no_media(key: str, start: int, length: int) -> bytes:
    """Stand in where a task carries no media; reading some is a mistake of ours."""
    raise LookupError(f"this task carries no media: {key} {start}+{length}")


def nothing_irrevocable() -> None:
    """Stand in for the mark where a task can be repeated (connecting, staging, reading)."""


class Api:
    """One channel's line to its platform.

    Args:
        spec: the provider's table.
        client: shared connection pool; tests replace its transport.
        classify: the provider's own reading of a refusal; None leaves it to the general table.
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
        self.base_url = (base_url or spec.base_url).rstrip("/")
        self.read_media = read_media
        self._client = client
        self._classify = classify
        self._mark_sending = mark_sending
        self._deadline = deadline

    def now(self) -> datetime:
        """Return the time, aware, in UTC."""
        return clock.now()

    def time_left(self) -> timedelta:
        """Return how long this task may still take; an hour where nobody set a limit."""
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
        content: bytes | None = None,
        irrevocable: bool = False,
        accept: tuple[int, ...] = (),
        timeout: timedelta = READ_TIMEOUT,
    ) -> httpx.Response:
        """Send one request and return its answer if it is a 2xx or listed in `accept`.

        `url` is absolute, or a path under the base address. An `irrevocable` request is marked in the database
        first; from then on an answer that does not come is `OutcomeUnknown`.

        Raises:
            ProviderError: the class says what to do next.
        """
        target = url if "://" in url else f"{self.base_url}{url}"
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
                min(timeout, self.time_left()).total_seconds(), connect=CONNECT_TIMEOUT.total_seconds()
            ),
        )
        if irrevocable:
            self._mark_sending()
        try:
            response = self._client.send(request)
        except httpx.ConnectError as error:   # nothing reached the platform
            raise PlatformUnavailable(
                f"{self.spec.name} cannot be reached.", evidence=_evidence(request, None, str(error))
            ) from error
        except httpx.HTTPError as error:
            raise self._unanswered(request, error, irrevocable) from error
        if response.is_success or response.status_code in accept:
            return response
        raise self.read_refusal(response, irrevocable=irrevocable)

    def read_refusal(self, response: httpx.Response, *, irrevocable: bool) -> ProviderError:
        """Turn a refusal into the error that says what to do next; the provider's own reading comes first."""
        error = self._classify(response) or classify_generally(self.spec.name, response, irrevocable=irrevocable)
        if not error.evidence.method:
            error.evidence = _evidence(response.request, response, response.text)
        return error

    def _unanswered(self, request: httpx.Request, error: httpx.HTTPError, irrevocable: bool) -> ProviderError:
        evidence = _evidence(request, None, f"{type(error).__name__}: {error}")
        if irrevocable:
            return OutcomeUnknown(f"{self.spec.name} did not answer after the post was sent.", evidence=evidence)
        return PlatformUnavailable(f"{self.spec.name} did not answer.", evidence=evidence)


def classify_generally(name: str, response: httpx.Response, *, irrevocable: bool) -> ProviderError:
    """Read a refusal by its status alone.

    A 5xx after the mark is unknown unless the provider's `classify` knows better, because some platforms answer 5xx
    for what they have accepted.
    """
    status, words = response.status_code, said(response)
    if status == 401:
        return TokenExpired(f"{name} no longer accepts the channel's token. {words}")
    if status == 429:
        return RateLimited(f"{name} asks to wait. {words}", retry_after=retry_after(response))
    if status in {413, 415}:
        return MediaRejected(f"{name} refused the file. {words}")
    if status >= 500 and irrevocable:
        return OutcomeUnknown(f"{name} failed ({status}) after the post was sent. {words}")
    if status >= 500 or status in {408, 425}:
        return PlatformUnavailable(f"{name} is not available ({status}). {words}")
    return ContentRejected(f"{name} refused the post ({status}). {words}")


def said(response: httpx.Response) -> str:
    """Return the platform's own words, at most 300 characters, from wherever APIs usually put them."""
    try:
        body = response.json()
    except ValueError:
        text = response.text.strip()
        return "" if text.startswith("<") else text[:300]
    return _find_words(body)[:300]


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
    """Read `Retry-After` (seconds or a date) or a reset header (epoch seconds, or a date); a minute when silent."""
    value = response.headers.get("retry-after", "").strip()
    if value.isdigit():
        return timedelta(seconds=int(value))
    for name in ("retry-after", "x-ratelimit-reset", "x-rate-limit-reset", "ratelimit-reset"):
        if moment := _moment(response.headers.get(name, "").strip()):
            return max(timedelta(seconds=1), moment - clock.now())
    return DEFAULT_RETRY_AFTER


def _moment(value: str) -> datetime | None:
    if not value:
        return None
    if value.isdigit():
        number = int(value)
        return datetime.fromtimestamp(number, UTC) if number > 1_000_000_000 else clock.now() + timedelta(seconds=number)
    for read in (datetime.fromisoformat, email.utils.parsedate_to_datetime):
        try:
            return clock.as_utc(read(value))
        except ValueError:
            continue
    return None


def _evidence(request: httpx.Request, response: httpx.Response | None, body: str) -> Evidence:
    headers: Mapping[str, str] = response.headers if response is not None else {}
    request_id = next(
        (headers[name] for name in ("x-request-id", "x-li-uuid", "x-transaction-id", "x-fb-trace-id") if name in headers),
        None,
    )
    return Evidence(
        method=request.method,
        host=request.url.host,
        path=request.url.path,
        status=response.status_code if response is not None else None,
        body=body[:MAX_BODY_IN_EVIDENCE],
        request_id=request_id,
    )


def misconfigured(name: str, words: str) -> AppMisconfigured:
    """Say that our application, not the member, is refused."""
    return AppMisconfigured(f"{name} refuses this server's application. {words}".strip())

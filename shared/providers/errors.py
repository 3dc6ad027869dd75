"""A platform's errors. Each class stands for what we do next, not for what went wrong.

`shared/publishing/outcome.py` is the one place that acts on them. A message is for the member and is never empty;
`Evidence` keeps the platform's own words.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

from shared.core.cleaning import clean_text

MOST_URLS = 5  # the most equal posts that a message lists


@dataclass(frozen=True, slots=True)
class Evidence:
    """The platform's answer as stored in the attempt's log, cut and without secrets.

    `status` is None when no complete answer came. `body` is at most 2,000 characters. `path` is the URL's path
    without its query.
    """

    method: str = ""
    host: str = ""
    path: str = ""
    status: int | None = None
    platform_code: str | None = None
    body: str = ""
    request_id: str | None = None

    def __post_init__(self) -> None:
        for name in ("path", "platform_code", "body", "request_id"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, clean_text(value))

    def as_json(self) -> dict[str, Any]:
        """Return the fields that are set."""
        return {
            name: value
            for name in self.__slots__
            if (value := getattr(self, name)) not in (None, "")
        }


class ProviderError(Exception):
    """A platform did not do what we asked. `code` is stable; the message is for the member."""

    code: ClassVar[str] = "provider_error"

    def __init__(
        self, message: str, *, evidence: Evidence | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = clean_text(message)
        self.evidence = evidence or Evidence()
        self.detail_code = code or self.code


class TokenExpired(ProviderError):
    """The token is no longer valid. We refresh it once and try again."""

    code = "token_expired"


class ChannelDisconnected(ProviderError):
    """The member must connect again: access revoked, scope missing, account suspended. We disconnect the channel."""

    code = "channel_disconnected"


class ScopesTooNarrow(ChannelDisconnected):
    """The account's server requires broader scopes than we requested. While connecting, we ask again with those."""

    code = "scope_missing"


class ContentRejected(ProviderError):
    """The platform will never take this content. We fail with its reason and do not retry."""

    code = "content_rejected"


class MediaRejected(ProviderError):
    """The platform will never take this file. We fail with its reason and do not retry."""

    code = "media_rejected"


class RateLimited(ProviderError):
    """Too many requests. We try again after `retry_after`; `whole_app` pauses the provider for every channel."""

    code = "rate_limited"

    def __init__(
        self,
        message: str,
        *,
        retry_after: timedelta,
        whole_app: bool = False,
        evidence: Evidence | None = None,
    ) -> None:
        super().__init__(message, evidence=evidence)
        self.retry_after = retry_after
        self.whole_app = whole_app


class PlatformUnavailable(ProviderError):
    """Nothing was created: no connection, or a 5xx of a request that may be repeated. We back off, five times."""

    code = "platform_unavailable"


class OutcomeUnknown(ProviderError):
    """No answer, a broken answer or a 5xx after a request that cannot be taken back.

    We look the post up, or repeat the request if its idempotency key is still valid, or mark it `unconfirmed`. It is
    never resent blindly. `request_ended`: the application itself answered with an error, so the request has ended.
    """

    code = "outcome_unknown"

    def __init__(
        self,
        message: str,
        *,
        evidence: Evidence | None = None,
        code: str | None = None,
        request_ended: bool = False,
    ) -> None:
        super().__init__(message, evidence=evidence, code=code)
        self.request_ended = request_ended


class SeveralFound(OutcomeUnknown):
    """The look-up found several posts, each of which could be ours. `urls` are theirs, newest first.

    Only the member can tell which one is ours, so the outcome stays unknown.
    """

    code = "several_found"

    def __init__(self, urls: Sequence[str]) -> None:
        addresses = ", ".join(urls[:MOST_URLS])
        more = f" and {len(urls) - MOST_URLS} more" if len(urls) > MOST_URLS else ""
        super().__init__(
            f"The platform did not confirm the post, and {len(urls)} posts like it are there: {addresses}{more}."
        )
        self.urls = tuple(urls)


class AppMisconfigured(ProviderError):
    """The platform refuses our application (client id, secret, product). It raises an alarm; the member cannot fix it."""

    code = "app_misconfigured"


class Unsupported(ProviderError):
    """The platform does not support this. It is refused while composing, because the spec says so."""

    code = "unsupported"


class GrantRejected(ProviderError):
    """The platform finally refused a refresh token or a code (`invalid_grant`). We disconnect the channel.

    While renewing tokens, this is the only error that disconnects; while posting, `ChannelDisconnected` does too.
    """

    code = "invalid_grant"


@dataclass(frozen=True, slots=True)
class FieldRefused:
    """One reason why a draft cannot go to a channel, before anything is sent.

    `path` is relative to the channel's post: `value.0.content`, `value.1.image.0`, `settings.visibility`.
    """

    path: str
    code: str
    message: str
    context: dict[str, Any] = field(default_factory=dict)

"""LinkedIn's REST protocol: headers, URNs, and the meaning of its refusals.

Source: learn.microsoft.com/en-us/linkedin, the pages named below, read 2026-11. Every request names a version; a URN in
a path or a query is quoted; a header contains the id of a created object.
"""

import urllib.parse
from datetime import timedelta

import httpx

from shared.core import clock
from shared.providers.errors import (
    ChannelDisconnected,
    ContentRejected,
    OutcomeUnknown,
    PlatformUnavailable,
    ProviderError,
    RateLimited,
)
from shared.providers.http import Api, misconfigured, reason_in

# A version lives at least a year (marketing/versioning) and ends in the middle of its month: 202601 on 15 January 2027
# (marketing/integrations/migrations). Raise this before June 2027; a version that has ended answers 426.
VERSION = "202606"  # the documentation has it (`?view=li-lms-2026-06`), so it is released


def headers(api: Api) -> dict[str, str]:
    """Return the headers of every request to the API."""
    return {**bearer(api), "LinkedIn-Version": VERSION, "X-Restli-Protocol-Version": "2.0.0"}


def bearer(api: Api) -> dict[str, str]:
    """Return the headers of an upload, which has no version."""
    return {"Authorization": f"Bearer {api.access.access_token}"}


def quoted(urn: str) -> str:
    """Quote a URN for a path or a query."""
    return urllib.parse.quote(urn, safe="")


def page_urn(api: Api) -> str:
    """Return the URN of this connection's page."""
    return f"urn:li:organization:{api.access.remote_id}"


def created_id(api: Api, answer: httpx.Response) -> str:
    """Read a created object's id from its header.

    Raises:
        OutcomeUnknown: the header is missing, so the created object is unknown.
    """
    created = urllib.parse.unquote(
        answer.headers.get("x-restli-id") or answer.headers.get("x-linkedin-id", "")
    )
    if not created:
        raise api.with_evidence(
            OutcomeUnknown("LinkedIn accepted the post but did not return its id."), answer
        )
    return created


def read_refusal(response: httpx.Response) -> ProviderError | None:
    """Classify a refusal by LinkedIn's sentences, because different errors share its codes."""
    words, status = reason_in(response), response.status_code
    if status == 429:
        is_daily = "DAY limit" in words
        return RateLimited(
            f"LinkedIn's rate limit was reached. {words}",
            retry_after=_until_midnight() if is_daily else timedelta(minutes=1),
            whole_app=is_daily and "APPLICATION" in words,
        )
    if status == 426:  # the version named in the header has ended
        return misconfigured("LinkedIn", words)
    if status in {400, 403, 404} and (
        "Unable to obtain activity" in words or "resource is forbidden" in words
    ):
        return PlatformUnavailable(f"LinkedIn cannot see the post yet. {words}")
    if status == 403:
        return ChannelDisconnected(f"This account can no longer post to the page. {words}")
    if status == 422 and "duplicate" in words.casefold():
        return ContentRejected(
            f"LinkedIn already shows this text on the page. {words}", code="duplicate"
        )
    return None


def _until_midnight() -> timedelta:
    """Return the time until daily limits are lifted: midnight UTC (shared/api-guide/concepts/rate-limits)."""
    now = clock.now()
    return (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0) - now

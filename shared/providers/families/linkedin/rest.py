"""How LinkedIn is spoken to: headers, names of things, and what its refusals mean.

Source: learn.microsoft.com/en-us/linkedin, the pages named below, read 2026-11. Every request names a version; a URN in
a path or a query is quoted; what was created is named by a header.
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
from shared.providers.http import Api, misconfigured, said

# A version lives at least a year (marketing/versioning) and ends in the middle of its month: 202601 on 15 January 2027
# (marketing/integrations/migrations). Raise this before June 2027; a version that has ended answers 426.
VERSION = "202606"  # the pages have it (`?view=li-lms-2026-06`), so it is out


def headers(api: Api) -> dict[str, str]:
    """Return what every request to the API carries."""
    return {**bearer(api), "LinkedIn-Version": VERSION, "X-Restli-Protocol-Version": "2.0.0"}


def bearer(api: Api) -> dict[str, str]:
    """Return what an upload carries, which knows no versions."""
    return {"Authorization": f"Bearer {api.access.access_token}"}


def quoted(urn: str) -> str:
    """Write a URN as a path or a query takes it."""
    return urllib.parse.quote(urn, safe="")


def page_urn(api: Api) -> str:
    """Name the page that this line is of."""
    return f"urn:li:organization:{api.access.remote_id}"


def created_id(api: Api, answer: httpx.Response) -> str:
    """Read the id of what was created from the header that carries it.

    Raises:
        OutcomeUnknown: nothing is named, so what was created cannot be told.
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
    """Read LinkedIn's sentences; its codes are shared by unlike failures."""
    words, status = said(response), response.status_code
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

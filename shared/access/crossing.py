"""Refuses browser requests from other sites' pages and prefetches.

A policy row (`shared/access/policy.py`) says whether its route writes; API key scopes are checked against the same value.
Reads are accepted from anywhere: they change nothing, and the browser hides the answer from other origins.

Source: w3.org/TR/fetch-metadata, fetch.spec.whatwg.org section 3.2 (Origin header), read 2026-11-30.
"""

from collections.abc import Collection
from dataclasses import dataclass

from shared.access.errors import OriginRefused, PrefetchRefused
from shared.access.policy import Rule, Who

_OWN = frozenset({"same-origin", "none"})  # none: typed, or from a bookmark


@dataclass(frozen=True, slots=True)
class Arrival:
    """Where a request says it comes from; None if the header is absent.

    `by_header`: the credentials are in a header or the path, which another site's page cannot make a browser send.
    `has_cookie`: the browser sent a cookie of ours with it.
    """

    method: str
    site: str | None = None
    mode: str | None = None
    destination: str | None = None
    purpose: str | None = None
    origin: str | None = None
    by_header: bool = False
    has_cookie: bool = False


def check_arrival(arrival: Arrival, rule: Rule, *, ours: Collection[str]) -> None:
    """Refuse a writing request that a page of another site or subdomain sent, or that is a prefetch.

    `ours` are the origins whose pages may call.

    Raises:
        PrefetchRefused: the browser is prefetching; nobody has opened the address yet.
        OriginRefused: it comes from a page that is not ours.
    """
    if not rule.writes:
        return
    if "prefetch" in (arrival.purpose or ""):
        raise PrefetchRefused
    if _counts_cookies(arrival, rule) and not _is_ours(arrival, rule, ours):
        raise OriginRefused


def _counts_cookies(arrival: Arrival, rule: Rule) -> bool:
    if rule.who is Who.PUBLIC:
        return rule.by_cookie or rule.returns
    return not (rule.program or arrival.by_header)


def _is_ours(arrival: Arrival, rule: Rule, ours: Collection[str]) -> bool:
    # Sec-Fetch-Site comes first: a form on a page with a no-referrer policy has `Origin: null`.
    if arrival.site in _OWN or arrival.origin in ours:
        return True
    if rule.returns and arrival.site:
        return (arrival.mode, arrival.destination) == ("navigate", "document")
    if arrival.site or arrival.origin:
        return False
    return arrival.method == "GET" or not arrival.has_cookie

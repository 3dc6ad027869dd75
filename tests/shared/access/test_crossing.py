"""Are writes refused that another site, a sub-domain or a prefetcher sends, and everything else let in?"""

from dataclasses import replace

import pytest

from shared.access.crossing import Arrival, check_arrival
from shared.access.errors import OriginRefused, PrefetchRefused
from shared.access.policy import CALLBACK, SIGN_IN, Rule, Who, complete

OURS = frozenset({"https://roost.example", "https://console.example"})
WRITE = complete("POST", Rule(Who.MEMBER))
BEGINS = complete("GET", Rule(Who.EDITOR, writes=True))
READ = complete("GET", Rule(Who.VIEWER))
LOGIN = complete("POST", Rule(Who.PUBLIC, rate=SIGN_IN, by_cookie=True))
RETURN = complete("GET", Rule(Who.PUBLIC, rate=CALLBACK, writes=True, returns=True))
OPEN = complete("POST", Rule(Who.PUBLIC, rate=SIGN_IN))

# What Chromium 131 sends with a request that carries our cookies. Source: w3.org/TR/fetch-metadata, read 2026-11-30.
FETCH = Arrival("POST", "same-origin", "cors", "empty", origin="https://roost.example")
FORM = Arrival("POST", "same-origin", "navigate", "document", origin="null")  # no-referrer page
FROM_CONSOLE = Arrival("POST", "cross-site", "cors", "empty", origin="https://console.example")
SUBDOMAIN = Arrival("POST", "same-site", "cors", "empty", origin="https://evil.roost.example")
ELSEWHERE = Arrival("POST", "cross-site", "no-cors", "empty", origin="https://evil.example")
FOREIGN_FORM = Arrival("POST", "cross-site", "navigate", "document", origin="null")
LINK = Arrival("GET", "cross-site", "navigate", "document")
TYPED = Arrival("GET", "none", "navigate", "document")
IMAGE = Arrival("GET", "cross-site", "no-cors", "image")
FRAME = Arrival("GET", "cross-site", "navigate", "iframe")


def refuses(arrival: Arrival, rule: Rule) -> bool:
    try:
        check_arrival(replace(arrival, has_cookie=True), rule, ours=OURS)
    except OriginRefused:
        return True
    return False


@pytest.mark.parametrize(
    ("arrival", "rule", "refused"),
    [
        (FETCH, WRITE, False),
        (FORM, WRITE, False),
        (FROM_CONSOLE, WRITE, False),
        (SUBDOMAIN, WRITE, True),
        (ELSEWHERE, WRITE, True),
        (FOREIGN_FORM, WRITE, True),
        (SUBDOMAIN, LOGIN, True),
        (FETCH, LOGIN, False),
        (LINK, BEGINS, True),
        (IMAGE, BEGINS, True),
        (TYPED, BEGINS, False),
        (LINK, READ, False),
        (IMAGE, READ, False),
        (LINK, RETURN, False),
        (IMAGE, RETURN, True),
        (FRAME, RETURN, True),
        (replace(FETCH, method="GET"), RETURN, False),
        (ELSEWHERE, OPEN, False),  # nothing of ours is in the request
    ],
)
def test_what_chromium_sends(arrival: Arrival, rule: Rule, *, refused: bool) -> None:
    """Finding 2.15: a body-less POST of a sub-domain rotated keys and secrets."""
    assert refuses(arrival, rule) is refused


@pytest.mark.parametrize(
    ("method", "origin", "rule", "refused"),
    [
        ("POST", "https://roost.example", WRITE, False),
        ("POST", None, WRITE, True),
        ("POST", "null", WRITE, True),
        ("POST", "https://evil.example", WRITE, True),
        ("GET", None, BEGINS, False),
        ("GET", "null", BEGINS, True),
        ("GET", None, RETURN, False),
        ("GET", "https://evil.example", RETURN, True),
    ],
)
def test_browser_without_fetch_metadata(
    method: str, origin: str | None, rule: Rule, *, refused: bool
) -> None:
    assert refuses(Arrival(method, origin=origin), rule) is refused


def test_program_without_cookies_may_sign_in() -> None:
    check_arrival(Arrival("POST"), LOGIN, ours=OURS)
    with pytest.raises(OriginRefused):
        check_arrival(Arrival("POST", has_cookie=True), LOGIN, ours=OURS)


def test_what_a_header_proves_comes_from_anywhere() -> None:
    check_arrival(replace(ELSEWHERE, by_header=True), WRITE, ours=OURS)
    check_arrival(ELSEWHERE, replace(WRITE, program=True), ours=OURS)


@pytest.mark.parametrize("purpose", ["prefetch", "prefetch;prerender"])
def test_nothing_is_done_ahead_of_the_user(purpose: str) -> None:
    """Finding 2.1: a GET that begins something counts as writing for prefetchers too."""
    for rule in (BEGINS, RETURN):
        with pytest.raises(PrefetchRefused):
            check_arrival(replace(TYPED, purpose=purpose), rule, ours=OURS)
    check_arrival(replace(LINK, purpose=purpose), READ, ours=OURS)

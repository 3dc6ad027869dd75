"""Recognizes 503 answers from Mastodon itself, after which the request has ended.

Mastodon answers 503 with one of three sentences: it could not fetch remote data, could not verify a certificate, or met
a lock, an open circuit breaker or an unavailable storage. Source: app/controllers/api/base_controller.rb and, since 4.3,
app/controllers/concerns/api/error_handling.rb of mastodon/mastodon, read 2026-11-30. The status may have been created
by then, so it is looked up before the request is repeated. The lock may be held by an earlier copy of the request, so
this counts only while every copy was answered (`AttemptContext.request_ended`).

Gateways answer 503 in JSON too (`{"error": "Service Unavailable"}`), while the request continues behind them. Therefore the
sentence must be one of Mastodon's. An instance whose default language is not English may translate them; there the
request counts as running, as after any other 503.
"""

import httpx

from shared.providers.answers import read_json

_SENTENCES = frozenset(
    {
        "Remote data could not be fetched",
        "Remote SSL certificate could not be verified",
        "There was a temporary problem serving your request, please try again",
    }
)


def has_ended(response: httpx.Response) -> bool:
    """Return whether Mastodon itself answered 503, after which the request no longer runs."""
    if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
        return False
    try:
        body = read_json(response)
    except ValueError:
        return False
    return isinstance(body, dict) and body.keys() == {"error"} and _is_sentence(body["error"])


def _is_sentence(words: object) -> bool:
    return isinstance(words, str) and words.strip().rstrip(".") in _SENTENCES

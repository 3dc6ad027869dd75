"""Checks an app's redirect addresses."""

from urllib.parse import urlsplit

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_MOST_CHARACTERS = 2_000


def why_refused(uri: str) -> str | None:
    """Explain why an app cannot have this redirect address; None if it can.

    It must be https, or http on a loopback address. Source: RFC 6749 section 3.1.2, RFC 8252 section 7.3, read 2026-11.
    """
    if len(uri) > _MOST_CHARACTERS:
        return f"A redirect URI can have at most {_MOST_CHARACTERS:,} characters."
    if not uri.isascii() or not uri.isprintable() or any(char in uri for char in ' "<>\\^`{|}'):
        return "A redirect URI can contain only URI characters. Percent-encode the others."
    try:
        parts = urlsplit(uri)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return "A redirect URI must be a valid address."
    if not host or parts.username is not None or parts.password is not None:
        return "A redirect URI must have a host and no user name."
    if "#" in uri:
        return "A redirect URI must not have a fragment. Remove it."
    if parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK):
        return None
    return "A redirect URI must use https, or http on 127.0.0.1, [::1] or localhost."


def is_same(asked: str, known: str) -> bool:
    """Compare a redirect URI with a registered one; for loopback addresses the port does not matter.

    A native app listens on any free port. Source: RFC 8252 section 7.3, read 2026-11-30.
    """
    return asked == known or (
        why_refused(asked) is None and _without_port(asked) == _without_port(known) is not None
    )


def _without_port(uri: str) -> tuple[str, ...] | None:
    """Return the parts of a loopback address without the port; None for any other address."""
    parts = urlsplit(uri)
    if parts.scheme != "http" or parts.hostname not in _LOOPBACK:
        return None
    return parts.hostname, parts.path, parts.query


def origin_of(uri: str) -> str:
    """Return the scheme and host of an address for display."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}"

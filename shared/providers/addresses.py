"""Reads pasted addresses of platform pages."""

import urllib.parse


def page_at(url: str, host: str, *others: str) -> urllib.parse.SplitResult | None:
    """Split the address of a page on one of the hosts or below it (`www.`, `mobile.`), its path decoded.

    A missing scheme counts as https, because browsers hide it. None means that the address is on another host or invalid.
    """
    written = url.strip()
    try:
        parts = urllib.parse.urlsplit(written if "://" in written else f"https://{written}")
    except ValueError:  # square brackets without an address
        return None
    place = parts.netloc.casefold()
    known = any(place == name or place.endswith(f".{name}") for name in (host, *others))
    if parts.scheme not in {"http", "https"} or not known:
        return None
    return parts._replace(netloc=place, path=urllib.parse.unquote(parts.path).rstrip("/"))


def comparable(url: str) -> str:
    """Reduce an address to host and path, so that two spellings of it are equal: `social.example/@ada/1`."""
    written = url.strip()
    try:
        parts = urllib.parse.urlsplit(written if "://" in written else f"https://{written}")
    except ValueError:
        return ""
    return f"{parts.netloc.casefold()}{urllib.parse.unquote(parts.path).rstrip('/')}"

"""Counts a status's characters and formats it as HTML.

Source: docs.joinmastodon.org/user/posting, "Text", read 2026-11: a link counts as 23 characters, a remote mention counts
without its domain, and a character is a grapheme cluster.
"""

from collections.abc import Set
from html import escape

import regex

MAX_LENGTH = 500
LINK_LENGTH = 23

_LINK = r"(?P<link>https?://[^\s<>\"]+[^\s<>\".,;:!?')\]])"
_MENTION = r"(?<![\w/@])@(?P<name>[a-zA-Z0-9_]+)(?P<domain>@[\w.-]+\w)?"
_TAG = r"(?<![\w/&])#(?P<tag>\w*\p{L}\w*)"
_TOKEN = regex.compile(f"{_LINK}|{_MENTION}|{_TAG}")
_CHARACTER = regex.compile(r"\X")


def length(text: str) -> int:
    """Count `text` as Mastodon does."""
    countable = _TOKEN.sub(_as_counted, text)
    return len(_CHARACTER.findall(countable))


def _as_counted(token: "regex.Match[str]") -> str:
    if token["link"]:
        return "x" * LINK_LENGTH
    if token["domain"]:
        return f"@{token['name']}"
    return str(token[0])


def mentioned_names(text: str) -> list[str]:
    """List the local names that `text` mentions, lower case, each once, in order."""
    found = (token for token in _TOKEN.finditer(text) if token["name"] and not token["domain"])
    return list(dict.fromkeys(token["name"].lower() for token in found))


def tags(text: str) -> list[str]:
    """List the hashtags of `text` without their #, lower case, each once, in order."""
    found = (token for token in _TOKEN.finditer(text) if token["tag"])
    return list(dict.fromkeys(token["tag"].lower() for token in found))


def to_html(text: str, *, public_url: str, names: Set[str]) -> str:
    """Format `text` as paragraphs with links; only mentions of `names` become links."""
    if not text.strip():
        return ""
    linked = "".join(_linked(text, public_url=public_url, names=names))
    paragraphs = regex.split(r"\n{2,}", linked.strip("\n"))
    return "".join(f"<p>{paragraph.replace(chr(10), '<br />')}</p>" for paragraph in paragraphs)


def _linked(text: str, *, public_url: str, names: Set[str]) -> list[str]:
    pieces, end = [], 0
    for token in _TOKEN.finditer(text):
        pieces.append(escape(text[end : token.start()]))
        pieces.append(_token_html(token, public_url=public_url, names=names))
        end = token.end()
    pieces.append(escape(text[end:]))
    return pieces


def _token_html(token: "regex.Match[str]", *, public_url: str, names: Set[str]) -> str:
    escaped = escape(token[0])
    if token["link"]:
        rel = "nofollow noopener noreferrer"
        return f'<a href="{escaped}" target="_blank" rel="{rel}">{escaped}</a>'
    if token["tag"]:
        href = f"{public_url}/tags/{escape(token['tag'].lower())}"
        return f'<a href="{href}" class="mention hashtag" rel="tag">{escaped}</a>'
    if token["domain"] or token["name"].lower() not in names:
        return escaped
    return f'<a href="{public_url}/@{token["name"].lower()}" class="u-url mention">{escaped}</a>'

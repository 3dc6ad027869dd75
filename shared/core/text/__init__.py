"""Composed texts: their form for each platform, their links and tags, and their length."""

from shared.core.text.counting import (
    X_LINK_WEIGHT,
    characters,
    graphemes,
    replace_links,
    shorten_mentions,
    utf8_bytes,
    utf16,
    weighted,
)
from shared.core.text.forms import Mention, is_blank, sanitize, to_html, to_markdown, to_plain
from shared.core.text.markup import BLOCKS, TAGS
from shared.core.text.tokens import (
    Kind,
    Link,
    Token,
    bluesky_tokens,
    find_links,
    word_hashtags,
    x_links,
    x_tokens,
)

__all__ = [
    "BLOCKS",
    "TAGS",
    "X_LINK_WEIGHT",
    "Kind",
    "Link",
    "Mention",
    "Token",
    "bluesky_tokens",
    "characters",
    "find_links",
    "graphemes",
    "is_blank",
    "replace_links",
    "sanitize",
    "shorten_mentions",
    "to_html",
    "to_markdown",
    "to_plain",
    "utf8_bytes",
    "utf16",
    "weighted",
    "word_hashtags",
    "x_links",
    "x_tokens",
]

"""Counts the length of a text as each platform does."""

import functools
import re
import unicodedata
from typing import Any

from shared.core.text.tokens import fediverse_links, fediverse_mentions, regex_module, x_links


def replace_links(text: str, length: int) -> str:
    """Return `text` with each address that has a scheme replaced by `length` letters, as Mastodon counts them."""
    out, position = [], 0
    for link in fediverse_links(text):
        out += [text[position : link.start], "x" * length]
        position = link.end
    return "".join([*out, text[position:]])


def shorten_mentions(text: str) -> str:
    """Return `text` with the server removed from each mention, as Mastodon counts them: app/validators/status_length_validator.rb."""
    out, position = [], 0
    for mention in fediverse_mentions(text):
        out += [text[position : mention.start], f"@{mention.value}"]
        position = mention.end
    return "".join([*out, text[position:]])


def characters(text: str) -> int:
    """Count Unicode code points."""
    return len(text)


# Two of these letters form one flag, and combining characters after them belong to it (UAX 29, GB12 and GB13). The module
# `regex` counts all such letters before each one, which takes a minute for 150,000 of them, so flags are replaced first.
_FLAG = re.compile("[\U0001f1e6-\U0001f1ff]{1,2}")


def graphemes(text: str) -> int:
    """Count user-perceived characters (extended grapheme clusters, UAX 29)."""
    if text.isascii():
        return len(text) - text.count("\r\n")
    return len(regex_module().findall(r"\X", _FLAG.sub("x", text)))


def utf16(text: str) -> int:
    """Count UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def utf8_bytes(text: str) -> int:
    """Count UTF-8 bytes."""
    return len(text.encode("utf-8", "surrogatepass"))


# twitter-text's configuration version 3: github.com/twitter/twitter-text, config/v3.json at 714cd4d5. X counts by it after
# NFC: docs.x.com/fundamentals/counting-characters. Both read 2026-11.
X_LINK_WEIGHT = 23
_X_LIGHT = (
    (0, 4351),
    (8192, 8205),
    (8208, 8223),
    (8242, 8247),
)  # these code points weigh 1, others 2
_X_EMOJI_WEIGHT = 2


def weighted(text: str) -> int:
    """Count as X does: 1 for Latin and similar scripts, 2 for others, 2 for any emoji, 23 for a link."""
    text = unicodedata.normalize("NFC", text)
    total, position = 0, 0
    for link in x_links(text):
        total += _weight(text[position : link.start]) + X_LINK_WEIGHT
        position = link.end
    return total + _weight(text[position:])


def _weight(text: str) -> int:
    if text.isascii():
        return len(text)
    rest, emoji = _emoji().subn("", text)
    light = sum(any(low <= ord(char) <= high for low, high in _X_LIGHT) for char in rest)
    return int(emoji) * _X_EMOJI_WEIGHT + light + 2 * (len(rest) - light)


@functools.cache
def _emoji() -> Any:
    """Compile the pattern of one emoji as X counts it.

    Keycaps, flags, and pictographs with modifiers joined by ZWJ; `©`, `®`, `™` only with the emoji selector
    (github.com/twitter/twemoji-parser, src/__tests__/index.test.js at 0f4636e6, read 2026-11).
    """
    one = r"(?:[\p{Emoji}--[0-9#*©®™\p{RI}]]\uFE0F?\p{EMod}?(?:[\U000E0020-\U000E007E]+\U000E007F)?|[©®™]\uFE0F)"
    return regex_module().compile(
        rf"[0-9#*]\uFE0F?\u20E3|\p{{RI}}\p{{RI}}|{one}(?:\u200D{one})*", regex_module().VERSION1
    )

"""Writes texts for LinkedIn: posts are "little text", in which markup must be escaped; comments are plain text.

Source: marketing/community-management/shares/little-text-format on learn.microsoft.com/en-us/linkedin ("all reserved
characters need to be escaped"), the list as quoted in github.com/xorbitsai/xagent/issues/2555, both read 2026-11. The
documentation's example of a hashtag does not escape the sign; we do, as its rule says and other programs do.
"""

import re

from shared.core.text import word_hashtags

# Names have a maximum length, so that signs that do not begin a mention are no slower than others.
_MENTION = re.compile(r"@\[([^\]]{1,300})\]\((urn:li:(?:organization|person):[\w-]+)\)")
_SPECIAL = re.compile(r"([\\|{}@\[\]()<>#*_~])")


def little_text(written: str) -> str:
    """Escape what LinkedIn reads as markup, keeping mentions and turning hashtags into hashtags."""
    marked = [
        (one.start(), one.end(), f"@[{_escaped(one[1])}]({one[2]})")
        for one in _MENTION.finditer(written)
    ]
    marked += [
        (tag.start, tag.end, rf"{{hashtag|\#|{_escaped(tag.value)}}}")
        for tag in word_hashtags(written)
    ]
    out, position = [], 0
    for start, end, replacement in sorted(marked):
        if start >= position:
            out += [_escaped(written[position:start]), replacement]
            position = end
    return "".join([*out, _escaped(written[position:])])


def _escaped(plain: str) -> str:
    return _SPECIAL.sub(r"\\\1", plain)


def comment_text(written: str) -> str:
    """Write a text for a comment: nothing is escaped, and a mention becomes its name."""
    return _MENTION.sub(r"\1", written)

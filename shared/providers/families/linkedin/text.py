"""How a text is written for LinkedIn: posts are "little text", in which markup must be escaped; comments are plain.

Source: marketing/community-management/shares/little-text-format on learn.microsoft.com/en-us/linkedin ("all reserved
characters need to be escaped"), the list as quoted in github.com/xorbitsai/xagent/issues/2555, both read 2026-11. The
page's example of a hashtag has the sign bare; we escape it there too, as its rule says and other programs do.
"""

import re

_MENTION = re.compile(r"@\[([^\]]+)\]\((urn:li:(?:organization|person):[\w-]+)\)")
_HASHTAG = re.compile(r"(?<![\w#&])#(\w*[^\W\d]\w*)")
_SPECIAL = re.compile(r"([\\|{}@\[\]()<>#*_~])")


def little_text(written: str) -> str:
    """Escape what LinkedIn reads as markup, keeping mentions and turning hashtags into hashtags."""
    out, position = [], 0
    for match in re.finditer(rf"{_MENTION.pattern}|{_HASHTAG.pattern}", written):
        out.append(_escaped(written[position : match.start()]))
        name, urn, tag = match.groups()
        if tag:
            out.append(rf"{{hashtag|\#|{_escaped(tag)}}}")
        else:
            out.append(f"@[{_escaped(name)}]({urn})")
        position = match.end()
    return "".join([*out, _escaped(written[position:])])


def _escaped(plain: str) -> str:
    return _SPECIAL.sub(r"\\\1", plain)


def comment_text(written: str) -> str:
    """Write a text as a comment shows it: nothing is escaped there, and a mention is its name."""
    return _MENTION.sub(r"\1", written)

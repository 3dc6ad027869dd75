"""Finds links, mentions, hashtags and cashtags in a text as each platform does.

Platforms differ in what a link may contain and where it ends, so each has a grammar here; they share the scanner. Every
function takes linear time for any text.

Sources, read 2026-11-30:
X: the conformance vectors of github.com/twitter/twitter-text (conformance/extract.yml, validate.yml at 714cd4d5).
Mastodon: github.com/mastodon/mastodon, config/initializers/twitter_regex.rb at 3208bd8a, app/lib/extractor.rb at 000dabb1.
Bluesky: github.com/bluesky-social/atproto, packages/api/src/rich-text/detection.ts at 01b0a961, atproto.com/specs/handle.
"""

import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """The kind of a token."""

    LINK = "link"
    MENTION = "mention"
    HASHTAG = "hashtag"
    CASHTAG = "cashtag"


@dataclass(frozen=True, slots=True)
class Token:
    """A token of a text, with offsets in code points.

    `value` is the address with its scheme, or the handle or tag without the sign before it.
    """

    kind: Kind
    start: int
    end: int
    value: str


@dataclass(frozen=True, slots=True)
class Link:
    """A link in a text: code-point offsets, and the address with its scheme."""

    start: int
    end: int
    url: str


# Non-ASCII letters that X allows in addresses: Latin letters with diacritics.
_LATIN = "À-ÖØ-öø-ÿĀ-ɏɓɔɖɗəɛɣɨɯɲʉʋʻ\u0300-\u036fḀ-ỿ"
_DIRECTION = "\u202a-\u202e\u061c\u200e\u200f\u2066-\u2069"
_NO_CHARACTER = "\ufffe\ufeff\uffff"
_PUNCTUATION = r"!'#%&()*+,\\\-./:;<=>?@\[\]^_{|}~$"
_IN_LABEL = rf"[^{_PUNCTUATION}\s{_NO_CHARACTER}{_DIRECTION}]"
_NOT_IN_RUN = _PUNCTUATION.replace("\\-.", "") + rf"\s{_NO_CHARACTER}{_DIRECTION}"
_MAX_LABEL = 63  # RFC 1035, in the encoded form
_MAX_URL = 4_096


@dataclass(frozen=True, slots=True)
class _Grammar:
    """What an address may contain after its host on one platform.

    `general` matches characters of a path outside of parentheses, `ending` its possible last characters; the same for the
    query. With `bare`, addresses without a scheme are links too.
    """

    general: re.Pattern[str]
    ending: re.Pattern[str]
    balanced: re.Pattern[str]
    query: re.Pattern[str]
    query_ending: re.Pattern[str]
    bare: bool


def _balanced(general: str) -> re.Pattern[str]:
    """Match balanced parentheses, nested at most once."""
    return re.compile(rf"\((?:{general}+|{general}*\({general}+\){general}*)\)", re.IGNORECASE)


_X_GENERAL = rf"[a-z\u0400-\u04ff0-9!*';:=+,.$/%#\[\]\-\u2013_~@|&{_LATIN}]"
_X = _Grammar(
    general=re.compile(rf"{_X_GENERAL}+", re.IGNORECASE),
    ending=re.compile(rf"[+\-a-z\u0400-\u04ff0-9=_#/{_LATIN}]", re.IGNORECASE),
    balanced=_balanced(_X_GENERAL),
    query=re.compile(r"[a-z0-9!?*'@();:&=+$/%#\[\]\-_.,~|]+", re.IGNORECASE),
    query_ending=re.compile(r"[a-z0-9\-_&=#/]", re.IGNORECASE),
    bare=True,
)
_FEDIVERSE_GENERAL = r"[^\s<>()?]"
_FEDIVERSE = _Grammar(
    general=re.compile(rf"{_FEDIVERSE_GENERAL}+"),
    ending=re.compile(r"[^\s()?!*\"'「」<>;:=,.$%\[\]~&|@]"),
    balanced=_balanced(_FEDIVERSE_GENERAL),
    query=re.compile(r"[a-z0-9!?*'();:&=+$/%#\[\]\-_.,~|@^\u00a0-\U0010fffd]+", re.IGNORECASE),
    query_ending=re.compile(r"[a-z0-9_&=#/\-\u00a0-\U0010fffd]", re.IGNORECASE),
    bare=False,
)

# X

_CANDIDATE = re.compile(rf"https?://|[0-9a-z{_LATIN}][-_.0-9a-z{_LATIN}]*", re.IGNORECASE)
_SCHEME_AT_THE_END = re.compile(r"(?<![0-9a-z])https?$", re.IGNORECASE)
_HOST = re.compile(rf"(?:{_IN_LABEL}|[-_.])+")
_ASCII_RUN = re.compile(r"[0-9a-z-]+", re.IGNORECASE)
_PORT = re.compile(r":[0-9]+")
_NOT_BEFORE = re.compile(rf"[A-Za-z0-9@＠$#＃{_NO_CHARACTER}]")
_NOT_BEFORE_BARE = re.compile(r"[-_./]")
_NOT_AFTER_HOST = re.compile(r"[0-9A-Za-z@+\-]")
_SHORTENED = re.compile(r"https?://t\.co/([a-z0-9]+)", re.IGNORECASE)
_MAX_SHORTENED = 40


def x_links(text: str) -> Iterator[Link]:
    """Find what X turns into links, each of which counts as 23 characters."""
    return _links(text, _X)


def fediverse_links(text: str) -> Iterator[Link]:
    """Find what Mastodon turns into links: only addresses with a scheme."""
    return _links(text, _FEDIVERSE)


def _links(text: str, grammar: _Grammar) -> Iterator[Link]:
    position = 0
    while found := _CANDIDATE.search(text, position):
        start, position = found.span()
        is_scheme = found[0].endswith("/")
        if not is_scheme and text.startswith("://", position):
            scheme = _SCHEME_AT_THE_END.search(found[0])
            if scheme:
                is_scheme, start = True, start + scheme.start()
                position += len("://")
        if is_scheme:
            link, position = _with_scheme(text, start, position, grammar)
            if link:
                yield link
        elif grammar.bare:
            for link in _without_scheme(text, start, position, grammar):
                position = max(position, link.end)
                yield link


def _with_scheme(
    text: str, start: int, host_start: int, grammar: _Grammar
) -> tuple[Link | None, int]:
    """Read the link whose scheme is at `start`; if there is none, return the position to continue at."""
    before = text[start - 1] if start else ""
    host = _HOST.match(text, host_start)
    if host is None or _NOT_BEFORE.match(before):
        return None, host_start
    host_end = _host_end(text, host_start, host.end())
    if host_end is None:
        return None, host_start
    end = _address_end(text, host_end, grammar)
    if grammar is _X and (shortened := _SHORTENED.match(text, start, end)):
        if len(shortened[1]) > _MAX_SHORTENED:
            return None, end
        end = _query_end(text, shortened.end(), grammar)
    if not _is_sendable(text[host_start:host_end], end - start):
        return None, end
    return Link(start, end, text[start:end]), end


def _without_scheme(text: str, start: int, end: int, grammar: _Grammar) -> Iterator[Link]:
    """Read the addresses in a run of ASCII and Latin letters, dots and hyphens."""
    before = text[start - 1] if start else ""
    if _NOT_BEFORE.match(before) or _NOT_BEFORE_BARE.match(before):
        return
    # An underscore ends a host and cannot begin one.
    first = text.rfind("_", start, text.find(".", start, end) + 1 or end)
    if first >= 0:
        return
    host_end = _host_end(text, start, end)
    if host_end is None or "_" in text[start:host_end]:
        return
    link_end = _address_end(text, host_end, grammar)
    if _is_sendable(text[start:host_end], link_end - start + len("https://")):
        yield Link(start, link_end, f"https://{text[start:link_end]}")


def _host_end(text: str, start: int, end: int) -> int | None:
    """Return where the host in `text[start:end]` ends: after the last label that is a top-level domain."""
    dot = text.rfind(".", start, end)
    while dot > start:
        host_end = _domain_end(text, dot + 1)
        if host_end is not None and _are_labels(text[start:dot]):
            return host_end
        dot = text.rfind(".", start, dot)
    return None


def _domain_end(text: str, start: int) -> int | None:
    """Return where the top-level domain at `start` ends; None if there is none."""
    ascii_label = _ASCII_RUN.match(text, start)
    if ascii_label:
        label, end = ascii_label[0].casefold(), ascii_label.end()
        is_known = label in _top_level_domains() or label.startswith("xn--")
        return end if is_known and not _NOT_AFTER_HOST.match(text, end) else None
    for length in _foreign_lengths():
        end = start + length
        is_known = end <= len(text) and text[start:end] in _top_level_domains()
        if is_known and not _NOT_AFTER_HOST.match(text, end):
            return end
    return None


def _are_labels(host: str) -> bool:
    """Return whether each label before the top-level domain is valid; only subdomains may contain underscores."""
    labels = host.split(".")
    if "_" in labels[-1]:
        return False
    return all(label and label[0] not in "-_" and label[-1] not in "-_" for label in labels)


def _address_end(text: str, start: int, grammar: _Grammar) -> int:
    if port := _PORT.match(text, start):
        start = port.end()
    if text.startswith("/", start):
        start = _path_end(text, start, grammar)
    return _query_end(text, start, grammar)


def _path_end(text: str, start: int, grammar: _Grammar) -> int:
    """Return where the path ends whose slash is at `start`: after an ending character or balanced parentheses."""
    position = end = start + 1
    while True:
        if run := grammar.general.match(text, position):
            last = position = run.end()
            while last > run.start() and not grammar.ending.match(text, last - 1):
                last -= 1
            end = last if last > run.start() else end
        elif text.startswith("(", position) and (closed := grammar.balanced.match(text, position)):
            position = end = closed.end()
        else:
            return end


def _query_end(text: str, start: int, grammar: _Grammar) -> int:
    if not text.startswith("?", start):
        return start
    run = grammar.query.match(text, start + 1)
    if run is None:
        return start
    end = run.end()
    while end > run.start() and not grammar.query_ending.match(text, end - 1):
        end -= 1
    return end if end > run.start() else start


def _is_sendable(host: str, url_length: int) -> bool:
    """Return whether a host is valid: neither a label nor the whole is too long when encoded."""
    grown = 0
    for label in host.split("."):
        is_false_code = not label.isascii() and label[:4].casefold() == "xn--"
        if len(label) > _MAX_LABEL or is_false_code:
            return False
        if not label.isascii():
            encoded = len("xn--") + len(label.casefold().encode("punycode"))
            if encoded > _MAX_LABEL:
                return False
            grown += encoded - len(label)
    return url_length + grown <= _MAX_URL


@functools.cache
def _top_level_domains() -> frozenset[str]:
    from shared.core.tlds import (
        TOP_LEVEL_DOMAINS,
    )  # only texts with a dot between words need the list

    return TOP_LEVEL_DOMAINS


@functools.cache
def _foreign_lengths() -> tuple[int, ...]:
    foreign = {len(name) for name in _top_level_domains() if not name.isascii()}
    return tuple(sorted(foreign, reverse=True))


_X_MENTION = re.compile(
    r"(?:(?<![a-zA-Z0-9_!#$%&*@＠])|(?<![a-zA-Z0-9_+~.\-][rR][tT])(?<=[rR][tT])|(?<=[rR][tT]:))"
    rf"[@＠]([a-zA-Z0-9_]{{1,20}})(/[a-zA-Z][a-zA-Z0-9_\-]{{0,24}})?(?![@＠{_LATIN}]|://|[a-zA-Z0-9_])"
)
_CASHTAG = re.compile(
    rf"(?<![^\s{_DIRECTION}])\$([a-z]{{1,6}}(?:[._][a-z]{{1,2}})?)(?=$|[\s{_PUNCTUATION}])",
    re.IGNORECASE,
)


def x_tokens(text: str) -> list[Token]:
    """Find all entities that X marks in a text, in order and without overlap; links take precedence."""
    found = [Token(Kind.LINK, link.start, link.end, link.url) for link in x_links(text)]
    if "@" in text or "＠" in text:
        found += [
            Token(Kind.MENTION, one.start(), one.end(), one[0][1:])
            for one in _X_MENTION.finditer(text)
        ]
    if "#" in text or "＃" in text:
        found += [
            Token(Kind.HASHTAG, one.start(1), one.end(2), one[2])
            for one in _x_hashtag().finditer(text)
        ]
    if "$" in text:
        found += [
            Token(Kind.CASHTAG, one.start(), one.end(), one[1]) for one in _CASHTAG.finditer(text)
        ]
    return _apart(found)


@functools.cache
def _x_hashtag() -> Any:
    letter = r"\p{L}\p{M}"
    other = r"\p{Nd}_\u200c\u200d\ua67e\u05be\u05f3\u05f4\uff5e\u301c\u309b\u309c\u30a0\u30fb\u3003\u0f0b\u0f0c\u00b7"
    # A combining mark after an emoji is its selector; a tag can start after it.
    return regex_module().compile(
        rf"(?:(?<=[\ufe0e\ufe0f])|(?<![{letter}{other}&]))([#＃])(?![\ufe0f\u20e3])"
        rf"([{other}]*+[{letter}][{letter}{other}]*+)(?![#＃]|://)"
    )


# Bluesky

_SPOKEN = re.compile(r"https?://[^\s<>\"]+", re.IGNORECASE)
_REST = re.compile(r"(?::\d{1,5})?(?:[/?#][^\s<>\"]*+)?")
_LATIN_END = re.compile(rf"[-.0-9a-zA-Z{_LATIN}]+\Z")
_OPENERS = "([{'\"“‘«「『（【《"
_CLOSERS = {
    ")": "(",
    "]": "[",
    "}": "{",
    "）": "（",
    "】": "【",
    "」": "「",
    "』": "『",
    "》": "《",
}
_LOOSE = frozenset(".,;:!?'\"*_~…。、，．！？；：”’»")
_HANDLE = re.compile(
    r"(?<![^\s(])@((?:[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)+[a-zA-Z](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)"
    r"(?![a-zA-Z0-9@])"
)
_MAX_HANDLE = 253
_MAX_TAG_GRAPHEMES = 64  # lexicon app.bsky.richtext.facet
_MAX_TAG_BYTES = 640


def bluesky_tokens(text: str) -> list[Token]:
    """Find what a Bluesky client marks: links, handles (which may not exist) and hashtags, in order."""
    found = [
        Token(Kind.LINK, link.start, link.end, link.url) for link in find_links(text, bare=True)
    ]
    if "@" in text:
        found += [
            Token(Kind.MENTION, one.start(), one.end(), one[1])
            for one in _HANDLE.finditer(text)
            if len(one[1]) <= _MAX_HANDLE
        ]
    if "#" in text or "＃" in text:
        found += _bluesky_hashtags(text)
    return _apart(found)


def _bluesky_hashtags(text: str) -> Iterator[Token]:
    for one in _bluesky_hashtag().finditer(text):
        tag, punctuation = one[1], _punctuation()
        end = len(tag)
        while end and punctuation.match(tag, end - 1):
            end -= 1
        tag = tag[:end]
        has_word = _in_tag().search(tag) is not None
        is_short = len(tag.encode("utf-8", "surrogatepass")) <= _MAX_TAG_BYTES
        if has_word and is_short and len(regex_module().findall(r"\X", tag)) <= _MAX_TAG_GRAPHEMES:
            yield Token(Kind.HASHTAG, one.start(), one.start(1) + end, tag)


@functools.cache
def _bluesky_hashtag() -> Any:
    return regex_module().compile(r"(?<!\S)[#＃](?!\ufe0f)([^\s\u00ad\u2060\u200a-\u200c\u20e2]++)")


@functools.cache
def _in_tag() -> Any:
    """Match the character that a tag needs besides digits and punctuation."""
    return regex_module().compile(r"[^\d\s\p{P}\ufe0f\u200d]")


@functools.cache
def _punctuation() -> Any:
    return regex_module().compile(r"\p{P}")


def find_links(text: str, *, bare: bool) -> Iterator[Link]:
    """Find the addresses in `text` as a reader would, in order, complete and in any script.

    With `bare`, addresses such as `example.org/page` are found by their top-level domain.
    """
    position = 0
    pattern = _spoken_or_run() if bare else _SPOKEN
    while found := pattern.search(text, position):
        start, position = found.span()
        if found.lastgroup == "spoken" or not bare:
            link = _spoken_link(text, start, position)
        else:
            link = _bare_link(text, start, position)
            position = max(position, link.end if link else 0)
        if link:
            yield link


@functools.cache
def _spoken_or_run() -> re.Pattern[str]:
    # A run stops where a scheme begins: `はhttps://`.
    return re.compile(
        rf"(?P<spoken>{_SPOKEN.pattern})|(?:(?!https?://)[^{_NOT_IN_RUN}])++", re.IGNORECASE
    )


def _spoken_link(text: str, start: int, end: int) -> Link | None:
    before = text[start - 1] if start else " "
    if before.isascii() and (before.isalnum() or before in "@_"):
        return None
    address = text[start : start + _without_trailing(text[start:end])]
    has_host = address.find("://") + len("://") < len(address)
    return Link(start, start + len(address), address) if has_host else None


def _bare_link(text: str, start: int, end: int) -> Link | None:
    """Read the address whose host is in the run `text[start:end]`, where letters of another script may adjoin a Latin host."""
    if text.find(".", start, end) < 0:
        return None
    host_end = _host_end(text, start, end)
    # `The end.So be it` lacks a space: the capital begins a sentence. Bluesky's own client makes no link of it either.
    while host_end and text[(dot := text.rindex(".", start, host_end)) + 1 : host_end].istitle():
        host_end = _host_end(text, start, dot)
    if host_end is None:
        return None
    if text[host_end - 1].isascii() and (latin := _LATIN_END.search(text[start:host_end])):
        start += latin.start()
        if _host_end(text, start, host_end) is None:
            return None
    before = text[start - 1] if start else " "
    if not (before.isspace() or before in _OPENERS or not before.isascii()):
        return None
    rest = _REST.match(text, host_end)
    link_end = start + _without_trailing(text[start : rest.end() if rest else host_end])
    return Link(start, link_end, f"https://{text[start:link_end]}")


def _without_trailing(address: str) -> int:
    """Return the length of an address without the punctuation of the sentence around it: `).` in `(see a.org/b).`."""
    surplus = {
        closer: address.count(closer) - address.count(opener) for closer, opener in _CLOSERS.items()
    }
    end = len(address)
    while end:
        last = address[end - 1]
        if surplus.get(last, 0) > 0:
            surplus[last] -= 1
        elif last not in _LOOSE:
            break
        end -= 1
    return end


# Mastodon

_USERNAME = r"[a-z0-9_]++(?:[.\-]++[a-z0-9_]++)*+"
_FEDIVERSE_MENTION = re.compile(rf"(?<![=/\w])@({_USERNAME})@(\w[\w.\-]*+)", re.IGNORECASE)


def fediverse_mentions(text: str) -> Iterator[Token]:
    """Find mentions with a server, such as `@ada@social.example`; `value` is the name before the server."""
    for one in _FEDIVERSE_MENTION.finditer(text) if "@" in text else ():
        server = one[2].rstrip(".-")
        yield Token(Kind.MENTION, one.start(), one.start(2) + len(server), one[1])


# LinkedIn


def word_hashtags(text: str) -> Iterator[Token]:
    """Find hashtags as LinkedIn does: whole words including marks, with at least one letter."""
    if "#" in text:
        for one in _word_hashtag().finditer(text):
            yield Token(Kind.HASHTAG, one.start(), one.end(), one[1])


@functools.cache
def _word_hashtag() -> Any:
    word = r"\p{L}\p{M}\p{N}_"
    return regex_module().compile(rf"(?<![{word}#&])#([\p{{N}}_]*+\p{{L}}[{word}\u200c\u200d]*+)")


def _apart(found: Iterable[Token]) -> list[Token]:
    """Sort tokens and drop those that overlap an earlier one; of two with the same start, the link stays."""
    kept: list[Token] = []
    order = {Kind.LINK: 0}
    for token in sorted(found, key=lambda one: (one.start, order.get(one.kind, 1))):
        if not kept or token.start >= kept[-1].end:
            kept.append(token)
    return kept


def regex_module() -> Any:
    """Return the module `regex`, imported at its first use."""
    import regex  # 19 ms: only texts with hashtags, or beyond ASCII, need it

    return regex

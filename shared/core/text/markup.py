"""Decides which brackets of a composed text are markup and which are text.

Members write HTML, plain text, or code that looks like either: `a<b and b>c`, `List<String>`, `Office <a@b.example>`. A
bracket is markup if it begins a known tag in valid syntax; every other one is text. Reading takes linear time.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import unescape as _unescaped

TAGS = frozenset({"p", "br", "strong", "u", "a", "ul", "ol", "li", "h1", "h2", "h3", "span"})
BLOCKS = frozenset({"p", "h1", "h2", "h3", "ul", "ol", "li"})
VOID = frozenset({"br", "hr", "img", "input", "wbr"})
# Elements of editors and web pages whose tags are dropped and whose words stay: html.spec.whatwg.org, read 2026-11-30.
# Elements without words of the author (script, style) are dropped as a whole if they are closed.
DROPPED = frozenset(
    """
    abbr address article aside b big blockquote body button center cite code dd del details dfn div dl dt em
    figcaption figure font footer form h4 h5 h6 head header hr html i img input ins kbd label main mark nav pre q s
    samp section small strike sub summary sup table tbody td tfoot th thead time tr tt var wbr
    """.split()  # noqa: SIM905  a list of quoted names would be longer
)
# Those of them that a browser puts on a line of their own: the words before and after are not joined.
APART = frozenset(
    """
    address article aside blockquote body center dd details div dl dt figcaption figure footer form h4 h5 h6 header hr
    main nav pre section summary table tbody td tfoot th thead tr
    """.split()  # noqa: SIM905  a list of quoted names would be longer
)
UNREAD = frozenset({"script", "style"})
KNOWN = TAGS | DROPPED | UNREAD
MAX_DEPTH = 16  # of nested tags; deeper tags are dropped, their words stay

# Bare attributes are words more often than attributes: `<b and b>`.
_ATTRIBUTE = r"""\s+[a-z][a-z0-9:_.-]*+\s*+=\s*+(?:"[^"<]*+"|'[^'<]*+'|[^\s"'<>=`]++)"""
_BRACKET = re.compile(
    rf"<(?P<closes>/?)(?P<tag>[a-z][a-z0-9]*+)(?P<attributes>(?:{_ATTRIBUTE})*+)\s*+/?>|<!--(?P<comment>)|<",
    re.IGNORECASE,
)
_ONE_ATTRIBUTE = re.compile(
    r"""([a-z][a-z0-9:_.-]*)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'<>=`]+))""", re.IGNORECASE
)
_REFERENCE = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
# Single letters that are also used as names in comparisons.
_LETTERS = frozenset({"a", "b", "i", "q", "s", "u"})


@dataclass(frozen=True, slots=True)
class Words:
    """A stretch of text, with character references decoded."""

    text: str


@dataclass(frozen=True, slots=True)
class Opening:
    """A start tag, or a tag without an end tag."""

    tag: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Closing:
    """An end tag."""

    tag: str


Piece = Words | Opening | Closing

_BREAK = Opening("br")
_EDGE = Opening("")  # the start or end of an element of `APART`


def pieces(composed: str) -> Iterator[Piece]:
    """Read a composed text: its words and the tags of `TAGS`, balanced and at most `MAX_DEPTH` deep."""
    open_tags: list[str] = []
    counts = dict.fromkeys(TAGS, 0)
    for piece in _set_apart(_raw(composed)):
        if isinstance(piece, Opening):
            if piece.tag in VOID:
                yield piece
            elif len(open_tags) < MAX_DEPTH:
                open_tags.append(piece.tag)
                counts[piece.tag] += 1
                yield piece
            elif piece.tag in BLOCKS:  # nested too deeply: dropped, but its words stay separate
                yield _BREAK
        elif isinstance(piece, Closing):
            while counts[piece.tag]:
                last = open_tags.pop()
                counts[last] -= 1
                yield Closing(last)
                if last == piece.tag:
                    break
        else:
            yield piece
    for tag in reversed(open_tags):
        yield Closing(tag)


def _set_apart(read: Iterator[Piece]) -> Iterator[Piece]:
    """Put a line break for the edges between two runs of words; whitespace between edges alone is layout."""
    is_apart, begins_line = False, True
    for piece in read:
        if piece is _EDGE:
            is_apart = not begins_line
            continue
        if isinstance(piece, Words):
            words = piece.text.lstrip() if is_apart else piece.text
            if is_apart and words:
                yield _BREAK
            if words:
                yield Words(words)
                is_apart, begins_line = False, words.endswith("\n")
        elif piece.tag in BLOCKS:
            is_apart, begins_line = False, True
            yield piece
        else:
            if is_apart and isinstance(piece, Opening):
                yield _BREAK
                is_apart = False
            begins_line = begins_line or piece.tag == "br"
            yield piece


def _raw(composed: str) -> Iterator[Piece]:
    lowered = composed.lower() if len(composed.lower()) == len(composed) else composed
    last_closing = {tag: lowered.rfind(f"</{tag}") for tag in _LETTERS | UNREAD}
    position, start, comments_end = 0, 0, True
    while found := _BRACKET.search(composed, position):
        position = found.end()
        if found["comment"] is not None:
            end = composed.find("-->", position) if comments_end else -1
            if end < 0:  # it is text, and no later one can end either
                comments_end = False
                continue
            yield from _words(composed[start : found.start()])
            start = position = end + len("-->")
            continue
        tag = (found["tag"] or "").lower()
        if tag not in KNOWN or not _is_meant(found, tag, last_closing):
            continue
        yield from _words(composed[start : found.start()])
        start = position
        if tag in UNREAD:
            if not found["closes"]:
                end = lowered.find(f"</{tag}", position)
                start = position = end if end >= 0 else position
        elif tag in TAGS:
            yield (
                Closing(tag) if found["closes"] else Opening(tag, _attributes(found["attributes"]))
            )
        elif tag in APART:
            yield _EDGE
    yield from _words(composed[start:])


def _is_meant(found: re.Match[str], tag: str, last_closing: Mapping[str, int]) -> bool:
    """Return whether a tag that could also be a letter or a word is meant as a tag: it is if it is closed later."""
    if found["closes"] or found["attributes"] or tag not in last_closing:
        return True
    return last_closing[tag] > found.start()


def _words(raw: str) -> Iterator[Words]:
    if raw:
        yield Words(unescape(raw))


def _attributes(written: str) -> dict[str, str]:
    return {
        name.lower(): unescape(double or single or bare)
        for name, double, single, bare in _ONE_ATTRIBUTE.findall(written)
    }


def unescape(text: str) -> str:
    """Decode character references. One without a semicolon is text: `fish &chips`, `?a=1&copy=2`."""
    return _REFERENCE.sub(lambda found: _unescaped(found[0]), text) if "&" in text else text


def escape(text: str, *, ampersand: str = "&amp;") -> str:
    """Escape text for HTML; `ampersand` replaces `&`."""
    return text.replace("&", ampersand).replace("<", "&lt;").replace(">", "&gt;")


def write(composed: str, *, ampersand: str = "&amp;") -> str:
    """Convert a composed text to HTML in which every bracket that is not part of a tag is escaped.

    `ampersand` replaces `&` between tags. It is removed if the text already contains it.
    """
    out: list[str] = []
    for piece in pieces(composed if ampersand == "&amp;" else composed.replace(ampersand, "")):
        if isinstance(piece, Words):
            words = piece.text if ampersand == "&amp;" else piece.text.replace(ampersand, "")
            out.append(escape(words, ampersand=ampersand))
        elif isinstance(piece, Opening):
            written = "".join(
                f' {name}="{escape(value).replace(chr(34), "&quot;")}"'
                for name, value in piece.attributes.items()
            )
            out.append(f"<{piece.tag}{written}>")
        else:
            out.append(f"</{piece.tag}>")
    return "".join(out)

"""Converts a composed text to Draft.js's format, which X uses for articles: one block per paragraph, with ranges in its text.

Names and values: X's OpenAPI description 2.168 and docs.x.com/x-api/articles/writing-guide, read 2026-11. They differ from
Draft.js's own: names are in snake_case, and entities are a list.
"""

import bisect
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.core import text
from shared.core.text.markup import Closing, Opening, Words, pieces

_TYPES = {
    "h1": "header-one",
    "h2": "header-two",
    "h3": "header-three",
    "li": "unordered-list-item",
}
_NUMBERED = "ordered-list-item"
_LISTS = frozenset({"ul", "ol"})
_PARAGRAPH = "unstyled"
_BETWEEN_PARAGRAPHS = re.compile(r"\n[ \t]*\n\s*")
# The guide marks every handle and hashtag by its text without the sign.
_MENTION = re.compile(r"(?<![\w@#/.&])@(\w{1,15})(?![\w@])", re.ASCII)
_HASHTAG = re.compile(r"(?<![\w@#/&])#(\w*[^\W\d_]\w*)")


@dataclass(frozen=True, slots=True)
class _Span:
    """A range of a block's text, in code points. `url` is a link's address; None: the range is bold."""

    start: int
    end: int
    url: str | None = None


@dataclass(slots=True)
class _Unread:
    """A block that is being read: its words in order, and their total length."""

    type: str
    words: list[str] = field(default_factory=list)
    length: int = 0
    spans: list[_Span] = field(default_factory=list)

    def write(self, words: str) -> None:
        self.words.append(words)
        self.length += len(words)


@dataclass(frozen=True, slots=True)
class _Open:
    """An open tag: its start in the block's text, and the index of its first word."""

    tag: str
    start: int
    words: int
    address: str


class _Block:
    """A finished block. `wide` lists the positions of code points that are two UTF-16 units."""

    def __init__(self, type_: str, words: str, spans: Sequence[_Span]) -> None:
        self.type, self.text, self.spans = type_, words, spans
        is_narrow = words.isascii()
        self.wide = [] if is_narrow else [at for at, one in enumerate(words) if one > "\uffff"]


def content_state(
    composed: str, *, mention: text.Mention, images: Sequence[str], media_category: str
) -> dict[str, Any]:
    """Convert `composed` (sanitized HTML, or plain text) to blocks and entities; `images` (media ids) follow the text.

    Underlining does not exist there and is left out. A line break within a paragraph is kept.
    """
    reader = _Reader(mention)
    reader.read(composed)
    blocks: list[dict[str, Any]] = []
    entities: list[dict[str, Any]] = []
    for block in reader.blocks:
        blocks += [_written(piece, entities) for piece in _pieces(block)]
    for media_id in images:
        item = {"media_id": media_id, "media_category": media_category}
        key = _add(entities, "image", "immutable", {"media_items": [item]})
        place = {"offset": 0, "length": 1, "key": key}
        blocks.append({"text": " ", "type": "atomic", "entity_ranges": [place]})
    return {"blocks": blocks, "entities": entities}


class _Reader:
    """Collects blocks with the ranges of bold text and links."""

    def __init__(self, mention: text.Mention) -> None:
        self.blocks = [_Unread(_PARAGRAPH)]
        self._mention = mention
        self._open: list[_Open] = []
        self._in_item = False
        self._lists: list[str] = []  # the open tags
        self._mentioned = False  # within a mention, whose words are replaced by the platform's form

    def read(self, composed: str) -> None:
        """Read a text to its end."""
        for piece in pieces(composed):
            match piece:
                case Words(words):
                    self._write(words.replace("\xa0", " ").replace("\r\n", "\n"))
                case Opening(tag, attributes):
                    self._read_opening(tag, attributes)
                case Closing(tag):
                    self._read_closing(tag)
        self._close_all()

    def _read_opening(self, tag: str, attributes: Mapping[str, str]) -> None:
        block = self.blocks[-1]
        if tag == "p" and self._in_item:  # editors wrap an item's text in a paragraph of its own
            self._write("\n" if block.length else "")
        elif tag in text.BLOCKS:
            if tag in _LISTS:
                self._lists.append(tag)
            is_numbered = tag == "li" and self._lists[-1:] == ["ol"]
            self._begin(_NUMBERED if is_numbered else _TYPES.get(tag, _PARAGRAPH))
            self._in_item = tag == "li"
        elif tag == "br":
            self._write("\n")
        elif tag == "span" and "data-mention-id" in attributes:
            label = attributes.get("data-mention-label", "")
            self._write(self._mention(attributes["data-mention-id"], label))
            self._open.append(_Open(tag, block.length, len(block.words), ""))
            self._mentioned = True
        elif tag in {"strong", "a", "span"}:
            address = attributes.get("href", "")
            self._open.append(_Open(tag, block.length, len(block.words), address))

    def _read_closing(self, tag: str) -> None:
        if tag == "p" and self._in_item:
            self._close_all()
        elif tag in text.BLOCKS:
            if tag in _LISTS and self._lists:
                self._lists.pop()
            self._begin(_PARAGRAPH)
            self._in_item = False
        elif any(tag == opened.tag for opened in self._open):
            while self._close() != tag:
                pass

    def _write(self, written: str) -> None:
        if not self._mentioned:
            self.blocks[-1].write(written)

    def _begin(self, kind: str) -> None:
        self._close_all()
        self.blocks.append(_Unread(kind))

    def _close(self) -> str:
        closed, block = self._open.pop(), self.blocks[-1]
        address = closed.address
        if closed.tag == "span":
            self._mentioned = False
        elif closed.tag == "strong":
            block.spans.append(_Span(closed.start, block.length))
        elif address:
            words = "".join(block.words[closed.words :])
            if address.startswith("mailto:"):
                self._write(_after_words(words, address.removeprefix("mailto:")))
            else:
                self._write("" if words.strip() else address)
                block.spans.append(_Span(closed.start, block.length, address))
        return closed.tag

    def _close_all(self) -> None:
        while self._open:
            self._close()


def _after_words(words: str, address: str) -> str:
    """Return the text to put after a link's words, so that an address that cannot be a link is not lost."""
    if address in words:
        return ""
    return f" {address}" if words.strip() else address


def _pieces(block: _Unread) -> Iterator[_Block]:
    """Split a paragraph at blank lines (plain text is accepted), and strip and drop empty pieces."""
    start, words = 0, "".join(block.words)
    gaps = _BETWEEN_PARAGRAPHS.finditer(words) if block.type == _PARAGRAPH else iter(())
    ends = [*((gap.start(), gap.end()) for gap in gaps), (len(words), len(words))]
    ahead = deque(sorted(block.spans, key=lambda span: span.start))
    here: list[_Span] = []  # only a few, because tags nest at most `MAX_DEPTH` deep
    for end, following in ends:
        piece = words[start:end]
        first = start + len(piece) - len(piece.lstrip())
        last = first + len(piece.strip())
        while ahead and ahead[0].start < last:
            here.append(ahead.popleft())
        here = [span for span in here if span.end > first]
        spans = [
            _Span(max(span.start, first) - first, min(span.end, last) - first, span.url)
            for span in here
            if max(span.start, first) < min(span.end, last)
        ]
        if first < last:
            yield _Block(block.type, words[first:last], spans)
        start = following


def _written(block: _Block, entities: list[dict[str, Any]]) -> dict[str, Any]:
    """Write a block; its links become entities."""
    links = sorted(_links(block), key=lambda link: link.start)
    bold = sorted((span for span in block.spans if span.url is None), key=lambda span: span.start)
    data = {
        "urls": [_marked(block, link, link.url or "") for link in links],
        "mentions": list(_found(block, _MENTION, links)),
        "hashtags": list(_found(block, _HASHTAG, links)),
    }
    lists = {
        "inline_style_ranges": [{**_range(block, span), "style": "bold"} for span in bold],
        "entity_ranges": [
            {**_range(block, link), "key": _add(entities, "link", "mutable", {"url": link.url})}
            for link in links
        ],
        "data": {name: marks for name, marks in data.items() if marks},
    }
    kept = {name: value for name, value in lists.items() if value}
    return {"text": block.text, "type": block.type, **kept}


def _links(block: _Block) -> list[_Span]:
    """List the links, and the addresses in the text."""
    links = [span for span in block.spans if span.url is not None]
    addresses = [
        _Span(one.start, one.end, one.url) for one in text.find_links(block.text, bare=False)
    ]
    return links + list(filter(_free_of(links), addresses))


def _found(
    block: _Block, pattern: re.Pattern[str], links: Sequence[_Span]
) -> Iterator[Mapping[str, Any]]:
    is_free = _free_of(links)
    for match in pattern.finditer(block.text):
        span = _Span(match.start(), match.end())
        if is_free(span):
            yield _marked(block, span, match[1])


def _free_of(taken: Sequence[_Span]) -> Callable[[_Span], bool]:
    """Return a predicate: true if a span overlaps none of `taken`, which are disjoint."""
    in_order = sorted(taken, key=lambda one: one.start)
    starts = [one.start for one in in_order]

    def is_free(span: _Span) -> bool:
        before = bisect.bisect_left(starts, span.end) - 1
        return before < 0 or in_order[before].end <= span.start

    return is_free


def _marked(block: _Block, span: _Span, words: str) -> dict[str, Any]:
    place = _range(block, span)
    return {
        "from_index": place["offset"],
        "to_index": place["offset"] + place["length"],
        "text": words,
    }


def _range(block: _Block, span: _Span) -> dict[str, int]:
    """Count in UTF-16 units, as Draft.js does. X says "characters", and its guide counts them in two ways."""
    start, end = (at + bisect.bisect_left(block.wide, at) for at in (span.start, span.end))
    return {"offset": start, "length": end - start}


def _add(
    entities: list[dict[str, Any]], kind: str, mutability: str, data: Mapping[str, Any]
) -> int:
    """Add an entity; return its place in the list, which is also its key."""
    value = {"type": kind, "mutability": mutability, "data": dict(data)}
    entities.append({"key": str(len(entities)), "value": value})
    return len(entities) - 1

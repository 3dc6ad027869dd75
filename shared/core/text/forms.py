"""Converts a composed text into each form that platforms accept.

Members write HTML; stored texts have passed `sanitize`. Emphasis has no plain-text form: screen readers spell out letters
that merely look bold, and search does not find them, so `to_plain` leaves emphasis out.
"""

import functools
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.core.text import markup
from shared.core.text.markup import BLOCKS, TAGS, Closing, Opening, Words
from shared.core.text.tokens import regex_module

ATTRIBUTES = {
    "a": {"href", "target", "rel", "class"},
    "ol": {"start"},
    "span": {"class", "data-mention-id", "data-mention-label"},
}
_NUMBER = re.compile(r"[0-9]{1,6}")
_SEEN = re.compile("[!-~]")
SCHEMES = frozenset({"http", "https", "mailto"})
# nh3 0.3 copies the whole text so far at each `&amp;`, so it gets this noncharacter instead, which no text contains.
_AMPERSAND = "\ufdd0"

# A text is converted several times in one request: once for each channel, to count it, and to compare it.
_REMEMBERED, _REMEMBERED_CHARACTERS = 64, 20_000

Mention = Callable[[str, str], str]
"""Writes a mention, given the platform's id of the mentioned and the label shown."""


def sanitize(composed: str) -> str:
    """Return `composed` with only the allowed tags, attributes and link schemes.

    Brackets that do not begin a tag are text and stay. nh3 gets balanced and shallow input, so its time is linear.
    """
    clean = _sanitized if len(composed) <= _REMEMBERED_CHARACTERS else _sanitized.__wrapped__
    return clean(composed)


@functools.lru_cache(maxsize=_REMEMBERED)
def _sanitized(composed: str) -> str:
    import nh3  # its import takes 5 ms, which only functions that accept or send texts should spend

    cleaned = nh3.clean(
        markup.write(composed, ampersand=_AMPERSAND),
        tags=set(TAGS),
        attributes={tag: set(names) for tag, names in ATTRIBUTES.items()},
        url_schemes=set(SCHEMES),
        link_rel=None,
        attribute_filter=_without_opener,
    )
    return cleaned.replace(_AMPERSAND, "&amp;")


def _without_opener(tag: str, attribute: str, value: str) -> str | None:
    """Remove `opener` from a link's `rel`, because it lets the opened page replace the page with the link."""
    if (tag, attribute) != ("a", "rel"):
        return value
    return " ".join(word for word in value.split() if word.casefold() != "opener") or None


def to_plain(composed: str, *, mention: Mention | None = None) -> str:
    """Convert `composed` to plain text.

    Paragraphs and headings are separated by a blank line, and list items begin with `- ` or their number. A link becomes its
    address, preceded by its text if that differs.
    """
    write = _plain if len(composed) <= _REMEMBERED_CHARACTERS else _plain.__wrapped__
    return write(composed, mention)


@functools.lru_cache(maxsize=_REMEMBERED)
def _plain(composed: str, mention: Mention | None) -> str:
    return _render(composed, _Plain(mention))


def to_markdown(composed: str, *, mention: Mention | None = None) -> str:
    """Convert `composed` to CommonMark; text that only looks like markup is escaped."""
    return _render(composed, _Markdown(mention))


def to_html(composed: str, *, mention: Mention | None = None) -> str:
    """Convert `composed` to the restricted HTML that platforms with HTML accept, without our own spans."""
    return _render(composed, _Html(mention))


@dataclass(slots=True)
class _Block:
    """A block of text. `number` is set for an item of a numbered list."""

    tag: str
    number: int | None = None
    written: list[str] = field(default_factory=list)


@dataclass
class _Writer(ABC):
    """Collects blocks; a subclass formats the pieces of one form."""

    mention: Mention | None
    blocks: list[_Block] = field(default_factory=lambda: [_Block("")])

    def write(self, text: str) -> None:
        if text:
            self.blocks[-1].written.append(text)

    def start_block(self, tag: str, number: int | None = None) -> None:
        self.blocks.append(_Block(tag, number))

    def escape(self, text: str) -> str:
        return text

    def strong(self, text: str) -> str:
        return text

    def underlined(self, text: str) -> str:
        return text

    @abstractmethod
    def link(self, text: str, href: str) -> str:
        """Format a link with the given `text`."""

    def mentioned(self, remote_id: str, label: str, text: str) -> str:
        if self.mention is None:
            return self.escape(text or f"@{label.removeprefix('@')}")
        return self.mention(remote_id, label)

    def joined(self) -> str:
        """Join blocks: list items on adjacent lines, all others separated by a blank line."""
        out: list[str] = []
        before = ""
        for block in self.blocks:
            text = "".join(block.written).strip(" \t\r\n")
            if not text:
                continue
            if out:
                out.append("\n" if block.tag == before == "li" else "\n\n")
            out.append(self.block(block, text))
            before = block.tag
        return "".join(out)

    def block(self, block: _Block, text: str) -> str:
        if block.tag != "li":
            return text
        return f"- {text}" if block.number is None else f"{block.number}. {text}"


class _Plain(_Writer):
    def link(self, text: str, href: str) -> str:
        address = href.removeprefix("mailto:")
        if not text.strip() or _says_the_address(text, address):
            return address
        return f"{text} {address}"


class _Markdown(_Writer):
    def escape(self, text: str) -> str:
        escaped = re.sub(r"([\\`*_\[\]<>])", r"\\\1", text)
        return re.sub(r"(?m)^([ \t]*+)([#>+-]|\d{1,9}\.)(?=\s)", r"\1\\\2", escaped)

    def strong(self, text: str) -> str:
        return f"**{text}**" if text.strip() else text

    def link(self, text: str, href: str) -> str:
        return f"[{text or href}]({href.replace(')', '%29').replace(' ', '%20')})"

    def block(self, block: _Block, text: str) -> str:
        heading = {"h1": "# ", "h2": "## ", "h3": "### "}.get(block.tag)
        return f"{heading}{text}" if heading else super().block(block, text)


class _Html(_Writer):
    def escape(self, text: str) -> str:
        return markup.escape(text)

    def strong(self, text: str) -> str:
        return f"<strong>{text}</strong>"

    def underlined(self, text: str) -> str:
        return f"<u>{text}</u>"

    def link(self, text: str, href: str) -> str:
        address = self.escape(href).replace('"', "&quot;")
        return f'<a href="{address}">{text or address}</a>'

    def joined(self) -> str:
        out: list[str] = []
        inside, before = "", 0  # the open list and its last number
        for block in self.blocks:
            text = "".join(block.written).strip(" \t\r\n").replace("\n", "<br>")
            if not text:
                continue
            wanted = ("ul" if block.number is None else "ol") if block.tag == "li" else ""
            follows = block.number is None or block.number == before + 1
            if wanted != inside or not follows:
                start = f' start="{block.number}"' if (block.number or 1) > 1 else ""
                out.append(f"</{inside}>" if inside else "")
                out.append(f"<{wanted}{start}>" if wanted else "")
                inside = wanted
            before = block.number or 0
            tag = block.tag or "p"
            out.append(f"<{tag}>{text}</{tag}>")
        return "".join([*out, f"</{inside}>" if inside else ""])


class _Reader:
    """Feeds a writer. Inline elements nest, so each open one collects its own text until it closes."""

    def __init__(self, writer: _Writer) -> None:
        self.writer = writer
        self.open: list[tuple[str, Mapping[str, str], list[str]]] = []
        self.in_item = False
        self.lists: list[int | None] = []  # the open lists; for a numbered one, its last number

    def read(self, composed: str) -> None:
        for piece in markup.pieces(composed):
            match piece:
                case Words(text):
                    self._read_words(text)
                case Opening(tag, attributes):
                    self._read_opening(tag, attributes)
                case Closing(tag):
                    self._read_closing(tag)
        self._close_all()

    def _put(self, text: str) -> None:
        if self.open:
            self.open[-1][2].append(text)
        else:
            self.writer.write(text)

    def _read_opening(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "p" and self.in_item:  # editors wrap an item's text in a paragraph of its own
            self._put("\n" if self.writer.blocks[-1].written else "")
        elif tag in BLOCKS:
            self._close_all()
            self.in_item = tag == "li"
            if tag in {"ul", "ol"}:
                self.lists.append(_start(attributes) - 1 if tag == "ol" else None)
            self.writer.start_block("" if tag in {"ul", "ol"} else tag, self._number(tag))
        elif tag == "br":
            self._put("\n")
        elif tag in {"strong", "u", "a", "span"}:
            self.open.append((tag, attributes, []))

    def _read_closing(self, tag: str) -> None:
        if tag == "p" and self.in_item:
            self._close_all()
        elif tag in BLOCKS:
            self._close_all()
            self.in_item = False
            if tag in {"ul", "ol"} and self.lists:
                self.lists.pop()
            self.writer.start_block("")
        elif any(tag == opened for opened, _, _ in self.open):
            while self._close() != tag:
                pass

    def _number(self, tag: str) -> int | None:
        """Return the next number of a numbered list; None if it is not one."""
        last = self.lists[-1] if tag == "li" and self.lists else None
        if last is None:
            return None
        self.lists[-1] = last + 1
        return last + 1

    def _read_words(self, data: str) -> None:
        # A line break in the source was typed by the author (plain text is accepted); between blocks it is layout.
        self._put(self.writer.escape(data.replace("\xa0", " ").replace("\r\n", "\n")))

    def _close(self) -> str:
        tag, attributes, pieces = self.open.pop()
        text = "".join(pieces)
        if tag == "strong":
            text = self.writer.strong(text)
        elif tag == "u":
            text = self.writer.underlined(text)
        elif tag == "a" and attributes.get("href"):
            text = self.writer.link(text, attributes["href"])
        elif "data-mention-id" in attributes:
            label = attributes.get("data-mention-label", "")
            text = self.writer.mentioned(attributes["data-mention-id"], label, text)
        self._put(text)
        return tag

    def _close_all(self) -> None:
        while self.open:
            self._close()


def _render(composed: str, writer: _Writer) -> str:
    _Reader(writer).read(composed)
    return writer.joined()


def _start(attributes: Mapping[str, str]) -> int:
    """Return the first number of a list."""
    start = attributes.get("start", "")
    return int(start) if _NUMBER.fullmatch(start) else 1


def is_blank(written: str) -> bool:
    """Return whether a text has only invisible characters.

    These are spaces, controls, format characters (U+200B, U+FEFF), default ignorable code points (U+3164 and other
    fillers), and the blank Braille pattern (U+2800). An unassigned code point may be a new emoji, so it counts as visible.
    """
    if not written or _SEEN.search(written):
        return not written
    return _mark().search(written) is None


@functools.cache
def _mark() -> Any:
    pattern = r"[^\p{Z}\p{Cc}\p{Cf}\p{Cs}\p{Default_Ignorable_Code_Point}\s\u2800]"
    return regex_module().compile(pattern)


def _says_the_address(text: str, address: str) -> bool:
    def bare(value: str) -> str:
        return re.sub(r"^https?://(www\.)?", "", value.strip()).rstrip("/").casefold()

    words = bare(text)
    shortened = words.rstrip("…")
    return words == bare(address) or (shortened != words and bare(address).startswith(shortened))

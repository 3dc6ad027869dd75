"""What is a composed text in each form a platform may take?

Members write HTML; what is stored has passed `sanitize`. Emphasis has no plain-text form: letters that merely look
bold are read out one by one by screen readers and are not found by search, so `to_plain` leaves emphasis out.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from shared.core.text import markup
from shared.core.text.markup import BLOCKS, TAGS, Closing, Opening, Words

ATTRIBUTES = {
    "a": {"href", "target", "rel", "class"},
    "span": {"class", "data-mention-id", "data-mention-label"},
}
SCHEMES = frozenset({"http", "https", "mailto"})

Mention = Callable[[str, str], str]
"""Writes a mention, given the platform's id of the mentioned and the label shown."""


def sanitize(composed: str) -> str:
    """Return `composed` with nothing but the tags, attributes and link schemes that we keep.

    Brackets that begin no tag are text, and stay. What nh3 reads is balanced and not deep, so its time is linear.
    """
    import nh3  # costs 5 ms at import, which only functions that accept or send texts should pay

    return nh3.clean(
        markup.write(composed),
        tags=set(TAGS),
        attributes={tag: set(names) for tag, names in ATTRIBUTES.items()},
        url_schemes=set(SCHEMES),
        link_rel=None,
        attribute_filter=_without_opener,
    )


def _without_opener(tag: str, attribute: str, value: str) -> str | None:
    """Take `opener` out of a link's `rel`: it lets the page that the link opens replace the page it stands on."""
    if (tag, attribute) != ("a", "rel"):
        return value
    return " ".join(word for word in value.split() if word.casefold() != "opener") or None


def to_plain(composed: str, *, mention: Mention | None = None) -> str:
    """Write `composed` as plain text.

    Paragraphs and headings are separated by a blank line, list items begin with `- `, a link stands as its address,
    after its words where those say something else.
    """
    return _render(composed, _Plain(mention))


def to_markdown(composed: str, *, mention: Mention | None = None) -> str:
    """Write `composed` as CommonMark; what only looks like markup in the text is escaped."""
    return _render(composed, _Markdown(mention))


def to_html(composed: str, *, mention: Mention | None = None) -> str:
    """Write `composed` as the restricted HTML that HTML-taking platforms accept, without our own spans."""
    return _render(composed, _Html(mention))


@dataclass(slots=True)
class _Block:
    tag: str
    written: list[str] = field(default_factory=list)


@dataclass
class _Writer(ABC):
    """Collects blocks; a subclass says how the pieces of one form are written."""

    mention: Mention | None
    blocks: list[_Block] = field(default_factory=lambda: [_Block("")])

    def write(self, text: str) -> None:
        if text:
            self.blocks[-1].written.append(text)

    def start_block(self, tag: str) -> None:
        self.blocks.append(_Block(tag))

    def escape(self, text: str) -> str:
        return text

    def strong(self, text: str) -> str:
        return text

    def underlined(self, text: str) -> str:
        return text

    @abstractmethod
    def link(self, text: str, href: str) -> str:
        """Write a link whose words are `text`."""

    def mentioned(self, remote_id: str, label: str, text: str) -> str:
        if self.mention is None:
            return self.escape(text or f"@{label.removeprefix('@')}")
        return self.mention(remote_id, label)

    def joined(self) -> str:
        """Put blocks together: list items on neighbouring lines, everything else apart."""
        out: list[str] = []
        before = ""
        for block in self.blocks:
            text = "".join(block.written).strip(" \t\r\n")
            if not text:
                continue
            if out:
                out.append("\n" if block.tag == before == "li" else "\n\n")
            out.append(self.block(block.tag, text))
            before = block.tag
        return "".join(out)

    def block(self, tag: str, text: str) -> str:
        return f"- {text}" if tag == "li" else text


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

    def block(self, tag: str, text: str) -> str:
        heading = {"h1": "# ", "h2": "## ", "h3": "### "}.get(tag)
        return f"{heading}{text}" if heading else super().block(tag, text)


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
        in_list = False
        for block in self.blocks:
            text = "".join(block.written).strip(" \t\r\n").replace("\n", "<br>")
            if not text:
                continue
            if (block.tag == "li") != in_list:
                out.append("</ul>" if in_list else "<ul>")
                in_list = not in_list
            tag = block.tag or "p"
            out.append(f"<{tag}>{text}</{tag}>")
        return "".join([*out, "</ul>" if in_list else ""])


class _Reader:
    """Feeds a writer. Inline elements nest, so each open one keeps its own text until it closes."""

    def __init__(self, writer: _Writer) -> None:
        self.writer = writer
        self.open: list[tuple[str, Mapping[str, str], list[str]]] = []
        self.in_item = False

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
            self.writer.start_block("" if tag == "ul" else tag)
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
            self.writer.start_block("")
        elif any(tag == opened for opened, _, _ in self.open):
            while self._close() != tag:
                pass

    def _read_words(self, data: str) -> None:
        # A line break in the source is one that the author typed (plain text is welcome); between blocks it is layout.
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


def _says_the_address(text: str, address: str) -> bool:
    def bare(value: str) -> str:
        return re.sub(r"^https?://(www\.)?", "", value.strip()).rstrip("/").casefold()

    words = bare(text)
    shortened = words.rstrip("…")
    return words == bare(address) or (shortened != words and bare(address).startswith(shortened))

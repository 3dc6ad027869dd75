"""What a composed text is in each form a platform may take, and how long it is by each way of counting.

Members write HTML; what is stored has passed `sanitize`. Emphasis has no plain-text form: letters that merely look
bold are read out one by one by screen readers and are not found by search, so `to_plain` leaves emphasis out.
"""

import functools
import html.parser
import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

TAGS = frozenset({"p", "br", "strong", "u", "a", "ul", "li", "h1", "h2", "h3", "span"})
ATTRIBUTES = {
    "a": {"href", "target", "rel", "class"},
    "span": {"class", "data-mention-id", "data-mention-label"},
}
SCHEMES = frozenset({"http", "https", "mailto"})
BLOCKS = frozenset({"p", "h1", "h2", "h3", "ul", "li"})

Mention = Callable[[str, str], str]
"""Writes a mention, given the platform's id of the mentioned and the label shown."""


def sanitize(composed: str) -> str:
    """Return `composed` with nothing but the tags, attributes and link schemes that we keep."""
    import nh3  # costs 5 ms at import, which only functions that accept or send texts should pay

    return nh3.clean(
        composed,
        tags=set(TAGS),
        attributes={tag: set(names) for tag, names in ATTRIBUTES.items()},
        url_schemes=set(SCHEMES),
        link_rel=None,
    )


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
    text: str = ""


@dataclass
class _Writer(ABC):
    """Collects blocks; a subclass says how the pieces of one form are written."""

    mention: Mention | None
    blocks: list[_Block] = field(default_factory=lambda: [_Block("")])

    def write(self, text: str) -> None:
        self.blocks[-1].text += text

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
        out, before = "", ""
        for block in self.blocks:
            text = block.text.strip(" \t\r\n")
            if not text:
                continue
            if out:
                out += "\n" if block.tag == before == "li" else "\n\n"
            out += self.block(block.tag, text)
            before = block.tag
        return out

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
        return re.sub(r"(?m)^(\s*)([#>+-]|\d+\.)(?=\s)", r"\1\\\2", escaped)

    def strong(self, text: str) -> str:
        return f"**{text}**" if text.strip() else text

    def link(self, text: str, href: str) -> str:
        return f"[{text or href}]({href.replace(')', '%29').replace(' ', '%20')})"

    def block(self, tag: str, text: str) -> str:
        heading = {"h1": "# ", "h2": "## ", "h3": "### "}.get(tag)
        return f"{heading}{text}" if heading else super().block(tag, text)


class _Html(_Writer):
    def escape(self, text: str) -> str:
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    def strong(self, text: str) -> str:
        return f"<strong>{text}</strong>"

    def underlined(self, text: str) -> str:
        return f"<u>{text}</u>"

    def link(self, text: str, href: str) -> str:
        address = self.escape(href).replace('"', "&quot;")
        return f'<a href="{address}">{text or address}</a>'

    def joined(self) -> str:
        out, in_list = "", False
        for block in self.blocks:
            text = block.text.strip(" \t\r\n").replace("\n", "<br>")
            if not text:
                continue
            if (block.tag == "li") != in_list:
                out += "</ul>" if in_list else "<ul>"
                in_list = not in_list
            tag = block.tag or "p"
            out += f"<{tag}>{text}</{tag}>"
        return out + ("</ul>" if in_list else "")


class _Reader(html.parser.HTMLParser):
    """Feeds a writer. Inline elements nest, so each open one keeps its own text until it closes."""

    def __init__(self, writer: _Writer) -> None:
        super().__init__(convert_charrefs=True)
        self.writer = writer
        self.open: list[tuple[str, dict[str, str], list[str]]] = []
        self.in_item = False

    def _put(self, text: str) -> None:
        if self.open:
            self.open[-1][2].append(text)
        else:
            self.writer.write(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "p" and self.in_item:  # editors wrap an item's text in a paragraph of its own
            self._put("\n" if self.writer.blocks[-1].text else "")
        elif tag in BLOCKS:
            self._close_all()
            self.in_item = tag == "li"
            self.writer.start_block("" if tag == "ul" else tag)
        elif tag == "br":
            self._put("\n")
        elif tag in {"strong", "u", "a", "span"}:
            self.open.append((tag, {name: value or "" for name, value in attrs}, []))

    def handle_endtag(self, tag: str) -> None:
        if tag == "p" and self.in_item:
            self._close_all()
        elif tag in BLOCKS:
            self._close_all()
            self.in_item = False
            self.writer.start_block("")
        elif any(tag == opened for opened, _, _ in self.open):
            while self._close() != tag:
                pass

    def handle_data(self, data: str) -> None:
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

    def finish(self) -> None:
        self.close()
        self._close_all()


def _render(composed: str, writer: _Writer) -> str:
    reader = _Reader(writer)
    reader.feed(composed)
    reader.finish()
    return writer.joined()


def _says_the_address(text: str, address: str) -> bool:
    def bare(value: str) -> str:
        return re.sub(r"^https?://(www\.)?", "", value.strip()).rstrip("/").casefold()

    words = bare(text)
    shortened = words.rstrip("…")
    return words == bare(address) or (shortened != words and bare(address).startswith(shortened))


# Links in plain text


@dataclass(frozen=True, slots=True)
class Link:
    """A link in a text: code-point offsets, and the address with its scheme."""

    start: int
    end: int
    url: str


_LABEL = r"[^\W_](?:[\w-]*[^\W_])?"
_LINK = re.compile(
    rf"(?<![@\w./-])(?P<scheme>https?://)?(?P<host>{_LABEL}(?:\.{_LABEL})+)(?P<port>:\d{{1,5}})?"
    r"(?P<rest>[/?#][0-9A-Za-zÀ-ɏЀ-ӿ!*';:=+,.$/%#\[\]_~@|&()?\-]*)?",
    re.IGNORECASE,
)


def find_links(text: str, *, bare: bool) -> Iterator[Link]:
    """Find the links in `text`, in order; `bare` also finds `example.org/page`, judged by its top-level domain."""
    for match in _LINK.finditer(text):
        if not match["scheme"] and not (bare and _is_known_domain(match["host"])):
            continue
        end = match.end() - len(_trailing_punctuation(match["rest"] or ""))
        address = text[match.start() : end]
        yield Link(match.start(), end, address if match["scheme"] else f"https://{address}")


def _is_known_domain(host: str) -> bool:
    from shared.core.tlds import (
        TOP_LEVEL_DOMAINS,
    )  # only texts that hold a dot between words need the list

    return host.rsplit(".", 1)[-1].casefold() in TOP_LEVEL_DOMAINS


def _trailing_punctuation(rest: str) -> str:
    """Return the end of an address's path that belongs to the sentence around it: `).` in `(see a.org/b).`."""
    end = len(rest)
    while end:
        last = rest[end - 1]
        opener = {")": "(", "]": "["}.get(last)
        closes_nothing = opener is not None and rest[:end].count(last) > rest[:end].count(opener)
        if last not in ".,;:!?'*_~" and not closes_nothing:
            break
        end -= 1
    return rest[end:]


def replace_links(text: str, length: int, *, bare: bool = False) -> str:
    """Return `text` with every link replaced by `length` letters, for platforms that count all links alike."""
    out, position = [], 0
    for link in find_links(text, bare=bare):
        out += [text[position : link.start], "x" * length]
        position = link.end
    return "".join([*out, text[position:]])


# Counting


def characters(text: str) -> int:
    """Count Unicode code points."""
    return len(text)


def graphemes(text: str) -> int:
    """Count what a reader takes for one character (extended grapheme clusters, UAX 29)."""
    if text.isascii():
        return len(text) - text.count("\r\n")
    return len(_regex().findall(r"\X", text))


def utf16(text: str) -> int:
    """Count UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def utf8_bytes(text: str) -> int:
    """Count UTF-8 bytes."""
    return len(text.encode("utf-8", "surrogatepass"))


# twitter-text's configuration version 3: github.com/twitter/twitter-text, config/v3.json at 714cd4d5; that it is what X
# counts by, after NFC: docs.x.com/fundamentals/counting-characters. Both read 2026-11.
X_LINK_WEIGHT = 23
_X_LIGHT = (
    (0, 4351),
    (8192, 8205),
    (8208, 8223),
    (8242, 8247),
)  # these code points weigh 1, others 2
_X_EMOJI_WEIGHT = 2


def weighted(text: str) -> int:
    """Count as X does: Latin and similar scripts 1, others 2, an emoji 2 however it is composed, a link 23."""
    text = unicodedata.normalize("NFC", text)
    total, position = 0, 0
    for link in find_links(text, bare=True):
        total += _weight(text[position : link.start]) + X_LINK_WEIGHT
        position = link.end
    return total + _weight(text[position:])


def _weight(text: str) -> int:
    if text.isascii():
        return len(text)
    rest, emoji = _emoji().subn("", text)
    light = sum(any(low <= ord(char) <= high for low, high in _X_LIGHT) for char in rest)
    return int(emoji) * _X_EMOJI_WEIGHT + light + 2 * (len(rest) - light)


def _regex() -> Any:
    import regex  # 19 ms: only texts beyond ASCII need it

    return regex


@functools.cache
def _emoji() -> Any:
    """Compile what X takes for one emoji.

    Keycaps, flags, and pictographs with modifiers joined by ZWJ; `©`, `®`, `™` only with the emoji selector
    (github.com/twitter/twemoji-parser, src/__tests__/index.test.js at 0f4636e6, read 2026-11).
    """
    one = r"(?:[\p{Emoji}--[0-9#*©®™\p{RI}]]\uFE0F?\p{EMod}?(?:[\U000E0020-\U000E007E]+\U000E007F)?|[©®™]\uFE0F)"
    return _regex().compile(
        rf"[0-9#*]\uFE0F?\u20E3|\p{{RI}}\p{{RI}}|{one}(?:\u200D{one})*", _regex().VERSION1
    )

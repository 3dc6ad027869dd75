"""Formats an email as text and as HTML, with at most one button."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_PAGE = """<!doctype html>
<html lang="en"><body style="margin:0;background:#f4f4f0;font:16px/1.5 system-ui,sans-serif;color:#222">
<div style="max-width:34rem;margin:2rem auto;padding:2rem;background:#fff;border-radius:8px">
<h1 style="margin:0 0 1rem;font-size:1.25rem">{title}</h1>
{paragraphs}{button}{end}
</div></body></html>
"""
_BUTTON = (
    '<p><a href="{url}" style="display:inline-block;padding:.6rem 1.2rem;border-radius:6px;'
    'background:#235;color:#fff;text-decoration:none">{label}</a></p>\n'
    '<p style="font-size:.85rem;color:#666">Or open this address: {url}</p>'
)
_UNSUBSCRIBE = '<p style="font-size:.85rem"><a href="{url}" style="color:#666">{label}</a></p>'


@dataclass(frozen=True, slots=True)
class Link:
    """The link of an email, and the label of its button."""

    label: str
    url: str


@dataclass(frozen=True, slots=True)
class Letter:
    """The texts of an email. Paragraphs are plain text; HTML in them is escaped.

    `unsubscribe` is a small link at the end, with which the reader turns off emails of this kind.
    """

    title: str
    paragraphs: Sequence[str]
    link: Link | None = None
    unsubscribe: Link | None = None

    @property
    def text(self) -> str:
        ends = [f"{link.label}: {link.url}" for link in (self.link, self.unsubscribe) if link]
        return "\n\n".join([self.title, *self.paragraphs, *ends]) + "\n"

    @property
    def html(self) -> str:
        paragraphs = "".join(f"<p>{_lines(each)}</p>\n" for each in self.paragraphs)
        button = (
            _BUTTON.format(url=escape(self.link.url), label=escape(self.link.label))
            if self.link
            else ""
        )
        end = (
            _UNSUBSCRIBE.format(
                url=escape(self.unsubscribe.url), label=escape(self.unsubscribe.label)
            )
            if self.unsubscribe
            else ""
        )
        return _PAGE.format(title=escape(self.title), paragraphs=paragraphs, button=button, end=end)


def _lines(paragraph: str) -> str:
    return "<br>\n".join(escape(line) for line in paragraph.splitlines())

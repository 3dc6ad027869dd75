"""Which text a platform receives for what a member composed, and how long it is by the platform's count."""

from collections.abc import Callable, Mapping

from shared.core import text
from shared.providers.base import CanMention, Provider
from shared.providers.spec import Editor, TextRules, TextUnit

_COUNTERS: Mapping[TextUnit, Callable[[str], int]] = {
    TextUnit.CHARACTERS: text.characters,
    TextUnit.GRAPHEMES: text.graphemes,
    TextUnit.UTF16: text.utf16,
    TextUnit.BYTES: text.utf8_bytes,
    TextUnit.WEIGHTED: text.weighted,
}


def text_for(provider: Provider, composed: str) -> str:
    """Write `composed` (HTML, or plain text) in the form the provider's `Editor` names, mentions included."""
    mention = provider.format_mention if isinstance(provider, CanMention) else None
    match provider.spec.text.editor:
        case Editor.MARKDOWN:
            return text.to_markdown(composed, mention=mention)
        case Editor.HTML:
            return text.to_html(composed, mention=mention)
        case Editor.PLAIN:
            return text.to_plain(composed, mention=mention)


def length_of(written: str, rules: TextRules) -> int:
    """Count a text, as `text_for` wrote it, the way the platform does."""
    counted = written
    if (
        rules.link_length is not None and rules.unit is not TextUnit.WEIGHTED
    ):  # which knows links itself
        counted = text.replace_links(written, rules.link_length)
    if rules.short_mentions:
        counted = text.shorten_mentions(counted)
    return count(counted, rules.unit) + rules.used


def count(written: str, unit: TextUnit) -> int:
    """Count a text in a unit, links and mentions as written."""
    return _COUNTERS[unit](written)

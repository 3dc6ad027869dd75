"""A post's languages: those that the member chose, or the one that the text's script implies.

Latin, Cyrillic, Arabic and Han letters are used by many languages, so a text in them gets no language. The blocks are
those of unicode.org/Public/UCD/latest/ucd/Blocks.txt, read 2026-11-30.
"""

import re
from collections.abc import Mapping

MAX_LANGUAGES = 3  # lexicon app.bsky.feed.post, `langs`
# Language, script, region and variants; no grandfathered or private tags (rfc-editor.org/rfc/rfc5646, section 2.1).
_CODE = re.compile(
    r"[a-z]{2,3}(-[a-z]{4})?(-([a-z]{2}|[0-9]{3}))?(-([a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*",
    re.ASCII | re.IGNORECASE,
)
_SCRIPTS: Mapping[str, re.Pattern[str]] = {
    "el": re.compile("[\u0370-\u03e1\u03f0-\u03ff\u1f00-\u1fff]"),  # without the Coptic letters
    "he": re.compile("[\u05d0-\u05ea]"),
    "hy": re.compile("[\u0531-\u0587]"),
    "ja": re.compile("[\u3041-\u3096\u30a1-\u30fa\uff66-\uff9d]"),  # hiragana and katakana
    "ka": re.compile("[\u10a0-\u10ff\u1c90-\u1cbf]"),
    "ko": re.compile("[\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3]"),
    "th": re.compile("[\u0e01-\u0e33\u0e40-\u0e46]"),
}
_LETTER = re.compile(r"[^\W\d_]")


def codes_in(written: str) -> list[str]:
    """Split comma-separated codes and remove duplicates."""
    return list(dict.fromkeys(code for one in written.split(",") if (code := one.strip())))


def check_codes(written: str) -> None:
    """Check that `written` names at most three languages by BCP 47 codes.

    Raises:
        ValueError: the codes are invalid or too many; the message is for the member.
    """
    codes = codes_in(written)
    if len(codes) > MAX_LANGUAGES:
        raise ValueError(
            f"Bluesky allows at most {MAX_LANGUAGES} languages; there are {len(codes)}. Remove some."
        )
    for code in codes:
        if not _CODE.fullmatch(code):
            raise ValueError(f'"{code}" is not a language code. Write one such as en or pt-BR.')


def language_of(words: str) -> str | None:
    """Return the language of most letters of `words`; None if no script has most of them.

    A few words of another script, such as a Greek letter in a formula or a brand's name in a Korean text, change nothing.
    """
    letters = len(_LETTER.findall(words))
    counts = {language: len(script.findall(words)) for language, script in _SCRIPTS.items()}
    language = max(counts, key=lambda one: counts[one])
    return language if counts[language] * 2 > letters else None

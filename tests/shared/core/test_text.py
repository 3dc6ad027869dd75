import itertools

import pytest
import regex

from shared.core import text

FAMILY = "👨‍👩‍👧‍👦"


class TestSanitize:
    def test_keeps_what_composing_offers(self) -> None:
        composed = (
            '<h1>a</h1><p><strong>b</strong><u>c</u><br><a href="https://d.org" target="_blank" rel="x">d</a></p>'
            '<ul><li>e</li></ul><p><span data-mention-id="7" data-mention-label="Ada">@Ada</span></p>'
        )
        assert text.sanitize(composed) == composed

    @pytest.mark.parametrize(
        ("composed", "kept"),
        [
            ("<p onclick='x()'>a<script>b</script></p>", "<p>a</p>"),
            ('<a href="javascript:x()">a</a>', "<a>a</a>"),
            (
                '<a href="#here">a</a><a href="mailto:a@b.org">b</a>',
                '<a href="#here">a</a><a href="mailto:a@b.org">b</a>',
            ),
            ("<img src=x><table><tr><td>a</td></tr></table>", "a"),
            ("I <3 owls & you", "I &lt;3 owls &amp; you"),
        ],
    )
    def test_takes_the_rest_away(self, composed: str, kept: str) -> None:
        assert text.sanitize(composed) == kept

    @pytest.mark.parametrize(
        ("rel", "kept"),
        [
            ("opener", ""),
            ("OPENER\tnofollow", ' rel="nofollow"'),
            ("noopener noreferrer", ' rel="noopener noreferrer"'),
            ("", ""),
        ],
    )
    def test_no_link_lends_its_window(self, rel: str, kept: str) -> None:
        """Finding 2.13: `rel="opener"` was stored, so a page that a link opens could replace the page it stands on."""
        link = text.sanitize(f'<a href="https://d.org" target="_blank" rel="{rel}">d</a>')
        assert link == f'<a href="https://d.org" target="_blank"{kept}>d</a>'

    @pytest.mark.parametrize("reference", ["\ufdd0", "&#xFDD0;", "&#64976;"])
    def test_what_stands_for_an_ampersand_inside_is_never_one_of_the_text(
        self, reference: str
    ) -> None:
        assert text.sanitize(f"a{reference}lt;script{reference}gt;b") == "alt;scriptgt;b"
        kept = text.sanitize(f'<a href="https://x.org?a{reference}b">c</a>')
        assert text.sanitize(kept) == kept

    def test_is_settled_after_one_pass(self) -> None:
        once = text.sanitize('a & b <b>c</b> <a href="http://x.org?a=1&b=2">d</a>')
        assert text.sanitize(once) == once


COMPOSED = (
    '<h2>News</h2>\n<p>Hi <strong>there</strong> &amp; <a href="https://x.org/z">x.org/z</a>, read '
    '<a href="https://q.org">our words</a></p><p>two<br>lines</p><ul><li><p>one</p></li><li>two*</li></ul>'
    '<p>by <span data-mention-id="7" data-mention-label="Ada">@Ada</span></p>'
)


class TestToPlain:
    def test_writes_paragraphs_lists_and_bare_links(self) -> None:
        assert text.to_plain(COMPOSED) == (
            "News\n\nHi there & https://x.org/z, read our words https://q.org\n\ntwo\nlines\n\n- one\n- two*\n\nby @Ada"
        )

    def test_leaves_emphasis_out_instead_of_faking_letters(self) -> None:
        assert text.to_plain("<p><strong>bold</strong> <u>under</u></p>") == "bold under"

    def test_keeps_a_plain_text_s_lines(self) -> None:
        assert text.to_plain("one\ntwo\n\n- three") == "one\ntwo\n\n- three"

    def test_writes_mentions_as_the_platform_wants(self) -> None:
        assert text.to_plain(
            COMPOSED, mention=lambda remote_id, label: f"<{remote_id}:{label}>"
        ).endswith("by <7:Ada>")

    def test_a_shortened_address_stands_for_the_whole(self) -> None:
        assert (
            text.to_plain('<a href="https://example.org/long/path">example.org/lo…</a>')
            == "https://example.org/long/path"
        )

    def test_survives_tags_that_never_close(self) -> None:
        assert text.to_plain("<p>a <strong>b <a href='https://c.org'>c") == "a b c https://c.org"

    @pytest.mark.parametrize(
        "composed", ["", "<p></p>", "<p> <br></p>", "<ul><li></li></ul>", "\xa0"]
    )
    def test_nothing_to_read_is_empty(self, composed: str) -> None:
        assert text.to_plain(composed) == ""


class TestNumberedLists:
    """Their numbers were lost: every item began with a dash."""

    LIST = "<p>Steps:</p><ol><li><p>one</p></li><li>two<ul><li>inner</li></ul></li><li>three</li></ol><p>Done</p>"

    def test_plain(self) -> None:
        assert text.to_plain(text.sanitize(self.LIST)) == (
            "Steps:\n\n1. one\n2. two\n- inner\n3. three\n\nDone"
        )

    def test_markdown(self) -> None:
        assert "1. one\n2. two" in text.to_markdown(self.LIST)

    def test_html(self) -> None:
        assert text.to_html(self.LIST) == (
            "<p>Steps:</p><ol><li>one</li><li>two</li></ol><ul><li>inner</li></ul>"
            '<ol start="3"><li>three</li></ol><p>Done</p>'
        )

    @pytest.mark.parametrize(
        ("start", "first"), [("5", "5. a"), ("0", "0. a"), ("x", "1. a"), ("9" * 40, "1. a")]
    )
    def test_a_list_may_begin_later(self, start: str, first: str) -> None:
        composed = text.sanitize(f'<ol start="{start}"><li>a</li></ol>')
        assert text.to_plain(composed) == first


class TestIsBlank:
    @pytest.mark.parametrize(
        "written",
        ["", " \n\t", "\u200b", "\u2060\ufeff", "\u2800", "\u3164", "\uffa0\u115f", "\u00ad", "\u034f",
         "\u202e", "\u3000", "\ufe0f", "\U000e0041", "\x07"],
    )  # fmt: skip
    def test_what_leaves_no_mark(self, written: str) -> None:
        """A text of U+200B alone was no empty text, so a post without anything to see went out."""
        assert text.is_blank(written)

    @pytest.mark.parametrize(
        "written", ["a", ".", "\u200b.", "あ", "🐱", "\u2801", "é", "\u0301", "\ue000"]
    )
    def test_what_is_seen(self, written: str) -> None:
        assert not text.is_blank(written)


class TestToMarkdown:
    def test_writes_marks_and_escapes_what_looks_like_one(self) -> None:
        assert text.to_markdown(COMPOSED) == (
            "## News\n\nHi **there** & [x.org/z](https://x.org/z), read [our words](https://q.org)\n\ntwo\nlines\n\n"
            "- one\n- two\\*\n\nby @Ada"
        )

    def test_escapes_at_the_beginning_of_a_line(self) -> None:
        assert text.to_markdown("# no heading\n1. no list") == "\\# no heading\n\\1. no list"


class TestToHtml:
    def test_writes_the_restricted_tags_without_our_spans(self) -> None:
        assert text.to_html(COMPOSED) == (
            '<h2>News</h2><p>Hi <strong>there</strong> &amp; <a href="https://x.org/z">x.org/z</a>, read '
            '<a href="https://q.org">our words</a></p><p>two<br>lines</p><ul><li>one</li><li>two*</li></ul><p>by @Ada</p>'
        )

    def test_escapes_text_and_addresses(self) -> None:
        assert text.to_html("<a href='https://a.org/?b=\"&c'>&lt;x&gt;</a>") == (
            '<p><a href="https://a.org/?b=&quot;&amp;c">&lt;x&gt;</a></p>'
        )


class TestFindLinks:
    @pytest.mark.parametrize(
        ("written", "found"),
        [
            ("see https://a.org/b.", ["https://a.org/b"]),
            ("(https://a.org/b_(c)).", ["https://a.org/b_(c)"]),
            ("a.org and b.museum/x, not file.txt", ["https://a.org", "https://b.museum/x"]),
            ("me@a.org @b.org x.y.z", []),
            ("https://a.org:8080/?q=1#top!", ["https://a.org:8080/?q=1#top"]),
            ("пример.рф", ["https://пример.рф"]),
        ],
    )
    def test_finds_addresses_and_leaves_punctuation(self, written: str, found: list[str]) -> None:
        assert [link.url for link in text.find_links(written, bare=True)] == found

    def test_without_bare_a_scheme_is_needed(self) -> None:
        assert [link.url for link in text.find_links("a.org https://b.org", bare=False)] == [
            "https://b.org"
        ]

    def test_a_long_word_takes_no_time(self) -> None:
        assert list(text.find_links("a-" * 50_000 + "." * 1_000, bare=True)) == []


class TestCounting:
    @pytest.mark.parametrize(
        ("written", "characters", "graphemes", "utf16", "utf8"),
        [
            ("owl", 3, 3, 3, 3),
            ("é", 1, 1, 1, 2),
            ("e\u0301", 2, 1, 2, 3),
            (FAMILY, 7, 1, 11, 25),
            ("🇩🇪🇫🇷", 4, 2, 8, 16),
            ("🇩🇪🇫", 3, 2, 6, 12),
            ("🇩🇪\u0301🇫", 4, 2, 7, 14),
            ("日本", 2, 2, 2, 6),
            ("a\r\nb", 4, 3, 4, 4),
        ],
    )
    def test_counts_in_every_unit(
        self, written: str, characters: int, graphemes: int, utf16: int, utf8: int
    ) -> None:
        counted = [
            text.characters(written),
            text.graphemes(written),
            text.utf16(written),
            text.utf8_bytes(written),
        ]
        assert counted == [characters, graphemes, utf16, utf8]

    def test_flags_are_counted_as_unicode_counts_them(self) -> None:
        """Finding 2.3, sibling: they are counted without the module's own way, which takes quadratic time."""
        letters = "🇩🇪a\u0301\u200d👩\u0600क\u094d"
        for written in map("".join, itertools.product(letters, repeat=4)):
            assert text.graphemes(written) == len(regex.findall(r"\X", written)), ascii(written)

    # By twitter-text's configuration version 3: `…` lies outside its light ranges, quotation marks inside.
    @pytest.mark.parametrize(
        ("written", "weight"),
        [
            ("owl", 3),
            ("á é", 3),
            ("e\u0301", 1),
            ("日本語", 6),
            ("한국", 4),
            ("😷", 2),
            (FAMILY, 2),
            ("👍🏽", 2),
            ("🇩🇪🇫🇷", 4),
            ("1️⃣", 2),
            ("©", 1),
            ("©️", 2),
            ("“quoted”…", 10),
            ("https://example.org/a/very/long/path/that/counts/nothing/more", 23),
            ("see a.org", 27),
            ("file.txt", 8),
            ("日本 https://a.org 😷", 4 + 1 + 23 + 1 + 2),
        ],
    )
    def test_weighs_as_x_does(self, written: str, weight: int) -> None:
        assert text.weighted(written) == weight

    def test_replaces_links_by_what_they_count(self) -> None:
        assert text.replace_links("see https://example.org/owls now", 4) == "see xxxx now"

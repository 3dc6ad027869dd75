"""Is a bracket markup only where it begins a tag, and is no word ever lost?"""

import pytest

from shared.core import text


class TestBrackets:
    @pytest.mark.parametrize(
        "written",
        [
            "Sign up <Oct 20 to get the discount!",
            "Office <a@b.example> now",
            "if a<b and b>c",
            "a<b>c",
            "x <i and y> z",
            "List<String>",
            "map<string, list<int>>",
            "<https://example.org/a>",
            "I <3 owls",
            "1 < 2 > 0",
            "Use <script> tags",
            "<svg> and <template>",
            "<!-- never closed",
            "<p and q>",
            "fish &chips; R&D, AT&T and &copy 2026",
            "</nothing> <",
            "<<<>>>",
        ],
    )
    def test_that_begin_no_tag_are_text(self, written: str) -> None:
        """Finding 1.6: text is never lost in silence."""
        kept = text.sanitize(written)
        assert text.to_plain(kept) == written
        assert text.sanitize(kept) == kept

    @pytest.mark.parametrize(
        ("written", "plain"),
        [
            ("<b>bold</b> <em class='x'>words</em>", "bold words"),
            ("<P>One</P><BR/>two", "One\n\ntwo"),
            ("<p onclick='x()'>a<script>b</script></p>", "a"),
            ("a<!-- note -->b", "ab"),
            ("a &lt;b&gt; c&nbsp;d &amp; &#8364;", "a <b> c d & €"),
            ("<strong>a</strong>b</strong>", "ab"),
        ],
    )
    def test_that_begin_one_are_markup(self, written: str, plain: str) -> None:
        assert text.to_plain(text.sanitize(written)) == plain

    @pytest.mark.parametrize(
        ("written", "plain"),
        [
            ("<div>Hello</div><div>World</div>", "Hello\nWorld"),
            ("first <b>line</b><div>second</div>\n<div>third</div>\n", "first line\nsecond\nthird"),
            ("<div>a<br></div><div><br></div><div><strong>b</strong></div>", "a\n\nb"),
            ("<div><div>a</div></div><div><p>b</p></div>c", "a\n\nb\n\nc"),
            ("<h4>Title</h4>Body<hr>end", "Title\nBody\nend"),
            ("<table><tr><td>a</td><td>b</td></tr></table>", "a\nb"),
            ("<ul><li><div>a</div></li><li><div>b</div></li></ul>", "- a\n- b"),
            ("a<em>b</em>c", "abc"),
        ],
    )
    def test_that_set_words_apart_keep_them_apart(self, written: str, plain: str) -> None:
        """Editors write a `div` for each line: github.com/fregante/GhostText/issues/224, read 2026-11-30."""
        kept = text.sanitize(written)
        assert text.to_plain(kept) == plain
        assert text.sanitize(kept) == kept

    def test_an_address_keeps_its_query(self) -> None:
        kept = text.sanitize('<a href="https://a.org/?a=1&copy=2">x</a>')
        assert text.to_plain(kept) == "x https://a.org/?a=1&copy=2"

    def test_deep_nesting_keeps_every_word(self) -> None:
        """Finding 2.3: nesting is bounded, and the words stay."""
        deep = "".join(f"<ul><li>w{number} " for number in range(2_000))
        plain = text.to_plain(text.sanitize(deep))
        assert [f"w{number}" for number in range(2_000)] == [
            word for word in plain.split() if word.startswith("w")
        ]

    def test_nothing_that_runs_gets_through(self) -> None:
        for attack in (
            '<a href="javascript:x()">a</a>',
            '<a href="java\nscript:x()">a</a>',
            "<a href=data:text/html,x>a</a>",
            '<span onmouseover="x()">a</span>',
            '<a title="><script>x()</script>">a</a>',
            "<img src=x onerror=x()>a",
            "<scr<script></script>ipt>x</script>",
        ):
            kept = text.sanitize(attack)
            assert "<script" not in kept
            assert "javascript" not in kept.replace("\n", "")
            assert " on" not in kept.split("&gt;")[0]

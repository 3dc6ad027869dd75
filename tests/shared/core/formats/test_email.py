"""Whether a mail says the same as text and as HTML, and lets nothing in."""

from shared.core.formats.email import Letter, Link


def test_says_the_same_twice() -> None:
    letter = Letter("Title", ["One\nTwo", "Three"], Link("Open", "https://x.example/?a=1&b=2"))
    assert letter.text == "Title\n\nOne\nTwo\n\nThree\n\nOpen: https://x.example/?a=1&b=2\n"
    assert "One<br>\nTwo" in letter.html
    assert 'href="https://x.example/?a=1&amp;b=2"' in letter.html


def test_html_of_others_is_shown_and_not_read() -> None:
    letter = Letter(
        "<b>T</b>", ["<img src=x onerror=alert(1)>"], Link("<i>", 'https://x"><script>')
    )
    for tag in ("<b>", "<img", "<i>", "<script>"):
        assert tag not in letter.html
    assert "<img src=x onerror=alert(1)>" in letter.text


def test_ends_with_the_link_that_stops_such_mails() -> None:
    letter = Letter("Title", ["One"], unsubscribe=Link("Stop", "https://x.example/?a=1&b=2"))
    assert letter.text == "Title\n\nOne\n\nStop: https://x.example/?a=1&b=2\n"
    assert letter.html.count('href="https://x.example/?a=1&amp;b=2"') == 1


def test_needs_no_link() -> None:
    letter = Letter("Title", ["Words"])
    assert "href" not in letter.html
    assert letter.text == "Title\n\nWords\n"

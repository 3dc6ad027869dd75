"""Does reading a text twice as long take about twice as long, whatever it is made of?

CPU time of the fastest of several runs is compared over five doublings, so that what else the machine does hardly counts.
"""

import gc
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from shared.core import text
from shared.core.text import forms
from shared.providers.families import draft_js
from shared.providers.families.linkedin.text import comment_text, little_text
from shared.providers.registry import longest_text

pytestmark = pytest.mark.broad

GROWTH = 2.3  # per doubling; a bound between twice and four times
DOUBLINGS = 5  # 64 times in all, where a linear reading needs 32 and a quadratic one 1,024
ENOUGH = 0.02  # seconds; below, a clock's own steps decide
SMALLEST = 32_000
LARGEST = 128_000

SHAPES: dict[str, Callable[[int], str]] = {
    "closing parentheses": lambda n: "http://a.b/" + ")" * n,
    "opening parentheses": lambda n: "http://a.co/" + "(" * n,
    "unclosed pairs": lambda n: "http://a.co/((" * (n // 14),
    "nested u": lambda n: "<u>" * (n // 16) + "<a href=x>y</a>" * (n // 32) + "</u>" * (n // 16),
    "nested lists": lambda n: "<ul><li>" * (n // 8),
    "closed lists": lambda n: "<ul><li>" * (n // 18) + "</li></ul>" * (n // 18),
    "dashes": lambda n: "a-" * (n // 2) + "." * 100,
    "dots": lambda n: "a." * (n // 2),
    "one script": lambda n: "あ" * n,
    "ampersands": lambda n: "&" * n,
    "emoji and bold": lambda n: "🐱 <strong>x</strong>" * (n // 20),
    "emoji and links": lambda n: '🐱 <a href="https://a.b/c">x</a> https://a.b/c\n\n' * (n // 48),
    "emoji and tags": lambda n: "🐱 #owl\n\n" * (n // 8),
    "bold paragraphs": lambda n: "é\n\n<strong>x</strong>\n\n" * (n // 23),
    "bold over paragraphs": lambda n: "<strong>" + "é\n\n" * (n // 3) + "</strong>",
    "words of a link": lambda n: '<a href="https://a.b/">' + "é<br>" * (n // 5) + "</a>",
    "brackets": lambda n: "<" * n,
    "unclosed attribute": lambda n: '<a href="' * (n // 9),
    "comments": lambda n: "<!--" * (n // 4),
    "scripts": lambda n: "<script>" * (n // 8),
    "attributes": lambda n: "<a " + "x=y " * (n // 4),
    "lines": lambda n: "\n" * n,
    "spaces": lambda n: " " * n,
    "line and spaces": lambda n: ("\n" + " " * 50) * (n // 51),
    "breaks": lambda n: "<br>" * (n // 4),
    "hashes": lambda n: "#" * n,
    "digits": lambda n: "#1" * (n // 2),
    "long tag": lambda n: "#" + "a" * n,
    "handles": lambda n: "@a" * (n // 2),
    "one handle": lambda n: "@" + "a." * (n // 2),
    "one name": lambda n: "@" + "a" * n,
    "server": lambda n: "@a@" + "b." * (n // 2),
    "mentions": lambda n: '<span data-mention-id="1">a</span>' * (n // 34),
    "square brackets": lambda n: "@[" * (n // 2),
    "schemes": lambda n: "http://" * (n // 7),
    "domains": lambda n: "a.com " * (n // 6),
    "encoded host": lambda n: "http://" + "あ" * n + ".com",
    "cashtags": lambda n: "$a" * (n // 2),
    "flags": lambda n: "🇦" * n,
    "conjuncts": lambda n: "क्" * (n // 2),
    "joiners": lambda n: "👩\u200d" * (n // 2),
    "marks": lambda n: "e" + "\u0301" * n,
    "queries": lambda n: "https://a.com/?" + "?" * n,
}
READINGS: dict[str, Callable[[str], object]] = {
    "sanitize": text.sanitize,
    "to_plain": text.to_plain,
    "to_markdown": text.to_markdown,
    "to_html": text.to_html,
    "x_tokens": text.x_tokens,
    "bluesky_tokens": text.bluesky_tokens,
    "find_links": lambda written: list(text.find_links(written, bare=False)),
    "replace_links": partial(text.replace_links, length=23),
    "shorten_mentions": text.shorten_mentions,
    "weighted": text.weighted,
    "graphemes": text.graphemes,
    "little_text": little_text,
    "comment_text": comment_text,
    "content_state": partial(
        draft_js.content_state, mention=lambda _id, label: label, images=(), media_category=""
    ),
}


def cost(reading: Callable[[str], object], written: str) -> float:
    for remembering in (forms._plain, forms._sanitized):
        remembering.cache_clear()  # what it remembers takes no time
    started = time.process_time()
    reading(written)
    return time.process_time() - started


@pytest.mark.parametrize("reading", READINGS)
def test_each_doubling_of_the_text_at_most_doubles_the_time(reading: str) -> None:
    """Finding 2.3: `http://a.b/` and 199,900 closing parentheses took 29 s."""
    read = READINGS[reading]
    slow = {}
    gc.disable()
    try:
        for name, shape in SHAPES.items():
            size = SMALLEST
            while size < LARGEST and cost(read, shape(size)) < ENOUGH:
                size *= 2
            if size >= LARGEST and cost(read, shape(size)) < ENOUGH:
                continue  # too fast at the largest size to be measured
            large, small = shape(size), shape(size >> DOUBLINGS)
            for _ in range(
                5
            ):  # a machine that does something else meanwhile is slow once, not five times
                most, least = (min(cost(read, one) for _ in range(3)) for one in (large, small))
                if most <= least * GROWTH**DOUBLINGS or most <= ENOUGH / 2:
                    break
            else:
                slow[name] = (size, least, most)
    finally:
        gc.enable()
    assert not slow


@pytest.mark.parametrize("shape", ["nested lists", "emoji and links"])
def test_the_longest_text_of_all_is_read_in_seconds(shape: str) -> None:
    """Finding 2.3: 29 s, 19.8 s and 9.3 s for a tenth of this length; 44 s for ampersands of this length."""
    written = SHAPES[shape](longest_text())
    kept = text.sanitize(written)
    assert cost(lambda one: text.bluesky_tokens(text.to_plain(one)), kept) < 12
    assert cost(text.sanitize, written) < 12


def test_ampersands_take_linear_time() -> None:
    """Finding 2.3: the library that cleans HTML copies all text so far at each `&amp;`, which shows in long texts only."""
    least, most = (
        min(cost(text.sanitize, "&" * size) for _ in range(3)) for size in (100_000, 800_000)
    )
    assert most < max(least, ENOUGH) * GROWTH**3


@pytest.mark.parametrize(
    ("read", "remembering"), [(text.sanitize, forms._sanitized), (text.to_plain, forms._plain)]
)
def test_a_short_text_is_read_once_and_a_long_one_is_not_kept(
    read: Callable[[str], str], remembering: Any
) -> None:
    """A post's text is read for each of its channels; texts of a megabyte would fill the memory."""
    short, long = "<p>a & b</p>", "<p>" + "a" * forms._REMEMBERED_CHARACTERS + "</p>"
    remembering.cache_clear()
    assert read(short) == read(short)
    assert (remembering.cache_info().hits, remembering.cache_info().misses) == (1, 1)
    assert read(long) == read(long)
    assert remembering.cache_info().currsize == 1

"""Does each platform's reading of a text agree with the platform: X's own vectors, and cases of our own for the others?"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # no stubs are installed, as in local/intrinsics.py

from shared.core import text
from shared.core.text import Kind
from shared.providers.base import DraftPart
from shared.providers.families.linkedin.text import little_text
from shared.providers.platforms.mastodon import Mastodon
from shared.providers.rules import check, length_of
from shared.providers.spec import TextRules, TextUnit
from tests.providers.published import FOLDER

CONFORMANCE = FOLDER / "x" / "conformance"
needs_vectors = pytest.mark.skipif(
    not CONFORMANCE.exists(), reason="X's conformance vectors are not beside the repository"
)
OWN = Path(__file__).parents[2] / "vectors"
Case = dict[str, Any]


def vectors(file: str, name: str) -> list[Case]:
    cases: list[Case] = yaml.safe_load((CONFORMANCE / file).read_text())["tests"][name]
    return cases


def own(file: str, name: str) -> list[Any]:
    cases: list[Any] = json.loads((OWN / file).read_text())[name]
    return cases


def of_kind(written: str, kind: Kind) -> list[text.Token]:
    return [token for token in text.x_tokens(written) if token.kind is kind]


def urls(written: str) -> list[str]:
    return [written[link.start : link.end] for link in text.x_links(written)]


def placed_urls(written: str) -> list[Case]:
    return [
        {"url": written[link.start : link.end], "indices": [link.start, link.end]}
        for link in text.x_links(written)
    ]


def placed(kind: Kind, name: str) -> Callable[[str], list[Case]]:
    return lambda written: [
        {name: token.value, "indices": [token.start, token.end]} for token in of_kind(written, kind)
    ]


def values(kind: Kind) -> Callable[[str], list[str]]:
    return lambda written: [token.value.split("/")[0] for token in of_kind(written, kind)]


@needs_vectors
@pytest.mark.parametrize(
    ("name", "read", "count"),
    [
        ("urls", urls, 91),
        ("tco_urls_with_params", urls, 5),
        ("urls_with_indices", placed_urls, 10),
        ("urls_with_directional_markers", placed_urls, 2),
        ("hashtags", values(Kind.HASHTAG), 65),
        ("hashtags_from_astral", values(Kind.HASHTAG), 3),
        ("hashtags_with_indices", placed(Kind.HASHTAG, "hashtag"), 8),
        ("cashtags", values(Kind.CASHTAG), 8),
        ("cashtags_with_indices", placed(Kind.CASHTAG, "cashtag"), 2),
        ("mentions", values(Kind.MENTION), 23),
    ],
)
def test_x_finds_what_its_vectors_say(
    name: str, read: Callable[[str], list[Any]], count: int
) -> None:
    """Finding 3.4: links, tags and mentions by X's own conformance vectors, every one."""
    cases = vectors("extract.yml", name)
    assert len(cases) >= count
    wrong = {
        case["description"]: read(case["text"])
        for case in cases
        if read(case["text"]) != case["expected"]
    }
    assert not wrong


@needs_vectors
@pytest.mark.parametrize(
    "name",
    [
        "WeightedTweetsWithDiscountedEmojiCounterTest",
        "UnicodeDirectionalMarkerCounterTest",
    ],
)
def test_x_weighs_as_its_vectors_say(name: str) -> None:
    """Finding 3.4: the weights of configuration version 3, in which an emoji weighs two."""
    cases = vectors("validate.yml", name)
    assert cases
    wrong = {
        case["description"]: (text.weighted(case["text"]), case["expected"]["weightedLength"])
        for case in cases
        if text.weighted(case["text"]) != case["expected"]["weightedLength"]
    }
    assert not wrong


class TestX:
    @pytest.mark.parametrize(
        ("written", "weight"),
        [
            ("詳しくはこちらから。" * 11 + "詳細はhttps://example.com/" + "a" * 100, 249),
            ("あ" * 128 + "はhttps://t.co/a", 281),
            ("$SHOP.TO", 8),
            ("#web.dev", 8),
            ("press.me+x@example.org", 22),
        ],
    )
    def test_weighs_what_the_finding_names(self, written: str, weight: int) -> None:
        """Finding 3.4."""
        assert text.weighted(written) == weight


class TestBluesky:
    @pytest.mark.parametrize(("written", "expected"), own("bluesky.json", "hashtags"))
    def test_hashtags(self, written: str, expected: list[str]) -> None:
        """Finding 3.1: the tag as written, less trailing punctuation."""
        tokens = text.bluesky_tokens(written)
        assert [one.value for one in tokens if one.kind is Kind.HASHTAG] == expected

    @pytest.mark.parametrize(("written", "expected"), own("bluesky.json", "mentions"))
    def test_mentions(self, written: str, expected: list[str]) -> None:
        """Finding 3.6: a handle ends at the first character that a handle cannot hold."""
        tokens = text.bluesky_tokens(written)
        assert [one.value for one in tokens if one.kind is Kind.MENTION] == expected

    @pytest.mark.parametrize(
        ("written", "expected"),
        [
            ("3.Second point.Next sentence.It works", []),
            ("See example.org.So be it", ["https://example.org"]),
            ("SHOP AT EXAMPLE.COM NOW", ["https://EXAMPLE.COM"]),
            ("Here.https://example.org/Next.It", ["https://example.org/Next.It"]),
        ],
    )
    def test_a_capital_after_a_dot_begins_a_sentence(
        self, written: str, expected: list[str]
    ) -> None:
        """Texts without a space there: github.com/Zrips/CMI/issues/3204, read 2026-11-30."""
        tokens = text.bluesky_tokens(written)
        assert [one.value for one in tokens if one.kind is Kind.LINK] == expected

    @pytest.mark.parametrize(("written", "expected"), own("bluesky.json", "links"))
    def test_links(self, written: str, expected: list[str]) -> None:
        """Finding 3.3: the whole address."""
        assert [one.url for one in text.find_links(written, bare=True)] == expected


class TestMastodon:
    @pytest.mark.parametrize(("written", "length"), own("mastodon.json", "lengths"))
    def test_lengths(self, written: str, length: int) -> None:
        """Finding 3.5: graphemes, a link 23, mentions without their server."""
        rules = TextRules(
            max_length=500, unit=TextUnit.GRAPHEMES, link_length=23, short_mentions=True
        )
        assert length_of(written, rules) == length

    def test_the_warning_counts_with_the_text(self) -> None:
        """Finding 3.5: 500 letters with a content warning are refused there."""
        settings = {"spoiler_text": "Owls 🦉"}
        parts = [DraftPart("<p>" + "a" * 495 + "</p>")]
        [refused] = check(Mastodon(), parts, settings, account={})
        assert (refused.code, refused.context) == ("too_long", {"limit": 500, "actual": 501})
        assert check(Mastodon(), [DraftPart("a" * 494)], settings, account={}) == []
        assert check(Mastodon(), [DraftPart("3️⃣ " * 240)], {}, account={}) == []
        assert (
            check(Mastodon(), [DraftPart("@name@long.server.example " * 60)], {}, account={}) == []
        )

    def test_software_that_counts_as_written(self) -> None:
        rules = TextRules(max_length=500)
        assert length_of("@name@a.example https://a.example/" + "b" * 30, rules) == 64


class TestLinkedIn:
    @pytest.mark.parametrize(
        ("written", "expected"),
        [
            ("#भारत", r"{hashtag|\#|भारत}"),
            ("#cafe\u0301 now", "{hashtag|\\#|cafe\u0301} now"),
            ("#日本語、", r"{hashtag|\#|日本語}、"),
            ("#2026 a#b &#x", r"\#2026 a\#b &\#x"),
            ("@[Ada #1](urn:li:person:x) #go", r"@[Ada \#1](urn:li:person:x) {hashtag|\#|go}"),
        ],
    )
    def test_hashtags_are_whole_words(self, written: str, expected: str) -> None:
        """Finding 3.2."""
        assert little_text(written) == expected

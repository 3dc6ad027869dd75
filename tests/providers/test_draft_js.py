"""A composed text as Draft.js blocks: what becomes of each kind of paragraph, and where ranges begin and end."""

from typing import Any

import pytest

from shared.providers.families.draft_js import content_state


def state(composed: str, *images: str) -> dict[str, Any]:
    return content_state(
        composed,
        mention=lambda remote_id, _label: f"@{remote_id}",
        images=images,
        media_category="tweet_image",
    )


def blocks(composed: str) -> list[tuple[str, str]]:
    return [(block["type"], block["text"]) for block in state(composed)["blocks"]]


class TestBlocks:
    @pytest.mark.parametrize(
        ("composed", "expected"),
        [
            (
                "<h1>Owls</h1><h2>At dusk</h2><h3>On roofs</h3><p>They came.</p>",
                [
                    ("header-one", "Owls"),
                    ("header-two", "At dusk"),
                    ("header-three", "On roofs"),
                    ("unstyled", "They came."),
                ],
            ),
            (
                "<p>Two:</p><ul><li><p>barn</p></li><li>tawny</li></ul><p>More.</p>",
                [
                    ("unstyled", "Two:"),
                    ("unordered-list-item", "barn"),
                    ("unordered-list-item", "tawny"),
                    ("unstyled", "More."),
                ],
            ),
            (
                "<ol><li>barn</li><li>tawny<ul><li>pale</li></ul></li><li>snowy</li></ol><ul><li>a</li></ul>",
                [
                    ("ordered-list-item", "barn"),
                    ("ordered-list-item", "tawny"),
                    ("unordered-list-item", "pale"),
                    ("ordered-list-item", "snowy"),
                    ("unordered-list-item", "a"),
                ],
            ),
            ("<p>One<br>line</p><p></p><p> </p>", [("unstyled", "One\nline")]),
            (
                "One\nline\n\n\nanother\r\n\r\n",
                [("unstyled", "One\nline"), ("unstyled", "another")],
            ),
            ("<ul><li>a<br><br>b</li></ul>", [("unordered-list-item", "a\n\nb")]),
            ("<p>Fish &amp; <u>chips</u></p>", [("unstyled", "Fish & chips")]),
            ("", []),
        ],
    )
    def test_a_block_for_each_paragraph(
        self, composed: str, expected: list[tuple[str, str]]
    ) -> None:
        assert blocks(composed) == expected

    def test_pictures_follow_the_text(self) -> None:
        found = state("<p>Look</p>", "11", "22")
        assert [block["type"] for block in found["blocks"]] == ["unstyled", "atomic", "atomic"]
        assert found["blocks"][2] == {
            "text": " ",
            "type": "atomic",
            "entity_ranges": [{"offset": 0, "length": 1, "key": 1}],
        }
        assert found["entities"][1] == {
            "key": "1",
            "value": {
                "type": "image",
                "mutability": "immutable",
                "data": {"media_items": [{"media_id": "22", "media_category": "tweet_image"}]},
            },
        }


class TestRanges:
    def test_bold_is_counted_in_utf16_units_from_the_text_s_begin(self) -> None:
        (block,) = state("<p>  🦉 is <strong>an owl 🦉</strong>.</p>")["blocks"]
        assert block["text"] == "🦉 is an owl 🦉."
        assert block["inline_style_ranges"] == [{"offset": 6, "length": 9, "style": "bold"}]

    def test_bold_over_two_paragraphs_of_a_plain_text_is_cut(self) -> None:
        first, second = state("<strong>a\n\nbc</strong>d")["blocks"]
        assert first["inline_style_ranges"] == [{"offset": 0, "length": 1, "style": "bold"}]
        assert second["inline_style_ranges"] == [{"offset": 0, "length": 2, "style": "bold"}]

    def test_a_link_is_an_entity(self) -> None:
        found = state('<p>See <a href="https://example.org/owls"><strong>here</strong></a></p>')
        (block,) = found["blocks"]
        assert block["entity_ranges"] == [{"offset": 4, "length": 4, "key": 0}]
        assert block["inline_style_ranges"] == [{"offset": 4, "length": 4, "style": "bold"}]
        assert block["data"] == {
            "urls": [{"from_index": 4, "to_index": 8, "text": "https://example.org/owls"}]
        }
        assert found["entities"] == [
            {
                "key": "0",
                "value": {
                    "type": "link",
                    "mutability": "mutable",
                    "data": {"url": "https://example.org/owls"},
                },
            }
        ]

    def test_each_block_s_links_have_keys_of_their_own(self) -> None:
        found = state("<p>https://a.example</p><p>https://b.example and https://c.example.</p>")
        keys = [
            [entity_range["key"] for entity_range in block["entity_ranges"]]
            for block in found["blocks"]
        ]
        assert keys == [[0], [1, 2]]
        urls = [entity["value"]["data"]["url"] for entity in found["entities"]]
        assert urls == ["https://a.example", "https://b.example", "https://c.example"]

    @pytest.mark.parametrize(
        ("composed", "expected"),
        [
            ('<p><a href="https://example.org/a#b"></a></p>', "https://example.org/a#b"),
            ('<p>Write <a href="mailto:ada@example.org">us</a></p>', "Write us ada@example.org"),
            ('<p><a href="mailto:ada@example.org">ada@example.org</a></p>', "ada@example.org"),
        ],
    )
    def test_an_address_is_never_lost(self, composed: str, expected: str) -> None:
        (block,) = state(composed)["blocks"]
        assert block["text"] == expected
        assert not {"mentions", "hashtags"} & set(block.get("data", {}))

    def test_handles_and_hashtags_are_marked(self) -> None:
        (block,) = state(
            '<p>🦉 By <span data-mention-id="roost" data-mention-label="Roost">@Roost &amp; co.</span> #owls #2026</p>'
        )["blocks"]
        assert block["text"] == "🦉 By @roost #owls #2026"
        assert block["data"] == {
            "mentions": [{"from_index": 6, "to_index": 12, "text": "roost"}],
            "hashtags": [{"from_index": 13, "to_index": 18, "text": "owls"}],
        }

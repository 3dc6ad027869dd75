from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel, Field

from shared.providers import rules
from shared.providers.base import (
    CanMention,
    CanReply,
    DraftPart,
    MediaInfo,
    Mention,
    OutgoingPost,
    Provider,
    Released,
    ThreadPosition,
)
from shared.providers.errors import FieldRefused
from shared.providers.http import Api
from shared.providers.rules import length_of, text_for
from shared.providers.spec import (
    Editor,
    Fields,
    ImageRules,
    MediaRules,
    ProviderSpec,
    TextRules,
    TextUnit,
    VideoRules,
)
from tests.fakes.unasked import Unasked, asked


class Choice(BaseModel):
    title: str = Field(max_length=5)


def spec(**changes: Any) -> ProviderSpec:
    known: dict[str, Any] = {
        "slug": "nest",
        "name": "Nest",
        "docs_url": "https://nest.example/docs",
        "auth": Fields(()),
        "text": TextRules(max_length=10, link_length=4),
        "media": MediaRules(
            images=ImageRules(
                max_count=2, max_bytes=1_000_000, types=("image/png", "image/gif"), max_alt_length=5
            ),
            videos=VideoRules(
                max_count=1,
                max_bytes=2_500_000,
                min_duration=timedelta(seconds=1),
                max_duration=timedelta(minutes=1),
            ),
            max_count=2,
        ),
        "max_parts": 3,
    }
    return ProviderSpec(**{**known, **changes})


class Nest(Unasked, CanReply, CanMention):
    spec = spec()

    def reply(self, api: Api, post: OutgoingPost, *, to: ThreadPosition) -> Released:
        asked()

    def find_mentions(self, api: Api, query: str) -> list[Mention]:
        asked()

    def format_mention(self, mention_id: str, label: str) -> str:
        return f"@{mention_id}"


def nest(**changes: Any) -> Nest:
    provider = Nest()
    provider.spec = spec(**changes)  # type: ignore[misc]
    return provider


PNG = MediaInfo("image/png", 500_000, 100, 100)
MP4 = MediaInfo("video/mp4", 1_000_000, 100, 100, duration_ms=5_000)


def refused(
    *parts: DraftPart, provider: Provider | None = None, settings: Mapping[str, Any] | None = None
) -> list[tuple[str, str]]:
    found = rules.check(provider or Nest(), parts, settings or {})
    return [(one.path, one.code) for one in found]


class TestCheck:
    @pytest.mark.parametrize(
        ("part", "expected"),
        [
            (DraftPart("<p>0123456789</p>"), []),
            (DraftPart("<p>0123456789a</p>"), [("value.0.content", "too_long")]),
            (DraftPart("hello https://example.org/long"), []),
            (DraftPart("<p></p>"), [("value.0.content", "empty")]),
            (DraftPart("", [PNG]), []),
            (DraftPart("a", [PNG] * 3), [("value.0.image", "too_many_media")]),
            (DraftPart("a", [MP4] * 2), [("value.0.image", "too_many_media")]),
            (DraftPart("a", [PNG, MP4]), [("value.0.image", "mixed_media")]),
            (
                DraftPart("a", [MediaInfo("image/png", 1, 1, 1, alt="123456")]),
                [("value.0.image.0.alt", "alt_too_long")],
            ),
            (
                DraftPart("a", [MediaInfo("image/gif", 2_000_000, 9, 9, moves=True)]),
                [("value.0.image.0", "moving_picture")],
            ),
            (
                DraftPart("a", [MediaInfo("image/bmp", 9, None, None)]),
                [("value.0.image.0", "unsupported_type")],
            ),
            (
                DraftPart("a", [MediaInfo("video/webm", 1)]),
                [("value.0.image.0", "unsupported_type")],
            ),
            (
                DraftPart("a", [MediaInfo("video/mp4", 3_000_000)]),
                [("value.0.image.0", "too_large")],
            ),
            (
                DraftPart("a", [MediaInfo("video/mp4", 1, duration_ms=61_000)]),
                [("value.0.image.0", "video_too_long")],
            ),
            (
                DraftPart("a", [MediaInfo("video/mp4", 1, duration_ms=500)]),
                [("value.0.image.0", "video_too_short")],
            ),
        ],
    )
    def test_names_the_field_and_the_reason(
        self, part: DraftPart, expected: list[tuple[str, str]]
    ) -> None:
        assert refused(part) == expected

    def test_a_picture_of_which_a_fitting_copy_is_made_is_not_refused(self) -> None:
        provider = nest(
            media=MediaRules(images=ImageRules(max_count=1, max_bytes=1_000, types=("image/jpeg",)))
        )
        assert (
            refused(
                DraftPart("a", [MediaInfo("image/png", 9_000_000, 4_000, 3_000)]),
                provider=provider,
            )
            == []
        )

    def test_says_limit_and_actual_in_a_sentence(self) -> None:
        (one,) = rules.check(Nest(), [DraftPart("a" * 12)], {})
        assert one == FieldRefused(
            "value.0.content",
            "too_long",
            "Nest allows at most 10 characters; this part has 12.",
            {"limit": 10, "actual": 12},
        )

    def test_counts_bytes_beside_characters(self) -> None:
        provider = nest(text=TextRules(max_length=10, unit=TextUnit.GRAPHEMES, max_bytes=20))
        assert refused(DraftPart("👨‍👩‍👧‍👦"), provider=provider) == [
            ("value.0.content", "too_long")
        ]

    def test_every_part_is_looked_at(self) -> None:
        parts = [DraftPart("ok"), DraftPart("a" * 11), DraftPart("b" * 11)]
        assert refused(*parts) == [("value.1.content", "too_long"), ("value.2.content", "too_long")]

    def test_too_many_parts(self) -> None:
        assert refused(*[DraftPart("a")] * 4) == [("value.3", "too_many_parts")]

    def test_files_in_replies_where_the_platform_takes_none(self) -> None:
        provider = nest(
            media=MediaRules(images=ImageRules(max_count=1, types=("image/png",)), replies=False)
        )
        assert refused(DraftPart("a", [PNG]), DraftPart("b", [PNG]), provider=provider) == [
            ("value.1.image", "media_in_replies")
        ]

    def test_a_file_where_one_is_needed(self) -> None:
        provider = nest(media=MediaRules(images=ImageRules(max_count=1), required=True))
        assert refused(DraftPart("a"), provider=provider) == [("value.0.image", "media_required")]

    def test_settings_by_their_model(self) -> None:
        found = rules.check(nest(settings=Choice), [DraftPart("a")], {"title": "too long"})
        assert [(one.path, one.code) for one in found] == [("settings.title", "string_too_long")]
        assert found[0].message == "This must have at most 5 characters."


class TestTextFor:
    COMPOSED = '<p><strong>Hi</strong> <span data-mention-id="ada" data-mention-label="Ada">@Ada</span></p>'

    @pytest.mark.parametrize(
        ("editor", "written"),
        [
            (Editor.PLAIN, "Hi @ada"),
            (Editor.MARKDOWN, "**Hi** @ada"),
            (Editor.HTML, "<p><strong>Hi</strong> @ada</p>"),
        ],
    )
    def test_writes_the_editor_s_form_with_mentions(self, editor: Editor, written: str) -> None:
        provider = nest(text=TextRules(max_length=10, editor=editor))
        assert text_for(provider, self.COMPOSED) == written


class TestLengthOf:
    def test_weighted_counts_links_itself(self) -> None:
        counted = TextRules(max_length=280, unit=TextUnit.WEIGHTED, link_length=23)
        assert length_of("see example.org", counted) == 27

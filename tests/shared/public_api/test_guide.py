"""What a program is told of a platform is what the platform's table says, whatever the table says."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.providers.registry import provider, slugs
from shared.providers.spec import (
    Fields,
    ImageRules,
    MediaMode,
    MediaRules,
    NoSettings,
    ProviderSpec,
    TextRules,
    TextUnit,
    VideoRules,
)
from shared.public_api.guide import guide, rules_in_words
from tests.fakes.unasked import Unasked

PLAIN = ProviderSpec(
    slug="nest",
    name="Nest",
    docs_url="https://nest.example",
    auth=Fields(()),
    text=TextRules(max_length=1_000),
)
PICTURES = ImageRules(max_count=1, max_bytes=1_500_000, types=("image/png",))
VIDEOS = VideoRules(
    max_count=2,
    max_bytes=20_000_000,
    min_duration=timedelta(milliseconds=500),
    max_duration=timedelta(minutes=20),
)


def rules(**table: Any) -> list[str]:
    """Write the rules of a platform with this table, line by line."""

    class Nest(Unasked):
        spec = replace(PLAIN, **table)

    return rules_in_words(Nest(), {}).splitlines()


class TestRules:
    def test_the_least_platform(self) -> None:
        parts, text, files, checked = rules()
        assert parts == "Nest allows one part: no threads and no comments."
        assert text.startswith("The text of a part may have at most 1,000 characters. Send HTML")
        assert files == "Files of a part: none."
        assert "refused when it is scheduled" in checked

    def test_many_parts_without_replies_are_one(self) -> None:
        assert rules(max_parts=9)[0] == "Nest allows one part: no threads and no comments."

    @pytest.mark.parametrize(
        ("unit", "words"),
        [
            (TextUnit.CHARACTERS, "at most 10 characters."),
            (TextUnit.GRAPHEMES, "at most 10 characters as a reader sees them"),
            (TextUnit.UTF16, "at most 10 characters; most emoji count two"),
            (TextUnit.BYTES, "at most 10 bytes of UTF-8"),
            (TextUnit.WEIGHTED, "Korean ones and emoji count two"),
        ],
    )
    def test_each_way_of_counting(self, unit: TextUnit, words: str) -> None:
        assert words in rules(text=TextRules(max_length=10, unit=unit))[1]

    def test_links_and_bytes(self) -> None:
        text = rules(text=TextRules(max_length=10, link_length=23, max_bytes=3_000))[1]
        assert "Every link counts 23, however long it is." in text
        assert "It may have at most 3,000 bytes of UTF-8." in text

    def test_pictures_alone(self) -> None:
        media = MediaRules(images=replace(PICTURES, max_alt_length=1_500), required=True)
        assert rules(media=media)[2] == (
            "Files of a part: up to 1 picture (png; at most 1.5 MB; others are converted or made smaller where that "
            "can be done; described by at most 1,500 characters); the first part needs one."
        )

    def test_videos_alone(self) -> None:
        assert rules(media=MediaRules(videos=VIDEOS))[2] == (
            "Files of a part: up to 2 videos (mp4; at most 20 MB; at least 0.5 seconds; at most 1,200 seconds)."
        )

    @pytest.mark.parametrize(
        ("mixed", "words"),
        [(True, "; both together, at most 2; none"), (False, "; not both together; none")],
    )
    def test_both(self, mixed: bool, words: str) -> None:
        media = MediaRules(images=PICTURES, videos=VIDEOS, max_count=2, mixed=mixed, replies=False)
        assert rules(media=media)[2].endswith(f"{words} in further parts.")

    def test_modes_and_files_in_settings(self) -> None:
        class Settings(NoSettings):
            as_slides: bool = False

        mode = MediaMode("as_slides", "a slide show", MediaRules(images=PICTURES))
        *_, of_mode, of_setting, _checked = rules(
            settings=Settings, media_modes=(mode,), media_settings=("cover",)
        )
        assert of_mode.startswith(
            "With the setting `as_slides`, which makes it a slide show, files of a part: up to 1 picture"
        )
        assert "`cover`" in of_setting


class TestGuide:
    @pytest.mark.parametrize("slug", slugs())
    def test_every_platform_has_one(self, slug: str) -> None:
        spec, told = provider(slug).spec, guide(slug, {})
        assert told.max_length == spec.text.max_length
        assert f"at most {spec.text.max_length:,} " in told.rules
        assert f"{spec.name} allows up to {spec.max_parts} parts" in told.rules
        assert f"up to {spec.media.images.max_count} picture" in told.rules
        for mode in spec.media_modes:
            assert mode.setting in told.rules

    def test_a_length_that_settings_change_is_said(self) -> None:
        assert "Settings of the post may allow another length." in guide("x", {}).rules
        assert "another length" not in guide("linkedin-page", {}).rules

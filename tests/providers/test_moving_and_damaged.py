"""Whether composing refuses every picture that could not go out when it is due, for every kind and platform there is."""

from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest

from shared.core.ids import MediaId
from shared.media.pick import MediaFile, StoredFile, StoredVariant, pick
from shared.providers.base import DraftPart, MediaInfo
from shared.providers.registry import provider, specs
from shared.providers.rules import check
from shared.providers.spec import MediaRules
from shared.providers.variants import needed_variants

MOVING = ["image/gif", "image/webp", "image/png", "image/avif"]
STILL = [*MOVING, "image/jpeg", "image/bmp", "image/tiff"]
SIZES = [
    (100_000, 640, 480),
    (49_000_000, 640, 480),
    (100_000, 7_900, 5_000),
    (100_000, 30_000, 20),
]


def combinations() -> Iterator[object]:
    """Every kind of picture, in every size, for every platform and each of its modes."""
    for spec in specs():
        for number, rules in enumerate(spec.all_media):
            if rules.images.max_count:
                for kind, moves in [(k, True) for k in MOVING] + [(k, False) for k in STILL]:
                    name = (
                        f"{spec.slug}-{number}-{kind.split('/')[1]}-{'moves' if moves else 'still'}"
                    )
                    yield pytest.param(spec.slug, rules, kind, moves, id=name)


def stored(info: MediaInfo) -> MediaFile:
    """The file with every copy that the variants function would make of it."""
    plans = needed_variants(info, {rules.images for spec in specs() for rules in spec.all_media})
    copies = [
        StoredVariant(
            p.name, StoredFile(p.name, p.content_type, p.max_bytes or 1, p.width, p.height)
        )
        for p in plans
    ]
    original = StoredFile("o", info.content_type, info.size_bytes, info.width, info.height)
    return MediaFile(MediaId(uuid4()), "a", original, copies, moves=info.moves, damage=info.damage)


def refusals(slug: str, rules: MediaRules, media: MediaInfo) -> list[str]:
    mode = next((m for m in provider(slug).spec.media_modes if m.media == rules), None)
    # A carousel wants several; only what is said of one of them counts here.
    settings = {mode.setting: True, "carousel_name": "a"} if mode else {}
    found = check(provider(slug), [DraftPart("a", [media, media] if mode else [media])], settings)
    return [one.code for one in found if one.path.startswith("value.0.image.0")]


class TestEveryCombination:
    """Finding 1.8: 13 of 35 combinations were accepted when composing and failed when due."""

    @pytest.mark.parametrize(("slug", "rules", "kind", "moves"), list(combinations()))
    def test_accepted_is_what_goes_out(
        self, slug: str, rules: MediaRules, kind: str, moves: bool
    ) -> None:
        for size, width, height in SIZES:
            media = MediaInfo(kind, size, width, height, moves=moves)
            refused = refusals(slug, rules, media)
            picked = pick(stored(media), rules)
            assert bool(refused) == (picked is None), (media, refused, picked)
            if moves and picked is not None:
                assert picked.key == "o", "a copy would stand still"

    @pytest.mark.parametrize(("slug", "rules", "kind", "moves"), list(combinations()))
    def test_damaged_is_refused(self, slug: str, rules: MediaRules, kind: str, moves: bool) -> None:
        """Finding 1.9: with a sentence, and nothing goes out that was composed before it was known."""
        media = MediaInfo(
            kind, 1_000, 64, 48, moves=moves, damage="it ends before the picture does"
        )
        assert refusals(slug, rules, media) == ["damaged"]
        assert pick(stored(media), rules) is None


def test_a_moving_picture_that_lies_on_its_side_is_refused() -> None:
    """No upright copy of it can be made, because copies stand still."""
    webp = MediaInfo("image/webp", 1_000, 64, 48, moves=True, turned=True)
    [refused] = check(provider("bluesky"), [DraftPart("a", [webp])], {})
    assert refused.code == "moving_picture"
    assert "rotated by metadata" in refused.message


def test_a_moving_picture_is_refused_with_the_way_out() -> None:
    gif = MediaInfo("image/gif", 1_000, 64, 48, moves=True)
    (refused,) = check(provider("bluesky"), [DraftPart("a", [gif])], {})
    assert refused.code == "moving_picture"
    assert "MP4" in refused.message
    assert check(provider("bluesky"), [DraftPart("a", [replace(gif, moves=False)])], {}) == []


def test_a_damaged_film_is_refused() -> None:
    film = MediaInfo("video/mp4", 1_000, 64, 48, 1_000, damage="it ends before the sound does")
    (refused,) = check(provider("mastodon"), [DraftPart("a", [film])], {})
    assert (refused.code, refused.path) == ("damaged", "value.0.image.0")
    assert "it ends before the sound does" in refused.message

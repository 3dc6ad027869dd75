"""Which copy goes out: the original whenever it fits."""

import uuid

import pytest

from shared.core.ids import MediaId
from shared.media.pick import MediaFile, StoredFile, StoredVariant, pick, pick_spare
from shared.providers.registry import provider
from shared.providers.spec import ImageRules, MediaRules, VideoRules
from shared.providers.variants import needed_variant, needed_variants

PHOTO = StoredFile("photo", "image/jpeg", 3_000_000, 4_000, 3_000)
FILM = StoredFile("film", "video/mp4", 90_000_000, 1_920, 1_080, 30_000)


def a_file(original: StoredFile, *variants: StoredVariant) -> MediaFile:
    return MediaFile(MediaId(uuid.uuid4()), "name", original, variants)


def images(**rules: object) -> MediaRules:
    return MediaRules(images=ImageRules(max_count=4, **rules))  # type: ignore[arg-type]


def planned(original: StoredFile, rules: MediaRules) -> StoredVariant:
    """The copy that the variants function would have made for these rules, a little smaller than allowed."""
    plan = needed_variant(a_file(original).info, rules.images)
    assert plan is not None
    copy = StoredFile("copy", plan.content_type, plan.max_bytes or 1_000, plan.width, plan.height)
    return StoredVariant(plan.name, copy)


class TestSpare:
    """Finding 1.10: servers that take a million bytes refused copies of up to two, for good."""

    RULES = images(max_bytes=2_000_000, spare_bytes=1_000_000)

    def with_copies(self, original: StoredFile) -> MediaFile:
        plans = needed_variants(a_file(original).info, [self.RULES.images])
        return a_file(
            original,
            *(
                StoredVariant(
                    plan.name,
                    StoredFile(
                        plan.name, plan.content_type, plan.max_bytes or 1, plan.width, plan.height
                    ),
                )
                for plan in plans
            ),
        )

    def test_a_smaller_copy_is_made_beside_the_usual_one(self) -> None:
        file = self.with_copies(PHOTO)
        usual, spare = pick(file, self.RULES), pick_spare(file, self.RULES)
        assert usual is not None
        assert spare is not None
        assert (usual.size_bytes, spare.size_bytes) == (2_000_000, 1_000_000)

    def test_and_beside_an_original_that_fits(self) -> None:
        file = self.with_copies(StoredFile("photo", "image/jpeg", 1_500_000, 4_000, 3_000))
        spare = pick_spare(file, self.RULES)
        assert pick(file, self.RULES) == file.original
        assert spare is not None
        assert spare.size_bytes == 1_000_000

    def test_none_where_everything_is_small_enough_or_nothing_smaller_is_taken(self) -> None:
        small = self.with_copies(StoredFile("photo", "image/jpeg", 900_000, 400, 300))
        assert (pick_spare(small, self.RULES), list(small.variants)) == (None, [])
        assert pick_spare(self.with_copies(PHOTO), images(max_bytes=2_000_000)) is None
        assert pick_spare(a_file(FILM), self.RULES) is None

    def test_bluesky_has_it(self) -> None:
        assert provider("bluesky").spec.media.images.spare_bytes == 1_000_000


class TestPick:
    def test_original_where_it_fits(self) -> None:
        rules = images(max_bytes=1_000_000)
        file = a_file(PHOTO, planned(PHOTO, rules))
        assert pick(file, images(max_bytes=5_000_000)) == PHOTO

    @pytest.mark.parametrize(
        "rules",
        [
            images(max_bytes=1_000_000),
            images(max_width=1_000),
            images(max_pixels=1_000_000),
            images(types=("image/png",)),
        ],
    )
    def test_the_copy_made_for_the_rules(self, rules: MediaRules) -> None:
        variant = planned(PHOTO, rules)
        assert pick(a_file(PHOTO, variant), rules) == variant.file

    def test_another_copy_that_fits_when_rules_have_changed(self) -> None:
        small, large = (
            StoredVariant(name, StoredFile(name, "image/jpeg", 900_000, width, width))
            for name, width in (("small", 800), ("large", 1_600))
        )
        assert pick(a_file(PHOTO, small, large), images(max_bytes=950_000)) == large.file

    def test_none_while_nothing_fits(self) -> None:
        assert pick(a_file(PHOTO), images(max_bytes=1_000_000)) is None

    @pytest.mark.parametrize(("limit", "fits"), [(None, True), (90_000_000, True), (1_000, False)])
    def test_video_goes_as_it_is_or_not_at_all(self, limit: int | None, fits: bool) -> None:
        rules = MediaRules(videos=VideoRules(max_count=1, max_bytes=limit))
        assert pick(a_file(FILM), rules) == (FILM if fits else None)

import pytest

from shared.providers.base import MediaInfo
from shared.providers.spec import ImageRules
from shared.providers.variants import VariantPlan, needed_variant, needed_variants

JPEG_OR_PNG = ImageRules(max_count=1, max_bytes=1_000_000, max_width=2_000, max_height=2_000)


class TestNeededVariant:
    @pytest.mark.parametrize(
        ("image", "rules", "plan"),
        [
            (MediaInfo("image/jpeg", 900_000, 2_000, 100), JPEG_OR_PNG, None),
            (
                MediaInfo("image/webp", 10, 400, 300),
                JPEG_OR_PNG,
                VariantPlan("image/jpeg", 400, 300, 1_000_000),
            ),
            (
                MediaInfo("image/png", 10, 4_000, 1_000),
                JPEG_OR_PNG,
                VariantPlan("image/png", 2_000, 500, 1_000_000),
            ),
            (
                MediaInfo("image/png", 2_000_000, 400, 300),
                JPEG_OR_PNG,
                VariantPlan("image/jpeg", 400, 300, 1_000_000),
            ),
            (
                MediaInfo("image/gif", 10, 400, 300),
                JPEG_OR_PNG,
                VariantPlan("image/jpeg", 400, 300, 1_000_000),
            ),
            (
                MediaInfo("image/jpeg", 10, 8_000, 5_000),
                ImageRules(max_count=1, max_pixels=10_000_000),
                VariantPlan("image/jpeg", 4_000, 2_500, None),
            ),
            (
                MediaInfo("image/png", 10, 9, 9),
                ImageRules(max_count=1, types=("image/webp",)),
                VariantPlan("image/webp", 9, 9, None),
            ),
        ],
    )
    def test_changes_only_what_must(
        self, image: MediaInfo, rules: ImageRules, plan: VariantPlan | None
    ) -> None:
        assert needed_variant(image, rules) == plan

    def test_a_moving_picture_that_is_taken_keeps_moving(self) -> None:
        rules = ImageRules(max_count=1, max_bytes=10, types=("image/gif", "image/jpeg"))
        moving = MediaInfo("image/gif", 1_000, 400, 300, moves=True)
        assert needed_variant(moving, rules) is None

    def test_nothing_is_made_of_a_video_or_of_unknown_size(self) -> None:
        assert needed_variant(MediaInfo("video/mp4", 10, 4, 3), JPEG_OR_PNG) is None
        assert needed_variant(MediaInfo("image/webp", 10), JPEG_OR_PNG) is None

    def test_what_a_plan_makes_needs_no_further_copy(self) -> None:
        plan = needed_variant(MediaInfo("image/png", 9_000_000, 7_001, 4_999), JPEG_OR_PNG)
        assert plan is not None
        made = MediaInfo(plan.content_type, plan.max_bytes or 0, plan.width, plan.height)
        assert needed_variant(made, JPEG_OR_PNG) is None


class TestNeededVariants:
    def test_each_copy_once_in_a_stable_order(self) -> None:
        image = MediaInfo("image/webp", 10, 400, 300)
        tighter = ImageRules(max_count=1, max_width=100)
        plans = needed_variants(image, [JPEG_OR_PNG, tighter, JPEG_OR_PNG])
        assert [plan.name for plan in plans] == ["100x75.jpg", "400x300-1000000.jpg"]

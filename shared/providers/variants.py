"""Decides which variant of a picture a platform needs, if any.

The same properties and rules always give the same plan, so the variant that is made when an upload completes and the one
that is picked when its post is sent have the same name.

Every platform gets an upright copy of a picture that is rotated only by Exif's orientation. Image servers that write
their own copies often drop that tag without rotating the picture: Bluesky's shows it on its side
(github.com/bluesky-social/social-app/issues/10714, open since June 2026) and so did Pixelfed
(github.com/pixelfed/pixelfed/issues/75); X and LinkedIn do not say what they do. Read 2026-11-30.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from shared.providers.base import MediaInfo
from shared.providers.spec import ImageRules

EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/gif": "gif"}
MAKEABLE = frozenset(
    {"image/jpeg", "image/png", "image/webp"}
)  # what the variants function can write


@dataclass(frozen=True, slots=True)
class VariantPlan:
    """A copy to make: its type, its largest size in pixels (the ratio is kept) and in bytes.

    Quality is reduced first, then size, and only as far as `max_bytes` requires.
    """

    content_type: str
    width: int
    height: int
    max_bytes: int | None

    @property
    def name(self) -> str:
        """The copy's name among the copies of one picture: `1600x1200-1000000.jpg`."""
        limit = f"-{self.max_bytes}" if self.max_bytes else ""
        return f"{self.width}x{self.height}{limit}.{EXTENSIONS[self.content_type]}"


def fits(image: MediaInfo, rules: ImageRules) -> bool:
    """Return whether a picture can be sent unchanged."""
    return not image.turned and is_within(image, rules)


def is_within(image: MediaInfo, rules: ImageRules) -> bool:
    """Return whether a picture is within a platform's limits, whatever its orientation."""
    width, height = image.width or 0, image.height or 0
    return (
        image.content_type in rules.types
        and image.size_bytes <= (rules.max_bytes or image.size_bytes)
        and _fitting(width, height, rules) == (width, height)
    )


def needed_variant(image: MediaInfo, rules: ImageRules) -> VariantPlan | None:
    """Return the copy of `image` that fits `rules`; None: the file is sent unchanged, or no copy would help.

    An animated picture is never converted, because its copies would be still.
    """
    if image.is_video or image.width is None or image.height is None or rules.max_count == 0:
        return None
    if image.moves or image.damage is not None or fits(image, rules):
        return None
    too_heavy = rules.max_bytes is not None and image.size_bytes > rules.max_bytes
    width, height = _fitting(image.width, image.height, rules)
    content_type = _type_for(image, rules, too_heavy=too_heavy)
    return VariantPlan(content_type, width, height, rules.max_bytes) if content_type else None


def needed_variants(image: MediaInfo, all_rules: Iterable[ImageRules]) -> tuple[VariantPlan, ...]:
    """List the copies that any of `all_rules` requires, each once, in a stable order."""
    every = [one for rules in all_rules for one in (rules, rules.spare) if one is not None]
    plans = {plan for rules in every if (plan := needed_variant(image, rules))}
    return tuple(sorted(plans, key=lambda plan: plan.name))


def _fitting(width: int, height: int, rules: ImageRules) -> tuple[int, int]:
    if not width or not height:
        return width, height
    scale = min(
        1.0,
        (rules.max_width or width) / width,
        (rules.max_height or height) / height,
        math.sqrt((rules.max_pixels or width * height) / (width * height)),
    )
    return max(1, int(width * scale)), max(1, int(height * scale))


def _type_for(image: MediaInfo, rules: ImageRules, *, too_heavy: bool) -> str | None:
    """Keep the type if possible. A PNG that is too large becomes a JPEG, since only a lossy type can be made smaller."""
    keeps = image.content_type in rules.types and image.content_type in MAKEABLE
    if keeps and not (too_heavy and image.content_type == "image/png"):
        return image.content_type
    preferred = ("image/jpeg", "image/webp", "image/png")
    return next((kind for kind in preferred if kind in rules.types), None)

"""Picks the file for a platform: the original if it fits, otherwise its variant."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.aws.storage import public_url
from shared.core.ids import MediaId
from shared.providers.base import MediaInfo
from shared.providers.spec import MediaRules, VideoRules
from shared.providers.variants import fits, needed_variant


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A stored object. Size in bytes, pixels as shown, length in milliseconds."""

    key: str
    content_type: str
    size_bytes: int
    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None

    @property
    def url(self) -> str:
        """The public address."""
        return public_url(self.key)


@dataclass(frozen=True, slots=True)
class StoredVariant:
    """A converted copy, under the name of its plan (`VariantPlan.name`)."""

    name: str
    file: StoredFile


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A file of the library with its copies.

    `variants_made`: there will be no more copies. `is_deleted`: a member removed it from the library; posts that
    already hold it are still published with it. `is_examined`: its properties were read under the current rules, and its
    metadata are removed.
    """

    id: MediaId
    name: str
    original: StoredFile
    variants: Sequence[StoredVariant] = ()
    alt: str | None = None
    thumbnail_key: str | None = None
    variants_made: bool = True
    is_deleted: bool = False
    moves: bool = False
    damage: str | None = None
    turned: bool = False
    is_examined: bool = True
    thumbnail_at_ms: int | None = None

    @property
    def info(self) -> MediaInfo:
        """The properties that a platform's rules check."""
        file = self.original
        return MediaInfo(
            content_type=file.content_type,
            size_bytes=file.size_bytes,
            width=file.width,
            height=file.height,
            duration_ms=file.duration_ms,
            alt=self.alt,
            moves=self.moves,
            damage=self.damage,
            turned=self.turned,
        )


def pick(file: MediaFile, rules: MediaRules) -> StoredFile | None:
    """Choose the copy of `file` that a platform gets; None: nothing fits yet, or ever once `variants_made`."""
    info = file.info
    if info.damage is not None or not file.is_examined:
        return None
    if info.is_video:
        return file.original if _video_fits(file.original, rules.videos) else None
    if fits(info, rules.images):
        return file.original
    plan = needed_variant(info, rules.images)
    for variant in file.variants:
        if plan is not None and variant.name == plan.name:
            return variant.file
    # Another copy may fit too, or the rules changed after the copies were made: take the largest that fits.
    fitting = [v.file for v in file.variants if fits(_info_of(v.file), rules.images)]
    return max(fitting, key=lambda copy: (_pixels(copy), copy.size_bytes), default=None)


def pick_spare(file: MediaFile, rules: MediaRules) -> StoredFile | None:
    """Choose the smaller copy for servers that refuse the one from `pick`; None: there is no smaller one."""
    spare = rules.images.spare
    if spare is None or file.info.is_video:
        return None
    smaller = pick(file, replace(rules, images=spare))
    return None if smaller == pick(file, rules) else smaller


def _video_fits(file: StoredFile, rules: VideoRules) -> bool:
    pixels = (file.width or 0) * (file.height or 0)
    return (
        file.content_type in rules.types
        and file.size_bytes <= (rules.max_bytes or file.size_bytes)
        and pixels <= (rules.max_pixels or pixels)
    )


def _info_of(copy: StoredFile) -> MediaInfo:
    return MediaInfo(copy.content_type, copy.size_bytes, copy.width, copy.height)


def _pixels(file: StoredFile) -> int:
    return (file.width or 0) * (file.height or 0)

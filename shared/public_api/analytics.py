"""The public API's analytics of a channel and a post. `[]`: the platform provides none.

Existing clients expect totals as strings.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from pydantic import Field

from shared.channels.errors import PLATFORM_FAILED, ChannelNotFound
from shared.channels.report import OF_NOW, read_report
from shared.core.ids import ChannelId, PostId
from shared.core.log import log
from shared.core.reach import Reach
from shared.core.wire import WireModel
from shared.db.session import read_only
from shared.posts.draft import as_id
from shared.posts.release import MISSING
from shared.providers.base import CanReport, Released, Series
from shared.providers.registry import UnknownProvider, provider
from shared.public_api.channels import get_channel
from shared.public_api.queries import FIND_RELEASE


class Point(WireModel):
    """A day's number, as text."""

    total: str = Field(examples=["1250"])
    date: str = Field(examples=["2026-01-15"])


class PublicSeries(WireModel):
    """One metric over days. `average` is present and true if days must not be summed."""

    label: str = Field(examples=["Impressions"])
    data: list[Point]
    percentage_change: float = Field(description="From the first day to the last; 0 if unknown.")
    average: Literal[True] | None = None


class Missing(WireModel):
    """The post's id on its platform is unknown; `PUT /posts/{id}/release-id` sets it."""

    missing: Literal[True]


def account_numbers(reach: Reach, channel_id: str, *, days: int) -> list[PublicSeries]:
    """Read a channel's metrics of the last days.

    Raises:
        ChannelNotFound: the caller sees no such channel.
    """
    with read_only() as session:
        channel = get_channel(session, reach, channel_id)
    if not _reports(channel.provider):
        return []
    return _public_series(
        channel.id,
        lambda: read_report(
            reach,
            channel.id,
            lambda reporter, api: reporter.account_series(api, days=days),
            subject_id=channel.id,
            days=days,
        ),
    )


def post_numbers(reach: Reach, post_id: str) -> list[PublicSeries] | Missing:
    """Read a published post's metrics as of now."""
    known = as_id(post_id, PostId)
    if known is None:
        return []
    with read_only() as session:
        release = FIND_RELEASE.find(session, *reach, known)
    if release is None:
        return []
    if release.release_id == MISSING:
        return Missing(missing=True)
    if not _reports(release.provider):
        return []
    released = Released(release.release_id, release.release_url or "", release.release_data or {})
    return _public_series(
        release.channel_id,
        lambda: read_report(
            reach,
            release.channel_id,
            lambda reporter, api: reporter.post_series(api, released),
            subject_id=known,
            days=OF_NOW,
        ),
    )


def _public_series(
    channel_id: ChannelId, read: Callable[[], Sequence[Series]]
) -> list[PublicSeries]:
    try:
        return [_public(series) for series in read()]
    except (*PLATFORM_FAILED, ChannelNotFound) as error:
        log.warning(
            "channel.report_failed", extra={"channel_id": channel_id, "detail": error.message}
        )
        return []


def _reports(slug: str) -> bool:
    try:
        return isinstance(provider(slug), CanReport)
    except UnknownProvider:
        return False


def _public(series: Series) -> PublicSeries:
    fields = {
        "label": series.label,
        "data": [Point(total=_text(value), date=day) for day, value in series.points],
        "percentage_change": _change([value for _day, value in series.points]),
        **({"average": True} if series.average else {}),
    }
    return PublicSeries.model_validate(fields)


def _text(value: float) -> str:
    """Format a number without an exponent: 1250, 0.0312."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _change(values: Sequence[float]) -> float:
    if len(values) < 2 or not values[0]:
        return 0.0
    return round((values[-1] - values[0]) / abs(values[0]) * 100, 1)

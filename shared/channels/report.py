"""Reads a platform's numbers for a channel or a post, at most once an hour because of rate limits."""

from collections.abc import Callable, Sequence
from datetime import timedelta

from sqlalchemy.orm import Session

from shared.channels.ask import ask
from shared.channels.report_queries import FIND_REPORT, KEEP_REPORT
from shared.core.ids import ChannelId, OrganizationId, PostId
from shared.core.reach import Reach
from shared.db.session import read_only, run
from shared.db.statement import to_json
from shared.providers.base import CanReport, Provider, Series
from shared.providers.errors import Unsupported
from shared.providers.http import Api

REPORT_LIFETIME = timedelta(hours=1)
OF_NOW = 0  # for `days`, if the numbers have no period


def read_report(
    reach: Reach,
    channel_id: ChannelId,
    question: Callable[[CanReport, Api], Sequence[Series]],
    *,
    subject_id: ChannelId | PostId,
    days: int,
) -> Sequence[Series]:
    """Return the numbers of `subject_id`, the channel or one of its posts, for the last `days` days.

    Numbers from within the hour are returned again; refusals are not kept.

    Raises:
        ChannelNotFound: the caller sees no such channel.
        AppError: the platform has no numbers, or refused, with its own reason.
    """
    with read_only() as session:
        kept = find_report(session, reach, channel_id, subject_id=subject_id, days=days)
    if kept is not None:
        return kept

    def put(acting: Provider, api: Api) -> Sequence[Series]:
        if not isinstance(acting, CanReport):
            raise Unsupported(f"{acting.spec.name} does not provide analytics.")
        return question(acting, api)

    series_read = ask(reach, channel_id, put)

    def keep(session: Session) -> None:
        keep_report(session, reach.organization_id, subject_id, days, series_read)

    run(keep)
    return series_read


def find_report(
    session: Session,
    reach: Reach,
    channel_id: ChannelId,
    *,
    subject_id: ChannelId | PostId,
    days: int,
) -> Sequence[Series] | None:
    """Find the numbers that a platform reported for a channel or a post within the hour."""
    kept = FIND_REPORT.find(session, *reach, channel_id, subject_id, days)
    if kept is None:
        return None
    return [
        Series(label, [(day, number) for day, number in points], average)
        for label, points, average in kept.series
    ]


def keep_report(
    session: Session,
    organization_id: OrganizationId,
    subject_id: ChannelId | PostId,
    days: int,
    series_read: Sequence[Series],
) -> None:
    """Keep what a platform reported for an hour."""
    series = [
        [one.label, [list(point) for point in one.points], one.average] for one in series_read
    ]
    life_seconds = REPORT_LIFETIME.total_seconds()
    KEEP_REPORT.run(session, organization_id, subject_id, days, to_json(series), life_seconds)

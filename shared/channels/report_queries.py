"""The statements that store platforms' numbers until they expire."""

from typing import Any, NamedTuple

from shared.channels.queries import IN_REACH
from shared.core.ids import ChannelId, CustomerId, OrganizationId, PostId
from shared.db.statement import Json, NoRow, Statement, sql


class Subject(NamedTuple):
    organization_id: OrganizationId
    customers: list[CustomerId] | None
    channel_id: ChannelId
    subject_id: ChannelId | PostId
    days: int


class KeptSeries(NamedTuple):
    series: list[Any]


FIND_REPORT = Statement(
    "find_report",
    sql(
        """
        select r.series from channel_reports r join channels c on c.id = :channel_id
        where r.organization_id = :organization_id and c.organization_id = :organization_id and {in_reach}
            and r.subject_id = :subject_id and r.days = :days and r.expires_at > now()
        """,
        in_reach=IN_REACH,
    ),
    params=Subject,
    row=KeptSeries,
)
"""Find the stored numbers of a channel, or of a post on it."""


class Report(NamedTuple):
    organization_id: OrganizationId
    subject_id: ChannelId | PostId
    days: int
    series: Json
    life_seconds: float


KEEP_REPORT = Statement(
    "keep_report",
    sql("""
        insert into channel_reports (organization_id, subject_id, days, series, expires_at)
        values (:organization_id, :subject_id, :days, cast(:series as jsonb),
            now() + make_interval(secs => :life_seconds))
        on conflict (organization_id, subject_id, days) do update set
            series = excluded.series, expires_at = excluded.expires_at
    """),
    params=Report,
    row=NoRow,
)
"""Store a platform's numbers and replace earlier ones."""

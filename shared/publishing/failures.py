"""Lists and counts failed attempts for super admins, and reports whether due posts are published at all."""

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.orm import Session

from shared.core import clock
from shared.core.errors import FieldProblem, InvalidInput
from shared.core.ids import AttemptId
from shared.core.page import read_cursor, write_cursor
from shared.posts.lateness import LATE_AFTER
from shared.publishing import failure_queries as queries
from shared.publishing.models import AttemptState
from shared.publishing.schemas import (
    CodeStats,
    Failure,
    FailureList,
    FailureQuery,
    PeriodQuery,
    PlatformFailureList,
    PlatformFailures,
    PlatformStats,
    QueueState,
    Stats,
    StatsQuery,
)

USUAL_PERIOD = timedelta(days=30)
LONGEST_PERIOD = timedelta(days=92)


class _Place(NamedTuple):
    """The row at which the page before ended."""

    before_rank: int | None = None
    before_at: datetime | None = None
    before_id: AttemptId | None = None


def list_failures(session: Session, wanted: FailureQuery) -> FailureList:
    """List a page of attempts that published nothing.

    Raises:
        InvalidInput: the period is too long or ends before it begins, or the cursor is not one of ours.
    """
    since, until = _period(wanted)
    rows = queries.LIST_FAILURES.all(
        session,
        since,
        until,
        platform=wanted.platform,
        email=wanted.email.strip().lower() if wanted.email else None,
        unknown_first=wanted.unknown_first,
        limit=wanted.limit + 1,
        **_place(wanted.cursor)._asdict(),
    )
    page, more = rows[: wanted.limit], len(rows) > wanted.limit
    return FailureList(
        errors=[Failure.model_validate(row) for row in page],
        next_cursor=write_cursor(str(page[-1].rank), page[-1].at.isoformat(), str(page[-1].id))
        if more
        else None,
    )


def list_platforms_with_failures(session: Session, wanted: PeriodQuery) -> PlatformFailureList:
    """List the platforms at which attempts failed, most failures first.

    Raises:
        InvalidInput: the period is too long, or ends before it begins.
    """
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for row in queries.COUNT_OUTCOMES.all(session, *_period(wanted)):
        if row.state in queries.FAILED:
            found[row.platform][row.state] += row.total
    platforms = [
        PlatformFailures(
            platform=platform,
            refused=totals[AttemptState.REFUSED],
            unknown=totals[AttemptState.UNKNOWN],
        )
        for platform, totals in found.items()
    ]
    return PlatformFailureList(
        platforms=sorted(platforms, key=lambda one: (-one.refused - one.unknown, one.platform))
    )


def count_attempts(session: Session, wanted: StatsQuery) -> Stats:
    """Count the finished attempts of a period by platform and by error.

    Raises:
        InvalidInput: the period is too long, or ends before it begins.
    """
    since, until = _period(wanted)
    platforms: dict[str, Counter[str]] = defaultdict(Counter)
    codes: Counter[tuple[str, str]] = Counter()
    for row in queries.COUNT_OUTCOMES.all(session, since, until):
        if wanted.unknown_only and row.state != AttemptState.UNKNOWN:
            continue
        platforms[row.platform][row.state] += row.total
        if row.state in queries.FAILED and row.code:
            codes[row.platform, row.code] += row.total
    return Stats.model_validate(
        {
            "since": since,
            "until": until,
            "platforms": [
                PlatformStats(
                    platform=platform,
                    attempts=totals.total(),
                    released=totals[AttemptState.RELEASED],
                    refused=totals[AttemptState.REFUSED],
                    unknown=totals[AttemptState.UNKNOWN],
                )
                for platform, totals in platforms.items()
            ],
            "codes": [
                CodeStats(platform=platform, code=code, attempts=total)
                for (platform, code), total in codes.most_common()
            ],
        }
    )


def state_of_publishing(session: Session) -> QueueState:
    """Report whether due posts are published: an error if some have been due for minutes and no attempt was made meanwhile.

    Posts that wait for a platform's rate limit or for their turn at a server are not counted.
    """
    row = queries.STUCK.one(session, LATE_AFTER.total_seconds())
    if row.is_waiting and not row.is_moving:
        return QueueState(
            status="error",
            message="Posts are due, and none was attempted in the last five minutes. Check the "
            "functions publish and reconcile and their queues.",
        )
    return QueueState(status="success", message="Due posts are published.")


def _period(wanted: PeriodQuery) -> tuple[datetime, datetime]:
    until = wanted.until or clock.now()
    since = wanted.since or until - USUAL_PERIOD
    if not timedelta(0) < until - since <= LONGEST_PERIOD:
        words = f"Choose a period that ends after it begins, and has at most {LONGEST_PERIOD.days} days."
        raise InvalidInput(words, problems=[FieldProblem("from", "invalid", words)])
    return since, until


def _place(cursor: str | None) -> _Place:
    if not cursor:
        return _Place()
    rank, at, attempt_id = read_cursor(cursor, parts=3)
    try:
        return _Place(
            int(rank), clock.as_utc(datetime.fromisoformat(at)), AttemptId(UUID(attempt_id))
        )
    except (ValueError, OverflowError) as error:
        words = "This cursor is not valid. Use `nextCursor` from an earlier page."
        raise InvalidInput(
            "The cursor is not valid.", problems=[FieldProblem("cursor", "invalid", words)]
        ) from error

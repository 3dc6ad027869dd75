"""The statements about recoveries of people who have lost their second factor. One that is neither stopped nor finished waits."""

from datetime import datetime
from typing import NamedTuple

from shared.core.ids import RecoveryId, UserId
from shared.db.statement import NoParams, NoRow, Statement, sql
from shared.identity.queries import OfUser

WAITS = sql("r.stopped_at is null and r.finished_at is null")
"""Whether the recovery `r` waits."""


class NewRecovery(NamedTuple):
    id: RecoveryId
    user_id: UserId
    wait_seconds: float


class StartedRecovery(NamedTuple):
    email: str
    opens_at: datetime


START_RECOVERY = Statement(
    "start_recovery",
    sql("""
        with started as (
            insert into recoveries (id, user_id, opens_at)
            select cast(:id as uuid), u.id, now() + make_interval(secs => :wait_seconds) from users u
            where u.id = :user_id and u.deleted_at is null and u.activated_at is not null
                and exists (select from factors f where f.user_id = u.id and f.confirmed_at is not null)
            on conflict (user_id) where stopped_at is null and finished_at is null do nothing
            returning user_id, opens_at
        )
        select u.email, started.opens_at from started join users u on u.id = started.user_id
    """),
    params=NewRecovery,
    row=StartedRecovery,
)
"""Start a recovery; no row if one waits already, or the user has no second factor."""


class OneRecovery(NamedTuple):
    id: RecoveryId


class RecoveryOf(NamedTuple):
    user_id: UserId


STOP_RECOVERY_OF = Statement(
    "stop_recovery_of",
    sql("""
        update recoveries r set stopped_at = now() where r.user_id = :user_id and r.stopped_at is null and r.finished_at is null
    """),
    params=OfUser,
    row=NoRow,
)
"""Stop a user's recovery, if one waits."""


class WaitingRecovery(NamedTuple):
    id: RecoveryId
    user_id: UserId
    email: str
    opens_at: datetime


LIST_TO_MAIL = Statement(
    "list_recoveries_to_mail",
    sql(
        """
        select r.id, r.user_id, u.email, r.opens_at from recoveries r join users u on u.id = r.user_id
        where {waits} and r.mailed_at <= now() - interval '1 day' and r.opens_at > now()
        order by r.mailed_at
        limit 100
        """,
        waits=WAITS,
    ),
    params=NoParams,
    row=WaitingRecovery,
)
"""List recoveries whose user was mailed a day ago; at most 100."""

MARK_MAILED = Statement(
    "mark_recovery_mailed",
    sql(
        """
        update recoveries r set mailed_at = now()
        where r.id = :id and {waits} and r.mailed_at <= now() - interval '1 day'
        """,
        waits=WAITS,
    ),
    params=OneRecovery,
    row=NoRow,
)
"""Record that the user is mailed now; no row if another sweep did it, or the recovery was stopped."""

LIST_DUE = Statement(
    "list_due_recoveries",
    sql(
        """
        select r.id, r.user_id, u.email, r.opens_at from recoveries r join users u on u.id = r.user_id
        where {waits} and r.opens_at <= now() and u.deleted_at is null
        order by r.opens_at
        limit 100
        """,
        waits=WAITS,
    ),
    params=NoParams,
    row=WaitingRecovery,
)
"""List recoveries that have waited long enough; at most 100."""

FINISH_RECOVERY = Statement(
    "finish_recovery",
    sql(
        """
        with finished as (
            update recoveries r set finished_at = now() where r.id = :id and {waits} and r.opens_at <= now()
            returning r.user_id
        ), removed as (
            delete from factors using finished where factors.user_id = finished.user_id
        ), useless as (
            delete from recovery_codes using finished where recovery_codes.user_id = finished.user_id
        )
        select user_id from finished
        """,
        waits=WAITS,
    ),
    params=OneRecovery,
    row=RecoveryOf,
)
"""Remove a user's second factors and recovery codes, because the recovery has waited long enough; no row if it was stopped."""

"""The obstacles that keep a post from being published. The checks of every step are made from `OBSTACLES`.

A new obstacle is one row here: where it is checked, what the claim does then, and the sentence for members.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from shared.core.config import settings
from shared.db.statement import Sql, literals
from shared.posts.lifecycle import CLEARED

_IS_SET = " is not null"


class Step(StrEnum):
    """Where an obstacle is checked."""

    COMPOSE = "compose"  # the post is refused
    WARN = "warn"  # the post is stored, and the answer has a warning
    PREPARE = "prepare"  # minutes before its time: members are notified of what would make it fail
    STAGE = "stage"  # no media are staged
    CLAIM = "claim"  # at its time: see `Then`


class Then(StrEnum):
    """What happens to a post that an obstacle meets at its time."""

    FAIL = "fail"  # it fails, and its members are notified
    WAIT = "wait"  # a hint sends it again
    DROP = "drop"  # nothing: what removes the obstacle sends it again


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """One reason. `sql` is its condition over the columns that publishing reads of a part (`publishing/claim_queries.py`).

    `sentence` can contain `{channel}`, `{reason}` and `{when}`, the end that says by when to fix it. `path` is the refused
    field of a composition. `seconds` is the column with the time that a post waits.
    """

    verdict: str
    sql: str
    at: frozenset[Step] = frozenset({Step.CLAIM})
    then: Then
    sentence: str = ""
    path: str = ""
    seconds: str | None = None

    def holds(self, channel: object) -> bool:
        """Evaluate `sql` for a channel in Python. Only `<column>` and `<column> is not null` can be checked so."""
        column = self.sql.removesuffix(_IS_SET)
        value = getattr(channel, column)
        return value is not None if self.sql.endswith(_IS_SET) else bool(value)


_AHEAD = frozenset({Step.PREPARE, Step.STAGE, Step.CLAIM})

# In the order that is most useful to a member. `crowded` is last, because checking it takes a lock.
OBSTACLES = (
    Obstacle(
        verdict="early",
        sql="wait_seconds > 0",
        then=Then.WAIT,
        seconds="wait_seconds",
    ),
    Obstacle(
        verdict="not_approved",  # approving it sends it
        sql=f"review not in ({literals(*CLEARED)})",
        then=Then.DROP,
    ),
    Obstacle(
        verdict="too_late",
        sql="late_seconds > :max_late_seconds",
        then=Then.FAIL,
        sentence="It was more than {hours} hours late, so it was not sent. Choose a new time.",
    ),
    Obstacle(
        verdict="channel_deleted",
        sql="channel_deleted_at is not null",
        at=_AHEAD,
        then=Then.FAIL,
        sentence="{channel} was deleted. Choose another channel{when}",
    ),
    Obstacle(
        verdict="channel_disabled",
        sql="disabled",
        at=_AHEAD | {Step.COMPOSE},
        then=Then.FAIL,
        sentence="{channel} is disabled. Enable it{when}",
        path="integration.id",
    ),
    Obstacle(
        verdict="channel_disconnected",
        sql="disconnected_at is not null",
        at=_AHEAD | {Step.WARN},
        then=Then.FAIL,
        sentence="{channel} is no longer connected{reason}. Reconnect it{when}",
    ),
    Obstacle(
        verdict="channel_needs_page",
        sql="needs_page",
        at=_AHEAD | {Step.COMPOSE},
        then=Then.FAIL,
        sentence="No page is chosen for {channel}. Choose one{when}",
        path="integration.id",
    ),
    Obstacle(
        verdict="organization_deleted",
        sql="organization_deleted_at is not null",
        at=_AHEAD,
        then=Then.FAIL,
        sentence="The organization was deleted. Restore it{when}",
    ),
    Obstacle(
        verdict="plan_ended",
        sql="plan_ends_at <= now()",
        at=_AHEAD,
        then=Then.FAIL,
        sentence="The organization's plan has ended. Renew it{when}",
    ),
    Obstacle(
        verdict="predecessor_missing",
        sql="position > 0 and predecessor_state is null",
        then=Then.FAIL,
        sentence="The part of the thread before this one was deleted. Compose this part as a new post.",
    ),
    Obstacle(
        verdict="predecessor_failed",
        sql="predecessor_state = 'failed'",
        then=Then.FAIL,
        sentence="The part of the thread before this one was not published. Resend that one first.",
    ),
    Obstacle(
        verdict="predecessor_waits",  # recording the part before it sends this one
        sql="predecessor_state <> 'published'",
        then=Then.DROP,
    ),
    Obstacle(
        verdict="paused",
        sql="paused_seconds > 0",
        at=frozenset({Step.PREPARE, Step.CLAIM}),
        then=Then.WAIT,
        seconds="paused_seconds",
    ),
    Obstacle(
        verdict="staging_failed",
        sql="jsonb_array_length(media) > 0 and staging_state = 'failed'",
        then=Then.FAIL,
        sentence="Its media could not be moved to the platform. Resend the post.",
    ),
    Obstacle(
        verdict="not_staged",  # staging sends the post when it is done
        sql="jsonb_array_length(media) > 0 and (staging_state is distinct from 'ready' or staging_expired)",
        then=Then.WAIT,
    ),
    Obstacle(
        verdict="crowded",
        sql="named_host is not null"
        " and publishing_is_crowded(organization_id, named_host, :most_per_organization, :most_per_host)",
        then=Then.WAIT,
        sentence="Your organization is sending as many posts to this server as it may at once. This one waits its turn.",
        seconds="turn_seconds",
    ),
)

_BY_VERDICT = {one.verdict: one for one in OBSTACLES}


def named(verdict: str) -> Obstacle:
    """Return the obstacle with this verdict."""
    return _BY_VERDICT[verdict]


CHANNEL_DISCONNECTED = named("channel_disconnected")
PREDECESSOR_MISSING = named("predecessor_missing")
PREDECESSOR_FAILED = named("predecessor_failed")
STAGING_FAILED = named("staging_failed")
NOT_STAGED = named("not_staged")
CROWDED = named("crowded")


def checked_at(step: Step) -> Iterator[Obstacle]:
    """List what a step checks, in order."""
    return (one for one in OBSTACLES if step in one.at)


def first_in_sql(step: Step) -> Sql:
    """Return the SQL expression of the first verdict that a step finds; null if there is no obstacle."""
    cases = " ".join(f"when {one.sql} then '{one.verdict}'" for one in checked_at(step))
    return Sql(f"case {cases} end")


def sentence(
    obstacle: Obstacle, step: Step, *, channel: str = "", reason: str | None = None
) -> str:
    """Return the sentence for members. `reason` is the platform's."""
    return obstacle.sentence.format(
        channel=channel,
        reason=f" ({reason})" if reason else "",
        when=_WHEN[step],
        hours=settings().max_late_hours,
    )


_WHEN = {
    Step.COMPOSE: " first.",
    Step.WARN: " before the post is due.",
    Step.PREPARE: " before then.",
    Step.CLAIM: ", then resend the post.",
}

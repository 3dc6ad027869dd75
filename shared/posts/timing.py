"""Decides a post's time and state from the request, the post and the current time. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.core import clock
from shared.posts.draft import PAST_GRACE, read_draft_time, read_publish_at
from shared.posts.errors import TimeIsOver
from shared.posts.lifecycle import PostState
from shared.posts.parts import StoredPart
from shared.posts.schemas import PostType


@dataclass(frozen=True, slots=True)
class Timing:
    """A post's state and time; None means now, by the database's clock."""

    state: PostState
    publish_at: datetime | None


def timing_after(
    kind: PostType, date: datetime | None, root: StoredPart, *, grace: timedelta = PAST_GRACE
) -> Timing:
    """Return a post's state and time after a change.

    A date in the request is accepted even if it passed up to `grace` ago. The post's own earlier time is not: a post is never
    queued for a stored time that has passed.

    Raises:
        TimeIsOver: the post would be queued for a time that has passed, and the request has no date.
        TooLateToSchedule: the date passed more than `grace` ago.
        InvalidInput: the date is too far from now.
    """
    match kind:
        case "now":
            return Timing(PostState.QUEUED, None)
        case "schedule" if date:
            return Timing(PostState.QUEUED, read_publish_at(date, "date", grace=grace))
        case "schedule":
            if root.state is not PostState.QUEUED and root.publish_at <= clock.now():
                raise TimeIsOver(root.publish_at, root.state, root.revision)
            return Timing(PostState.QUEUED, root.publish_at)
        case "draft":
            return Timing(PostState.DRAFT, _moved(date, root))
        case "update":
            if root.state is PostState.QUEUED and date and not is_same_time(date, root.publish_at):
                return Timing(root.state, read_publish_at(date, "date", grace=grace))
            return Timing(root.state, _moved(date, root))


def leaves_alone(kind: PostType, date: datetime | None, root: StoredPart) -> bool:
    """Return whether a change keeps the post's state and time."""
    return kind == "update" and (date is None or is_same_time(date, root.publish_at))


def is_same_time(one: datetime, other: datetime) -> bool:
    """Return whether two times are equal in milliseconds, the precision of clients."""
    return clock.to_wire(one) == clock.to_wire(other)


def _moved(date: datetime | None, root: StoredPart) -> datetime:
    if date is None or is_same_time(date, root.publish_at):
        return root.publish_at
    return read_draft_time(date, "date")

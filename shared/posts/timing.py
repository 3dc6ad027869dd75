"""When is a post to be published, and in which state is it until then? Pure: decides from the request, the post and the time."""

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
    """The state of a post, and its time; None: now, by the database's clock."""

    state: PostState
    publish_at: datetime | None


def timing_after(
    kind: PostType, date: datetime | None, root: StoredPart, *, grace: timedelta = PAST_GRACE
) -> Timing:
    """Return a post's state and time after a change.

    A date in the request confirms it, even one that is over by up to `grace`. A time that the post only had before does
    not: it is never queued for one that is over.

    Raises:
        TimeIsOver: the post would be queued for a time that is over, and the request has no date.
        TooLateToSchedule: the date is over by more than `grace`.
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
    """Return whether two times are the same to a client, which reads and writes milliseconds."""
    return clock.to_wire(one) == clock.to_wire(other)


def _moved(date: datetime | None, root: StoredPart) -> datetime:
    if date is None or is_same_time(date, root.publish_at):
        return root.publish_at
    return read_draft_time(date, "date")

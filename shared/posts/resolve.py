"""Resolves failed and unconfirmed parts: a member confirms a part with its address, or resends it.

Nothing else publishes a part that its platform did not confirm, and nothing else resends one.
"""

from collections.abc import Callable, Sequence

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared.channels.ask import ask
from shared.channels.errors import PlatformSilent
from shared.channels.queries import ChannelSummary, get_channel
from shared.core.config import settings
from shared.core.ids import PostId
from shared.core.reach import Reach
from shared.db.session import read_only, run
from shared.db.wire import constraint_of
from shared.posts import release, store
from shared.posts.draft import refusal
from shared.posts.errors import (
    CannotCheck,
    NotApproved,
    NotWaitingForYou,
    PostNotFound,
    PredecessorFirst,
    ReleaseKnown,
    ReleaseTaken,
)
from shared.posts.guards import living, lock_thread, require_writer
from shared.posts.hints import arm_after_commit
from shared.posts.lifecycle import CLEARED, RESENDABLE, Hand, PostState, may_move
from shared.posts.parts import Author, StoredPart
from shared.posts.read import get_thread
from shared.posts.read_queries import THREAD, ThreadPart
from shared.posts.schemas import ResentOut, ThreadOut
from shared.posts.write import count_posts
from shared.providers.base import CanFindRelease, Released
from shared.providers.http import Api
from shared.providers.registry import provider


def confirm_address(author: Author, part_id: PostId, release_url: str) -> ThreadOut:
    """Find the post at an address on an unconfirmed part's platform, and confirm the part with it.

    Opens its own transactions; none is open during requests to the platform.

    Raises:
        PostNotFound: there is none.
        NotWaitingForYou: the part is not unconfirmed.
        InvalidInput: the address is not a post's on that platform.
        CannotCheck: the platform does not answer; the part stays as it is.
        ReleaseTaken: another post already has this release.
    """
    require_writer(author)
    with read_only() as session:
        channel = _channel_of_unconfirmed(session, author, part_id)
    released = _find_release(author, channel, release_url)
    run(lambda session: confirm(session, author, part_id, released))
    with read_only() as session:
        return get_thread(session, author.reach, part_id)


def name_release(author: Author, part_id: PostId, release_id: str) -> str:
    """Record the platform's id of a published part whose release id is `missing`, and return it.

    Opens its own transactions; none is open during requests to the platform.

    Raises:
        PostNotFound: there is none.
        ReleaseKnown: it is not published, or its release is known.
        InvalidInput: the channel has no such post there.
        CannotCheck: the platform does not answer; the part stays as it is.
        ReleaseTaken: another post already has this release.
    """
    require_writer(author)
    with read_only() as session:
        row = _part(THREAD.all(session, *author.reach, part_id), part_id)
        if row.release_id != release.MISSING:
            raise ReleaseKnown
        channel = get_channel(session, author.reach, row.channel_id)
    released = _find_by_id(author, channel, release_id)
    run(lambda session: release.record(session, author, part_id, released))
    return released.id


def _part(rows: Sequence[ThreadPart], part_id: PostId) -> ThreadPart:
    found = next((row for row in rows if row.id == part_id), None)
    if found is None:
        raise PostNotFound
    return found


def _channel_of_unconfirmed(session: Session, author: Author, part_id: PostId) -> ChannelSummary:
    rows = THREAD.all(session, *author.reach, part_id)
    row = _part(rows, part_id)
    state = PostState(row.state)
    if not may_move(state, PostState.PUBLISHED, by=Hand.MEMBER):
        raise NotWaitingForYou(state, rows[0].revision)
    return get_channel(session, author.reach, row.channel_id)


def confirm(session: Session, author: Author, part_id: PostId, released: Released) -> None:
    """Record that an unconfirmed part is on its platform, and send the next part's hint.

    Raises:
        PostNotFound: there is none.
        NotWaitingForYou: it is not unconfirmed.
        ReleaseTaken: another post is that one.
    """
    part, _ = _lock_part(session, author.reach, part_id)
    if not may_move(part.state, PostState.PUBLISHED, by=Hand.MEMBER):
        raise NotWaitingForYou(part.state, part.revision)
    try:
        successor = store.confirm_part(session, author, part, released)
    except IntegrityError as error:
        if constraint_of(error) != "uq_posts_release":
            raise
        raise ReleaseTaken from error
    if successor is not None:
        arm_after_commit(session, [successor])


def resend(session: Session, author: Author, part_id: PostId) -> ResentOut:
    """Resend a failed or unconfirmed part as a new generation, followed by the parts that failed because of it.

    A queued part without a time can be resent too if the part before it is published. The result describes the effect on the
    platform.

    Raises:
        PostNotFound: there is none.
        NotWaitingForYou: it is neither failed nor unconfirmed, and not stuck.
        NotApproved: it was changed since it was approved, or declined.
        PredecessorFirst: the part before it is not on the platform.
        PlanUsedUp: the post is not counted yet, and the plan includes no more in this month.
    """
    require_writer(author)
    part, before = _lock_part(session, author.reach, part_id)
    is_held_up = part.state is PostState.QUEUED and part.due_at is None
    if part.state not in RESENDABLE and not is_held_up:
        raise NotWaitingForYou(part.state, part.revision)
    if before is not None and before.state is not PostState.PUBLISHED:
        raise PredecessorFirst(before.state, before.revision)
    if part.review not in CLEARED:
        raise NotApproved(part.state, part.revision)
    uncounted = part.position == 0 and part.counted_period is None
    queued = store.requeue_part(
        session,
        author,
        part,
        oldest_seconds=settings().max_late.total_seconds(),
        period=count_posts(session, author, 1) if uncounted else None,
    )
    arm_after_commit(session, [queued])
    thread = get_thread(session, author.reach, part_id)
    return ResentOut(**dict(thread), resent=_what_resending_does(part))


def _what_resending_does(part: StoredPart) -> str:
    """Describe the effect of resending on the platform. An unconfirmed part may already be there."""
    if part.state is PostState.FAILED:
        return "This part was not published. It is sent now."
    if part.state is PostState.QUEUED:
        return "This part was never sent. It is sent now."
    known = f" {part.error_message}" if part.error_message else ""
    return (
        "This part is sent now as another copy. If the platform has already published it, it "
        f"will be there twice. Delete the extra one there.{known}"
    )


def _lock_part(
    session: Session, reach: Reach, part_id: PostId
) -> tuple[StoredPart, StoredPart | None]:
    """Lock a part with its thread; also return the part before it."""
    previous = None
    for part in living(lock_thread(session, reach, part_id)):
        if part.id == part_id:
            return part, previous
        previous = part
    raise PostNotFound  # an edit removed it while we waited for the lock


def _find_release(author: Author, channel: ChannelSummary, url: str) -> Released:
    """Find the post at an address, on the platform if possible. Do not call this inside a transaction."""
    platform = provider(channel.provider)
    if isinstance(platform, CanFindRelease):
        released = _ask(author, channel, lambda api: platform.find_release(api, url))
    else:
        released = platform.release_from_url(
            url.strip(), remote_id=channel.remote_id, username=channel.username
        )
    if released is None:
        words = f"This is not the address of a post of {channel.name} on {platform.spec.name}. Copy it from there."
        raise refusal("releaseUrl", "not_a_release", words)
    return released


def _find_by_id(author: Author, channel: ChannelSummary, release_id: str) -> Released:
    """Find the channel's post with an id; if the platform cannot be asked, the id is accepted unchecked."""
    platform = provider(channel.provider)
    if not isinstance(platform, CanFindRelease):
        return Released(release_id, "")
    released = _ask(author, channel, lambda api: platform.find_release_by_id(api, release_id))
    if released is None:
        words = f"{channel.name} has no post with this id on {platform.spec.name}. Copy the id from there."
        raise refusal("releaseId", "not_a_release", words)
    return released


def _ask(
    author: Author, channel: ChannelSummary, question: Callable[[Api], Released | None]
) -> Released | None:
    try:
        return ask(author.reach, channel.id, lambda _, api: question(api))
    except PlatformSilent as error:
        name = provider(channel.provider).spec.name
        raise CannotCheck(name, error.message) from error

"""Writes threads, new ones or as replacements: checks them, stores them with one statement, and arms them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import Enum, auto
from typing import Any

from sqlalchemy.orm import Session

from shared.billing.sections import Section
from shared.billing.usage import take
from shared.channels.errors import ChannelNotFound, ChannelsNotFound
from shared.channels.queries import ComposedChannel, get_channels
from shared.core import clock
from shared.core.errors import FieldProblem, InvalidInput
from shared.core.ids import ChannelId, GroupId, OrganizationId, PostId, new_id
from shared.core.reach import Reach
from shared.media.library import get_media_files
from shared.posts.approval import Differences, Passage, ReviewStatus, ReviewStep, pass_gate
from shared.posts.check import Files, check_thread, media_ids, missing_files, unknown_settings
from shared.posts.draft import Part, Thread
from shared.posts.errors import MayBePublished, PostChanged
from shared.posts.guards import living, require_move, require_writer
from shared.posts.hints import arm_after_commit, disarm_after_commit
from shared.posts.lifecycle import ABSENT, Hand, PostState, Review, may_move
from shared.posts.parts import Author, Change, NewPart, StoredPart, WrittenRoot
from shared.posts.store import SettledReview, give_back, settle_reviews, write_threads
from shared.posts.thread_files import (
    displayed_media,
    with_kept_details,
    with_kept_setting_details,
    with_setting_media,
)

# The history's names of the columns, which programs know.
_OF_A_POST = {
    "channel_id": "integration",
    "state": "state",
    "review": "review",
    "settings": "settings",
    "title": "title",
    "publish_at": "publishDate",
}
_OF_A_PART = {"content": "content", "media": "image", "delay_seconds": "delay"}


class Unknown(Enum):
    """What happens to settings that the platform does not have: our own API refuses them, the public API keeps them."""

    REFUSED = auto()
    KEPT = auto()


@dataclass(frozen=True, slots=True)
class Plan:
    """A thread to write. `publish_at` None means now. `before` is the replaced thread, None for a new one.

    `state` is what the author asked for until the plan has passed the gate; `passage` is the result. `withdraws`: a draft
    leaves the review. `note` is for the history.
    """

    thread: Thread
    state: PostState
    publish_at: datetime | None
    group_id: GroupId
    action: str
    before: Sequence[StoredPart] | None = None
    withdraws: bool = False
    note: str | None = None
    passage: Passage | None = None

    @property
    def review(self) -> Review:
        """The review of the post as it is stored."""
        return self.passage.review if self.passage else Review.NONE

    @property
    def state_of_replies(self) -> PostState:
        """The root's state; but replies of an unconfirmed root are queued and wait."""
        return PostState.QUEUED if self.state is PostState.UNCONFIRMED else self.state

    @property
    def needs_count(self) -> bool:
        """Whether the post becomes queued and is not counted in any month yet."""
        is_counted = self.before and self.before[0].counted_period
        return self.state is PostState.QUEUED and not is_counted

    @property
    def kept_files(self) -> set[str]:
        """The files that the post had before."""
        return {str(entry["id"]) for part in self.before or () for entry in part.media}


@dataclass(frozen=True, slots=True)
class Stored:
    """A plan that was carried out."""

    plan: Plan
    channel: ComposedChannel
    root: WrittenRoot
    content_hash: str

    @property
    def twin_key(self) -> tuple[ChannelId, str]:
        """The channel and content hash, which are equal for posts that readers would see as duplicates."""
        return self.channel.id, self.content_hash


def write(
    session: Session,
    author: Author,
    plans: Sequence[Plan],
    *,
    labels: Sequence[str] | None = None,
    unknown: Unknown = Unknown.KEPT,
) -> list[Stored]:
    """Check and store threads in the order of the plans, and arm the queued ones after the commit.

    Replaced threads must be locked. `labels` are the tags of all of them afterwards; `unknown` says what happens to settings
    that a platform does not have.

    Raises:
        InvalidInput: some fields were refused; lists all of them.
        ChannelNotFound: the author does not see a channel.
        MayNotCompose: the author can only read.
        MoveForbidden: no member may move a post from its state to the planned one.
        PlanUsedUp: the plan does not include that many posts more in this month.
    """
    require_writer(author)
    return _write(session, author, plans, _at_gate, labels=labels, unknown=unknown)


def write_approved(session: Session, author: Author, plan: Plan) -> Stored:
    """Store a thread whose last step was just approved, and arm it after the commit. It must be locked.

    Raises:
        InvalidInput: its platform refuses it as it is now.
        ChannelNotFound: the author does not see the channel.
        PlanUsedUp: the plan does not include one more post in this month.
    """
    [stored] = _write(session, author, [plan], _behind_gate)
    return stored


# Decides the passage of an author's plan in a channel.
Gate = Callable[[Author, Plan, ComposedChannel], Passage]


def _write(
    session: Session,
    author: Author,
    plans: Sequence[Plan],
    gate: Gate,
    *,
    labels: Sequence[str] | None = None,
    unknown: Unknown = Unknown.KEPT,
) -> list[Stored]:
    for plan in plans:
        _require_moves(plan)
    channels = read_channels(session, author.reach, [plan.thread for plan in plans])
    plans = [
        replace(plan, thread=with_kept_details(plan.thread, plan.before or ())) for plan in plans
    ]
    plans = [_with_setting_media(plan, channels) for plan in plans]
    threads = [plan.thread for plan in plans]
    files = read_files(session, author.organization_id, threads)
    problems = [one for plan in plans for one in _problems(plan, channels, files)]
    if unknown is Unknown.REFUSED:
        problems = [*_unknown_settings(plans, channels), *problems]
    if problems:
        raise InvalidInput("Some fields were refused.", problems=problems)
    plans = [_passed(plan, gate(author, plan, channels[plan.thread.channel_id])) for plan in plans]
    rows = [_rows(plan) for plan in plans]
    drafts = [plan.before[0] for plan in plans if plan.before and plan.state is PostState.DRAFT]
    give_back(session, author.organization_id, drafts)
    uncounted = sum(plan.needs_count for plan in plans)
    written = write_threads(
        session,
        author,
        [row for thread in rows for row in thread],
        [_change(plan, thread) for plan, thread in zip(plans, rows, strict=True)],
        labels=labels,
        period=count_posts(session, author, uncounted) if uncounted else None,
    )
    if written is None:
        raise _overtaken(plans)
    settle_reviews(session, author, _reviews(plans, rows))
    _arm(session, author.organization_id, plans, written.values())
    return [
        Stored(
            plan,
            channels[plan.thread.channel_id],
            written[thread[0].id],
            thread[0].content_hash,
        )
        for plan, thread in zip(plans, rows, strict=True)
    ]


def _at_gate(author: Author, plan: Plan, channel: ComposedChannel) -> Passage:
    """Decide whether a plan is queued, by its author's right.

    Raises:
        MayBePublished: the post may be on its platform, and only somebody who may approve changes it.
    """
    before = plan.before[0].review_status if plan.before else ReviewStatus()
    rows = _rows(plan)
    changed = _differences(plan.before, rows).keys() if plan.before else {"content"}
    differences = Differences(
        content=not changed <= {"state", "review", "publishDate"}, time="publishDate" in changed
    )
    passage = pass_gate(
        plan.state, channel, author.right, before, differences, withdraws=plan.withdraws
    )
    if plan.state is PostState.UNCONFIRMED and passage.review is Review.REQUESTED:
        root = rows[0]
        raise MayBePublished(plan.state, root.revision - 1)
    return passage


def _behind_gate(author: Author, plan: Plan, channel: ComposedChannel) -> Passage:
    """Store what was approved: all its steps count."""
    del author, channel
    return Passage(plan.state, Review.APPROVED, kept=frozenset(ReviewStep))


def _passed(plan: Plan, passage: Passage) -> Plan:
    return replace(plan, state=passage.state, passage=passage)


def _reviews(plans: Sequence[Plan], rows: Sequence[Sequence[NewPart]]) -> Iterator[SettledReview]:
    """List the posts whose steps may have changed."""
    for plan, thread in zip(plans, rows, strict=True):
        passage, root = plan.passage, thread[0]
        had = plan.before and plan.before[0].has_reviews
        if passage and (had or passage.given or passage.waits_for):
            yield SettledReview(root.id, root.revision, passage)


def count_posts(session: Session, author: Author, times: int) -> date | None:
    """Count posts that become queued in the organization's billing month, and return it; None if posts are not counted.

    Raises:
        PlanUsedUp: the plan does not include that many more.
    """
    section = Section.POSTS_PER_MONTH
    return take(session, author.organization_id, author.allowances, section, times=times)


def thread_from(parts: Sequence[StoredPart]) -> Thread:
    """Read a stored post as if it had just been composed."""
    root = parts[0]
    return Thread(
        channel_id=root.channel_id,
        parts=[
            Part(part.content, displayed_media(part.media), part.delay_seconds)
            for part in living(parts)
        ],
        settings=root.settings,
        title=root.title,
    )


def read_channels(
    session: Session, reach: Reach, threads: Sequence[Thread]
) -> Mapping[ChannelId, ComposedChannel]:
    """Read the channels of threads.

    Raises:
        ChannelNotFound: the caller does not see one; `errors` has its path.
    """
    try:
        return get_channels(session, reach, {thread.channel_id for thread in threads})
    except ChannelsNotFound as error:
        refused = ChannelNotFound()
        refused.problems = tuple(
            FieldProblem(thread.path("integration.id"), refused.code, refused.message)
            for thread in threads
            if thread.channel_id in error.ids
        )
        raise refused from error


def read_files(
    session: Session, organization_id: OrganizationId, threads: Sequence[Thread]
) -> Files:
    """Read the files of threads; runs no statement if there are none."""
    ids = list(media_ids(threads))
    return {file.id: file for file in get_media_files(session, organization_id, ids)} if ids else {}


def disarm_old(session: Session, before: Sequence[StoredPart]) -> None:
    """Delete a queued root's schedule after the commit."""
    root = before[0]
    has_schedule = root.armed_revision == root.revision and root.enqueued_at is None
    if root.state is PostState.QUEUED and has_schedule:
        disarm_after_commit(session, root.id, root.revision, root.arm_count)


def _require_moves(plan: Plan) -> None:
    begin = (
        {plan.state_of_replies} if len(plan.thread.parts) > len(plan.before or [None]) else set()
    )
    if plan.before:
        root = plan.before[0]
        require_move(root.state, plan.state, root.revision)
    else:
        begin.add(plan.state)
    for state in begin:
        if not may_move(ABSENT, state, by=Hand.MEMBER):
            raise LookupError(f"no part begins as {state}")


def _with_setting_media(plan: Plan, channels: Mapping[ChannelId, ComposedChannel]) -> Plan:
    slug, thread = channels[plan.thread.channel_id].provider, plan.thread
    if plan.before and plan.before[0].channel_id == thread.channel_id:
        thread = with_kept_setting_details(thread, plan.before[0].settings, slug)
    return replace(plan, thread=with_setting_media(thread, slug))


def _problems(
    plan: Plan, channels: Mapping[ChannelId, ComposedChannel], files: Files
) -> list[FieldProblem]:
    """Check a thread against the platform's limits; a draft may be unfinished."""
    if plan.state is not PostState.QUEUED:
        return missing_files(plan.thread, files, kept=plan.kept_files)
    channel = channels[plan.thread.channel_id]
    return check_thread(plan.thread, channel, files, kept=plan.kept_files)


def _unknown_settings(
    plans: Sequence[Plan], channels: Mapping[ChannelId, ComposedChannel]
) -> Iterator[FieldProblem]:
    for plan in plans:
        kept = plan.before[0].settings if plan.before else None
        yield from unknown_settings(
            plan.thread, channels[plan.thread.channel_id].provider, kept=kept
        )


def _rows(plan: Plan) -> list[NewPart]:
    """Create the rows of a thread. A part keeps the id of its position."""
    thread, known = plan.thread, [part.id for part in plan.before or ()]
    ids = [*known[: len(thread.parts)], *(PostId(new_id()) for _ in thread.parts[len(known) :])]
    return [
        NewPart(
            id=ids[position],
            channel_id=thread.channel_id,
            group_id=plan.group_id,
            root_id=ids[0],
            parent_id=ids[position - 1] if position else None,
            position=position,
            state=plan.state_of_replies if position else plan.state,
            review=plan.review,
            content=part.content,
            media=part.media,
            settings={} if position else thread.settings,
            title=None if position else thread.title,
            content_hash=part.content_hash,
            publish_at=plan.publish_at,
            delay_seconds=part.delay_seconds,
            revision=plan.before[0].revision + 1 if plan.before else 1,
        )
        for position, part in enumerate(thread.parts)
    ]


def _change(plan: Plan, rows: Sequence[NewPart]) -> Change:
    changes = _differences(plan.before, rows) if plan.before else {}
    if not plan.before and plan.review is not Review.NONE:
        changes["review"] = [Review.NONE, plan.review]
    if plan.note:
        changes["note"] = [None, plan.note]
    return Change(rows[0].id, rows[0].revision, plan.action, changes)


def _differences(before: Sequence[StoredPart], rows: Sequence[NewPart]) -> dict[str, Any]:
    """List the differences: `{field: [before, after]}`; fields of parts are like `value.1.content`."""
    old = {part.position: part for part in living(before)}
    new = {part.position: part for part in rows}
    found = {
        name: [_for_history(side[0], column) for side in (old, new)]
        for column, name in _OF_A_POST.items()
    }
    for position in sorted({*old, *new}):
        for column, name in _OF_A_PART.items():
            found[f"value.{position}.{name}"] = [
                _for_history(side.get(position), column) for side in (old, new)
            ]
    return {name: pair for name, pair in found.items() if pair[0] != pair[1]}


def _for_history(part: StoredPart | NewPart | None, column: str) -> Any:
    value = getattr(part, column, None)
    if isinstance(value, datetime):
        return clock.to_wire(value)
    return value / 60 if value is not None and column == "delay_seconds" else value  # minutes


def _arm(
    session: Session,
    organization_id: OrganizationId,
    plans: Sequence[Plan],
    written: Iterable[WrittenRoot],
) -> None:
    queued = [root.queued(organization_id) for root in written]
    arm_after_commit(session, [one for one in queued if one])
    for plan in plans:
        if plan.before:
            disarm_old(session, plan.before)


def _overtaken(plans: Sequence[Plan]) -> PostChanged:
    root = next(plan.before[0] for plan in plans if plan.before)
    return PostChanged(root.state, root.revision)

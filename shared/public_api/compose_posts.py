"""Composes posts for a program: reads its body, fetches external files, and runs the common use case."""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from shared.channels.errors import ChannelNotFound, ChannelsNotFound
from shared.channels.queries import get_channels
from shared.core import clock
from shared.core.config import settings
from shared.core.errors import FieldProblem, InvalidInput
from shared.core.ids import ChannelId, GroupId, PostId
from shared.core.reach import Reach
from shared.db.session import read_only, run
from shared.organizations.idempotency import RequestKey, earlier_answer, find_answer, keep_answer
from shared.posts.compose import Grouping, compose
from shared.posts.draft import as_id
from shared.posts.errors import PostIsPublished, TooLateToSchedule
from shared.posts.guards import is_out, living
from shared.posts.parts import Author, StoredPart
from shared.posts.schemas import ChannelPostIn, CreatedPost, IntegrationIn, PostDraft, PostType
from shared.posts.store import lock_threads
from shared.posts.write import Unknown
from shared.public_api.errors import Refused, bad_request
from shared.public_api.keep_parts import Merged, in_request, keep_unnamed
from shared.public_api.post_files import (
    Elsewhere,
    Taken,
    fetch,
    find_by_id,
    images_elsewhere,
    part_in,
)
from shared.public_api.post_refusals import first_empty, refused
from shared.public_api.post_schemas import PublicDraft
from shared.public_api.tags import known_tags
from shared.public_api.warnings import of_tags

SCOPE = "POST /public/v1/posts"


def compose_posts(
    author: Author, body: PublicDraft, *, key: str | None = None
) -> list[CreatedPost]:
    """Store a group of posts, in the order of the body's entries. With `key`, the same request is carried out only once.

    It opens its own transactions: none is open while files are fetched.

    Raises:
        InvalidInput: something in the body was refused; nothing is stored.
        Refused: the author does not see a channel, or its platform would refuse its post.
        Conflict: a post that it replaces is being published, or the key was sent with another body before.
    """
    request = RequestKey(SCOPE, key, _hash(body)) if key else None
    channels = channels_of(body)
    images = images_of(body)
    known: Taken = {}
    if images:
        with read_only() as session:
            if request and (answer := find_answer(session, author.reach, request)):
                return _read(answer)
            require_channels(session, author.reach, channels)
            known = find_by_id(session, author.organization_id, images)
    draft = draft_from(body, channels, fetch(author.actor, images, known))

    def carry_out(session: Session) -> list[CreatedPost]:
        if request and (answer := earlier_answer(session, author.reach, request)):
            return _read(answer)
        created = store(session, author, body, draft)
        if request:
            answer = json.dumps([one.model_dump(mode="json", by_alias=True) for one in created])
            keep_answer(session, author.reach, request, status=201, response=answer)
        return created

    return run(carry_out)


def channels_of(body: PublicDraft) -> list[ChannelId]:
    """Return the ids of the channels of a body's entries, in their order.

    Raises:
        Refused: one is not an id.
    """
    return [_channel_id(body, number) for number in range(len(body.posts))]


def images_of(body: PublicDraft) -> list[Elsewhere]:
    """List the images of a body whose addresses are not in the library."""
    return [
        image
        for number, entry in enumerate(body.posts)
        for image in images_elsewhere(entry.value, f"posts.{number}.")
    ]


def draft_from(body: PublicDraft, channels: Sequence[ChannelId], taken: Taken) -> PostDraft:
    """Convert the body to the common draft."""
    entries = [
        ChannelPostIn(
            integration=IntegrationIn(id=channel_id),
            group=entry.group,
            settings=entry.settings,
            value=[part_in(part, taken) for part in entry.value],
        )
        for entry, channel_id in zip(body.posts, channels, strict=True)
    ]
    return PostDraft(
        type=_kind(body),
        date=body.date,
        tags=body.tags,
        republish=bool(body.republish),
        posts=entries,
    )


def _kind(body: PublicDraft) -> PostType:
    """Return the kind of a draft. A post whose time has just passed is published at once, as existing programs expect.

    They send posts after their own delay, or send them again.

    Raises:
        TooLateToSchedule: it is more than 24 hours in the past (`MAX_LATE_HOURS`).
    """
    if body.kind != "schedule" or body.date >= clock.now():
        return body.kind
    refuse_if_too_late(body.date)
    return "now"


def refuse_if_too_late(date: datetime) -> None:
    """Check that a time is not further in the past than a post may be late.

    Raises:
        TooLateToSchedule: the time is too far in the past.
    """
    late = settings().max_late
    if date < clock.now() - late:
        raise TooLateToSchedule("date", late)


def store(
    session: Session, author: Author, body: PublicDraft, draft: PostDraft
) -> list[CreatedPost]:
    """Compose a draft made from `body`, and write refusals in the public API's format.

    Raises:
        InvalidInput: something in the body was refused.
        Refused: the author does not see a channel, or its platform would refuse its post.
        Conflict: a post that it replaces is being published.
    """
    channels = [entry.integration.id for entry in draft.posts or ()]
    try:
        if draft.type in {"draft", "update"} and (empty := _empty(body)):
            require_channels(session, author.reach, channels)
            raise InvalidInput(empty.message, problems=[empty])
        return _compose(session, author, draft)
    except ChannelNotFound as error:
        raise bad_request(error.message, *error.problems) from error
    except PostIsPublished as error:
        if draft.type == "update" or draft.type == "draft":
            raise
        words = "One of these posts is already published. Send `republish` to post it again."
        raise bad_request(words) from error
    except InvalidInput as error:
        raise refused(session, author.reach, error, channels) from error


def _compose(session: Session, author: Author, draft: PostDraft) -> list[CreatedPost]:
    """Compose the draft, and keep stored parts that it does not contain. In this API, each entry is its own group."""
    entries = list(draft.posts or ())
    tags, unknown = known_tags(session, author.organization_id, draft.tags or [])
    named = {i: one for i, entry in enumerate(entries) if (one := as_id(entry.value[0].id, PostId))}
    groups = {group for entry in entries if (group := as_id(entry.group, GroupId))}
    stored = (
        lock_threads(session, author.reach, ids=set(named.values()), groups=groups) if named else {}
    )
    kept: dict[str, Merged] = {}
    for number, part_id in named.items():
        parts = next((one for one in stored.values() if part_id in {p.id for p in living(one)}), ())
        if parts:
            entries[number], merged = _with_kept(entries[number], parts, f"posts.{number}.")
            kept |= {f"posts.{number}.": merged} if merged else {}
    draft = draft.model_copy(update={"posts": entries, "tags": tags})
    try:
        created = compose(
            session,
            author,
            draft,
            grouping=Grouping.APART,
            grace=settings().max_late,
            unknown=Unknown.KEPT,
        )
    except InvalidInput as error:
        raise in_request(error, kept) from error
    if warned := of_tags(unknown):
        created[0].warnings.append(warned)
    return created


def _with_kept(
    entry: ChannelPostIn, parts: Sequence[StoredPart], prefix: str
) -> tuple[ChannelPostIn, Merged | None]:
    """Add stored parts that an entry does not contain, unless it names their group or they are already published."""
    root = parts[0]
    if as_id(entry.group, GroupId) == root.group_id or is_out(parts):
        first = entry.value[0].model_copy(update={"id": str(root.id)})
        return entry.model_copy(update={"value": [first, *entry.value[1:]]}), None
    merged = keep_unnamed(entry.value, parts, prefix=prefix)
    return entry.model_copy(update={"value": list(merged.parts)}), merged


def _empty(body: PublicDraft) -> FieldProblem | None:
    found = (first_empty(one.value, f"posts.{number}.") for number, one in enumerate(body.posts))
    return next((problem for problem in found if problem), None)


def _channel_id(body: PublicDraft, number: int) -> ChannelId:
    channel_id = as_id(body.posts[number].integration.id, ChannelId)
    if channel_id is None:
        raise _no_such_channel([number])
    return channel_id


def require_channels(session: Session, reach: Reach, channels: Sequence[ChannelId]) -> None:
    """Check that the caller sees the channels, before anything is fetched.

    Raises:
        Refused: some are not.
    """
    try:
        get_channels(session, reach, set(channels))
    except ChannelsNotFound as error:
        raise _no_such_channel([i for i, one in enumerate(channels) if one in error.ids]) from error


def _no_such_channel(numbers: Sequence[int]) -> Refused:
    error = ChannelNotFound()
    problems = [
        FieldProblem(f"posts.{number}.integration.id", error.code, error.message)
        for number in numbers
    ]
    return bad_request(error.message, *problems)


def _hash(body: PublicDraft) -> bytes:
    """Hash the parsed body, so that its formatting does not matter."""
    written = body.model_dump(mode="json", exclude_unset=True)
    return hashlib.sha256(json.dumps(written, sort_keys=True).encode()).digest()


def _read(answer: str) -> list[CreatedPost]:
    return [CreatedPost.model_validate(one) for one in json.loads(answer)]

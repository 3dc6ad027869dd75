"""What happens when a language model schedules: each entry becomes a group of its own, and all are stored or none."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from shared.channels.errors import ChannelNotFound, ChannelsNotFound
from shared.channels.queries import get_channels
from shared.core.errors import AppError, FieldProblem, InvalidInput
from shared.db.session import read_only, unit_of_work
from shared.posts.compose import compose
from shared.posts.draft import as_uuid
from shared.posts.queries import Author
from shared.posts.schemas import ChannelPostIn, IntegrationIn, PostDraft
from shared.public_api.post_files import Elsewhere, Taken, fetch, images_elsewhere, part_in
from shared.public_api.post_refusals import first_empty, refused
from shared.public_api.post_schemas import PublicCreated, PublicPart
from shared.public_api.read_arguments import read_as
from shared.public_api.tool_schemas import Pair, SocialPost

_PART = re.compile(r"^(?:posts\.0\.)?value\.(\d+)(?:\.image\.(\d+))?(?:\.(?:path|id))?")


def schedule_by_tool(author: Author, wanted: Sequence[SocialPost]) -> list[PublicCreated]:
    """Store one post for each entry, in their order. It opens transactions of its own: none is open while files are fetched.

    Raises:
        InvalidInput: something in it was refused; nothing is stored.
        Refused: a channel's platform would refuse its post; nothing is stored.
    """
    channels = [_channel_id(one, number) for number, one in enumerate(wanted)]
    parts = [_parts(one, number) for number, one in enumerate(wanted)]
    images = [
        Elsewhere(one.image, _in_tool(one.path, number))
        for number, entry in enumerate(parts)
        for one in images_elsewhere(entry)
    ]
    taken: Taken = {}
    if images:
        with read_only() as session:
            _require_channels(session, author, channels)
        taken = fetch(author.organization_id, images, {}, uploaded_by=author.user_id)
    with unit_of_work() as session:
        created = []
        for number, one in enumerate(wanted):
            draft = _draft(one, channels[number], parts[number], taken)
            try:
                created += _compose(session, author, draft, parts[number])
            except AppError as error:
                error.problems = tuple(_of_entry(each, number) for each in error.problems)
                raise
    return created


def settings_of(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Put settings together that came as a list; of those named twice the last one counts."""
    return {pair.key: pair.value for pair in pairs}


def _compose(
    session: Session, author: Author, draft: PostDraft, parts: Sequence[PublicPart]
) -> list[PublicCreated]:
    channels = [entry.integration.id for entry in draft.posts or ()]
    try:
        if draft.type == "draft" and (empty := first_empty(parts)):
            raise InvalidInput(empty.message, problems=[empty])
        created = compose(session, author, draft)
    except ChannelNotFound as error:
        raise InvalidInput(error.message, problems=error.problems) from error
    except InvalidInput as error:
        raise refused(session, author.organization_id, error, channels) from error
    return [PublicCreated(post_id=one.post_id, integration=one.integration) for one in created]


def _draft(
    one: SocialPost, channel_id: UUID, parts: Sequence[PublicPart], taken: Taken
) -> PostDraft:
    """Say the same as everybody's body does."""
    entry = ChannelPostIn(
        integration=IntegrationIn(id=channel_id),
        settings=settings_of(one.settings),
        value=[part_in(part, taken) for part in parts],
    )
    return PostDraft(type=one.type, date=one.date, tags=[], posts=[entry])


def _parts(one: SocialPost, number: int) -> list[PublicPart]:
    try:
        return [
            read_as(PublicPart, _part(part.content, part.attachments), prefix=f"value.{position}.")
            for position, part in enumerate(one.posts_and_comments)
        ]
    except InvalidInput as error:
        error.problems = tuple(_of_entry(each, number) for each in error.problems)
        raise


def _part(content: str, attachments: Sequence[str]) -> Mapping[str, Any]:
    return {"content": content, "image": [{"path": address} for address in attachments]}


def _channel_id(one: SocialPost, number: int) -> UUID:
    channel_id = as_uuid(one.integration_id)
    if channel_id is None:
        raise _no_such_channel([number])
    return channel_id


def _require_channels(session: Session, author: Author, channels: Sequence[UUID]) -> None:
    """Refuse channels of others before anything is fetched."""
    try:
        get_channels(session, author.organization_id, set(channels))
    except ChannelsNotFound as error:
        raise _no_such_channel([i for i, one in enumerate(channels) if one in error.ids]) from error


def _no_such_channel(numbers: Sequence[int]) -> InvalidInput:
    error = ChannelNotFound()
    problems = [
        FieldProblem(f"socialPost.{number}.integrationId", error.code, error.message)
        for number in numbers
    ]
    return InvalidInput(error.message, problems=problems)


def _of_entry(problem: FieldProblem, number: int) -> FieldProblem:
    return replace(problem, path=_in_tool(problem.path, number))


def _in_tool(path: str, number: int) -> str:
    """Name a field of a post as the tool's arguments do."""
    before = f"socialPost.{number}"
    if path.startswith(before):
        return path
    if not (found := _PART.match(path)):
        return (
            f"{before}.{path.removeprefix('posts.0.').replace('integration.id', 'integrationId')}"
        )
    part = f"{before}.postsAndComments.{found[1]}"
    return f"{part}.attachments.{found[2]}" if found[2] else part + path[found.end() :]

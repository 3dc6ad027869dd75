"""Schedules posts for a language model: each entry becomes its own group, and either all are stored or none."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from shared.core.errors import AppError
from shared.db.session import read_only, run
from shared.posts.parts import Author
from shared.posts.schemas import CreatedPost
from shared.public_api.compose_posts import (
    channels_of,
    draft_from,
    images_of,
    require_channels,
    store,
)
from shared.public_api.post_files import Elsewhere, Taken, fetch
from shared.public_api.post_schemas import PublicCreated, PublicDraft
from shared.public_api.read_arguments import read_as
from shared.public_api.tool_schemas import Pair, SocialPost

_PART = re.compile(r"value\.(\d+)(?:\.image\.(\d+)(?:\.(?:path|id))?)?")


def schedule_by_tool(author: Author, wanted: Sequence[SocialPost]) -> list[PublicCreated]:
    """Store one post for each entry, in order. It opens its own transactions: none is open while files are fetched.

    Raises:
        InvalidInput: a field was refused; nothing is stored.
        Refused: a channel is not the organization's, or its platform would refuse its post; nothing is stored.
    """
    bodies, channels, images = [], [], list[Elsewhere]()
    for number, one in enumerate(wanted):
        with _named_as_argument(number):
            body = read_as(PublicDraft, _body(one))
            bodies.append(body)
            channels.append(channels_of(body))
        images += [replace(each, path=_in_tool(each.path, number)) for each in images_of(body)]
    taken: Taken = {}
    if images:
        with read_only() as session:
            for number, ids in enumerate(channels):
                with _named_as_argument(number):
                    require_channels(session, author.reach, ids)
        taken = fetch(author.actor, images, {})

    def compose(session: Session) -> list[CreatedPost]:
        created: list[CreatedPost] = []
        for number, body in enumerate(bodies):
            with _named_as_argument(number):
                draft = draft_from(body, channels[number], taken)
                created += store(session, author, body, draft)
        return created

    return [PublicCreated(post_id=one.post_id, integration=one.integration) for one in run(compose)]


def settings_of(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Merge settings from a list; the last value of a setting counts."""
    return {pair.key: pair.value for pair in pairs}


def _body(one: SocialPost) -> Mapping[str, Any]:
    """Convert the arguments to the public API's body."""
    parts = [
        {"content": part.content, "image": [{"path": address} for address in part.attachments]}
        for part in one.posts_and_comments
    ]
    channel = {"id": one.integration_id}
    return {
        "type": one.type,
        "date": one.date,
        "shortLink": one.short_link,
        "posts": [{"integration": channel, "settings": settings_of(one.settings), "value": parts}],
    }


@contextmanager
def _named_as_argument(number: int) -> Iterator[None]:
    """Convert refused fields to the paths of the tool's arguments."""
    try:
        yield
    except AppError as error:
        error.problems = tuple(
            replace(problem, path=_in_tool(problem.path, number)) for problem in error.problems
        )
        raise


def _in_tool(path: str, number: int) -> str:
    before, field = f"socialPost.{number}", path.removeprefix("posts.0.")
    if field == "integration.id":
        return f"{before}.integrationId"
    if not (found := _PART.match(field)):
        return f"{before}.{field}"
    part = f"{before}.postsAndComments.{found[1]}"
    return f"{part}.attachments.{found[2]}" if found[2] else part + field[found.end() :]

"""The public API's refusals of a post: the first reason and its channel, as its clients show them."""

import re
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.orm import Session

from shared.channels.queries import get_channel
from shared.core.errors import AppError, FieldProblem, InvalidInput
from shared.core.ids import ChannelId
from shared.core.reach import Reach
from shared.core.text import is_blank, sanitize, to_plain
from shared.providers.wire_names import wire_name
from shared.public_api.errors import post_refused
from shared.public_api.post_schemas import PublicPart

_ENTRY = re.compile(r"posts\.(\d+)\.")
# Refusals that do not depend on a platform: a file that is not in the library, the id of another post.
_OF_THE_BODY = re.compile(r"value\.\d+\.(id|image\.\d+\.id)$")


def refused(
    session: Session,
    reach: Reach,
    error: InvalidInput,
    channels: Sequence[ChannelId],
) -> AppError:
    """Render a refusal. `channels` are those of the body's entries; for a body without `posts`, its one channel.

    Problems of the body itself are all listed; what a platform would refuse is reported for the first post only.
    """
    of_body = [_in_public(one) for one in error.problems if _is_of_body(one)]
    if of_body or not error.problems:
        return InvalidInput(error.message, problems=of_body)
    first = min(error.problems, key=lambda one: (_number(one), _rank(one)))
    channel = get_channel(session, reach, channels[_number(first)])
    return post_refused(wire_name(channel.provider), channel.name, first)


def first_empty(parts: Sequence[PublicPart], prefix: str = "") -> FieldProblem | None:
    """Find the first part without text and files, which not even a draft may contain."""
    for number, part in enumerate(parts):
        if not part.image and is_blank(to_plain(sanitize(part.content))):
            path = f"{prefix}value.{number}.content"
            return FieldProblem(path, "empty", "This part is empty. Write some text or add a file.")
    return None


def _is_of_body(problem: FieldProblem) -> bool:
    relative = _ENTRY.sub("", problem.path, count=1)
    return not relative.startswith(("value", "settings", "integration")) or bool(
        _OF_THE_BODY.match(relative)
    )


def _in_public(problem: FieldProblem) -> FieldProblem:
    """Return the field that identifies a file, which in this API is its path."""
    if problem.code != "media_not_found":
        return problem
    return replace(problem, path=re.sub(r"(image\.\d+)\.id$", r"\1.path", problem.path))


def _number(problem: FieldProblem) -> int:
    entry = _ENTRY.match(problem.path)
    return int(entry[1]) if entry else 0


def _rank(problem: FieldProblem) -> int:
    """Order reasons as the contract does: empty, settings, files, length, and then all others."""
    relative = _ENTRY.sub("", problem.path, count=1)
    if problem.code == "empty":
        return 0
    if relative.startswith("settings"):
        return 1
    if ".image" in relative:
        return 2
    return 3 if problem.code == "too_long" else 4

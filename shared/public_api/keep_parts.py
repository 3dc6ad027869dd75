"""Keeps stored parts of a thread that a request does not contain.

In this API, a part is named by its id. A program that changes a post's text often sends only that post, so stored replies
stay unless the request names their group, which means the whole thread.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from shared.core.errors import FieldProblem, InvalidInput
from shared.core.ids import PostId
from shared.posts.draft import as_id, refusal
from shared.posts.guards import living
from shared.posts.parts import StoredPart
from shared.posts.schemas import ImageIn, PartIn
from shared.posts.thread_files import displayed_media


@dataclass(frozen=True, slots=True)
class Merged:
    """A thread with the parts that it keeps. `origins` is each part's position in the request; None: it was kept."""

    parts: Sequence[PartIn]
    origins: Sequence[int | None]


def keep_unnamed(sent: Sequence[PartIn], stored: Sequence[StoredPart], *, prefix: str) -> Merged:
    """Add to `sent` the stored parts that it does not name, each after the part that it follows now.

    The first part of `sent` is the root unless it names another part. Parts without an id of the thread are new and
    come after those that are kept. `prefix` is the request's path to `value`, such as `posts.0.`.

    Raises:
        InvalidInput: two parts have the same id.
    """
    known = {part.id: part for part in living(stored)}
    root_id = next(iter(known))
    ids = [named if (named := as_id(part.id, PostId)) in known else None for part in sent]
    if ids[0] is None and root_id not in ids:
        ids[0] = root_id
    _refuse_repeated(ids, prefix)
    order: list[tuple[PostId | None, int | None]] = [(one, i) for i, one in enumerate(ids)]
    before: PostId | None = None
    for part_id in known:
        if part_id not in ids:
            place = next((i + 1 for i, (one, _) in enumerate(order) if one == before), 0)
            order.insert(place if before else 0, (part_id, None))
        before = part_id
    order.sort(key=lambda one: one[0] != root_id)
    parts = [sent[origin] if origin is not None else _kept(known, one) for one, origin in order]
    parts[0] = parts[0].model_copy(update={"id": str(root_id)})
    return Merged(parts, [origin for _, origin in order])


def path_in_request(problem: FieldProblem, merged: Merged, prefix: str) -> FieldProblem:
    """Return the request's path of a refused field, or a note that the part was kept."""
    before = f"{prefix}value."
    number, _, field = problem.path.removeprefix(before).partition(".")
    if not problem.path.startswith(before) or not number.isdigit():
        return problem
    origin = merged.origins[int(number)]
    if origin is not None:
        return replace(problem, path=f"{before}{origin}.{field}".rstrip("."))
    words = f"Part {int(number) + 1} of the post, which this request keeps: {problem.message}"
    return replace(problem, path=f"{prefix}value", message=words)


def in_request(error: InvalidInput, merged: Mapping[str, Merged]) -> InvalidInput:
    """Convert all refused fields to the request's paths; `merged` contains the threads by the path to their `value`."""
    problems = error.problems
    for prefix, thread in merged.items():
        problems = tuple(path_in_request(problem, thread, prefix) for problem in problems)
    error.problems = problems
    return error


def _kept(known: Mapping[PostId, StoredPart], part_id: PostId | None) -> PartIn:
    assert part_id is not None, "only stored parts are kept"
    part = known[part_id]
    # Not validated, because a stored value may be longer than a request's limit.
    return PartIn.model_construct(
        id=str(part.id),
        content=part.content,
        delay=part.delay_seconds / 60,
        image=[
            ImageIn.model_construct(
                id=file["id"],
                path=None,
                alt=file.get("alt"),
                thumbnail_timestamp=file.get("thumbnailTimestamp"),
            )
            for file in displayed_media(part.media)
        ],
    )


def _refuse_repeated(ids: Sequence[PostId | None], prefix: str) -> None:
    for number, one in enumerate(ids):
        if one is not None and one in ids[:number]:
            words = "Another part of this post has the same id. Name each part once."
            raise refusal(f"{prefix}value.{number}.id", "named_twice", words)

"""Reads both forms of the body into one sanitized composition, which knows each field's path in the body."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from shared.core import clock
from shared.core.errors import FieldProblem, InvalidInput
from shared.core.ids import ChannelId, EntityId, GroupId, MediaId, PostId
from shared.core.text import sanitize, to_plain
from shared.posts.errors import TooLateToSchedule
from shared.posts.schemas import (
    MAX_PARTS,
    ChannelPostIn,
    ImageIn,
    IntegrationIn,
    PartIn,
    PostDraft,
    PostType,
    TagIn,
)

PAST_GRACE = timedelta(minutes=5)  # for a form that was open for a while
FURTHEST = timedelta(days=5 * 366)
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Part:
    """One part: sanitized HTML, and its files as they are stored (`[{"id", "alt"?, "thumbnailTimestamp"?, "setting"?}]`).

    Files of a setting (`thread_files.py`) come last and are not shown in the part. Until it is written, a detail that the
    request leaves out of a file is missing, and a removed one is None (`thread_files.py`).
    """

    content: str
    media: Sequence[Mapping[str, Any]]
    delay_seconds: int

    @property
    def content_hash(self) -> str:
        """A hash of what readers see: files count; markup, case and white space do not."""
        words = " ".join(to_plain(self.content).casefold().split())
        files = [entry["id"] for entry in self.media]
        return hashlib.sha256("\n".join([words, *files]).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Thread:
    """One channel's post. `replaces` names a root, `group` a group whose post on this channel is replaced."""

    channel_id: ChannelId
    parts: Sequence[Part]
    settings: Mapping[str, Any]
    title: str | None = None
    group: GroupId | None = None
    replaces: PostId | None = None
    prefix: str = ""  # `posts.0.`; empty in the short form
    short: bool = False

    def path(self, relative: str) -> str:
        """Return a field's path in the body; `relative` is like `value.0.content`, `settings.x`, `integration.id`."""
        if not self.short:
            return self.prefix + relative
        return {"integration.id": "integrationId"}.get(relative, relative.removeprefix("value.0."))


@dataclass(frozen=True, slots=True)
class Composition:
    """A compose action. `publish_at` is None for now; `labels` None leaves tags as they are.

    `republish`: a referenced post that is already published stays unchanged, and a new post is created.
    """

    type: PostType
    publish_at: datetime | None
    threads: Sequence[Thread]
    labels: Sequence[str] | None = None
    republish: bool = False


def read_draft(draft: PostDraft) -> Composition:
    """Read a body.

    Raises:
        InvalidInput: a field is missing, or there are too many parts.
        TooLateToSchedule: the time has passed.
    """
    return Composition(
        type=draft.type,
        publish_at=read_date(draft),
        threads=read_threads(draft),
        labels=labels_of(draft.tags),
        republish=draft.republish and draft.type in {"schedule", "now"},
    )


def read_threads(draft: PostDraft) -> list[Thread]:
    """Read the threads of a body without its date.

    Raises:
        InvalidInput: a field is missing, or there are too many parts.
    """
    short = draft.posts is None
    entries = [_entry_of_short_form(draft)] if draft.posts is None else draft.posts
    if sum(len(entry.value) for entry in entries) > MAX_PARTS:
        raise refusal(
            "posts",
            "too_many_parts",
            f"There are too many parts. Send at most {MAX_PARTS} at once.",
        )
    return [read_thread(entry, f"posts.{i}.", short=short) for i, entry in enumerate(entries)]


def read_date(draft: PostDraft) -> datetime | None:
    """Read the time to publish; None means now.

    Raises:
        InvalidInput: it is missing, or years ahead.
        TooLateToSchedule: it is over.
    """
    path = "publishDate" if draft.date is None and _is_short_form(draft) else "date"
    moment = draft.date or draft.publish_date
    if draft.type == "now":
        return None
    if draft.type == "schedule":
        if moment is None:
            raise refusal(
                path, "missing", "`date` is required. Send a time, or the type `now` or `draft`."
            )
        return read_publish_at(moment, path)
    # A post that is updated may be queued: `timing_after` checks its date.
    return moment if moment is None or draft.type == "update" else read_draft_time(moment, path)


def read_thread(entry: ChannelPostIn, prefix: str, *, short: bool = False) -> Thread:
    """Read one channel's post."""
    settings = {key: value for key, value in (entry.settings or {}).items() if key != "__type"}
    thread = Thread(
        channel_id=entry.integration.id,
        parts=[],
        settings=settings,
        title=entry.title,
        group=as_id(entry.group, GroupId),
        replaces=as_id(entry.value[0].id, PostId),
        prefix=prefix,
        short=short,
    )
    return with_parts(thread, [read_part(part) for part in entry.value])


def with_parts(thread: Thread, parts: Sequence[Part]) -> Thread:
    """Return the thread with other parts. The root's delay has no meaning and is dropped."""
    root, *replies = parts
    return replace(thread, parts=[replace(root, delay_seconds=0), *replies])


def read_part(part: PartIn) -> Part:
    """Read one part."""
    media = [_entry_of(image) for image in part.image or ()]
    return Part(sanitize(part.content), media, round(part.delay * 60))


def read_publish_at(
    moment: datetime, path: str, *, grace: timedelta = PAST_GRACE
) -> datetime | None:
    """Check a time to publish. Returns None (now) if it passed more than a few minutes ago, but less than `grace`.

    Raises:
        TooLateToSchedule: it passed more than `grace` ago.
        InvalidInput: it is years ahead.
    """
    now = clock.now()
    if moment < now - grace:
        raise TooLateToSchedule(path, grace)
    if moment > now + FURTHEST:
        raise refusal(
            path, "date_too_far", "This time is more than five years away. Choose an earlier one."
        )
    return None if moment < now - PAST_GRACE else moment


def read_draft_time(moment: datetime, path: str) -> datetime:
    """Check the time of a post that is not queued; it may be in the past.

    Raises:
        InvalidInput: it is before the year 2000, or years ahead.
    """
    if not EARLIEST <= moment <= clock.now() + FURTHEST:
        words = (
            "This time is out of range. Choose one between the year 2000 and five years from now."
        )
        raise refusal(path, "date_too_far", words)
    return moment


def refusal(path: str, code: str, message: str) -> InvalidInput:
    """Create the refusal of one field."""
    return InvalidInput(message, problems=[FieldProblem(path, code, message)])


def _is_short_form(draft: PostDraft) -> bool:
    """Return whether a body has the short form: no `posts`, but a field that only the short form has."""
    only_there = (draft.content, draft.publish_date, draft.integration_id, draft.image)
    return draft.posts is None and any(value is not None for value in only_there)


def _entry_of_short_form(draft: PostDraft) -> ChannelPostIn:
    if not _is_short_form(draft):
        raise refusal("posts", "missing", "`posts` is required. Send one entry for each channel.")
    missing = [
        FieldProblem(path, "missing", f"`{path}` is required.")
        for path, value in (("content", draft.content), ("integrationId", draft.integration_id))
        if value is None
    ]
    if draft.content is None or draft.integration_id is None:
        raise InvalidInput(
            "`posts` is required. Send it, or `content` with `integrationId` for one channel.",
            problems=missing,
        )
    return ChannelPostIn(
        integration=IntegrationIn(id=draft.integration_id),
        title=draft.title,
        settings=draft.settings,
        value=[PartIn(content=draft.content, image=draft.image)],
    )


def labels_of(tags: Sequence[TagIn] | None) -> list[str] | None:
    """Return the names of tags; None leaves tags unchanged."""
    if tags is None:
        return None
    return [label for tag in tags if (label := tag.label or tag.value)]


def _entry_of(image: ImageIn) -> dict[str, Any]:
    entry: dict[str, Any] = {**media_entry(image.id, image.path)}
    if "alt" in image.model_fields_set:
        entry["alt"] = image.alt or None
    if "thumbnail_timestamp" in image.model_fields_set:
        entry["thumbnailTimestamp"] = image.thumbnail_timestamp
    return entry


def media_entry(named: str | None, address: str | None, alt: str | None = None) -> dict[str, str]:
    """Create a file's entry. Its id is empty if neither id nor address is ours, which the check refuses."""
    media_id = as_id(named, MediaId) or id_in_address(address)
    return {"id": str(media_id or "")} | ({"alt": alt} if alt else {})


def id_in_address(address: str | None) -> MediaId | None:
    """Find the file's id in one of our public addresses: `.../files/<organization>/<file>/...`."""
    found = _UUID.findall((address or "").partition("/files/")[2])
    return MediaId(UUID(found[1])) if len(found) > 1 else None


def as_id(text: str | None, of: Callable[[UUID], EntityId]) -> EntityId | None:
    """Read the id of an entity, such as `PostId`, from outside; None if it is not a UUID."""
    return of(UUID(text)) if text and _UUID.fullmatch(text) else None

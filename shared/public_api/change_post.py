"""Changes an existing post for programs: its parts, its settings, and whether it is queued."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from shared.channels.queries import ChannelSummary, get_channel
from shared.core import clock
from shared.core.config import settings
from shared.core.errors import AppError, FieldProblem, InvalidInput
from shared.core.ids import GroupId, PostId
from shared.db.session import read_only, run
from shared.posts import edit
from shared.posts.check import check_thread
from shared.posts.draft import as_id
from shared.posts.errors import PostNotFound, ReleaseKnown, ReplyNotPost
from shared.posts.guards import lock_post
from shared.posts.lifecycle import PostState, wire_state
from shared.posts.parts import Author, StoredPart
from shared.posts.resolve import name_release
from shared.posts.schemas import PostEdit
from shared.posts.thread_files import with_setting_media
from shared.posts.write import Unknown, read_files, thread_from
from shared.public_api.compose_posts import refuse_if_too_late
from shared.public_api.errors import Refused, bad_request
from shared.public_api.keep_parts import Merged, in_request, keep_unnamed
from shared.public_api.post_files import fetch, find_by_id, images_elsewhere, part_in
from shared.public_api.post_refusals import first_empty, refused
from shared.public_api.post_schemas import (
    NewReleaseId,
    NewSettings,
    PublicEdit,
    PublicRelease,
    PublicSettings,
    PublicStatus,
    PublicThread,
    StatusWanted,
    kind_of,
    without_null,
)
from shared.public_api.show_post import show_post
from shared.public_api.tags import known_tags
from shared.public_api.warnings import of_settings, of_tags, warning


@dataclass(frozen=True, slots=True)
class Edited:
    """A changed post, with warnings for the caller."""

    thread: PublicThread
    warnings: Sequence[str]


@dataclass(frozen=True, slots=True)
class SettingsPut:
    """A post with changed settings, with warnings for the caller."""

    settings_out: PublicSettings
    warnings: Sequence[str]


def edit_post(author: Author, post_id: PostId, body: PublicEdit) -> Edited:
    """Change a post. It opens its own transactions: none is open while files are fetched.

    Raises:
        PostNotFound: there is no such post.
        InvalidInput: a field of the body was refused; nothing is changed.
        Refused: the platform would refuse it.
        Conflict: it is being published, was published, or the id is that of a reply.
    """
    parts = body.value or []
    images, taken = list(images_elsewhere(parts)), {}
    if images:
        with read_only() as session:
            show_post(session, author.reach, post_id)
            known = find_by_id(session, author.organization_id, images)
        taken = dict(fetch(author.actor, images, known))
    wanted = PostEdit(
        type=kind_of(body.type or "update"),
        date=body.date,
        settings=body.settings,
        tags=body.tags,
        value=[part_in(part, taken) for part in parts] if body.value is not None else None,
    )

    def change(session: Session) -> Edited:
        tags, unknown = known_tags(session, author.organization_id, body.tags or [])
        changed = wanted.model_copy(update={"tags": tags}) if body.tags is not None else wanted
        _edit(session, author, post_id, changed, body)
        thread = show_post(session, author.reach, post_id)
        warned = of_tags(unknown)
        warnings = [warning(f"tags: {warned.message}")] if warned else []
        slug = thread.integration.provider_identifier
        return Edited(thread, [*warnings, *of_settings(slug, body.settings or {})])

    return run(change)


def change_settings(
    session: Session, author: Author, post_id: PostId, body: NewSettings
) -> SettingsPut:
    """Merge settings into those of a post that is not published yet.

    Raises:
        PostNotFound: there is none.
        Refused: it is a reply, is being published, or the platform would refuse the settings.
    """
    try:
        before = lock_post(session, author.reach, post_id)
    except ReplyNotPost as error:
        raise bad_request(error.message) from error
    root = before[0]
    _require_waiting(root)
    settings = without_null({**root.settings, **body.settings})
    channel = get_channel(session, author.reach, root.channel_id)
    if problem := _of_settings(session, before, settings, channel):
        raise bad_request(f"{channel.name}: {problem.message}", problem)
    wanted = PostEdit(settings=settings)
    try:
        edit.edit(session, author, post_id, wanted, revision=None, unknown=Unknown.KEPT)
    except InvalidInput as error:
        problem = error.problems[0]
        raise bad_request(f"{channel.name}: {problem.message}", *error.problems) from error
    settings_out = PublicSettings(post_id=post_id, publish_date=root.publish_at)
    return SettingsPut(settings_out, of_settings(channel.provider, body.settings))


def change_status(
    session: Session, author: Author, post_id: PostId, body: StatusWanted
) -> PublicStatus:
    """Queue a post for its time, or make it a draft again.

    Raises:
        Refused: there is none, or the platform would refuse it as it is.
        Conflict: it is being published, or was.
    """
    try:
        stored = edit.change_status(session, author, post_id, body.status, revision=None)
    except PostNotFound as error:
        raise post_not_found() from error
    except InvalidInput as error:
        raise _refused(session, author, post_id, error) from error
    return PublicStatus.model_validate({"id": post_id, "state": wire_state(stored.plan.state)})


def name_release_of(author: Author, post_id: PostId, body: NewReleaseId) -> PublicRelease:
    """Record the release of a post whose platform did not report it. No transaction may be open.

    Raises:
        PostNotFound: there is none.
        Refused: its release is known, it is not published, or the platform has no such post of the channel.
        CannotCheck: the platform does not answer.
        ReleaseTaken: another post already has that release.
    """
    try:
        release_id = name_release(author, post_id, body.release_id)
    except ReleaseKnown as error:
        raise bad_request(error.message) from error
    except InvalidInput as error:
        raise bad_request(error.message, *error.problems) from error
    return PublicRelease(id=post_id, release_id=release_id)


def post_not_found() -> Refused:
    """Report that there is no such post, for routes whose contract has another status than 404."""
    return bad_request("Post not found")


def _edit(
    session: Session, author: Author, post_id: PostId, wanted: PostEdit, body: PublicEdit
) -> None:
    kept: dict[str, Merged] = {}
    try:
        if empty := first_empty(body.value or []):
            raise InvalidInput(empty.message, problems=[empty])
        if wanted.value is not None:
            stored = lock_post(session, author.reach, post_id)
            if as_id(body.group, GroupId) != stored[0].group_id:
                kept[""] = keep_unnamed(wanted.value, stored, prefix="")
                wanted = wanted.model_copy(update={"value": list(kept[""].parts)})
        if wanted.date and wanted.date < clock.now():
            state = lock_post(session, author.reach, post_id)[0].state
            if wanted.type == "schedule" or (wanted.type == "update" and state is PostState.QUEUED):
                refuse_if_too_late(wanted.date)
                wanted = wanted.model_copy(update={"type": "now"})
        edit.edit(
            session,
            author,
            post_id,
            wanted,
            revision=None,
            grace=settings().max_late,
            unknown=Unknown.KEPT,
        )
    except InvalidInput as error:
        located = in_request(error, kept)
        raise _refused(session, author, post_id, located) from error


def _refused(session: Session, author: Author, post_id: PostId, error: InvalidInput) -> AppError:
    root = lock_post(session, author.reach, post_id)[0]
    return refused(session, author.reach, error, [root.channel_id])


def _require_waiting(root: StoredPart) -> None:
    if root.state not in {PostState.QUEUED, PostState.DRAFT}:
        raise bad_request(f"This post is {root.state}, so its settings can no longer be changed.")
    if root.publish_at <= clock.now():
        raise bad_request(
            "The time of this post has passed, so its settings can no longer be changed."
        )


def _of_settings(
    session: Session,
    before: Sequence[StoredPart],
    settings: dict[str, object],
    channel: ChannelSummary,
) -> FieldProblem | None:
    """Find the platform's refusals of settings, also of a draft's."""
    stored = thread_from(before)
    thread = with_setting_media(replace(stored, settings=settings), channel.provider)
    files = read_files(session, channel.organization_id, [thread])
    kept = {str(entry["id"]) for part in before for entry in part.media}
    problems = check_thread(thread, channel, files, kept=kept)
    return next((one for one in problems if one.path.startswith("settings")), None)

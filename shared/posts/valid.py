"""The dry run: checks a composition like composing does, but writes nothing."""

from collections.abc import Iterable

from sqlalchemy.orm import Session

from shared.channels.queries import ChannelSummary
from shared.core.errors import FieldProblem, InvalidInput
from shared.core.reach import Reach
from shared.posts.check import Files, check_thread, unknown_settings, unknown_tags
from shared.posts.draft import Thread, read_date, read_threads
from shared.posts.schemas import CheckedOut, CheckedPost, PostDraft, ProblemOut
from shared.posts.thread_files import with_setting_media
from shared.posts.write import read_channels, read_files
from shared.providers.registry import provider


def dry_run(session: Session, reach: Reach, draft: PostDraft) -> CheckedOut:
    """List composing's refusals of `draft` for each channel, part and field.

    Raises:
        InvalidInput: the draft cannot be read at all.
        ChannelNotFound: the caller does not see a channel.
    """
    composed = read_threads(draft)
    channels = read_channels(session, reach, composed)
    threads = [with_setting_media(one, channels[one.channel_id].provider) for one in composed]
    files = read_files(session, reach.organization_id, threads)
    of_all = _problems_of_date(draft) + _out(
        unknown_tags(session, reach.organization_id, draft.tags)
    )
    posts = [_checked(thread, channels[thread.channel_id], files) for thread in threads]
    return CheckedOut(
        valid=not of_all and all(post.valid for post in posts), errors=of_all, posts=posts
    )


def _checked(thread: Thread, channel: ChannelSummary, files: Files) -> CheckedPost:
    problems = [
        *unknown_settings(thread, channel.provider),
        *check_thread(thread, channel, files),
    ]
    codes = {problem.code for problem in problems}
    return CheckedPost(
        id=channel.id,
        identifier=channel.provider,
        name=channel.name,
        valid=not problems,
        empty_content="empty" in codes,
        too_long="too_long" in codes,
        maximum_characters=provider(channel.provider)
        .part_rules(channel.account_settings, thread.settings, position=0)
        .max_length,
        errors=_out(problems),
    )


def _problems_of_date(draft: PostDraft) -> list[ProblemOut]:
    try:
        read_date(draft)
    except InvalidInput as error:
        return _out(error.problems)
    return []


def _out(problems: Iterable[FieldProblem]) -> list[ProblemOut]:
    return [ProblemOut(path=one.path, code=one.code, message=one.message) for one in problems]

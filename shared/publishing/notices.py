"""Notifications about posts, once for each event: published, late, waiting or refused."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from shared.core.config import settings
from shared.core.ids import CustomerId, OrganizationId, PostId
from shared.notifications.models import NotificationKind
from shared.notifications.notify import Wording, notify, values_of
from shared.posts.obstacles import STAGING_FAILED, Obstacle, Step, sentence
from shared.providers.errors import ProviderError, SeveralFound
from shared.publishing.claim import DuePart


@dataclass(frozen=True, slots=True)
class Notice:
    """A notification to an organization's members, sent once per `key`."""

    kind: NotificationKind
    title: str
    content: str
    link: str | None
    key: str

    def values(self, customer_id: CustomerId | None) -> Wording:
        """Return the parameters of `notifying`, in a statement that notifies members itself."""
        return values_of(
            title=self.title,
            content=self.content,
            link=self.link,
            dedupe_key=self.key,
            customer_id=customer_id,
        )


def notify_members(
    session: Session,
    organization_id: OrganizationId,
    customer_id: CustomerId | None,
    notice: Notice,
) -> None:
    """Notify the members who see the customer of the post's channel, in the caller's transaction."""
    notify(
        session,
        organization_id,
        notice.kind,
        title=notice.title,
        content=notice.content,
        link=notice.link,
        dedupe_key=notice.key,
        customer_id=customer_id,
    )


def published(part: DuePart, url: str) -> Notice:
    """Report that a post was published."""
    return Notice(
        NotificationKind.SUCCESS,
        f"Published on {part.channel.name}",
        f"Your post was published: {url}" if url else "Your post was published.",
        url or None,
        f"published:{part.id}:{part.generation}",
    )


def published_after_all(part_id: PostId, generation: int, root_id: PostId) -> Notice:
    """Report that a post that seemed lost was published."""
    return Notice(
        NotificationKind.INFO,
        "Your post was published after all",
        "The platform's response arrived late. The post is there, and nothing was posted twice.",
        post_link(root_id),
        f"adopted:{part_id}:{generation}",
    )


def unconfirmed(part: DuePart, error: ProviderError) -> Notice:
    """Ask members to check whether a post is there, or which of several posts is theirs."""
    title = f"Check whether your post is on {part.channel.name}"
    advice = (
        "Roost did not resend it, so it cannot appear twice. Check the account. If the post is "
        "there, confirm it with its address. If not, resend it."
    )
    if isinstance(error, SeveralFound):
        title = f"Several posts like yours are on {part.channel.name}"
        advice = (
            "Confirm the one you want to keep with its address, and delete the others on the "
            "platform. Resending adds another copy."
        )
    return Notice(
        NotificationKind.FAILURE,
        title,
        f"{_sentence(error.message)} {advice}",
        post_link(part.root_id),
        f"unconfirmed:{part.id}:{part.generation}",
    )


def stuck(part_id: PostId, generation: int, root_id: PostId, *, goes_on: bool) -> Notice:
    """Report a part of a thread that was queued although nothing would have sent it."""
    title, content = (
        (
            "A part of a thread was delayed",
            "It was queued, but nothing had sent it. It goes out now.",
        )
        if goes_on
        else (
            "A part of a thread cannot go out",
            "It was queued, but the part it replies to is not published. Resend that part, "
            "delete the rest of the thread, or compose it as a new post.",
        )
    )
    return Notice(
        NotificationKind.INFO if goes_on else NotificationKind.FAILURE,
        title,
        content,
        post_link(root_id),
        f"stuck:{part_id}:{generation}",
    )


def not_published(part: DuePart, message: str) -> Notice:
    """Report that a post failed, and why."""
    return Notice(
        NotificationKind.FAILURE,
        f"Your post was not published on {part.channel.name}",
        message,
        post_link(part.root_id),
        f"failed:{part.id}:{part.generation}:{part.revision}",
    )


def media_refused(part: DuePart, message: str) -> Notice:
    """Warn, ahead of its time, that a post's media were refused."""
    return Notice(
        NotificationKind.FAILURE,
        f"The media in your post for {part.channel.name} was refused",
        f"{_sentence(message)} Unless you change it, the post will fail when it is due.",
        post_link(part.root_id),
        f"staging:{part.id}:{part.revision}:{part.generation}",
    )


def waits_for_copy(part: DuePart, message: str) -> Notice:
    """Report that a due post waits until a picture is converted."""
    return Notice(
        NotificationKind.INFO,
        f"Your post for {part.channel.name} is waiting for a picture",
        f"{_sentence(message)} The post is published as soon as that is done.",
        post_link(part.root_id),
        f"converting:{part.id}:{part.generation}:{part.revision}",
    )


def will_fail(
    part_id: PostId,
    revision: int,
    root_id: PostId,
    *,
    channel_name: str,
    publish_at: datetime,
    problem: str,
) -> Notice:
    """Warn, ahead of its time, of an obstacle to a post."""
    return Notice(
        NotificationKind.FAILURE,
        f"Your post for {channel_name} cannot be published as it is",
        f"It is due at {_moment(publish_at)}. {problem}",
        post_link(root_id),
        f"prepare:{part_id}:{revision}",
    )


def late(part_id: PostId, revision: int, root_id: PostId) -> Notice:
    """Report that a post was not published on time."""
    return Notice(
        NotificationKind.FAILURE,
        "A post is late",
        f"It was not published on time. Roost keeps trying for {settings().max_late_hours} hours "
        "and notifies you of the outcome.",
        post_link(root_id),
        f"late:{part_id}:{revision}",
    )


def crowded(part_id: PostId, revision: int, root_id: PostId, *, host: str | None) -> Notice:
    """Report that a late post waits for its turn. The key is `late`'s, so a post is reported as late only once."""
    return Notice(
        NotificationKind.FAILURE,
        "A post is late",
        f"It is waiting because other posts of your organization are being sent to {host}, and "
        f"that server answers slowly. Roost keeps trying for {settings().max_late_hours} hours "
        "and notifies you of the outcome.",
        post_link(root_id),
        f"late:{part_id}:{revision}",
    )


def many_late(count: int, hour: str) -> Notice:
    """Report that several posts are late, in one email instead of one each; once an hour."""
    return Notice(
        NotificationKind.FAILURE,
        f"{count} posts are late",
        "They were not published on time. Your notifications list each post and what it is "
        f"waiting for. Roost keeps trying for {settings().max_late_hours} hours and notifies you "
        "of the outcome.",
        settings().console_url,
        f"late-posts:{hour}",
    )


def limited(
    part_id: PostId, generation: int, root_id: PostId, *, channel_name: str, until: datetime
) -> Notice:
    """Report that a late post waits for the end of a rate limit. `queries.LIMITED_ATTEMPTS` uses the same key."""
    return Notice(
        NotificationKind.FAILURE,
        f"A post for {channel_name} is late",
        f"It is waiting for the platform's rate limit until {_moment(until)}. Roost publishes it "
        "then and notifies you of the outcome.",
        post_link(root_id),
        f"limited:{part_id}:{generation}",
    )


def refusal(part: DuePart, obstacle: Obstacle) -> str:
    """Return why a part is refused before it is sent, with the platform's reason if there is one."""
    if obstacle is STAGING_FAILED and part.staging_error:
        return part.staging_error
    name, reason = part.channel.name, part.disconnected_reason
    return sentence(obstacle, Step.CLAIM, channel=name, reason=reason)


def post_link(root_id: PostId) -> str:
    """Return the post's address for members."""
    return f"{settings().console_url}/posts/{root_id}"


def _moment(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M} UTC"


def _sentence(words: str) -> str:
    """Complete a text, which may be a platform's, to a sentence."""
    words = words.strip()
    return words if words.endswith((".", "!", "?")) else f"{words}."

"""The HTML page of a post, to which emails link if there is no console."""

from collections.abc import Iterator
from datetime import datetime
from html import escape
from zoneinfo import ZoneInfo

from shared.core.text import to_plain
from shared.posts.lifecycle import PostState
from shared.posts.schemas import PartOut, ThreadOut
from shared.providers.registry import provider, slugs

_STATE_SENTENCES = {
    PostState.DRAFT: "A draft. It is published once somebody schedules it.",
    PostState.QUEUED: "Scheduled.",
    PostState.PUBLISHING: "It is being published right now.",
    PostState.PUBLISHED: "Published.",
    PostState.FAILED: "It was not published.",
    PostState.UNCONFIRMED: "It may have been published. Check the platform before you resend it.",
}


def title_of(thread: ThreadOut) -> str:
    """Return the page's title."""
    return f"Post for {thread.channel.name}"


def body_of(thread: ThreadOut, zone: str) -> str:
    """Return the page's body as HTML: the post's state, and each part with the platform's reason.

    Times are in `zone` (IANA).
    """
    planned = _local_time(thread.publish_date, zone)
    late = (
        "<p><strong>It is late: it should have been published by now.</strong></p>"
        if thread.late
        else ""
    )
    head = f"<p>{escape(_platform(thread))}, planned for {planned}</p>{late}"
    return head + "".join(_part(part, zone) for part in thread.posts)


def _platform(thread: ThreadOut) -> str:
    slug = thread.channel.provider_identifier
    return provider(slug).spec.name if slug in slugs() else slug


def _part(part: PartOut, zone: str) -> str:
    return "".join(f"<p>{line}</p>" for line in _lines(part, zone))


def _lines(part: PartOut, zone: str) -> Iterator[str]:
    yield escape(to_plain(part.content)).replace("\n", "<br>") or "(no text)"
    if part.image:
        yield f"With {len(part.image)} {'file' if len(part.image) == 1 else 'files'}."
    yield f"<strong>{part.state}</strong>: {_STATE_SENTENCES[PostState(part.code)]}"
    if part.published_at:
        yield f"Published at {_local_time(part.published_at, zone)}."
    if part.error:
        yield escape(part.error)
    if part.release_url and part.release_url.startswith(("https://", "http://")):
        yield f'<a href="{escape(part.release_url)}">See it on the platform</a>'


def _local_time(moment: datetime, zone: str) -> str:
    local = moment.astimezone(ZoneInfo(zone))
    return f"{local:%Y-%m-%d %H:%M:%S} ({escape(zone)})"

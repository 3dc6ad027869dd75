"""The author of a post, and the interface that was used."""

from shared.access.actor import actor_of
from shared.access.context import ActingMember, Via
from shared.posts.models import CreationMethod
from shared.posts.parts import Author


def author_of(member: ActingMember, program: str | None = None) -> Author:
    """Return the caller as an author. `program` is the name that the caller gives itself; only `CLI` is accepted."""
    if member.via is Via.SESSION:
        door = CreationMethod.WEB
    else:
        door = CreationMethod.CLI if program == CreationMethod.CLI.upper() else CreationMethod.API
    return author_by(member, door)


def author_by(member: ActingMember, door: CreationMethod) -> Author:
    """Return the caller as an author who uses the interface `door`, however they authenticated."""
    return Author(
        member.reach,
        member.user_id,
        member.role,
        door,
        actor_of(member),
        member.allowances,
    )

"""In whose name is a post written, and through which door did it come?"""

from shared.access.context import ActingMember, Via
from shared.posts.models import CreationMethod
from shared.posts.parts import Author


def author_of(member: ActingMember, said: str | None = None) -> Author:
    """Make a caller an author. `said` is what a program calls itself: only `CLI` is taken at its word."""
    if member.via is Via.SESSION:
        door = CreationMethod.WEB
    else:
        door = CreationMethod.CLI if said == CreationMethod.CLI.upper() else CreationMethod.API
    return author_by(member, door)


def author_by(member: ActingMember, door: CreationMethod) -> Author:
    """Make a caller an author who comes through `door`, whatever proves who they are."""
    return Author(member.organization_id, member.user_id, member.role, door)

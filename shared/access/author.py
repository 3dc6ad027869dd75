"""The author of a post, and the interface that was used."""

from shared.access.actor import actor_of
from shared.access.context import ActingMember, Via
from shared.organizations.models import Role
from shared.posts.approval import ReviewStep, Right
from shared.posts.models import CreationMethod
from shared.posts.parts import Author
from shared.posts.review import Decider


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
        right_of(member),
    )


def right_of(member: ActingMember) -> Right:
    """Return the caller's right to queue posts and to approve them. Only people approve, and viewers are clients."""
    approves = member.may_approve or member.role is Role.OWNER
    return Right(
        must_ask=member.needs_approval,
        may_approve=approves and member.via is Via.SESSION and member.role is not Role.VIEWER,
    )


def decider_of(member: ActingMember) -> Decider:
    """Return the caller as somebody who decides: for the team, as a client (a viewer who may approve), or not at all."""
    author = author_of(member)
    is_client = member.role is Role.VIEWER and member.may_approve and member.via is Via.SESSION
    team = ReviewStep.TEAM if author.right.may_approve else None
    return Decider(author, ReviewStep.CLIENT if is_client else team)

"""Checks that nobody gets an API key that may do more than they may."""

from collections.abc import Collection

from shared.access.context import ActingMember
from shared.access.errors import KeyWouldSkipApproval
from shared.organizations.queries import KEY_WRITES


def check_scopes(member: ActingMember, scopes: Collection[str]) -> None:
    """Check the scopes of an API key that a member creates or changes.

    Raises:
        KeyWouldSkipApproval: it would queue posts, and theirs need approval.
    """
    if member.needs_approval and KEY_WRITES in scopes:
        raise KeyWouldSkipApproval


def check_rotation(member: ActingMember) -> None:
    """Check that a member may get the secret of a key whose scopes are not known yet.

    Raises:
        KeyWouldSkipApproval: it may queue posts, and theirs need approval.
    """
    check_scopes(member, {KEY_WRITES})

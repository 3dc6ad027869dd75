"""Who may write posts: a pure question about a role; which route asks for which role is in `shared/access/policy.py`."""

from shared.organizations.models import Role


def may_compose(role: Role) -> bool:
    """Return whether a member may write posts, and change, move, delete or resend the organization's."""
    return role is not Role.VIEWER

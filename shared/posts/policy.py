"""Who may write posts: pure questions about a role; which route asks for which role is in `shared/access/policy.py`."""

from shared.organizations.models import Role


def may_compose(role: Role) -> bool:
    """Say whether a member may write new posts."""
    return role is not Role.VIEWER


def may_edit(role: Role) -> bool:
    """Say whether a member may change, move, delete or resend the organization's posts: whoever may write them."""
    return may_compose(role)

"""The emails about an organization's seats: what each says, and which link it has. These are always sent."""

from datetime import datetime

from shared.core.formats.email import Letter, Link
from shared.organizations.models import Role

ROLE_WORDS = {
    Role.OWNER: "an owner",
    Role.ADMIN: "an admin",
    Role.EDITOR: "an editor",
    Role.MEMBER: "a member",
    Role.VIEWER: "a viewer",
}
"""The roles as a sentence names them."""


def invitation(
    url: str, *, giver: str, organization: str, role: Role, expires_at: datetime
) -> Letter:
    """Invite somebody to an organization."""
    return Letter(
        "You are invited to an organization",
        [
            f"{giver} invites you to join {organization} on Roost as {ROLE_WORDS[role]}.",
            f"The link works once, until {day(expires_at)}. If you do not expect this, ignore this email.",
        ],
        Link("Look at the invitation", url),
    )


def ownership_offer(
    url: str, *, giver: str, organization: str, steps_down: bool, expires_at: datetime
) -> Letter:
    """Offer somebody the ownership of an organization."""
    how = "instead of" if steps_down else "together with"
    return Letter(
        "You are offered the ownership of an organization",
        [
            f"{giver} offers you to own {organization} on Roost {how} them.",
            f"Nothing changes until you accept. You can do so until {day(expires_at)}.",
        ],
        Link("Look at the offer", url),
    )


def day(at: datetime) -> str:
    """Write a date for people."""
    return f"{at.day} {at:%B %Y}"

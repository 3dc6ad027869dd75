"""The emails about deleted accounts and organizations. These are always sent."""

from collections.abc import Sequence
from datetime import datetime

from shared.core.formats.email import Letter, Link


def account_deleted(return_url: str, erase_at: datetime, organizations: Sequence[str]) -> Letter:
    """Tell a person that their account was deleted, with what went with it, and let them undo it."""
    return Letter(
        "Your account was deleted",
        [
            "Your Roost account was deleted. Nobody can sign in to it anymore, and every session, API key and consent has ended.",
            *_along(organizations),
            f"Until {_day(erase_at)} you can restore it with this link. After that, everything is erased.",
            "If you did not do this, restore the account and set another password.",
        ],
        Link("Restore my account", return_url),
    )


def account_ends(return_url: str, erase_at: datetime) -> Letter:
    """Remind a person that their account will be erased."""
    return Letter(
        "Your account will be erased",
        [
            f"Your deleted Roost account will be erased on {_day(erase_at)}. Nothing can be restored after that.",
            "If you want to keep it, open this link.",
        ],
        Link("Restore my account", return_url),
    )


def account_erased() -> Letter:
    """Tell a person that their account is gone."""
    return Letter(
        "Your account was erased",
        [
            "Your Roost account and your personal data were erased. What you made for organizations that still exist stays "
            "there without your name.",
            "This is the last email to this address.",
        ],
    )


def organization_deleted(name: str, return_url: str, erase_at: datetime) -> Letter:
    """Tell an owner that an organization was deleted, and let them undo it."""
    return Letter(
        f"{name} was deleted",
        [
            f"The organization {name} was deleted on Roost. Nothing is published for it anymore, and nobody can use it.",
            f"Until {_day(erase_at)} an owner can restore it with this link. After that, its channels, posts and files are "
            "erased.",
        ],
        Link("Restore the organization", return_url),
    )


def organization_deleted_for_member(name: str, erase_at: datetime) -> Letter:
    """Tell a member that an organization was deleted."""
    return Letter(
        f"{name} was deleted",
        [
            f"An owner has deleted the organization {name} on Roost. Nothing is published for it anymore.",
            f"Until {_day(erase_at)} its owners can restore it. Ask one of them if this is a mistake.",
        ],
    )


def organization_ends(name: str, return_url: str, erase_at: datetime) -> Letter:
    """Remind an owner that an organization will be erased."""
    return Letter(
        f"{name} will be erased",
        [
            f"The deleted organization {name} will be erased on {_day(erase_at)}, with its channels, posts and files.",
            "If you want to keep it, open this link.",
        ],
        Link("Restore the organization", return_url),
    )


def organization_erased(name: str) -> Letter:
    """Tell an owner that an organization is gone."""
    return Letter(
        f"{name} was erased",
        [f"The organization {name} was erased on Roost, with its channels, posts and files."],
    )


def _along(organizations: Sequence[str]) -> list[str]:
    if not organizations:
        return []
    return [
        f"These organizations, which had no other member, were deleted with it: {', '.join(organizations)}."
    ]


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"

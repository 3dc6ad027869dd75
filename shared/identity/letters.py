"""The emails about an account: what each says, and which link it has. These are always sent."""

from datetime import datetime

from shared.core.config import settings
from shared.core.formats.email import Letter, Link

_NOT_YOU = "If you did not request this, ignore this email. Nothing changes."


def activation(code: str, company: str | None) -> Letter:
    """Ask a new user to activate their account."""
    what = f" for {company}" if company else ""
    return Letter(
        "Activate your account",
        [
            f"Welcome to Roost. Open this link within a day to activate your account{what}.",
            _NOT_YOU,
        ],
        Link("Activate", f"{settings().public_url}/auth/activate?code={code}"),
    )


def choose_password(code: str) -> Letter:
    """Ask a user who requested another activation email to choose their password, which activates the account too."""
    return Letter(
        "Activate your account",
        [
            "Open this link within a day and choose a password to activate your account.",
            _NOT_YOU,
        ],
        _reset_link(code),
    )


def reset(code: str) -> Letter:
    """Let a user set a new password."""
    return Letter(
        "Set a new password",
        [
            "Open this link within 20 minutes to set a new password.",
            "If you did not request this, ignore this email. Your password stays unchanged.",
        ],
        _reset_link(code),
    )


def known_address(code: str) -> Letter:
    """Tell a user that somebody, who may be the user, registered with the address of their account."""
    return Letter(
        "You already have an account",
        [
            "Somebody tried to register with this address. It already has an account, so nothing was changed.",
            "If it was you, sign in. If you do not remember your password, open this link within 20 minutes to set a "
            "new one.",
            "If it was not you, ignore this email.",
        ],
        _reset_link(code),
    )


def new_email(code: str) -> Letter:
    """Ask for the proof of an account's new address."""
    return Letter(
        "Confirm your new address",
        [
            "Open this link within an hour to use this address for your Roost account.",
            _NOT_YOU,
        ],
        Link("Confirm", f"{settings().public_url}/auth/confirm-email?code={code}"),
    )


def address_in_use() -> Letter:
    """Tell the owner of an account that somebody wanted its address for another account."""
    return Letter(
        "Your address already has an account",
        [
            "Somebody wanted to use this address for another Roost account. It already has one, so nothing was changed.",
            "If it was you, sign in with this address, or use another one.",
        ],
    )


def email_changed(undo: str) -> Letter:
    """Tell the old address that it was replaced, and let it undo that."""
    return Letter(
        "Your address was changed",
        [
            "Your Roost account has another address now.",
            "If you did not do this, open this link within 72 hours. It restores this address and ends every session, API "
            "key and consent of your account.",
        ],
        Link("Undo the change", f"{settings().public_url}/auth/undo-email?code={undo}"),
    )


def email_restored(code: str) -> Letter:
    """Tell the old address that it was restored, and let its owner set a password."""
    return Letter(
        "Your address was restored",
        [
            "Your Roost account has this address again. Its password was removed, and every session, API key and consent "
            "has ended.",
            "Open this link within 20 minutes to set a new password. After that, request another one.",
        ],
        _reset_link(code),
    )


def login_changed(provider: str, *, added: bool) -> Letter:
    """Tell a user that a login was added to their account, or removed from it."""
    what = "can sign in with" if added else "can no longer sign in with"
    return Letter(
        "A way to sign in was added" if added else "A way to sign in was removed",
        [
            f"You {what} {provider}.",
            "If you did not do this, reset your password and check how you sign in: somebody else was signed in to your "
            "account.",
        ],
    )


def new_device(device: str, place: str, at: datetime) -> Letter:
    """Tell a user that somebody signed in from a device that their account has not seen before."""
    return Letter(
        "New sign-in to your account",
        [
            "Somebody signed in to your Roost account from a device that had not signed in before.",
            f"Device: {device}\nNetwork address: {place}\nTime: {at:%Y-%m-%d %H:%M} UTC",
            "If it was you, there is nothing to do.",
            "If it was not you, reset your password: that ends every session, API key and consent of your account.",
        ],
    )


def factor_changed(name: str, *, added: bool) -> Letter:
    """Tell a user that a second factor was added to their account, or removed from it."""
    what = "is now a second factor" if added else "is no longer a second factor"
    return Letter(
        "A second factor was added" if added else "A second factor was removed",
        [
            f"{name} {what} of your account. Your other sessions have ended.",
            "If you did not do this, reset your password and check your second factors: somebody else was signed in to "
            "your account.",
        ],
    )


def recovery_codes_replaced() -> Letter:
    """Tell a user that they have new recovery codes."""
    return Letter(
        "Your recovery codes were replaced",
        [
            "You have ten new recovery codes. The old ones no longer work.",
            "If you did not do this, reset your password and replace the codes: somebody else was signed in to your account.",
        ],
    )


def recovery_code_used(left: int) -> Letter:
    """Tell a user that a recovery code was used."""
    return Letter(
        "A recovery code was used",
        [
            f"Somebody used a recovery code of your account as the second factor. You have {left} left.",
            "If it was not you, reset your password, sign in and replace your recovery codes.",
        ],
    )


def codes_guessed() -> Letter:
    """Warn a user that somebody tries codes of their second factor."""
    return Letter(
        "Wrong codes for your account",
        [
            "Somebody entered ten wrong codes of your second factor. They know your password, or use a browser in which you "
            "are signed in.",
            "If it was not you, change your password. Each further wrong code is followed by a longer pause.",
        ],
    )


def passkey_copied() -> Letter:
    """Warn a user that the counter of one of their passkeys went back."""
    return Letter(
        "A passkey of your account may have been copied",
        [
            "Somebody used one of your passkeys with a counter that went back, as that of a copy does. It was refused.",
            "If you have only one device with this passkey, remove it from your account and add a new one.",
        ],
    )


def recovery(code: str) -> Letter:
    """Let a user start the recovery of an account whose second factor is lost."""
    return Letter(
        "Recover your account",
        [
            "Have you lost your second factor and your recovery codes? Open this link within 20 minutes and enter your password. "
            "After 72 hours, your second factors are removed.",
            _NOT_YOU,
        ],
        Link("Recover my account", f"{settings().public_url}/auth/recover?code={code}"),
    )


def recovery_waits(code: str, opens_at: datetime) -> Letter:
    """Remind a user, daily, that their account is being recovered, and let them stop it."""
    return Letter(
        "Your account is being recovered",
        [
            f"Somebody who knows your password asked to remove your second factors. That happens on {opens_at:%Y-%m-%d at %H:%M} UTC.",
            "If it was not you, open this link, or sign in with your second factor: either one stops it. Then change your "
            "password.",
        ],
        Link("Stop it", f"{settings().public_url}/auth/stop-recovery?code={code}"),
    )


def recovery_of_member(email: str, opens_at: datetime) -> Letter:
    """Warn an administrator that a member recovers their account without their second factor."""
    return Letter(
        "A member recovers their account",
        [
            f"{email} has lost their second factor and asked to remove it. That happens on {opens_at:%Y-%m-%d at %H:%M} UTC. "
            "Their place in your organization then stays closed until another owner agrees.",
            "Ask the member, in person or by phone, whether it was them. If it was not, stop it: "
            "GET /settings/recoveries lists it.",
        ],
    )


def recovery_stopped() -> Letter:
    """Tell a user that the recovery of their account was stopped."""
    return Letter(
        "The recovery of your account was stopped",
        [
            "Your second factors stay.",
            "If you did not know of a recovery, change your password: somebody knows it and reads your email.",
        ],
    )


def recovery_finished() -> Letter:
    """Tell a user that their second factors were removed."""
    return Letter(
        "Your second factors were removed",
        [
            "Your account was recovered. Every session, API key and consent of it has ended. Sign in with your password and add "
            "a new second factor.",
            "Organizations that you share with others stay closed until another owner agrees. Where you are the only owner, "
            "yours opens 72 hours after you have added a new second factor, unless an admin objects.",
        ],
    )


def password_changed() -> Letter:
    """Tell a user that their password was changed."""
    return Letter(
        "Your password was changed",
        [
            "The password of your account was changed.",
            "If it was not you, request a new password on the sign-in page at once, and set it with the link that you get.",
        ],
    )


def _reset_link(code: str) -> Link:
    return Link("Set a password", f"{settings().public_url}/auth/forgot-return?token={code}")

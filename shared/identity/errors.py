"""Which refusals concern accounts and sessions."""

from shared.core.errors import (
    Conflict,
    FieldProblem,
    Forbidden,
    InvalidInput,
    NotFound,
    Unauthenticated,
)
from shared.db.session import SavedButNotDone


class SessionOver(Unauthenticated):
    """The session's token has expired, or the session was revoked."""

    code = "session_over"

    def __init__(self) -> None:
        super().__init__("The session is over. Renew it, or sign in again.")


class LoginRefused(Unauthenticated):
    """The address is unknown, the password is wrong, or it was wrong too often: the answer does not say which."""

    code = "login_refused"

    def __init__(self) -> None:
        super().__init__(
            "The address or the password is wrong. After ten wrong passwords, wait 15 minutes."
        )


class NotActivated(Forbidden):
    """The password is right, but the address was never proven."""

    code = "not_activated"

    def __init__(self) -> None:
        super().__init__("Open the link in the mail we sent you, or ask for another one.")


class ActivationNotSent(SavedButNotDone):
    """The account is stored, but its activation mail could not be sent."""

    code = "activation_not_sent"

    def __init__(self) -> None:
        super().__init__(
            "Your account was created, but its activation mail could not be sent. Request it again later, or ask "
            "this server's operator to activate the account."
        )


class EmailTaken(Conflict):
    """Somebody has registered with this address."""

    code = "email_taken"

    def __init__(self) -> None:
        words = "There is an account with this address. Sign in, or reset its password."
        super().__init__(words, problems=[FieldProblem("email", self.code, words)])


class RegistrationClosed(Forbidden):
    """This server takes no new accounts."""

    code = "registration_closed"

    def __init__(self) -> None:
        super().__init__("This server takes no new accounts. Ask its owner to invite you.")


class PlusRefused(InvalidInput):
    """This server refuses addresses with a plus sign."""

    def __init__(self) -> None:
        problem = FieldProblem("email", "plus_refused", "Use an address without a plus sign.")
        super().__init__("This server refuses addresses with a plus sign.", problems=[problem])


class CodeRefused(InvalidInput):
    """The mailed code is unknown, used, or too old."""

    def __init__(self, path: str) -> None:
        problem = FieldProblem(path, "code_refused", "Ask for a new mail and use its link.")
        super().__init__("The link has expired or was used already.", problems=[problem])


class UnsubscribeRefused(InvalidInput):
    """The unsubscribe link is not one that we mailed."""

    def __init__(self) -> None:
        words = "This link is damaged. Open the complete link from the mail, or choose your mails in your settings."
        super().__init__(words, problems=[FieldProblem("token", "unsubscribe_refused", words)])


class NoSuchSession(NotFound):
    """The user has no such session, or it is over."""

    def __init__(self) -> None:
        super().__init__("You have no such session.")


def unknown_address(email: str) -> str:
    """Explain to an operator that no account has the address that they gave."""
    return f"No account has the address {email}. Register it first, then try again."

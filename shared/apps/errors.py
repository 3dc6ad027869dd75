"""The refusals of third-party apps: the protocol's own, for apps, and those for members."""

from shared.core.errors import AppError, Conflict, NotFound


class OAuthRefused(AppError):
    """A refusal that the protocol defines.

    `error` is its name, `answer` the HTTP status. Without a description, the body has only the name. `return_to` is the
    address to which the browser is redirected with it, set after the app and its address were checked.
    """

    code = "oauth_refused"

    def __init__(
        self, error: str, description: str = "", *, answer: int = 400, return_to: str | None = None
    ) -> None:
        super().__init__(description or error)
        self.error = error
        self.description = description
        self.answer = answer
        self.return_to = return_to


class UnknownProgram(AppError):
    """No app has this client id. Existing clients know the sentence."""

    status, code = 400, "invalid_client_id"

    def __init__(self) -> None:
        super().__init__("Invalid client_id")


class NoApp(NotFound):
    """The organization has no app."""

    code = "no_app"

    def __init__(self) -> None:
        super().__init__("Your organization has no app. Create one first.")


class AppExists(Conflict):
    """The organization already has an app."""

    code = "app_exists"

    def __init__(self) -> None:
        super().__init__(
            "Your organization already has an app. Change it, or delete it to create another."
        )


class NoSuchGrant(NotFound):
    """The consent does not exist, or it is another member's."""

    def __init__(self) -> None:
        super().__init__("This permission does not exist. It may have been revoked already.")


class NoSuchUserCode(NotFound):
    """No device waits with this code."""

    code = "no_such_code"

    def __init__(self) -> None:
        super().__init__(
            "No device is waiting with this code. It may have expired. Start again on the device."
        )

"""The refusals of channels, and the conversion of a platform's refusal for a member who is connecting."""

import difflib
from collections.abc import Collection, Sequence

from shared.core.errors import (
    AppError,
    Conflict,
    FieldProblem,
    Forbidden,
    InvalidInput,
    NotFound,
    TooManyRequests,
    Unavailable,
)
from shared.core.ids import ChannelId
from shared.providers.errors import (
    AppMisconfigured,
    ChannelDisconnected,
    OutcomeUnknown,
    PlatformUnavailable,
    ProviderError,
    RateLimited,
    TokenExpired,
)


class ChannelNotFound(NotFound):
    """There is no such channel in this organization."""

    code = "channel_not_found"

    def __init__(self) -> None:
        super().__init__(
            "This channel does not exist. It may be deleted, or belong to another organization."
        )


class ChannelsNotFound(NotFound):
    """Some of the given channels are not in this organization; `ids` lists them."""

    code = "channel_not_found"

    def __init__(self, ids: Collection[ChannelId]) -> None:
        super().__init__(
            f"These channels do not exist: {', '.join(sorted(map(str, ids)))}. They "
            "may be deleted, or belong to another organization."
        )
        self.ids = frozenset(ids)


class CustomerNotFound(NotFound):
    """There is no such customer in this organization."""

    code = "customer_not_found"

    def __init__(self) -> None:
        super().__init__(
            "This customer does not exist. It may be deleted, or belong to another organization."
        )


class CustomerNameTaken(Conflict):
    """Another customer of the organization has that name."""

    code = "customer_name_taken"

    def __init__(self, name: str) -> None:
        words = f"A customer named {name!r} already exists. Choose another name."
        problem = FieldProblem("name", "taken", words)
        super().__init__(words, problems=[problem])


class TooManyCustomers(Conflict):
    """The organization has the maximum number of customers."""

    code = "too_many_customers"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"Your organization has reached its limit of {most:,} customers. Delete one first."
        )


class ProviderNotFound(NotFound):
    """There is no such platform, or it is not offered here."""

    code = "provider_not_found"

    def __init__(self, slug: str, offered: Sequence[str]) -> None:
        alike = difflib.get_close_matches(slug, offered, n=1)
        words = f"The platform {slug!r} is not available here."
        words += f" Did you mean {alike[0]!r}?" if alike else ""
        super().__init__(f"{words} See `GET /integrations/providers` for all platforms.")


class NotStarted(Conflict):
    """The connection was not started by this organization, is already finished, or took longer than an hour."""

    code = "connection_not_started"

    def __init__(self) -> None:
        super().__init__(
            "This connection is already finished, or took longer than an hour. Start again."
        )


class MayNotConnect(Forbidden):
    """The caller's role, session, API key or grant ended during the request to the platform."""

    code = "may_not_connect"

    def __init__(self) -> None:
        super().__init__(
            "Your access changed while you were connecting, so nothing was connected. Sign in "
            "again, or ask an owner of the organization."
        )


class OtherAccount(Conflict):
    """A channel is reconnected with another account than its own."""

    code = "other_account"

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(
            f"This channel is {expected}, but you are logged in there as {found}. Log in as "
            f"{expected} and reconnect, or add {found} as a new channel."
        )


class AlreadyConnected(Conflict):
    """The account is already a channel of the organization, and the request does not ask to reconnect that one."""

    code = "already_connected"

    def __init__(self, name: str, channel_id: ChannelId | None) -> None:
        which = f" (`refresh={channel_id}`)" if channel_id else ""
        super().__init__(
            f"{name} is already connected. To renew its access, open that channel and reconnect "
            f"it{which}."
        )


class AccountNotFree(Conflict):
    """The account is a channel of the organization that the member may not see."""

    code = "account_not_free"

    def __init__(self) -> None:
        super().__init__(
            "You cannot connect this account. Ask an admin of your organization to connect it."
        )


class CustomerNeeded(InvalidInput):
    """The member sees several customers, and the new channel must belong to one of them."""

    code = "customer_needed"

    def __init__(self) -> None:
        words = (
            "Your access is limited to certain customers. Send the id of the one that this account "
            "belongs to as `customer`; `GET /customers` lists them."
        )
        super().__init__(words, problems=[FieldProblem("customer", "missing", words)])


class AskAgain(Conflict):
    """The platform needs broader permissions than requested; the member grants them at `url`."""

    code = "ask_again"

    def __init__(self, platform: str, url: str) -> None:
        words = f"{platform} needs broader permissions for this account. Open {url} and allow them."
        super().__init__(words, problems=[FieldProblem("code", self.code, url)])
        self.url = url


class OtherBrowser(Forbidden):
    """The form was submitted in a different browser from the one that started the connection."""

    code = "other_browser"

    def __init__(self) -> None:
        super().__init__(
            "This connection was started in another browser. Finish it there, or start again in "
            "this one."
        )


class NoPages(Conflict):
    """The account manages no page for posting, or the platform has no pages."""

    code = "no_pages"


class PageChosen(Conflict):
    """The channel already has a page, or needs none."""

    code = "page_chosen"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"This channel already posts as {name}. Connect the other page as a new channel."
        )


class NoSlots(Conflict):
    """None of the channels has a posting time."""

    code = "no_slots"

    def __init__(self) -> None:
        super().__init__("These channels have no posting times. Add one to find a free slot.")


class NoFreeSlot(Conflict):
    """Every slot of the coming year is taken."""

    code = "no_free_slot"

    def __init__(self) -> None:
        super().__init__(
            "Every posting time in the next 400 days is taken. Add another posting time."
        )


class PlatformRefused(Conflict):
    """The platform refused; the message and the problem's code are its own."""

    code = "platform_refused"


class AccessEnded(PlatformRefused):
    """The platform no longer lets us act for the account, which must be reconnected."""


class PlatformSilent(Unavailable):
    """The platform cannot be reached or does not work now; nothing was changed."""

    code = "platform_unavailable"


class PlatformLimited(TooManyRequests):
    """The platform's rate limit was reached."""

    code = "platform_rate_limited"


class PlatformNotSetUp(Unavailable):
    """This server's application is missing or refused on the platform; only the operator can fix that."""

    code = "platform_not_set_up"


PLATFORM_FAILED = (PlatformRefused, PlatformSilent, PlatformLimited, PlatformNotSetUp)
"""All results of `refusal`."""

_SAME: dict[type[ProviderError], type[AppError]] = {
    ChannelDisconnected: AccessEnded,
    TokenExpired: AccessEnded,
    PlatformUnavailable: PlatformSilent,
    OutcomeUnknown: PlatformSilent,
    AppMisconfigured: PlatformNotSetUp,
}


def refusal(error: ProviderError) -> AppError:
    """Convert a platform's refusal to ours, with the platform's code and reason in addition to the message."""
    evidence = error.evidence
    # Without an answer, the evidence is our own client's message, which is only useful in the log.
    words = evidence.body[:300] if evidence.status else ""
    problem = FieldProblem(
        "provider", evidence.platform_code or error.detail_code, words or error.message
    )
    if isinstance(error, RateLimited):
        return PlatformLimited(
            error.message, retry_after_seconds=max(1, round(error.retry_after.total_seconds()))
        )
    return _ours(type(error))(error.message, problems=[problem])


def status_while_connecting(error: type[ProviderError]) -> int:
    """Return the HTTP status of a platform's refusal that answers a request."""
    return PlatformLimited.status if issubclass(error, RateLimited) else _ours(error).status


def _ours(error: type[ProviderError]) -> type[AppError]:
    return next(
        (ours for theirs, ours in _SAME.items() if issubclass(error, theirs)), PlatformRefused
    )

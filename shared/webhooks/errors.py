"""The refusals of webhooks."""

from shared.core.errors import Conflict, NotFound
from shared.webhooks.announce import KEPT


class NoSuchWebhook(NotFound):
    """The organization has no such webhook."""

    def __init__(self) -> None:
        super().__init__(
            "This webhook does not exist. It may be deleted, or belong to another organization."
        )


class NoSuchDelivery(NotFound):
    """The webhook has no such delivery, or it is too old to be kept."""

    def __init__(self) -> None:
        super().__init__(f"This delivery does not exist. Deliveries are kept for {KEPT.days} days.")


class TooManyWebhooks(Conflict):
    """The organization already has the maximum number of webhooks."""

    code = "too_many_webhooks"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"Your organization has reached its limit of {most} webhooks. Delete one first."
        )


class WebhookIsDisabled(Conflict):
    """Nothing is sent to a disabled webhook."""

    code = "webhook_disabled"

    def __init__(self) -> None:
        super().__init__("The webhook is disabled. Enable it first.")


class StillTried(Conflict):
    """The delivery is in progress or waiting for its next try."""

    code = "still_tried"

    def __init__(self) -> None:
        super().__init__("This delivery is still being tried. Wait for `nextAt`, its next try.")

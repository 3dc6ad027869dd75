"""Decides by the receiver's answer whether a message is retried. Pure."""

from dataclasses import dataclass
from datetime import timedelta

from shared.core.cleaning import clean_text

KEPT_CHARACTERS = 1_000  # of a receiver's answer
# After each try but the last: eight tries within 24 hours.
BACK_OFF = (
    timedelta(seconds=10),
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=6),
    timedelta(hours=15),
)
MOST_TRIES = len(BACK_OFF) + 1
LONGEST_WAIT = timedelta(hours=24)  # even if a receiver asks for more
SPREAD = 0.1  # of a pause, so that messages that failed together are not retried together
FAILING_FOR = timedelta(days=3)  # after that, a webhook is disabled
_GONE = 410


@dataclass(frozen=True, slots=True)
class Answer:
    """A receiver's answer. Without one, `status` is None and `error` says why. `retry_after` is the requested wait.

    Both texts are cleaned and cut here: they come from someone else's server, and the delivery log shows them.
    """

    status: int | None = None
    text: str | None = None
    error: str | None = None
    retry_after: timedelta | None = None

    def __post_init__(self) -> None:
        for name in ("text", "error"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, clean_text(value, max_length=KEPT_CHARACTERS))

    @property
    def is_taken(self) -> bool:
        """True if the receiver accepted the message. A redirect does not count: the webhook's address must be corrected."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """True if the receiver wants no more messages."""
        return self.status == _GONE

    @property
    def reason(self) -> str:
        """The reason why the message does not count as delivered."""
        return self.error or f"The server answered {self.status}."


def pause_after(answer: Answer, tries: int) -> timedelta | None:
    """Return how long to wait after try number `tries`; None: it was the last."""
    if answer.is_taken or answer.is_gone or tries >= MOST_TRIES:
        return None
    return max(BACK_OFF[tries - 1], min(answer.retry_after or timedelta(0), LONGEST_WAIT))

"""Decides what to do after a try: a pure table from the platform's answer to our next step.

The most important rule: after an irrevocable request may have been accepted (`sent` or `doubted`), no branch ends in
"failed", and none sends again without the same live idempotency key. The request is repeated with that key, the post is
looked up, or the part is `unconfirmed`.

A live key is not enough while the first request may still be running: Mastodon stores a key only after it has created the
status (app/services/post_status_service.rb of mastodon/mastodon, read 2026-11-30), so two simultaneous requests create two
posts. Therefore the post is looked up first, and the request is repeated when the first one must have ended and no post was
found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any

from shared.providers.base import Processing, Released
from shared.providers.errors import (
    AppMisconfigured,
    ChannelDisconnected,
    GrantRejected,
    OutcomeUnknown,
    PlatformUnavailable,
    ProviderError,
    RateLimited,
    SeveralFound,
    TokenExpired,
)

MAX_TRIES = 5
BACK_OFF = (
    timedelta(seconds=15),
    timedelta(minutes=1),
    timedelta(minutes=4),
    timedelta(minutes=12),
)
# A server may process a request for longer than anybody waits for the answer: gateways time out after 60 to 100 seconds
# (nginx's `proxy_read_timeout`, Cloudflare's 524) and do not stop it. After this time, a request is assumed to have ended,
# see docs/adr/0003-unconfirmed.md.
LONGEST_RUN = timedelta(minutes=10)
REPEAT_AFTER = (timedelta(0), timedelta(seconds=5), timedelta(seconds=45), timedelta(minutes=3))
# The pauses before each look-up: 10 s, 55 s, 3 min and, where the request can be repeated after it, `LONGEST_RUN`.
LOOK_UP_AFTER = (
    timedelta(seconds=10),
    timedelta(seconds=45),
    timedelta(seconds=125),
    timedelta(minutes=7),
)
MOST_REPETITIONS = 2
KEY_MARGIN = timedelta(minutes=5)  # a key that is about to expire counts as expired
LONGEST_PROCESSING = timedelta(hours=1)
LONGEST_PAUSE = timedelta(hours=24)  # the longest time for which an outcome is left unknown
LEAST_PAUSE = timedelta(seconds=3)  # some platforms repeatedly answer "after 0 seconds"


class Task(StrEnum):
    """The task of a continuation."""

    RESUME = "resume"  # the platform is working on it: ask again
    REPEAT = "repeat"  # send the same request under the same key
    LOOK_UP = "look_up"  # ask the platform whether the post exists


@dataclass(frozen=True, slots=True)
class AttemptContext:
    """The known state of an attempt when its try ends.

    `sent`: in this step the irrevocable request was marked, and not cleanly refused.
    `accepted`: in an earlier step the platform accepted the post, and is processing it.
    `doubt_age`: the age of an unanswered request of an earlier step; None if there is none.
    `has_key`: the server is known to recognize a repeated request. `key_is_record`: the key is the post's own name there,
    so it cannot be used twice; any other key must be stored by the server, which may fail before that.
    `request_ended`: the application itself answered every request in doubt with an error, so none is still running.
    `repetitions`: how often the request was repeated without a known outcome.
    `rounds`: the number of continuations of the current task.
    """

    number: int = 1
    sent: bool = False
    accepted: bool = False
    doubt_age: timedelta | None = None
    key_lifetime: timedelta | None = None
    key_is_record: bool = False
    has_key: bool = False
    can_look_up: bool = False
    refreshed: bool = False
    request_ended: bool = False
    repetitions: int = 0
    task: Task | None = None
    rounds: int = 0
    age: timedelta = timedelta(0)

    @property
    def in_doubt(self) -> bool:
        """True if a post may already exist on the platform."""
        return self.sent or self.accepted or self.doubt_age is not None

    @property
    def key_is_live(self) -> bool:
        """True if the platform recognizes a repetition with the same key now."""
        return self.key_outlives(timedelta(0))

    def key_outlives(self, delay: timedelta) -> bool:
        """Return whether the platform recognizes a repetition with the same key after `delay`."""
        if not self.has_key:
            return False
        accepted_age = self.age if self.accepted else timedelta(0)
        age = accepted_age if self.doubt_age is None else self.doubt_age
        return self.key_lifetime is None or age + delay < self.key_lifetime - KEY_MARGIN


@dataclass(frozen=True, slots=True)
class Publish:
    """The post is on the platform."""

    released: Released


@dataclass(frozen=True, slots=True)
class Wait:
    """Continue this attempt after `after`; the part stays `publishing`."""

    task: Task
    after: timedelta
    rounds: int = 0
    state: Mapping[str, Any] | None = None  # None: keep what the provider said last
    unknown: bool = False  # a request of this step may have been accepted
    accepted: bool = False
    request_ended: bool = False  # see `AttemptContext` for these two
    repetitions: int = 0
    error: ProviderError | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """Nothing was created: back into the queue. `counts` says whether this was one of the five tries."""

    after: timedelta
    error: ProviderError
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Refresh:
    """Renew the token once, and try again immediately."""

    error: ProviderError


@dataclass(frozen=True, slots=True)
class Fail:
    """Nothing was created and nothing will be. `disconnects`: the member must connect the channel again."""

    error: ProviderError
    disconnects: bool = False


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """The post may be there. We do not send it again; the member decides."""

    error: ProviderError


Next = Publish | Wait | Retry | Refresh | Fail | Unconfirmed


def after(result: Released | Processing | ProviderError, context: AttemptContext) -> Next:
    """Decide what happens next."""
    if isinstance(result, Released):
        return Publish(result)
    if isinstance(result, Processing):
        return _after_processing(result, context)
    if isinstance(result, OutcomeUnknown) or context.sent:
        return _resolve(result, context, unknown=True)
    if isinstance(result, TokenExpired) and not context.refreshed:
        return Refresh(result)
    if isinstance(result, ChannelDisconnected | GrantRejected) or _is_passing(result):
        return without_asking(result, context)  # does not apply to a post that was accepted before
    if context.doubt_age is not None:
        return _resolve(result, context, unknown=False)
    return _after_clean_refusal(result, context)


def without_asking(error: ProviderError, context: AttemptContext) -> Next:
    """Decide for a try without a request to the platform: no token, no credentials, a missing file.

    This says nothing about an accepted post, which may still appear.
    """
    if context.task is Task.RESUME and _is_passing(error):
        return _ask_again(error, context)
    if context.in_doubt:
        return _resolve(error, context, unknown=False)
    return _after_clean_refusal(error, context)


def while_paused(pause: timedelta, context: AttemptContext) -> Next:
    """Decide for a continuation whose platform is paused for everybody: the same task after `pause`.

    The platform was not asked, so this does not count as a round. If the task would be impossible by then, it is treated as a
    rate limit.
    """
    error = RateLimited("The platform is limiting all of Roost for now.", retry_after=pause)
    lapses = context.task is Task.REPEAT and not context.key_outlives(pause)
    if context.task is None or not context.in_doubt or lapses or pause > LONGEST_PAUSE:
        return without_asking(error, context)
    return Wait(
        context.task,
        pause,
        context.rounds,
        accepted=context.accepted,
        request_ended=context.request_ended,
        repetitions=context.repetitions,
        error=error,
    )


def after_lapsed_key(context: AttemptContext) -> Next:
    """Decide for a repetition after its idempotency key expired: it would create a second post."""
    error = OutcomeUnknown(
        "The platform did not answer, and sending the post again could publish it twice."
    )
    return _resolve(error, context, unknown=False)


def after_lost_lease(context: AttemptContext) -> Next:
    """Decide for an attempt whose process died: killed, timed out, or cut off from the database."""
    if context.task is Task.RESUME and not context.sent and context.age <= LONGEST_PROCESSING:
        return Wait(Task.RESUME, timedelta(0), context.rounds, accepted=context.accepted)
    if context.in_doubt:
        return _resolve(
            OutcomeUnknown("Roost was interrupted after the post was sent."), context, unknown=True
        )
    error = PlatformUnavailable("Roost was interrupted before the post was sent.")
    return Retry(timedelta(0), error) if context.number < MAX_TRIES else Fail(error)


def _after_processing(result: Processing, context: AttemptContext) -> Next:
    if context.age > LONGEST_PROCESSING:
        error = OutcomeUnknown("The platform has been processing the post for an hour.")
        return _resolve(error, context, unknown=context.sent) if context.in_doubt else Fail(error)
    return Wait(
        Task.RESUME, result.after, state=result.state, accepted=context.sent or context.accepted
    )


def _ask_again(error: ProviderError, context: AttemptContext) -> Next:
    """Continue from the same state later. At the end, treat the outcome as unknown, or start over if nothing was created."""
    pause = _pause(error)
    if context.rounds >= MAX_TRIES or pause > LONGEST_PAUSE:
        if not context.in_doubt:
            return _after_clean_refusal(error, context)
        return _resolve(error, context, unknown=False)
    delay = max(pause, BACK_OFF[min(context.rounds, len(BACK_OFF) - 1)])
    return Wait(Task.RESUME, delay, context.rounds + 1, accepted=context.accepted, error=error)


def _after_clean_refusal(error: ProviderError, context: AttemptContext) -> Next:
    if isinstance(error, RateLimited):
        return Retry(_pause(error), error, counts=False)
    if isinstance(error, PlatformUnavailable | AppMisconfigured):
        if context.number >= MAX_TRIES:
            return Fail(error)
        return Retry(BACK_OFF[min(context.number, len(BACK_OFF)) - 1], error)
    return Fail(error, disconnects=isinstance(error, ChannelDisconnected | GrantRejected))


def _pause(error: ProviderError) -> timedelta:
    return max(LEAST_PAUSE, error.retry_after) if isinstance(error, RateLimited) else timedelta(0)


def _is_passing(error: ProviderError) -> bool:
    return isinstance(error, RateLimited | PlatformUnavailable | AppMisconfigured | TokenExpired)


def _resolve(error: ProviderError, context: AttemptContext, *, unknown: bool) -> Next:
    """Resolve an unknown outcome: look the post up, repeat the request with a live key, or leave it to the member.

    A finally refused repetition does not resolve the request before it. A post that the platform accepted without a later
    answer becomes an unknown outcome here, and stays one in every later step.
    """
    pause = _pause(error)
    if pause > LONGEST_PAUSE:
        return Unconfirmed(error)
    now = replace(
        context,
        request_ended=_requests_ended(error, context, unknown=unknown),
        repetitions=context.repetitions + (context.task is Task.REPEAT),
    )
    wants_repetition = context.task is not Task.LOOK_UP and (unknown or _is_passing(error))
    if wants_repetition and _can_repeat_unseen(context, unknown=unknown):
        rounds = context.rounds + 1 if context.task is Task.REPEAT else 0
        delay = max(pause, REPEAT_AFTER[min(rounds, len(REPEAT_AFTER) - 1)])
        if rounds < len(REPEAT_AFTER) and context.key_outlives(delay):
            again = _repeating(error, context, delay, unknown=unknown or context.accepted)
            return replace(again, rounds=rounds)
    unknown = unknown or context.accepted
    if not context.can_look_up:
        return _repetition(error, now, pause=pause, unknown=unknown) or Unconfirmed(error)
    rounds = context.rounds + 1 if context.task is Task.LOOK_UP else 0
    if rounds >= len(LOOK_UP_AFTER):
        return Unconfirmed(error)
    at_once = rounds == 0 and now.request_ended and now.key_is_live and not now.repetitions
    delay = timedelta(0) if at_once else LOOK_UP_AFTER[rounds]
    return _looking_up(error, now, max(pause, delay), rounds, unknown=unknown)


def _can_repeat_unseen(context: AttemptContext, *, unknown: bool) -> bool:
    """Return whether a repetition needs no look-up: it cannot create a second post, and no request is still running.

    A record's name can be taken only once. Otherwise the previous request must have been answered completely: the platform
    accepted it, or it was a repetition that the platform postponed, and the request before that has ended.
    """
    if context.key_is_record:
        return True
    was_accepted = context.accepted and context.doubt_age is None
    return not unknown and (context.task is Task.REPEAT or was_accepted)


def _requests_ended(error: ProviderError, context: AttemptContext, *, unknown: bool) -> bool:
    """Return whether the application has answered every request in doubt, including this step's."""
    if not unknown:
        return context.request_ended
    has_ended = isinstance(error, OutcomeUnknown) and error.request_ended
    is_first = context.doubt_age is None and not context.accepted
    return has_ended and (is_first or context.request_ended)


def _repetition(
    error: ProviderError,
    context: AttemptContext,
    *,
    pause: timedelta = timedelta(0),
    unknown: bool = False,
) -> Wait | None:
    """Repeat the request when it can no longer be running; None if the platform might accept it twice.

    It is repeated once, and once more if the application answered every request so far with an error.
    """
    age = context.doubt_age or timedelta(0)
    left = timedelta(0) if context.request_ended else LONGEST_RUN - age
    delay = max(pause, left, timedelta(0))
    most = MOST_REPETITIONS if context.request_ended else 1
    if context.repetitions >= most or not context.key_outlives(delay):
        return None
    return _repeating(error, context, delay, unknown=unknown)


def _repeating(
    error: ProviderError, context: AttemptContext, delay: timedelta, *, unknown: bool
) -> Wait:
    return Wait(
        Task.REPEAT,
        delay,
        unknown=unknown,
        request_ended=context.request_ended,
        repetitions=context.repetitions,
        error=error,
    )


def _looking_up(
    error: ProviderError,
    context: AttemptContext,
    delay: timedelta,
    rounds: int,
    *,
    unknown: bool = False,
) -> Wait:
    return Wait(
        Task.LOOK_UP,
        delay,
        rounds,
        unknown=unknown,
        request_ended=context.request_ended,
        repetitions=context.repetitions,
        error=error,
    )


def after_look_up(
    found: Released | None,
    context: AttemptContext,
    error: ProviderError | None,
    *,
    several: Sequence[Released] = (),
) -> Next:
    """Decide after asking the platform.

    `found` is the post that is certainly ours; `several` are those that could be ours, newest first.
    """
    if found is not None:
        return Publish(found)
    if len(several) > 1:
        return Unconfirmed(SeveralFound([candidate.url for candidate in several]))
    if error is not None and _is_passing(error):
        if isinstance(error, TokenExpired) and not context.refreshed:
            return Refresh(error)
        return _resolve(error, context, unknown=False)
    return Unconfirmed(error) if error is not None else _after_nothing_found(context)


def _after_nothing_found(context: AttemptContext) -> Next:
    """Look again while the request may still be running; after that, repeat it with a live key."""
    error = OutcomeUnknown("The platform did not confirm the post, and it was not found there.")
    delay = _look_again_after(context)
    if delay is not None:
        return _looking_up(error, context, delay, context.rounds + 1)
    return _repetition(error, context) or Unconfirmed(error)


def _look_again_after(context: AttemptContext) -> timedelta | None:
    """Return the pause before the next look-up; None if the request can be repeated now, or never.

    The last look-up happens only if a repetition can follow. The time of a repetition is not known here, so after one, all
    other look-ups happen.
    """
    rounds = context.rounds + 1
    is_last = rounds == len(LOOK_UP_AFTER) - 1
    if rounds >= len(LOOK_UP_AFTER) or (is_last and context.repetitions):
        return None
    if context.repetitions:
        return LOOK_UP_AFTER[rounds]
    left = LONGEST_RUN - (context.doubt_age or timedelta(0))
    if (context.request_ended and context.key_is_live) or left <= timedelta(0):
        return None
    delay = min(LOOK_UP_AFTER[rounds], left)
    return None if is_last and not context.key_outlives(delay) else delay

"""What follows from an answer: the whole table, and the one rule that no row may break."""

import itertools
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.providers.base import Processing, Released
from shared.providers.errors import (
    AppMisconfigured,
    ChannelDisconnected,
    ContentRejected,
    Evidence,
    GrantRejected,
    MediaRejected,
    OutcomeUnknown,
    PlatformUnavailable,
    ProviderError,
    RateLimited,
    TokenExpired,
    Unsupported,
)
from shared.publishing.outcome import (
    BACK_OFF,
    KEY_MARGIN,
    LEAST_PAUSE,
    LONGEST_RUN,
    LOOK_UP_AFTER,
    MAX_TRIES,
    REPEAT_AFTER,
    AttemptContext,
    Fail,
    Next,
    Publish,
    Refresh,
    Retry,
    Task,
    Unconfirmed,
    Wait,
    after,
    after_look_up,
    after_lost_lease,
    while_paused,
)

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
RELEASED = Released("1", "https://example.org/1")
LIMITED = RateLimited("wait", retry_after=timedelta(minutes=7))
NO_ANSWER = OutcomeUnknown("no answer")
FAILED = OutcomeUnknown("500", request_ended=True)
KEYED = AttemptContext(doubt_age=SECOND, has_key=True, key_lifetime=HOUR, can_look_up=True)
ERRORS: list[ProviderError] = [
    TokenExpired("401"),
    ChannelDisconnected("revoked"),
    GrantRejected("invalid_grant"),
    ContentRejected("duplicate"),
    MediaRejected("too large"),
    Unsupported("no threads"),
    AppMisconfigured("client"),
    PlatformUnavailable("503"),
    LIMITED,
    OutcomeUnknown("no answer"),
]


def kind(next_: Next) -> str:
    name = type(next_).__name__.lower()
    return f"{name}:{next_.task}" if isinstance(next_, Wait) else name


class TestAfter:
    @pytest.mark.parametrize(
        ("error", "number", "expected"),
        [
            (TokenExpired("401"), 1, "refresh"),
            (ChannelDisconnected("revoked"), 1, "fail"),
            (GrantRejected("invalid_grant"), 1, "fail"),
            (ContentRejected("duplicate"), 1, "fail"),
            (MediaRejected("too large"), 1, "fail"),
            (Unsupported("no threads"), 1, "fail"),
            (AppMisconfigured("client"), 1, "retry"),
            (AppMisconfigured("client"), MAX_TRIES, "fail"),
            (PlatformUnavailable("503"), 1, "retry"),
            (PlatformUnavailable("503"), MAX_TRIES, "fail"),
            (LIMITED, MAX_TRIES + 7, "retry"),
            (OutcomeUnknown("no answer"), 1, "unconfirmed"),
        ],
    )
    def test_first_send_without_key_or_look_up(
        self, error: ProviderError, number: int, expected: str
    ) -> None:
        assert kind(after(error, AttemptContext(number=number))) == expected

    def test_a_release_is_published(self) -> None:
        assert after(RELEASED, AttemptContext()) == Publish(RELEASED)

    def test_a_second_refusal_of_the_token_fails_without_disconnecting(self) -> None:
        next_ = after(TokenExpired("401"), AttemptContext(refreshed=True))
        assert isinstance(next_, Fail)
        assert not next_.disconnects

    @pytest.mark.parametrize("error", [ChannelDisconnected("revoked"), GrantRejected("gone")])
    def test_only_the_platforms_word_disconnects(self, error: ProviderError) -> None:
        next_ = after(error, AttemptContext())
        assert isinstance(next_, Fail)
        assert next_.disconnects

    def test_a_rate_limit_keeps_its_time_and_does_not_count(self) -> None:
        next_ = after(LIMITED, AttemptContext())
        assert isinstance(next_, Retry)
        assert (next_.after, next_.counts) == (LIMITED.retry_after, False)

    def test_a_platform_that_says_after_no_time_is_not_asked_at_once(self) -> None:
        next_ = after(RateLimited("wait", retry_after=timedelta(0)), AttemptContext())
        assert isinstance(next_, Retry)
        assert next_.after == LEAST_PAUSE

    @pytest.mark.parametrize("task", [Task.RESUME, Task.REPEAT])
    def test_doubt_does_not_outlast_a_day_for_a_limit(self, task: Task) -> None:
        error = RateLimited("wait", retry_after=30 * 24 * HOUR)
        context = AttemptContext(
            task=task, accepted=True, doubt_age=SECOND, has_key=True, can_look_up=True
        )
        assert kind(after(error, context)) == "unconfirmed"

    def test_delays_grow(self) -> None:
        delays = []
        for number in range(1, MAX_TRIES):
            next_ = after(PlatformUnavailable("503"), AttemptContext(number=number))
            assert isinstance(next_, Retry)
            delays.append(next_.after)
        assert delays == list(BACK_OFF) == sorted(BACK_OFF)

    def test_unknown_under_the_name_of_a_record_is_repeated_at_once(self) -> None:
        next_ = after(
            OutcomeUnknown("no answer"), AttemptContext(sent=True, has_key=True, key_is_record=True)
        )
        assert isinstance(next_, Wait)
        assert (next_.task, next_.after, next_.unknown) == (Task.REPEAT, REPEAT_AFTER[0], True)

    def test_unknown_with_a_live_key_is_looked_up_first(self) -> None:
        """Finding 1.1: the first request may still be running, and its key is not kept before it ends."""
        next_ = after(NO_ANSWER, replace(KEYED, sent=True, doubt_age=None))
        assert isinstance(next_, Wait)
        assert (next_.task, next_.after, next_.unknown) == (Task.LOOK_UP, LOOK_UP_AFTER[0], True)
        assert not next_.request_ended

    def test_what_the_application_itself_failed_at_is_looked_up_at_once(self) -> None:
        next_ = after(FAILED, replace(KEYED, sent=True, doubt_age=None))
        assert isinstance(next_, Wait)
        assert (next_.task, next_.after, next_.request_ended) == (Task.LOOK_UP, 0 * SECOND, True)

    def test_without_a_key_there_is_no_hurry_to_look_it_up(self) -> None:
        """What an application lists lags behind what it makes."""
        next_ = after(FAILED, AttemptContext(sent=True, can_look_up=True))
        assert isinstance(next_, Wait)
        assert next_.after == LOOK_UP_AFTER[0]

    def test_what_cannot_be_looked_up_is_repeated_when_it_must_have_ended(self) -> None:
        context = replace(KEYED, sent=True, doubt_age=None, can_look_up=False)
        next_ = after(NO_ANSWER, context)
        assert isinstance(next_, Wait)
        assert (next_.task, next_.after, next_.unknown) == (Task.REPEAT, LONGEST_RUN, True)
        at_once = after(FAILED, context)
        assert isinstance(at_once, Wait)
        assert (at_once.task, at_once.after) == (Task.REPEAT, timedelta(0))

    def test_unknown_with_a_lapsed_key_is_looked_up(self) -> None:
        context = AttemptContext(
            sent=True,
            has_key=True,
            key_lifetime=HOUR,
            doubt_age=timedelta(minutes=56),
            can_look_up=True,
        )
        assert kind(after(OutcomeUnknown("no answer"), context)) == "wait:look_up"

    def test_unknown_with_a_lapsed_key_and_nobody_to_ask_is_unconfirmed(self) -> None:
        context = AttemptContext(sent=True, has_key=True, key_lifetime=HOUR, doubt_age=HOUR)
        assert kind(after(OutcomeUnknown("no answer"), context)) == "unconfirmed"

    def test_a_repetition_refused_for_good_does_not_end_the_doubt(self) -> None:
        context = AttemptContext(task=Task.REPEAT, doubt_age=SECOND, has_key=True, can_look_up=True)
        assert kind(after(ContentRejected("no"), context)) == "wait:look_up"

    @pytest.mark.parametrize(
        ("key_is_record", "look_up", "expected"),
        [(False, True, "wait:look_up"), (False, False, "unconfirmed"), (True, True, "wait:repeat")],
    )
    def test_a_repetition_that_the_server_fails_at_is_looked_up(
        self, key_is_record: bool, look_up: bool, expected: str
    ) -> None:
        """Finding 1.1: further repetitions followed. The name of a record cannot be forgotten, so there they may."""
        context = AttemptContext(
            sent=True,
            task=Task.REPEAT,
            has_key=True,
            key_is_record=key_is_record,
            can_look_up=look_up,
        )
        error = OutcomeUnknown("503", evidence=Evidence(method="POST", status=503))
        assert kind(after(error, context)) == expected

    def test_several_that_are_found_are_told_and_none_is_taken(self) -> None:
        """Finding 1.1c: told as "it was not found there"."""
        urls = [f"https://example.org/{number}" for number in range(7)]
        several = [Released(url, url) for url in urls]
        next_ = after_look_up(None, AttemptContext(task=Task.LOOK_UP), None, several=several)
        assert isinstance(next_, Unconfirmed)
        assert next_.error.detail_code == "several_found"
        assert "7 posts like it are there" in next_.error.message
        assert "https://example.org/4 and 2 more" in next_.error.message

    @pytest.mark.parametrize(
        ("age", "expected"),
        [(HOUR - KEY_MARGIN - SECOND, "wait:repeat"), (HOUR - KEY_MARGIN, "unconfirmed")],
    )
    def test_what_was_accepted_is_repeated_only_while_its_key_lasts(
        self, age: timedelta, expected: str
    ) -> None:
        """The key is as old as the attempt; later the platform would take the repetition for another post."""
        context = AttemptContext(
            accepted=True,
            task=Task.RESUME,
            rounds=MAX_TRIES,
            has_key=True,
            key_lifetime=HOUR,
            age=age,
        )
        assert kind(after(PlatformUnavailable("503"), context)) == expected

    def test_repetitions_end(self) -> None:
        context = AttemptContext(
            sent=True, has_key=True, task=Task.REPEAT, rounds=len(REPEAT_AFTER) - 1
        )
        assert kind(after(OutcomeUnknown("no answer"), context)) == "unconfirmed"

    def test_an_error_after_the_platform_accepted_is_unknown(self) -> None:
        """The post is created, then reading its address fails: it must not be sent again."""
        assert kind(after(PlatformUnavailable("503"), AttemptContext(sent=True))) == "unconfirmed"

    def test_processing_waits_as_long_as_the_platform_says(self) -> None:
        next_ = after(Processing({"id": 1}, SECOND), AttemptContext(sent=True))
        assert next_ == Wait(Task.RESUME, SECOND, state={"id": 1}, accepted=True)

    def test_processing_for_an_hour_ends_in_doubt(self) -> None:
        context = AttemptContext(accepted=True, age=2 * HOUR, task=Task.RESUME)
        assert kind(after(Processing({}, SECOND), context)) == "unconfirmed"

    def test_processing_that_never_sent_anything_fails(self) -> None:
        assert kind(after(Processing({}, SECOND), AttemptContext(age=2 * HOUR))) == "fail"

    def test_a_status_check_that_is_not_answered_is_made_again_with_the_same_state(self) -> None:
        next_ = after(
            PlatformUnavailable("503"), AttemptContext(accepted=True, task=Task.RESUME, rounds=1)
        )
        assert isinstance(next_, Wait)
        assert (next_.task, next_.rounds, next_.state, next_.accepted) == (
            Task.RESUME,
            2,
            None,
            True,
        )

    def test_a_platform_that_says_processing_failed_is_believed(self) -> None:
        context = AttemptContext(accepted=True, task=Task.RESUME)
        assert kind(after(MediaRejected("bad video"), context)) == "fail"

    @pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
    def test_what_may_exist_is_never_failed_nor_put_back(self, error: ProviderError) -> None:
        """In doubt: repeated under a live key, looked up, or unconfirmed; a refresh repeats under the same key."""
        tasks = (None, Task.REPEAT, Task.LOOK_UP)
        for task, sent, key, look_up, refreshed, rounds in itertools.product(
            tasks, (True, False), (True, False), (True, False), (True, False), range(6)
        ):
            context = AttemptContext(
                number=5, sent=sent, doubt_age=SECOND, has_key=key, can_look_up=look_up,
                refreshed=refreshed, task=task, rounds=rounds,
            )  # fmt: skip
            next_ = after(error, context)
            assert not isinstance(next_, Fail | Retry), context
            if isinstance(next_, Wait) and next_.task is Task.REPEAT:
                assert key, context


class TestAfterLookUp:
    def test_found_is_published(self) -> None:
        context = AttemptContext(task=Task.LOOK_UP, doubt_age=SECOND, can_look_up=True)
        assert after_look_up(RELEASED, context, None) == Publish(RELEASED)

    def test_not_found_is_unconfirmed_once_the_request_must_have_ended(self) -> None:
        context = AttemptContext(task=Task.LOOK_UP, doubt_age=LONGEST_RUN, can_look_up=True)
        assert kind(after_look_up(None, context, None)) == "unconfirmed"

    def test_until_then_it_is_looked_up_again_and_the_last_time_not_before(self) -> None:
        """Finding 1.1b: a server that was slow was told to have no such post, and had one a minute later."""
        age, context = (
            LOOK_UP_AFTER[0],
            AttemptContext(task=Task.LOOK_UP, has_key=True, can_look_up=True),
        )
        looked_up = [age]
        while age < LONGEST_RUN:
            next_ = after_look_up(None, replace(context, doubt_age=age), None)
            assert isinstance(next_, Wait)
            assert next_.task is Task.LOOK_UP
            age, context = age + next_.after, replace(context, rounds=next_.rounds)
            looked_up.append(age)
        assert looked_up == [10 * SECOND, 55 * SECOND, 180 * SECOND, LONGEST_RUN]
        next_ = after_look_up(None, replace(context, doubt_age=age), None)
        assert isinstance(next_, Wait)
        assert (next_.task, next_.after) == (Task.REPEAT, timedelta(0))

    def test_the_last_look_up_is_left_out_where_no_repetition_could_follow_it(self) -> None:
        """Finding 1.1: a member whose server keeps no keys hears of the doubt after three minutes, as before."""
        context = replace(KEYED, task=Task.LOOK_UP, rounds=2, doubt_age=180 * SECOND)
        assert kind(after_look_up(None, context, None)) == "wait:look_up"
        for changed in (
            replace(context, has_key=False),
            replace(context, key_lifetime=timedelta(minutes=12)),
            replace(context, repetitions=1),
        ):
            assert kind(after_look_up(None, changed, None)) == "unconfirmed"

    def test_no_repetition_comes_before_the_request_must_have_ended(self) -> None:
        """Finding 1.1: whatever is known, answered and found."""
        assert timedelta(minutes=2) <= LONGEST_RUN < HOUR - KEY_MARGIN
        for age, rounds, repeated, task, error in itertools.product(
            range(0, 3600, 15), range(4), (1, 0), (None, Task.LOOK_UP), (None, *ERRORS)
        ):
            context = replace(
                KEYED, doubt_age=age * SECOND, rounds=rounds, repetitions=repeated, task=task
            )
            if task is Task.LOOK_UP:
                next_ = after_look_up(None, context, error)
            else:
                next_ = after(error or NO_ANSWER, replace(context, sent=True))
            if isinstance(next_, Wait) and next_.task is Task.REPEAT:
                assert not repeated, context
                assert task is Task.LOOK_UP, context
                assert LONGEST_RUN <= age * SECOND + next_.after < HOUR - KEY_MARGIN, context

    def test_an_application_that_failed_is_asked_again_at_once(self) -> None:
        context = replace(KEYED, task=Task.LOOK_UP, request_ended=True)
        next_ = after_look_up(None, context, None)
        assert isinstance(next_, Wait)
        assert (next_.task, next_.after, next_.request_ended) == (Task.REPEAT, timedelta(0), True)

    @pytest.mark.parametrize(
        ("first_ended", "second", "repetitions"),
        [(True, FAILED, 2), (True, NO_ANSWER, 1), (False, FAILED, 1), (False, NO_ANSWER, 1)],
    )
    def test_it_is_asked_a_third_time_only_if_it_failed_at_every_request(
        self, first_ended: bool, second: ProviderError, repetitions: int
    ) -> None:
        """Finding 1.1: an unanswered request may still be running, so it is repeated once."""
        repeating = replace(
            KEYED, task=Task.REPEAT, sent=True, request_ended=first_ended, doubt_age=LONGEST_RUN
        )
        sent = 1
        while True:
            next_ = after(second, repeating)
            while isinstance(next_, Wait) and next_.task is Task.LOOK_UP:
                assert next_.after >= LOOK_UP_AFTER[0]
                looking = replace(
                    KEYED,
                    task=Task.LOOK_UP,
                    doubt_age=LONGEST_RUN,
                    rounds=next_.rounds,
                    repetitions=next_.repetitions,
                    request_ended=next_.request_ended,
                )
                next_ = after_look_up(None, looking, None)
            if not isinstance(next_, Wait):
                break
            sent += 1
            repeating = replace(
                repeating, repetitions=next_.repetitions, request_ended=next_.request_ended
            )
        assert (sent, kind(next_)) == (repetitions, "unconfirmed")

    def test_a_repetition_that_is_put_off_is_still_the_last_one(self) -> None:
        context = replace(KEYED, task=Task.REPEAT, request_ended=True, repetitions=1)
        put_off = after(RateLimited("wait", retry_after=SECOND), context)
        assert isinstance(put_off, Wait)
        assert (put_off.task, put_off.repetitions) == (Task.REPEAT, 1)

    @pytest.mark.parametrize(("ended", "repeated"), [(True, 0), (False, 1)])
    def test_what_is_known_of_the_request_outlives_a_look_up(
        self, ended: bool, repeated: int
    ) -> None:
        context = replace(KEYED, task=Task.LOOK_UP, request_ended=ended, repetitions=repeated)
        for next_ in (
            after_look_up(None, context, PlatformUnavailable("503")),
            while_paused(HOUR, context),
        ):
            assert isinstance(next_, Wait)
            assert (next_.request_ended, next_.repetitions) == (ended, repeated)

    def test_a_platform_that_cannot_be_asked_is_asked_again_then_left(self) -> None:
        context = AttemptContext(task=Task.LOOK_UP, doubt_age=SECOND, can_look_up=True)
        assert kind(after_look_up(None, context, PlatformUnavailable("503"))) == "wait:look_up"
        last = AttemptContext(
            task=Task.LOOK_UP, doubt_age=SECOND, can_look_up=True, rounds=len(LOOK_UP_AFTER) - 1
        )
        assert kind(after_look_up(None, last, PlatformUnavailable("503"))) == "unconfirmed"

    def test_an_expired_token_is_refreshed_once(self) -> None:
        context = AttemptContext(task=Task.LOOK_UP, doubt_age=SECOND, can_look_up=True)
        assert isinstance(after_look_up(None, context, TokenExpired("401")), Refresh)


class TestAfterLostLease:
    def test_before_the_mark_it_goes_back(self) -> None:
        next_ = after_lost_lease(AttemptContext())
        assert isinstance(next_, Retry)
        assert next_.after == timedelta(0)

    def test_a_part_that_stops_the_publisher_every_time_fails(self) -> None:
        assert isinstance(after_lost_lease(AttemptContext(number=MAX_TRIES)), Fail)

    def test_after_the_mark_it_is_repeated_under_a_live_key_when_it_must_have_ended(self) -> None:
        next_ = after_lost_lease(AttemptContext(sent=True, has_key=True, doubt_age=75 * SECOND))
        assert isinstance(next_, Wait)
        assert (next_.task, next_.after) == (Task.REPEAT, LONGEST_RUN - 75 * SECOND)

    def test_after_the_mark_it_is_looked_up_where_that_is_possible(self) -> None:
        context = replace(KEYED, sent=True, doubt_age=75 * SECOND)
        assert kind(after_lost_lease(context)) == "wait:look_up"

    def test_after_the_mark_without_a_key_it_is_unconfirmed(self) -> None:
        assert isinstance(after_lost_lease(AttemptContext(sent=True)), Unconfirmed)

    def test_a_lost_status_check_is_made_again(self) -> None:
        next_ = after_lost_lease(AttemptContext(task=Task.RESUME, accepted=True, rounds=2))
        assert next_ == Wait(Task.RESUME, timedelta(0), 2, accepted=True)

    def test_a_lost_repetition_stays_in_doubt(self) -> None:
        context = AttemptContext(task=Task.REPEAT, doubt_age=SECOND, has_key=False)
        assert isinstance(after_lost_lease(context), Unconfirmed)


class TestWhilePaused:
    """A continuation whose platform is held: the same task when that is over, unless it could not be done then."""

    PAUSE = timedelta(minutes=40)

    @pytest.mark.parametrize(
        "context",
        [
            AttemptContext(task=Task.RESUME, accepted=True, rounds=4),
            AttemptContext(task=Task.LOOK_UP, doubt_age=SECOND, can_look_up=True, rounds=2),
            AttemptContext(
                task=Task.REPEAT, doubt_age=SECOND, has_key=True, key_lifetime=HOUR, rounds=3
            ),
            AttemptContext(task=Task.REPEAT, doubt_age=SECOND, has_key=True, rounds=3),
        ],
    )
    def test_the_same_again_and_no_round_used_up(self, context: AttemptContext) -> None:
        found = while_paused(self.PAUSE, context)
        assert isinstance(found, Wait)
        assert (found.task, found.after, found.rounds) == (context.task, self.PAUSE, context.rounds)
        assert found.accepted is context.accepted
        assert not found.unknown

    @pytest.mark.parametrize("can_look_up", [True, False])
    def test_a_key_that_would_lapse_is_not_waited_for(self, can_look_up: bool) -> None:
        context = AttemptContext(
            task=Task.REPEAT,
            doubt_age=timedelta(minutes=20),
            has_key=True,
            key_lifetime=HOUR,
            can_look_up=can_look_up,
        )
        found = while_paused(self.PAUSE, context)
        if can_look_up:
            assert isinstance(found, Wait)
            assert (found.task, found.after) == (Task.LOOK_UP, self.PAUSE)
        else:
            assert isinstance(found, Unconfirmed)

    @pytest.mark.parametrize("task", list(Task))
    def test_nothing_is_left_in_doubt_for_more_than_a_day(self, task: Task) -> None:
        context = AttemptContext(task=task, accepted=True, has_key=True, can_look_up=True)
        assert isinstance(while_paused(timedelta(hours=25), context), Unconfirmed)

    @pytest.mark.parametrize("pause", [PAUSE, timedelta(hours=25)])
    def test_what_is_in_no_doubt_is_neither_failed_nor_sent(self, pause: timedelta) -> None:
        found = while_paused(pause, AttemptContext(task=Task.RESUME))
        assert isinstance(found, Wait | Retry)
        assert found.after >= pause

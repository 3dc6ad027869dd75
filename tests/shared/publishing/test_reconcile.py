"""The sweep: that nothing waits for ever, that nothing in it keeps the rest from running, and what its statements read."""

import re
import time
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar
from unittest import mock

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import InterfaceError

from shared.aws import scheduler
from shared.core import metrics
from shared.core.ids import StagingId, new_id
from shared.db import statement
from shared.db.session import connect, execute_alone, unit_of_work
from shared.db.statement import Statement
from shared.providers.base import Processing, Released
from shared.providers.errors import PlatformUnavailable, RateLimited
from shared.publishing import (
    bulk_notices,
    claim_queries,
    follow_up,
    late_queries,
    record_queries,
    stage_queries,
    sweep_queries,
)
from shared.publishing import reconcile as reconcile_module
from shared.publishing import run as run_module
from shared.publishing.claim import Claim, attempt_context, claim
from shared.publishing.dead_letter import settle_dead_letter
from shared.publishing.follow_up import record
from shared.publishing.outcome import Publish, after
from shared.publishing.reconcile import arm_unarmed, reconcile
from shared.publishing.run import publish_due
from shared.publishing.stage import stage_due
from shared.publishing.sweep import delete_old_stagings
from tests.builders import any_state
from tests.fakes.platform import Keyless, refuse
from tests.shared.publishing.world import PUBLISH, STAGE, Stopped, World, a_thread

NOW, SOON = timedelta(0), timedelta(seconds=30)
DAY = 24 * 3600


STATEMENTS = {
    name: value
    for module in (claim_queries, late_queries, record_queries, sweep_queries)
    for name, value in vars(module).items()
    if isinstance(value, Statement)
}
_MANY = text("""
    insert into posts (id, organization_id, channel_id, group_id, root_id, position, state, review, content, media,
        settings, content_hash, publish_at, delay_seconds, due_at, revision, generation, armed_revision, arm_count,
        creation_method, published_at, release_id)
    select part.id, root.organization_id, root.channel_id, part.id, part.id, 0,
        case when part.number % 2 = 0 then 'queued' else 'published' end, 'none', '', '[]', '{}', '',
        now() + make_interval(hours => case when part.number % 2 = 0 then part.number else -part.number end), 0,
        case when part.number % 2 = 0 then now() + make_interval(hours => part.number) end, 1, 1, 1, 1, 'web',
        case when part.number % 2 = 1 then now() end, case when part.number % 2 = 1 then part.number end
    from posts root, (select gen_random_uuid() as id, number from generate_series(1, 5000) as number) as part
    where root.id = :like
""")
_MANY_ATTEMPTS = text("""
    insert into attempts (id, organization_id, post_id, root_id, channel_id, revision, generation, number, state, step,
        lease_until, counts, finished_at, release_id)
    select gen_random_uuid(), organization_id, id, id, channel_id, 1, 1, 1, 'released', 1, now(), true, now(), release_id
    from posts where state = 'published'
""")


_MANY_STAGINGS = text("""
    insert into stagings (id, organization_id, post_id, revision, generation, state, lease_until, step, tries, progress)
    select gen_random_uuid(), organization_id, id, 1, 1, 'ready', now(), 1, 0, '{}' from posts where state = 'published'
""")


def change(world: World, statement: str) -> None:
    with world.engine.begin() as connection:
        connection.execute(text(statement))


def taken(world: World, provider: str = "keyless") -> Claim:
    """Claim a new thread's root and mark that it is being sent."""
    root = a_thread(world, provider, due_in=NOW)
    with unit_of_work() as session:
        claimed = claim(root.id, root.revision, session=session)
    assert isinstance(claimed, Claim)
    run_module.mark_sending(claimed)
    return claimed


class TestStagings:
    @staticmethod
    def woken() -> int:
        sweep = reconcile_module._Sweep(time.monotonic() + 60)
        found = reconcile_module._in_turns({"stagings": reconcile_module.resume_stagings}, sweep)
        assert sweep.errors == []
        return found["stagings"]

    def test_whose_holders_vanished_are_woken_once_each_however_many(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reconcile_module, "PAGE_SIZE", 1)
        roots = [a_thread(world, "keyless", due_in=SOON, media=True) for _ in range(3)]
        for root in roots:
            with unit_of_work() as session:
                stage_queries.CLAIM_STAGING.find(
                    session,
                    part_id=root.id,
                    revision=root.revision,
                    staging_id=StagingId(new_id()),
                    lease_seconds=960.0,
                )
        world.messages.clear()
        world.pass_time(1_000)
        assert self.woken() == 3
        woken = [held.body["partId"] for held in world.messages if held.queue == STAGE]
        assert sorted(woken) == sorted(str(root.id) for root in roots)
        world.messages.clear()
        world.pass_time(61)
        assert self.woken() == 3


class TestLateness:
    def test_of_a_reply_is_told_by_its_own_time(self, world: World) -> None:
        a_thread(world, "keyless", due_in=NOW)
        change(world, "update posts set delay_seconds = 1200 where position = 1")
        world.run(until=1_199)
        told = text("select count(*) from notifications where dedupe_key like 'late:%'")
        for seconds, times in ((240, 0), (240, 1), (3_600, 1)):
            for _ in range(seconds // 60):
                world.messages.clear()  # the queue delivers nothing
                world.schedules.clear()
                world.pass_time(60)
                reconcile()
            with world.engine.connect() as connection:
                assert connection.execute(told).scalar_one() == times

    def test_a_reply_days_after_its_thread_is_not_late(self, world: World) -> None:
        root = a_thread(world, "keyless", due_in=SOON)
        change(world, "update posts set delay_seconds = 172800 where position = 1")
        world.run(until=3 * DAY)
        assert world.states(root.id) == ["published", "published"]

    def test_a_limit_for_a_month_ends_after_a_day(self, world: World) -> None:
        world.platform.answers.append(refuse(429, headers={"retry-after": str(30 * DAY)}))
        root = a_thread(world, "keyless", due_in=SOON)
        world.run(until=DAY - 600)
        assert world.states(root.id) == ["queued", "queued"]
        world.run(until=1200)
        assert world.states(root.id) == ["failed", "failed"]
        assert len(world.platform.requests) == 1

    def test_a_post_that_is_tried_later_counts_as_late(self, world: World) -> None:
        world.platform.answers.append(refuse(429, headers={"retry-after": "7200"}))
        a_thread(world, "keyless", due_in=NOW)
        world.run(until=400)
        with mock.patch.object(metrics, "gauge_late_posts") as gauge:
            assert reconcile().late == 1
        gauge.assert_called_once_with(1)

    def test_an_edit_gives_the_five_tries_again(self, world: World) -> None:
        root = a_thread(world, "keyless", due_in=NOW)
        for _ in range(4):
            change(world, "update posts set due_at = now() where position = 0")
            world.platform.answers.append(refuse(503))
            with mock.patch.object(Keyless, "_create", side_effect=PlatformUnavailable("away")):
                publish_due(root.id, root.revision, deadline=time.monotonic() + 55)
        change(world, "update posts set due_at = now(), revision = 2 where position = 0")
        with unit_of_work() as session:
            claimed = claim(root.id, 2, session=session)
        assert isinstance(claimed, Claim)
        assert claimed.number == 1


class TestScheduleThatNeverFires:
    def test_the_message_and_the_media_are_sent_ahead_all_the_same(self, world: World) -> None:
        world.schedules_fire = False
        root = a_thread(world, "keyless", due_in=timedelta(hours=1), media=True)
        assert world.messages == []
        world.pass_time(3600 - 150)
        reconcile()
        assert {(held.queue, held.body["partId"]) for held in world.messages} == {
            (PUBLISH, str(root.id)),
            (STAGE, str(root.id)),
        }


class TestStrayMessages:
    def test_for_a_reply_that_waits_for_the_part_before_it(self, world: World) -> None:
        root = a_thread(world, "keyless", due_in=timedelta(hours=1))
        change(world, "update channels set disabled = true")
        with world.engine.connect() as connection:
            reply = connection.execute(text("select id from posts where position = 1")).scalar_one()
        publish_due(reply, 1, deadline=time.monotonic() + 55)
        assert world.states(root.id) == ["queued", "queued"]


class TestWholeApp:
    LIMITED = RateLimited("wait", retry_after=timedelta(hours=2), whole_app=True)

    def held(self, world: World) -> bool:
        with world.engine.connect() as connection:
            return bool(
                connection.execute(text("select count(*) from provider_pauses")).scalar_one()
            )

    def test_a_limit_met_while_waiting_holds_the_platform(self, world: World) -> None:
        claimed = taken(world, "slow")
        waiting = Processing({"job": "1"}, timedelta(0))
        record(
            claimed,
            after(waiting, attempt_context(claimed, sent=True, refreshed=False)),
        )
        with (
            mock.patch.object(Keyless, "resume", side_effect=self.LIMITED, create=True),
            mock.patch("tests.fakes.platform.Slow.resume", side_effect=self.LIMITED),
        ):
            world.deliver_due()
        assert self.held(world)

    def test_a_limit_met_while_staging_holds_the_platform(self, world: World) -> None:
        a_thread(world, "keyless", due_in=SOON, media=True)
        with mock.patch.object(Keyless, "stage", side_effect=self.LIMITED):
            world.deliver_due()
        assert self.held(world)


class TestBrokenConnection:
    def cut(self, world: World) -> None:
        """Break every connection of the pool, as a failover does."""
        admin = connect()
        try:
            admin.run(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid() and application_name = 'roost'"
            )
        finally:
            admin.close()

    def test_while_the_platform_answers_the_release_is_not_lost(self, world: World) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            response = world.platform.behave(request)
            self.cut(world)
            return response

        root = a_thread(world, "keyless", due_in=NOW)
        world.platform.answers.append(answer)
        publish_due(root.id, root.revision, deadline=time.monotonic() + 55)
        assert world.states(root.id)[0] == "published"

    def test_a_database_that_is_away_for_long_does_not_lose_the_release(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Finding 8.3: the record is tried until the function's time ends, and nothing is asked or sent again."""
        root = a_thread(world, "keyless", due_in=NOW)
        left, pauses = iter(range(6)), list[float]()

        def away(executed: str, *rest: Any) -> Any:
            is_record = executed == record_queries.RECORD_RELEASED.sql
            if is_record and next(left, None) is not None:
                raise InterfaceError("update", {}, Exception("network error"))
            return execute_alone(executed, *rest)

        monkeypatch.setattr(statement, "execute_alone", away)
        monkeypatch.setattr(run_module, "record", partial(record, pause=pauses.append))
        publish_due(root.id, root.revision, deadline=time.monotonic() + 55)
        assert world.states(root.id)[0] == "published"
        assert pauses == [0.0, 0.5, 1.0, 2.0, 4.0, 4.0]
        assert len(world.platform.requests) == 1

    def test_before_the_claim_the_post_goes_out_all_the_same(self, world: World) -> None:
        root = a_thread(world, "keyless", due_in=NOW)
        self.cut(world)
        publish_due(root.id, root.revision, deadline=time.monotonic() + 55)
        assert world.states(root.id)[0] == "published"


class TestReconcile:
    def test_one_broken_row_keeps_no_other_waiting(self, world: World) -> None:
        first, second = taken(world), taken(world)
        world.pass_time(80)

        def broken(claimed: Claim, next_: object) -> None:
            if claimed.attempt_id == first.attempt_id:
                raise LookupError("broken")
            follow_up.record(claimed, next_)  # type: ignore[arg-type]

        overdue = a_thread(world, "keyless", due_in=-timedelta(minutes=2))
        world.messages.clear()
        with mock.patch.object(reconcile_module, "record", broken), pytest.raises(ExceptionGroup):
            reconcile()
        assert world.states(second.part.root_id)[0] == "unconfirmed"
        assert [held.body["partId"] for held in world.messages] == [str(overdue.id)]

    def test_two_late_releases_that_are_the_same_are_one_posts(self, world: World) -> None:
        holders = [taken(world), taken(world)]
        change(
            world, "update posts set channel_id = (select min(channel_id::text)::uuid from posts)"
        )
        change(
            world,
            "update attempts set channel_id = (select min(channel_id::text)::uuid from posts)",
        )
        world.pass_time(80)
        reconcile()
        for claimed in holders:
            record(claimed, Publish(Released("same", "https://platform.example/same")))
        reconcile()
        states = [world.states(claimed.part.root_id)[0] for claimed in holders]
        assert sorted(states) == ["published", "unconfirmed"]

    def test_a_platform_that_roost_no_longer_knows_is_settled(self, world: World) -> None:
        claimed = taken(world)
        change(world, "update channels set provider = 'gone'")
        world.pass_time(80)
        reconcile()
        assert world.states(claimed.part.root_id)[0] == "unconfirmed"


class TestBadDays:
    """Many parts late at once: what comes first, what takes turns, and when it ends."""

    def clock(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """Let the sweep's clock stand still; what it shows is the list's one number."""
        shown = [1_000.0]
        monkeypatch.setattr(reconcile_module, "time", mock.Mock(monotonic=lambda: shown[0]))
        return shown

    def without_end(self, monkeypatch: pytest.MonkeyPatch, shown: list[float]) -> list[str]:
        """Make every step find full pages for ever, and take a second for each."""
        ran: list[str] = []

        def step(name: str) -> Any:
            def run_once(*_: object) -> int:
                ran.append(name)
                shown[0] += 1
                return reconcile_module.PAGE_SIZE

            return run_once

        for name in (
            "adopt_late_releases", "settle_lost_attempts", "resume_waiting_attempts", "send_unsent",
            "send_overdue", "resume_stagings", "free_stuck", "arm_unarmed", "send_due_deliveries",
        ):  # fmt: skip
            monkeypatch.setattr(reconcile_module, name, step(name))
        return ran

    def test_steps_take_turns_and_end_in_time(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Finding 8.7: one step that finds no end keeps no other from running, and the function is not killed."""
        shown = self.clock(monkeypatch)
        ran = self.without_end(monkeypatch, shown)
        kept = mock.Mock(return_value=True)
        monkeypatch.setattr(reconcile_module, "keep_house", kept)
        reconcile(deadline=1_060.0)
        turns = {name: ran.count(name) for name in ran}
        assert len(turns) == 9
        assert max(turns.values()) - min(turns.values()) <= 1
        assert 38 <= shown[0] - 1_000 <= 41
        kept.assert_called_once()

    def test_the_gauges_come_first(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Finding 8.7: the alarm rings on the day on which the sweep does not get to its end."""
        a_thread(world, "keyless", due_in=-timedelta(minutes=10))

        def killed() -> int:
            raise Stopped

        monkeypatch.setattr(reconcile_module, "adopt_late_releases", killed)
        with mock.patch.object(metrics, "gauge_late_posts") as gauge, pytest.raises(Stopped):
            reconcile()
        gauge.assert_called_once_with(1)

    def test_all_pages_are_sent_before_anybody_is_told(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Finding 8.7: a slow mail server delays no post."""
        monkeypatch.setattr(reconcile_module, "PAGE_SIZE", 2)
        for _ in range(5):
            a_thread(world, "keyless", due_in=-timedelta(minutes=10))
        world.messages.clear()
        when_told: list[int] = []
        tell = bulk_notices.notify_bulk

        def watched(session: Any, page: Any) -> Any:
            when_told.append(len(world.messages))
            return tell(session, page)

        monkeypatch.setattr(reconcile_module, "notify_bulk", watched)
        assert reconcile().overdue == 5
        assert when_told == [5, 5, 5]

    def test_many_posts_are_one_mail_for_an_organization(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Finding 8.7: each post has its notification; whoever has several late gets one mail in an hour."""
        mailed: list[Any] = []
        monkeypatch.setattr(bulk_notices, "mail_now", mailed.extend)
        many = [a_thread(world, "keyless", due_in=-timedelta(minutes=10)) for _ in range(4)]
        change(world, f"update posts set organization_id = '{many[0].organization_id}'")
        alone = a_thread(world, "keyless", due_in=-timedelta(minutes=10))
        reconcile()
        told = text(
            "select organization_id, title, mailed_at is null as is_mailed, id from notifications"
        )
        with world.engine.connect() as connection:
            rows = connection.execute(told).all()
        assert len(rows) == 4 + 1 + 1
        assert {row.id for row in rows if row.is_mailed} == set(mailed)
        titles = {row.organization_id: row.title for row in rows if row.is_mailed}
        assert titles == {
            many[0].organization_id: "4 posts are late",
            alone.organization_id: "A post is late",
        }
        world.pass_time(3_600)
        reconcile()
        assert len(mailed) == 2

    def test_mails_that_there_is_no_time_for_are_left_to_the_digest(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Finding 8.7: they lie there unclaimed, and the function ends in time."""
        for _ in range(25):
            a_thread(world, "keyless", due_in=-timedelta(minutes=10))
        shown = self.clock(monkeypatch)
        mailed: list[Any] = []

        def slowly(ids: Any) -> None:
            mailed.extend(ids)
            shown[0] += 53

        monkeypatch.setattr(bulk_notices, "mail_now", slowly)
        reconcile(deadline=1_060.0)
        assert len(mailed) == 10
        with world.engine.connect() as connection:
            left = "select count(*) from notifications where mailed_at is null and mail_claimed_until is null"
            assert connection.execute(text(left)).scalar_one() == 25


class TestHousekeeping:
    """What must stay is as much a promise as what goes."""

    @pytest.mark.parametrize(("age", "stays"), [("29 days", True), ("31 days", False)])
    def test_what_a_platform_holds_for_a_post_stays(
        self, world: World, age: str, stays: bool
    ) -> None:
        """Finding 8.15: swept too soon, media that were moved ahead of time are moved again when the post is due."""
        root = a_thread(world, "keyless", due_in=timedelta(hours=1), media=True)
        stage_due(root.id, root.revision, deadline=time.monotonic() + 900)
        change(world, f"update stagings set updated_at = now() - interval '{age}'")
        delete_old_stagings()
        with world.engine.connect() as connection:
            left = connection.execute(text("select count(*) from stagings")).scalar_one()
        assert left == stays


class TestDeadLetter:
    def test_one_broken_step_keeps_no_other_from_running(self, world: World) -> None:
        overdue = a_thread(world, "keyless", due_in=-timedelta(minutes=2))
        lost = taken(world)
        world.pass_time(80)
        world.messages.clear()
        with (
            mock.patch.object(reconcile_module, "record", side_effect=LookupError("broken")),
            pytest.raises(ExceptionGroup),
        ):
            settle_dead_letter({"partId": str(lost.part.id), "revision": 1}, queue="publish")
        assert [held.body["partId"] for held in world.messages] == [str(overdue.id)]

    def test_without_time_left_what_is_to_be_done_is_left_to_the_next(self, world: World) -> None:
        """A batch is ten of them, one after the other; killed in the middle, all ten would come again."""
        overdue = a_thread(world, "keyless", due_in=-timedelta(minutes=2))
        world.messages.clear()
        letter = {"partId": str(overdue.id), "revision": 1}
        settle_dead_letter(letter, queue="publish", deadline=time.monotonic() + 1)
        assert world.messages == []
        settle_dead_letter(letter, queue="publish", deadline=time.monotonic() + 60)
        assert [held.body["partId"] for held in world.messages] == [str(overdue.id)]


@pytest.mark.usefixtures("without_clock")
class TestPlans:
    """What the statements of the minute, of a claim and of a record read: what they take, however much else there is."""

    VALUES: ClassVar[dict[str, object]] = {
        "page_size": 10,
        "most_counted": 100,
        "grace_seconds": 15.0,
        "late_seconds": 300.0,
        "max_late_seconds": 86400.0,
        "lease_seconds": 75.0,
        "part_id": "00000000-0000-0000-0000-000000000001",
        "attempt_id": "00000000-0000-0000-0000-000000000001",
        "revision": 1,
        "step": 1,
        "release_id": "1",
        "release_url": "1",
        "release_data": None,
        **{
            f"notification_{name}": None
            for name in ("id", "title", "content", "link", "dedupe_key", "customer_id")
        },
        "crowded_message": "",
        "most_per_organization": 8,
        "most_per_host": 4,
    }
    # The index that each is to begin with, by its table.
    WANTED: ClassVar[dict[str, str]] = {
        "TAKE_UNARMED": "ix_posts_unarmed",
        "TAKE_UNSENT": "ix_posts_due",
        "TAKE_OVERDUE": "ix_posts_check",
        "TAKE_LOST": "ix_attempts_lease",
        "TAKE_WAITING": "ix_attempts_lease",
        "TAKE_STAGINGS": "ix_stagings_unfinished",
        "ADOPT_LATE": "ix_attempts_late",
        "LATE_PARTS": "ix_posts_late",
        "CROWDED_PARTS": "ix_posts_crowded",
        "TAKE_LIMITED": "ix_posts_held",
        "LIMITED_ATTEMPTS": "ix_attempts_lease",
        "TAKE_CROWDED": "ix_posts_crowded",
        "CLAIM": "pk_posts",
        "RECORD_RELEASED": "pk_attempts",
    }
    # Steps that are asked a page at a time while a backlog lasts, and what one page may read of it.
    PAGED = ("TAKE_UNARMED", "TAKE_OVERDUE", "TAKE_LIMITED", "TAKE_CROWDED")

    @pytest.fixture
    def full(self, world: World) -> World:
        root = a_thread(world, "keyless", due_in=SOON)
        with world.engine.begin() as connection, any_state(connection):
            connection.execute(_MANY, {"like": root.id})
            connection.execute(_MANY_ATTEMPTS)
            connection.execute(_MANY_STAGINGS)
        self.analyze(world)
        return world

    def analyze(self, world: World) -> None:
        with world.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(text("vacuum analyze posts, attempts, stagings, channels"))

    def values(self, name: str, page_size: int = 10) -> dict[str, object]:
        asked = STATEMENTS[name].text
        values = {**self.VALUES, "page_size": page_size}
        return {key: value for key, value in values.items() if f":{key}" in asked}

    def explain(self, world: World, name: str, how: str = "") -> str:
        statement = STATEMENTS[name]
        with world.engine.connect() as connection:
            rows = connection.execute(text(f"explain {how} " + statement.text), self.values(name))
            plan = "\n".join(rows.scalars())
            connection.rollback()
        return plan

    @pytest.mark.parametrize("name", WANTED)
    def test_reads_by_the_index_that_is_made_for_it(self, full: World, name: str) -> None:
        """Finding 8.10: not only by some index, as the one over everything that is due."""
        plan = self.explain(full, name)
        assert self.WANTED[name] in plan, plan
        for table in ("posts", "attempts"):
            assert f"Seq Scan on {table}" not in plan, plan

    @pytest.mark.parametrize("name", PAGED)
    @pytest.mark.parametrize("paused", [False, True])
    def test_a_page_reads_no_more_than_it_takes(self, full: World, name: str, paused: bool) -> None:
        """Finding 8.10: a backlog that was seen to already costs the next minute nothing, paused or not."""
        queue = {
            "TAKE_UNARMED": "armed_revision = null, updated_at = now() - interval '1 hour'",
            "TAKE_OVERDUE": "next_check_at = null",
            "TAKE_LIMITED": "error_code = 'rate_limited', due_at = now() + interval '2 hours'",
            "TAKE_CROWDED": "error_code = 'crowded'",
        }[name]
        change(
            full,
            "update posts set publish_at = now() - interval '1 hour', due_at = now() - interval '1 hour'"
            " where state = 'queued'",
        )
        change(full, f"update posts set {queue} where state = 'queued'")
        if paused:
            change(
                full,
                "insert into provider_pauses (provider, until, reason) values ('keyless', now() + interval '1 hour', '')",
            )
        self.analyze(full)
        taken, pages = 1, 0
        while taken:
            with unit_of_work() as session:
                taken = len(STATEMENTS[name].all(session, **self.values(name, 500)))
            pages += 1
            assert pages < 10
        assert pages == 7  # 2,501 of them, 500 a page, and the empty one
        self.analyze(full)
        plan = self.explain(full, name, "(analyze, timing off, costs off)")
        removed = sum(int(count) for count in re.findall(r"Rows Removed by Filter: (\d+)", plan))
        assert removed < 50 or name == "TAKE_UNARMED", plan


class TestPartlyArmed:
    def test_what_could_be_scheduled_is_recorded_where_another_could_not(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        roots = [a_thread(world, "keyless", due_in=timedelta(hours=2)) for _ in range(3)]
        with world.engine.begin() as connection:
            connection.execute(
                text(
                    "update posts set armed_revision = null, updated_at = now() - interval '1 hour'"
                )
            )
        world.schedules.clear()
        create, failing = scheduler.create_schedule, str(roots[1].id)

        def fail_one(name: str, **options: Any) -> None:
            if failing in name:
                raise ConnectionError("throttled")
            create(name, **options)

        monkeypatch.setattr(scheduler, "create_schedule", fail_one)
        with pytest.raises(ConnectionError):
            arm_unarmed()
        with world.engine.connect() as connection:
            armed = connection.execute(
                text("select id from posts where position = 0 and armed_revision is not null")
            ).scalars()
            assert set(armed) == {roots[0].id, roots[2].id}

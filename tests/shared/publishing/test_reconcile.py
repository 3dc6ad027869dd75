"""The sweep: that nothing waits for ever, that nothing in it keeps the rest from running, and what its statements read."""

import time
from datetime import timedelta
from typing import Any, ClassVar
from unittest import mock

import httpx
import pytest
from sqlalchemy import text

from shared.aws import scheduler
from shared.core import metrics
from shared.core.ids import new_id
from shared.db.session import connect, unit_of_work
from shared.providers.base import Processing, Released
from shared.providers.errors import PlatformUnavailable, RateLimited
from shared.publishing import follow_up, queries
from shared.publishing import reconcile as reconcile_module
from shared.publishing import run as run_module
from shared.publishing.claim import Claim, claim
from shared.publishing.dead_letter import settle_dead_letter
from shared.publishing.facts import facts_of
from shared.publishing.follow_up import record
from shared.publishing.outcome import Publish, after
from shared.publishing.reconcile import arm_unarmed, reconcile
from shared.publishing.run import publish_due
from tests.fakes.platform import Keyless, refuse
from tests.shared.publishing.world import STAGE, World, a_thread

NOW, SOON = timedelta(0), timedelta(seconds=30)
DAY = 24 * 3600


_MANY = text("""
    insert into posts (id, organization_id, channel_id, group_id, root_id, position, state, review, content, media,
        settings, content_hash, publish_at, delay_seconds, due_at, revision, generation, armed_revision, arm_count,
        creation_method, published_at, release_id)
    select part.id, root.organization_id, root.channel_id, part.id, part.id, 0,
        case when part.number % 2 = 0 then 'queued' else 'published' end, 'none', '', '[]', '{}', '', now(), 0,
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


def change(world: World, statement: str) -> None:
    with world.engine.begin() as connection:
        connection.execute(text(statement))


def taken(world: World, provider: str = "keyless") -> Claim:
    """Claim a new thread's root and mark that it is being sent."""
    root = a_thread(world, provider, due_in=NOW)
    with unit_of_work() as session:
        claimed = claim(session, root.id, root.revision)
    assert isinstance(claimed, Claim)
    run_module.mark_sending(claimed)
    return claimed


class TestStagings:
    def test_whose_holders_vanished_are_woken_once_each_however_many(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reconcile_module, "PAGE_SIZE", 1)
        roots = [a_thread(world, "keyless", due_in=SOON, media=True) for _ in range(3)]
        for root in roots:
            with unit_of_work() as session:
                session.execute(
                    queries.CLAIM_STAGING,
                    {
                        "part_id": root.id,
                        "revision": root.revision,
                        "staging_id": new_id(),
                        "lease_seconds": 960.0,
                    },
                )
        world.messages.clear()
        world.pass_time(1_000)
        assert reconcile_module._in_pages(reconcile_module.wake_stagings, []) == 3
        woken = [held.body["partId"] for held in world.messages if held.queue == STAGE]
        assert sorted(woken) == sorted(str(root.id) for root in roots)
        world.messages.clear()
        world.pass_time(61)
        assert reconcile_module._in_pages(reconcile_module.wake_stagings, []) == 3


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
            claimed = claim(session, root.id, 2)
        assert isinstance(claimed, Claim)
        assert claimed.number == 1


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
            after(waiting, facts_of(claimed, sent=True, refreshed=False)),
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


class TestPlans:
    """With many finished rows, no statement of the minute, of a claim or of a record reads them all."""

    VALUES: ClassVar[dict[str, object]] = {
        "page_size": 500,
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
    }

    @pytest.mark.parametrize(
        "name",
        ["TAKE_UNARMED", "TAKE_UNSENT", "TAKE_OVERDUE", "TAKE_LOST", "TAKE_WAITING", "TAKE_STAGINGS",
         "ADOPT_LATE", "LATE_PARTS", "TAKE_LIMITED", "CLAIM", "RECORD_RELEASED"],
    )  # fmt: skip
    def test_reads_by_an_index(self, world: World, name: str) -> None:
        root = a_thread(world, "keyless", due_in=SOON)
        with world.engine.begin() as connection:
            connection.execute(_MANY, {"like": root.id})
            connection.execute(_MANY_ATTEMPTS)
        with world.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(text("vacuum analyze posts, attempts"))
        statement = getattr(queries, name)
        values = {key: value for key, value in self.VALUES.items() if f":{key}" in statement.text}
        with world.engine.begin() as connection:
            plan = "\n".join(
                connection.execute(text("explain " + statement.text), values).scalars()
            )
        for table in ("posts", "attempts"):
            assert f"Seq Scan on {table}" not in plan, plan


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

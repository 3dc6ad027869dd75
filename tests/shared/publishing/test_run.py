"""One due part, step by step: who gets it, what it costs, and what happens at the edges."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from unittest import mock

import httpx
import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from shared.channels.models import Channel
from shared.core import clock, metrics
from shared.db.insist import insist
from shared.db.session import CommitUnknown, unit_of_work
from shared.posts.models import Post
from shared.providers.base import OutgoingPost, Processing, Released, ThreadPosition
from shared.providers.errors import ChannelDisconnected, ContentRejected, OutcomeUnknown
from shared.providers.http import Api
from shared.publishing import follow_up, sweep_queries
from shared.publishing import run as run_module
from shared.publishing.claim import Claim, NotNow, claim
from shared.publishing.follow_up import record
from shared.publishing.outcome import Fail, Next, Publish, Unconfirmed
from shared.publishing.reconcile import reconcile
from shared.publishing.run import publish_due
from tests.builders import a_post
from tests.counting import count_statements
from tests.fakes.platform import Keyless, refuse
from tests.shared.publishing.world import World, a_thread

NOW = timedelta(0)
SOON = timedelta(seconds=30)


def far_ahead() -> float:
    return time.monotonic() + 55


def one(world: World, column: str, table: str = "posts", order: str = "position") -> object:
    with world.engine.connect() as connection:
        return connection.execute(
            text(f"select {column} from {table} order by {order} limit 1")
        ).scalar_one()


class TestClaim:
    def test_of_many_at_once_one_gets_it(self, world: World) -> None:
        root = a_thread(world, "keyless", due_in=NOW)

        def take(_number: int) -> Claim | NotNow | None:
            with unit_of_work() as session:
                return claim(root.id, root.revision, session=session)

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(take, range(16)))
        assert [type(one) for one in found if one is not None] == [Claim]

    def test_costs_two_statements_and_the_record_two(self, world: World) -> None:
        root = a_thread(world, "keyless", due_in=NOW, media=True)
        with world.engine.begin() as connection:
            connection.execute(
                text(
                    "insert into stagings (id, organization_id, post_id, revision, generation, state, step, tries,"
                    " lease_until, progress) select gen_random_uuid(), organization_id, id, 1, 1, 'ready', 1, 0, now(),"
                    ' \'{"ids": ["m"]}\' from posts where position = 0'
                )
            )
        with count_statements() as whole:
            publish_due(root.id, root.revision, deadline=far_ahead())
        # claim: the conditional update, and the files; the mark; record: the release with its notification, and, after
        # the commit, that the next part is armed.
        assert whole.statements == 2 + 1 + 2
        assert one(world, "state") == "published"

    def test_a_release_is_a_success_which_the_digest_sums_up(self, world: World) -> None:
        """Any other kind would be an email for each post."""
        root = a_thread(world, "keyless", due_in=NOW)
        publish_due(root.id, root.revision, deadline=far_ahead())
        assert one(world, "kind", "notifications", "created_at") == "success"

    @pytest.mark.parametrize(
        "change", ["select 1", "update organizations set plan_ends_at = now()"]
    )
    def test_notification_belongs_to_the_customer_of_the_channel(
        self, world: World, change: str
    ) -> None:
        """Members who are limited to customers see and get no other ones."""
        root = a_thread(world, "keyless", due_in=NOW)
        with world.engine.begin() as connection:
            connection.execute(
                text(
                    "insert into customers (id, organization_id, name) select gen_random_uuid(), id, 'Engines' from organizations"
                )
            )
            connection.execute(text("update channels set customer_id = (select id from customers)"))
            connection.execute(text(change))
        publish_due(root.id, root.revision, deadline=far_ahead())
        assert one(world, "customer_id = (select id from customers)", "notifications", "1") is True

    def test_a_post_alone_takes_three_round_trips(self, world: World) -> None:
        """The claim, the mark, the record."""
        root = a_thread(world, "keyless", due_in=NOW)
        with world.engine.begin() as connection:
            connection.execute(text("update posts set deleted_at = now() where position = 1"))
        with count_statements() as whole:
            publish_due(root.id, root.revision, deadline=far_ahead())
        assert one(world, "state") == "published"
        assert one(world, "count(*)", "notifications", "1") == 1
        ours = [
            trip for trip in whole.trips if "pg_current_xact_id" not in trip
        ]  # the world asks that
        assert len(ours) == 3

    def test_a_stale_revision_is_dropped(self, world: World) -> None:
        root = a_thread(world, "keyless", due_in=NOW)
        publish_due(root.id, root.revision + 1, deadline=far_ahead())
        assert one(world, "state") == "queued"
        assert world.platform.requests == []

    def test_an_early_message_is_sent_again_for_the_remainder(self, world: World) -> None:
        root = a_thread(world, "keyless", due_in=SOON)
        world.messages.clear()
        publish_due(root.id, root.revision, deadline=far_ahead())
        [held] = world.messages
        assert 25 <= held.at - world.now <= 31
        assert world.platform.requests == []

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ("update channels set disabled = true", "is disabled"),
            (
                "update channels set disconnected_at = now(), disconnected_reason = 'revoked'",
                "revoked",
            ),
            ("update channels set needs_page = true", "page"),
            ("update channels set deleted_at = now()", "deleted"),
            ("update organizations set plan_ends_at = now()", "plan"),
        ],
    )
    def test_what_keeps_it_from_going_out_is_its_reason(
        self, world: World, change: str, said: str
    ) -> None:
        root = a_thread(world, "keyless", due_in=NOW)
        with world.engine.begin() as connection:
            # Changed twice and sent again once: neither number stands for the other.
            connection.execute(text("update posts set revision = 3, generation = 2"))
            connection.execute(text(change))
        publish_due(root.id, revision=3, deadline=far_ahead())
        assert world.states(root.id) == ["failed", "failed"]
        assert said in str(one(world, "error_message"))
        assert one(world, "count(*)", "notifications", "1") == 1
        assert world.platform.requests == []


class TestRecord:
    def test_is_written_again_while_the_function_has_time(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Finding 8.3: only this process knows of the release while the database is away."""
        root = a_thread(world, "keyless", due_in=NOW)
        write, tried = follow_up._record, list[int]()

        def away(claimed: Claim, next_: Next) -> None:
            tried.append(1)
            if len(tried) < 6:
                raise CommitUnknown
            write(claimed, next_)

        def without_waiting(
            work: Callable[[], None], *, deadline: float | None, pause: Callable[[float], None]
        ) -> None:
            del pause
            insist(work, deadline=deadline, pause=lambda _seconds: None)

        monkeypatch.setattr(follow_up, "_record", away)
        monkeypatch.setattr(follow_up, "insist", without_waiting)
        publish_due(root.id, root.revision, deadline=far_ahead())
        assert len(tried) == 6
        assert one(world, "state") == "published"


class TestThreads:
    @pytest.mark.parametrize(
        ("before", "after", "code"),
        [
            ("state = 'failed'", "failed", "predecessor_failed"),
            ("deleted_at = now()", "failed", "predecessor_missing"),
            ("state = 'draft'", "queued", None),
        ],
    )
    def test_a_due_part_follows_the_one_before_it(
        self, world: World, before: str, after: str, code: str | None
    ) -> None:
        """One whose predecessor failed would wait forever, and nobody would be told."""
        a_thread(world, "keyless", due_in=NOW)
        with Session(world.engine) as session, session.begin():
            session.execute(text(f"update posts set {before}, due_at = null where position = 0"))
            session.execute(text("update posts set due_at = now() where position = 1"))
            reply = session.scalars(select(Post).where(Post.position == 1)).one()
            part_id, revision = reply.id, reply.revision
        publish_due(part_id, revision, deadline=far_ahead())
        assert world.platform.requests == []
        assert one(world, "state", order="position desc") == after
        assert one(world, "error_code", order="position desc") == code
        told = one(world, "count(*)", table="notifications", order="1")
        assert told == (1 if after == "failed" else 0)

    def test_a_part_is_due_after_its_delay_whoever_looks(self, world: World) -> None:
        """A sweep sends what is overdue, so a reply that is due at once would not wait for its ten minutes."""
        root = a_thread(world, "keyless", due_in=NOW)
        with world.engine.begin() as connection:
            connection.execute(text("update posts set delay_seconds = 600 where position = 1"))
        world.deliver_due()
        for _ in range(9):
            world.pass_time(60)
            reconcile()
            world.deliver_due()
        assert world.states(root.id) == ["published", "queued"]
        world.pass_time(61)
        world.deliver_due()
        assert world.states(root.id) == ["published", "published"]

    def test_a_part_answers_the_one_before_it_in_the_thread_of_the_first(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of a third part these are two posts; an answer to the first would stand beside the second."""
        root = a_thread(world, "keyless", due_in=NOW)
        with Session(world.engine) as session, session.begin():
            second = session.scalars(select(Post).where(Post.position == 1)).one()
            channel = session.get_one(Channel, second.channel_id)
            a_post(session, channel, parent=second, content="<p>three</p>")
        positions: list[ThreadPosition] = []
        reply = Keyless.reply

        def noted(
            self: Keyless, api: Api, post: OutgoingPost, *, to: ThreadPosition
        ) -> Released | Processing:
            positions.append(to)
            return reply(self, api, post, to=to)

        monkeypatch.setattr(Keyless, "reply", noted)
        world.run()
        assert world.states(root.id) == ["published"] * 3
        one, two, _three = world.platform.created
        assert [(at.root.id, at.parent.id) for at in positions] == [
            (one.id, one.id),
            (one.id, two.id),
        ]

    def test_a_provider_that_returns_nothing_is_an_error_and_not_an_outcome(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root = a_thread(world, "keyless", due_in=NOW)
        monkeypatch.setattr(Keyless, "publish", lambda _self, _api, _post: None)
        with pytest.raises(LookupError, match="neither a release nor an error"):
            publish_due(root.id, root.revision, deadline=far_ahead())
        assert world.states(root.id)[0] == "publishing"


class TestLease:
    def test_who_has_lost_it_sends_nothing(self, world: World) -> None:
        root = a_thread(world, "keyless", due_in=NOW)
        mark = run_module.mark_sending

        def late(claimed: Claim) -> None:
            world.pass_time(80)
            mark(claimed)

        with mock.patch.object(run_module, "mark_sending", late):
            publish_due(root.id, root.revision, deadline=far_ahead())
        assert world.platform.created == []
        assert one(world, "state", "attempts", "number") == "running"

    def test_who_has_lost_it_records_nothing_even_if_nobody_has_taken_over(
        self, world: World
    ) -> None:
        root = a_thread(world, "keyless", due_in=NOW)
        with unit_of_work() as session:
            claimed = claim(root.id, root.revision, session=session)
        assert isinstance(claimed, Claim)
        run_module.mark_sending(claimed)
        world.pass_time(80)
        record(claimed, Fail(ContentRejected("no")))
        assert world.states(root.id)[0] == "publishing"

    @pytest.mark.parametrize(
        "next_",
        [
            Unconfirmed(OutcomeUnknown("no answer")),
            Fail(ContentRejected("no")),
            Fail(ChannelDisconnected("no"), disconnects=True),
        ],
    )
    def test_who_has_lost_it_tells_members_nothing(self, world: World, next_: Next) -> None:
        root = a_thread(world, "keyless", due_in=NOW)
        with unit_of_work() as session:
            claimed = claim(root.id, root.revision, session=session)
        assert isinstance(claimed, Claim)
        run_module.mark_sending(claimed)
        world.pass_time(80)
        record(claimed, next_)
        with world.engine.connect() as connection:
            told = connection.execute(text("select title from notifications")).scalars().all()
            lost = text("select count(*) from channels where disconnected_at is not null")
            assert connection.execute(lost).scalar_one() == 0
        assert told == []
        assert world.states(root.id) == ["publishing", "queued"]

    def test_while_reconcile_decides_the_old_holder_sends_nothing(self, world: World) -> None:
        root = a_thread(world, "keyless", due_in=NOW)
        with unit_of_work() as session:
            claimed = claim(root.id, root.revision, session=session)
        assert isinstance(claimed, Claim)
        world.pass_time(80)
        with unit_of_work() as session:
            sweep_queries.TAKE_LOST.all(session, page_size=1)
        with pytest.raises(run_module.LeaseLost):
            run_module.mark_sending(claimed)

    def test_a_release_that_comes_late_is_adopted_by_reconcile(self, world: World) -> None:
        root = a_thread(world, "keyless", due_in=NOW)
        with unit_of_work() as session:
            claimed = claim(root.id, root.revision, session=session)
        assert isinstance(claimed, Claim)
        run_module.mark_sending(claimed)
        world.pass_time(80)
        reconcile()
        assert world.states(root.id)[0] == "unconfirmed"
        record(claimed, Publish(Released("late-1", "https://platform.example/late-1")))
        assert world.states(root.id)[0] == "unconfirmed"
        world.run()
        assert world.states(root.id) == ["published", "published"]
        assert one(world, "release_id") == "late-1"
        assert world.platform.texts() == ["two"]
        with world.engine.connect() as connection:
            titles = connection.execute(
                text("select title from notifications order by id")
            ).scalars()
            told = [title for title in titles if "Check whether" in title or "after all" in title]
        # Whoever was asked to look for it need not look, nor send it again.
        assert [title.split()[0] for title in told] == ["Check", "Your"]

    def test_two_reconcilers_settle_an_attempt_once(self, world: World) -> None:
        root = a_thread(world, "keyed", due_in=NOW)
        with unit_of_work() as session:
            claimed = claim(root.id, root.revision, session=session)
        assert isinstance(claimed, Claim)
        run_module.mark_sending(claimed)
        world.pass_time(80)
        world.messages.clear()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _number: reconcile(), range(2)))
        assert len(world.messages) == 1
        world.run()
        assert world.platform.texts() == ["one", "two"]

    @pytest.mark.parametrize("skew", [-30, 30])
    def test_a_skewed_clock_changes_nothing(self, world: World, skew: int) -> None:
        real = clock.now
        with mock.patch.object(clock, "now", side_effect=lambda: real() + timedelta(seconds=skew)):
            root = a_thread(world, "keyed", due_in=SOON)
            world.platform.answers.append(world.platform.accept_and_drop)
            world.run()
        assert world.states(root.id) == ["published", "published"]
        assert world.platform.texts() == ["one", "two"]


class TestTokens:
    def test_a_refused_token_is_renewed_once_and_the_post_goes_out(self, world: World) -> None:
        root = a_thread(world, "keyless", due_in=NOW)
        with world.engine.begin() as connection:
            connection.execute(text("update channels set refresh_token = 'old'::bytea"))
        token = httpx.Response(200, json={"access": "fresh", "refresh": "newer"})
        world.platform.answers += [refuse(401), lambda _request: token]
        publish_due(root.id, root.revision, deadline=far_ahead())
        assert one(world, "state") == "published"
        assert [request.url.path for request in world.platform.requests] == [
            "/posts",
            "/token",
            "/posts",
        ]
        assert one(world, "count(*)", "attempts", "1") == 1

    def test_a_second_refusal_fails_and_leaves_the_channel_connected(self, world: World) -> None:
        root = a_thread(world, "keyless", due_in=NOW)
        with world.engine.begin() as connection:
            connection.execute(text("update channels set refresh_token = 'old'::bytea"))
        token = httpx.Response(200, json={"access": "fresh"})
        world.platform.answers += [refuse(401), lambda _request: token, refuse(401)]
        publish_due(root.id, root.revision, deadline=far_ahead())
        assert one(world, "state") == "failed"
        assert one(world, "disconnected_at", "channels", "id") is None

    def test_a_mistake_of_ours_in_the_renewal_puts_the_post_back_at_once(
        self, world: World
    ) -> None:
        root = a_thread(world, "keyless", due_in=NOW)
        with world.engine.begin() as connection:
            connection.execute(text("update channels set refresh_token = 'old'::bytea"))
        unheard_of = httpx.Response(200, json={"unheard": "of"})
        world.platform.answers += [refuse(401), lambda _request: unheard_of]
        publish_due(root.id, root.revision, deadline=far_ahead())
        assert world.states(root.id)[0] == "queued"
        world.run()
        assert world.states(root.id) == ["published", "published"]

    def test_a_token_is_not_renewed_by_a_process_about_to_end(self, world: World) -> None:
        root = a_thread(world, "keyless", due_in=NOW)
        with world.engine.begin() as connection:
            connection.execute(text("update channels set refresh_token = 'old'::bytea"))
        token = httpx.Response(200, json={"access": "fresh", "refresh": "newer"})
        world.platform.answers.append(refuse(401))
        publish_due(root.id, root.revision, deadline=time.monotonic() + 20)
        assert [request.url.path for request in world.platform.requests] == ["/posts"]
        assert world.states(root.id)[0] == "queued"
        world.platform.answers += [refuse(401), lambda _request: token]
        world.run()
        assert world.states(root.id) == ["published", "published"]


class TestEvidence:
    def test_of_the_send_is_kept_when_the_look_up_fails_too(self, world: World) -> None:
        world.platform.answers += [refuse(500, message="boom"), *[refuse(503)] * 5]
        root = a_thread(world, "searchable", due_in=NOW)
        world.run()
        assert world.states(root.id)[0] == "unconfirmed"
        evidence = one(world, "evidence", "attempts", "number")
        assert isinstance(evidence, dict)
        assert (evidence["method"], evidence["status"]) == ("POST", 500)

    def test_of_a_refused_token_is_kept_when_it_cannot_be_renewed(self, world: World) -> None:
        world.platform.answers += [refuse(401), refuse(400, message="invalid")]
        root = a_thread(world, "keyless", due_in=NOW)
        publish_due(root.id, root.revision, deadline=far_ahead())
        evidence = one(world, "evidence", "attempts", "number")
        assert isinstance(evidence, dict)
        assert evidence["status"] in {400, 401}

    def test_a_release_clears_the_error_of_an_earlier_try(self, world: World) -> None:
        world.platform.answers.append(refuse(500))
        root = a_thread(world, "keyed", due_in=NOW)
        world.run()
        assert world.states(root.id) == ["published", "published"]
        assert one(world, "error_code", "attempts", "started_at") is None


class TestCounted:
    """What alarms watch: how many posts go out, fail, and may be there."""

    @pytest.mark.parametrize(
        ("status", "state", "counted"),
        [
            (None, "published", "count_published"),
            (422, "failed", "count_failed"),
            (500, "unconfirmed", "count_unconfirmed"),
        ],
    )
    def test_each_end_once_and_under_its_own_name(
        self, world: World, status: int | None, state: str, counted: str
    ) -> None:
        names = ("count_published", "count_failed", "count_unconfirmed")
        root = a_thread(world, "keyless", due_in=NOW)
        if status:
            world.platform.answers.append(refuse(status))
        with mock.patch.multiple(metrics, **dict.fromkeys(names, mock.DEFAULT)) as counters:
            publish_due(root.id, root.revision, deadline=far_ahead())
        assert world.states(root.id)[0] == state
        called = {name: counters[name].call_count for name in names}
        assert called == dict.fromkeys(names, 0) | {counted: 1}


class TestMistakesOfOurs:
    def test_before_the_mark_it_is_tried_again(self, world: World) -> None:
        root = a_thread(world, "keyless", due_in=NOW)
        world.platform.answers.append(
            lambda request: httpx.Response(200, text="not json", request=request)
        )
        publish_due(root.id, root.revision, deadline=far_ahead())
        assert one(world, "state") == "unconfirmed"  # the platform said 200: it may be there
        assert one(world, "error_message")

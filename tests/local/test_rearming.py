"""How posts get their hints back after a start: what is due soon first, each once, and no work for what is far."""

import asyncio
from datetime import UTC, datetime, timedelta

import pg8000.dbapi
import pytest
from sqlalchemy import text

from local import rearming
from local.database import connect
from local.rearming import AHEAD, Rearming
from shared.core.config import Settings, settings
from shared.core.ids import PostId
from shared.db.session import unit_of_work
from shared.posts.models import Post
from tests.builders import a_channel, a_post, an_organization

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
pytestmark = pytest.mark.usefixtures("committed")


def armed_posts(*waits: timedelta) -> list[PostId]:
    """Store posts that an earlier run armed; each is due so long from now."""
    now = datetime.now(UTC)
    with unit_of_work() as session:
        channel = a_channel(session, an_organization(session))
        return [
            a_post(session, channel, publish_at=now + wait, armed_revision=1, enqueued_at=now).id
            for wait in waits
        ]


def unarmed() -> set[PostId]:
    with unit_of_work() as session:
        rows = session.execute(
            text("select id from posts where armed_revision is null and enqueued_at is null")
        )
        return set(rows.scalars())


def arm(ids: set[PostId]) -> None:
    with unit_of_work() as session:
        session.execute(
            text("update posts set armed_revision = 1 where id = any(:ids)"), {"ids": list(ids)}
        )


class Reconciler:
    """Arms what it finds, as reconcile does, and remembers it."""

    def __init__(self) -> None:
        self.pages: list[set[PostId]] = []

    async def __call__(self) -> None:
        found = unarmed()
        self.pages.append(found)
        arm(found)


def rearm(what: Rearming) -> int:
    return asyncio.run(what.rearm())


@pytest.fixture
def reconciler() -> Reconciler:
    return Reconciler()


@pytest.fixture
def subject(reconciler: Reconciler) -> Rearming:
    return Rearming(settings().database_url, reconciler)


def test_what_is_due_soonest_comes_first_and_what_is_far_not_at_all(
    subject: Rearming, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rearming, "PAGE_SIZE", 2)
    far, later, soon, late = armed_posts(2 * HOUR, 50 * MINUTE, 5 * MINUTE, -MINUTE)

    assert rearm(subject) == 3

    assert reconciler.pages == [{late, soon}, {later}]
    with unit_of_work() as session:
        assert session.get_one(Post, far).enqueued_at is not None


def test_posts_of_one_second_are_each_rearmed_once(
    subject: Rearming, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rearming, "PAGE_SIZE", 2)
    ids = armed_posts(*[5 * MINUTE] * 5)

    assert rearm(subject) == 5

    assert sorted(key for page in reconciler.pages for key in page) == sorted(ids)


def test_a_far_one_is_rearmed_when_its_hour_has_come(
    subject: Rearming, reconciler: Reconciler
) -> None:
    soon, far = armed_posts(5 * MINUTE, 61 * MINUTE)
    assert rearm(subject) == 1

    with unit_of_work() as session:  # two minutes pass
        session.execute(text("update posts set due_at = due_at - interval '2 minutes'"))

    assert rearm(subject) == 1
    assert reconciler.pages == [{soon}, {far}]


def test_what_was_written_since_the_start_is_left_alone(
    subject: Rearming, reconciler: Reconciler
) -> None:
    rearm(subject)
    armed_posts(5 * MINUTE)

    assert rearm(subject) == 0
    assert reconciler.pages == [set(), set()]


def test_reconcile_arms_it_at_once(subject: Rearming) -> None:
    armed_posts(5 * MINUTE)
    rearm(subject)
    with unit_of_work() as session:
        age = text("select now() - updated_at >= interval '1 minute' from posts")
        assert session.execute(age).scalar_one()


def test_a_database_that_is_away_is_asked_again(
    subject: Rearming, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    armed_posts(5 * MINUTE)
    tries: list[str] = []

    def connect_second_time(url: str) -> pg8000.dbapi.Connection:
        tries.append(url)
        if len(tries) == 1:
            raise pg8000.dbapi.InterfaceError("Can't create a connection")
        return connect(url)

    monkeypatch.setattr(rearming, "connect", connect_second_time)
    monkeypatch.setattr(rearming, "RETRY_AFTER", timedelta(0))

    async def until_rearmed() -> None:
        running = asyncio.create_task(subject.run())
        while not reconciler.pages and not running.done():
            await asyncio.sleep(0.01)
        running.cancel()

    asyncio.run(asyncio.wait_for(until_rearmed(), 10))
    assert len(reconciler.pages[0]) == 1


def test_the_hour_holds_every_hint_that_can_have_been_lost() -> None:
    """A message is held back, and a schedule fires ahead, by less than what is rearmed."""
    fields = Settings.model_fields
    ahead = fields["arm_lead_seconds"].default + fields["arm_spread_seconds"].default
    assert timedelta(seconds=max(ahead, fields["arm_threshold_seconds"].default)) < AHEAD / 2

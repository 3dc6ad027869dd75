"""Whether what is run again after a lost answer stores the same as run once.

The connection is broken when the server has executed the statement and before its answer arrives. The database is read at
that moment and after the statement was run again; of a time it is compared whether it is past, future or not there.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

import shared
from functions.posts.app import app
from shared.access.context import count_public
from shared.access.policy import Per, Rate
from shared.core.ids import new_id
from shared.db.base import Base
from shared.db.migrate import migrating
from shared.db.session import CommitUnknown, autocommit, unit_of_work
from shared.db.statement import NoParams, NoRow, Statement, sql
from shared.posts import hints
from shared.posts.models import Post
from shared.publishing import claim_queries, prepare_queries, stage_queries
from shared.publishing.models import Attempt, AttemptState, Staging, StagingState
from tests.builders import a_channel, a_member, a_post, an_organization
from tests.database.proxy import CountingProxy
from tests.database.test_session import ADD, keys, through_proxy
from tests.gateway import Gateway, as_member, by_grant, by_key

__all__ = ["through_proxy"]

Contents = Mapping[str, Any]
SOON = timedelta(minutes=1)


class Key(NamedTuple):
    key: str


class Process(NamedTuple):
    pid: int


ADD_KEY = Statement(
    "add_key",
    sql("insert into rate_limits (key, count) values (:key, 1)"),
    params=Key,
    row=NoRow,
)
LIST_KEYS = Statement(
    "list_keys", sql("select key from rate_limits order by key"), params=NoParams, row=Key
)
FIND_PROCESS = Statement(
    "find_process", sql("select pg_backend_pid() as pid"), params=NoParams, row=Process
)
CLASH_ONCE = Statement(
    "clash_once",
    sql("""
        do $$ begin
            if nextval('clashes') = 1 then raise sqlstate '40P01'; end if;
        end $$
    """),
    params=NoParams,
    row=NoRow,
)


def contents() -> Contents:
    """Read all rows, each time in them as past, future or not there."""
    with migrating() as connection:
        return {
            table.name: sorted(
                repr({name: _timeless(value) for name, value in row.items()})
                for row in connection.execute(table.select()).mappings()
            )
            for table in Base.metadata.sorted_tables
        }


def _timeless(value: object) -> object:
    if not isinstance(value, datetime):
        return value
    return "past" if value <= datetime.now(UTC) else "future"


@dataclass
class Lost:
    """What stood in the database when the answer was lost."""

    proxy: CountingProxy
    found: list[Contents] = field(default_factory=list)

    def next_answer(self) -> None:
        self.proxy.lose_next_answer(lambda: self.found.append(contents()))


@pytest.fixture
def lost(through_proxy: CountingProxy) -> Lost:
    return Lost(through_proxy)


def a_queued_post(session: Session, **columns: Any) -> Post:
    return a_post(session, a_channel(session, an_organization(session)), **columns)


def to_mark_armed() -> Mapping[str, Any]:
    with unit_of_work() as session:
        post = a_queued_post(session)
        return {"ids": [post.id], "revisions": [post.revision], "sent": True}


def to_mark_sending() -> Mapping[str, Any]:
    with unit_of_work() as session:
        post = a_queued_post(session)
        attempt = Attempt(
            organization_id=post.organization_id, post_id=post.id, root_id=post.id, channel_id=post.channel_id,
            revision=1, generation=1, number=1, state=AttemptState.RUNNING, step=1,
            lease_until=datetime.now(UTC) + SOON,
        )  # fmt: skip
        session.add(attempt)
        session.flush()
        return {"attempt_id": attempt.id, "step": 1}


def to_mark_enqueued() -> Mapping[str, Any]:
    with unit_of_work() as session:
        post = a_queued_post(session)
        return {"part_id": post.id, "revision": post.revision}


def to_renew_staging() -> Mapping[str, Any]:
    with unit_of_work() as session:
        post = a_queued_post(session)
        staging = Staging(
            id=new_id(), organization_id=post.organization_id, post_id=post.id, revision=1, generation=1,
            state=StagingState.RUNNING, step=1, lease_until=datetime.now(UTC), progress={},
        )  # fmt: skip
        session.add(staging)
        session.flush()
        return {"staging_id": staging.id, "step": 1, "lease_seconds": 75.0}


# The statements that declare it, and what each is given; whether rows come back.
REPEATABLE: Mapping[str, tuple[Statement[..., Any], Callable[[], Mapping[str, Any]], int]] = {
    "posts.hints.MARK_ARMED": (hints.MARK_ARMED, to_mark_armed, 0),
    "publishing.prepare_queries.MARK_ENQUEUED": (
        prepare_queries.MARK_ENQUEUED,
        to_mark_enqueued,
        0,
    ),
    "publishing.claim_queries.MARK_SENDING": (claim_queries.MARK_SENDING, to_mark_sending, 1),
    "publishing.stage_queries.RENEW_STAGING": (stage_queries.RENEW_STAGING, to_renew_staging, 1),
}


# What counts calls stores more when it is run again; `test_a_call_is_counted_twice_at_most` is about it.
COUNTING = {"shared.access.context", "shared.access.context_queries"}


def test_every_statement_that_declares_it_is_proven() -> None:
    declared = set()
    for module in pkgutil.walk_packages(shared.__path__, "shared."):
        if ".migrations" in module.name or module.name in COUNTING:
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, Statement) and value.options["repeatable"]:
                declared.add(f"{module.name.removeprefix('shared.')}.{name}")
    assert declared == set(REPEATABLE)


@pytest.mark.parametrize("name", REPEATABLE)
def test_run_again_it_stores_what_it_stored(lost: Lost, name: str) -> None:
    statement, prepare, rows = REPEATABLE[name]
    values = prepare()
    before = contents()
    lost.next_answer()
    assert len(statement.alone(**values)) == rows
    [between] = lost.found
    assert between != before
    assert contents() == between


CALLERS: Mapping[str, Callable[..., Gateway]] = {
    "session": as_member,
    "api_key": by_key,
    "oauth": by_grant,
}


def test_a_call_of_a_public_route_is_counted_twice_at_most(lost: Lost) -> None:
    rate = Rate("public", times=10, window=timedelta(hours=1), per=Per.ADDRESS)
    lost.next_answer()
    with pytest.raises(DBAPIError), autocommit() as connection:
        count_public(connection, "203.0.113.1", rate)
    with autocommit() as connection:
        assert count_public(connection, "203.0.113.1", rate).remaining == 8


@pytest.mark.parametrize("by", CALLERS)
def test_a_call_is_counted_twice_at_most(lost: Lost, aws: None, by: str) -> None:
    """The statement that says who is calling is repeatable although it counts the calls."""
    with unit_of_work() as session:
        gateway = CALLERS[by](app, session, a_member(session, an_organization(session)))
    before = contents()
    lost.next_answer()
    assert gateway.post("/posts", {}).status == 422
    [between] = lost.found
    assert between["rate_limits"] != before["rate_limits"]
    after = contents()
    assert after["rate_limits"] != between["rate_limits"]
    assert {**after, "rate_limits": ()} == {**between, "rate_limits": ()}


class TestOthers:
    def test_a_write_is_not_run_again_and_nobody_knows(self, lost: Lost) -> None:
        lost.next_answer()
        with pytest.raises(CommitUnknown):
            ADD_KEY.alone(key="a")
        assert len(lost.found[0]["rate_limits"]) == 1
        assert keys() == ["a"]

    def test_a_read_is_run_again(self, lost: Lost) -> None:
        ADD_KEY.alone(key="a")
        lost.next_answer()
        assert [row.key for row in LIST_KEYS.alone()] == ["a"]
        assert len(lost.found) == 1

    def test_a_second_loss_is_told(self, lost: Lost) -> None:
        statement, prepare, _ = REPEATABLE["posts.hints.MARK_ARMED"]
        values = prepare()

        def again() -> None:
            lost.proxy.lose_next_answer()

        lost.proxy.lose_next_answer(again)
        with pytest.raises(Exception, match="network error"):
            statement.alone(**values)

    def test_what_the_server_refused_while_ending_is_run_again(
        self, through_proxy: CountingProxy
    ) -> None:
        """A refusal (57P01) says that it was not executed."""
        [process] = FIND_PROCESS.alone()
        with migrating() as connection:
            connection.execute(
                text("select pg_terminate_backend(:pid, 5000)"), {"pid": process.pid}
            )
        ADD_KEY.alone(key="a")
        assert keys() == ["a"]

    def test_one_that_clashed_is_run_again(self, through_proxy: CountingProxy) -> None:
        with migrating() as connection:
            connection.execute(text("create sequence clashes"))
            connection.commit()
            CLASH_ONCE.alone()
            connection.execute(text("drop sequence clashes"))
            connection.commit()

    def test_costs_one_round_trip_and_no_transaction_follows_it(
        self, through_proxy: CountingProxy, committed: Engine
    ) -> None:
        keys()
        before = through_proxy.round_trips
        ADD_KEY.alone(key="a")
        assert through_proxy.round_trips - before == 1
        with pytest.raises(ZeroDivisionError), unit_of_work() as session:
            session.execute(ADD, {"key": "b"})
            raise ZeroDivisionError
        assert keys() == ["a"]

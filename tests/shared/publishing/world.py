"""A small world in which a post goes its whole way: queues in memory, a clock that can be moved, and a process that can be stopped.

The database is real and commits are real. Time passes by moving every stored moment back, so that `now()` in the statements
stays the only clock. `Stopped` is a BaseException, as a killed process is nothing that code can catch.
"""

import contextlib
import dataclasses
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from shared.aws import queues, scheduler
from shared.aws.queues import Message
from shared.channels import connection, tokens
from shared.core.ids import AttemptId, MediaId, OrganizationId, PostId
from shared.db import session as db_session
from shared.media.make_variants import make_variants
from shared.media.variants import read_plan
from shared.posts.hints import Queued, arm
from shared.posts.models import Post
from shared.publishing.prepare import prepare
from shared.publishing.reconcile import Reconciled, reconcile
from shared.publishing.run import go_on, publish_due
from shared.publishing.stage import stage_due
from shared.publishing.warm import is_warming, warm
from tests.builders import a_channel, a_media, a_post, an_organization
from tests.fakes.platform import Platform

PUBLISH, STAGE = "https://queue.example/publish", "https://queue.example/stage"

MOMENTS = {
    "posts": ("publish_at", "due_at", "enqueued_at", "next_check_at", "created_at", "updated_at", "published_at"),
    "attempts": ("lease_until", "sending_at", "doubt_since", "resume_at", "started_at", "finished_at"),
    "stagings": ("lease_until", "resume_at", "expires_at", "updated_at"),
    "channels": ("refresh_lease_until", "token_expires_at"),
    "provider_pauses": ("until",),
}  # fmt: skip

_UNDER_WAY = text("""
    select exists (
        select 1 from posts
        where deleted_at is null and (state = 'publishing' or (state = 'queued' and due_at is not null))
    )
""")


class Stopped(BaseException):
    """The process was killed."""


@dataclass(order=True)
class Held:
    """A message on a queue, delivered when `at` has come and again if its delivery is cut off."""

    at: float
    number: int
    queue: str = field(compare=False)
    body: Mapping[str, Any] = field(compare=False)


@dataclass
class World:
    """The queues, the schedules and the moment; `ticks` counts the outside effects, `stop_at` names one of them."""

    engine: Engine
    platform: Platform
    now: float = 0.0
    messages: list[Held] = field(default_factory=list)
    schedules: dict[str, tuple[float, Mapping[str, Any]]] = field(default_factory=dict)
    ticks: list[str] = field(default_factory=list)
    stop_at: int | None = None
    deliver_twice: bool = False
    newest_first: bool = False
    schedules_fire: bool = True
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count())

    def tick(self, moment: str) -> None:
        """Note an outside effect, and stop the process there if this is the one."""
        self.ticks.append(moment)
        if self.stop_at is not None and len(self.ticks) - 1 == self.stop_at:
            raise Stopped(moment)

    def send(self, queue_url: str, messages: list[Message]) -> None:
        if not messages:
            return
        self.tick("before a message")
        for message in messages:
            body = json.loads(json.dumps(dict(message.body)))
            at = self.now + min(message.delay_seconds, queues.MAX_DELAY_SECONDS)
            for _ in range(2 if self.deliver_twice else 1):
                self.messages.append(Held(at, next(self._numbers), queue_url, body))
        self.tick("after a message")

    def create_schedule(self, name: str, *, at: datetime, payload: Mapping[str, Any]) -> None:
        """Create a schedule. A name that is taken keeps the schedule it has, as AWS's ConflictException leaves it."""
        self.tick("before a schedule")
        fires_at = self.now + (at - self.database_now()).total_seconds()
        self.schedules.setdefault(name, (fires_at, payload))
        self.tick("after a schedule")

    def database_now(self) -> datetime:
        with self.engine.connect() as connection:
            now: datetime = connection.execute(text("select now()")).scalar_one()
        return now

    def pass_time(self, seconds: float) -> None:
        """Let time pass: every stored moment moves back by as much, and so does what the platform holds."""
        self.now += seconds
        self.platform.pass_time(seconds)
        with self.engine.begin() as connection:
            for table, columns in MOMENTS.items():
                moved = ", ".join(
                    f"{column} = {column} - make_interval(secs => {seconds})" for column in columns
                )
                connection.execute(text(f"update {table} set {moved}"))

    def deliver_due(self) -> int:
        """Fire due schedules and work off due messages; a delivery that is cut off comes again in six minutes."""
        for name, (at, payload) in sorted(self.schedules.items()):
            if at <= self.now and self.schedules_fire:
                del self.schedules[name]
                self._run(partial(prepare, PostId(UUID(payload["partId"])), payload["revision"]))
        due = sorted(held for held in self.messages if held.at <= self.now)
        for held in reversed(due) if self.newest_first else due:
            self.messages.remove(held)
            if not self._run(partial(self._work_off, held)):
                self.messages.append(
                    Held(self.now + 360, next(self._numbers), held.queue, held.body)
                )
        return len(due)

    def run(self, *, until: float = 4 * 3600.0) -> None:
        """Let the world go on for `until` seconds: from event to event, with a reconcile every minute that matters.

        It ends sooner when nothing is under way any more: no message, no part with something to be done.
        """
        end, quiet = self.now + until, 0
        while self.now < end and quiet < 2:
            while self.deliver_due():
                pass
            found = self._reconcile()
            quiet = 0 if found or self._is_under_way() else quiet + 1
            upcoming = self._next_event()
            self.pass_time(min(upcoming, end) - self.now if upcoming and not found else 61.0)

    def _is_under_way(self) -> bool:
        with self.engine.connect() as connection:
            return bool(self.messages) or connection.execute(_UNDER_WAY).scalar_one()

    def _next_event(self) -> float | None:
        moments = [held.at for held in self.messages]
        if self.schedules_fire:
            moments += [at for at, _payload in self.schedules.values()]
        return max(min(moments), self.now + 0.001) if moments else None

    def _reconcile(self) -> int:
        done: list[Reconciled] = []
        self._run(lambda: done.append(reconcile()))
        return sum(dataclasses.astuple(done[0])) - done[0].late if done else 1

    def states(self, *root_ids: PostId) -> list[str]:
        """Return the states of the parts of threads, in order."""
        with self.engine.connect() as connection:
            rows = connection.execute(
                text(
                    "select state from posts where root_id = any(:ids) order by root_id, position"
                ),
                {"ids": list(root_ids)},
            )
            return [row.state for row in rows]

    def _run(self, work: Callable[[], object]) -> bool:
        try:
            work()
        except Stopped:
            return False
        return True

    @staticmethod
    def _work_off(held: Held) -> None:
        deadline = time.monotonic() + 55
        body = held.body
        if held.queue == STAGE:
            stage_due(PostId(UUID(body["partId"])), body["revision"], deadline=deadline)
        elif "mediaId" in body:
            owner = OrganizationId(UUID(body["organizationId"]))
            make_variants(owner, MediaId(UUID(body["mediaId"])), also=read_plan(body))
        elif is_warming(body):
            warm()
        elif "attemptId" in body:
            go_on(AttemptId(UUID(body["attemptId"])), body["step"], deadline=deadline)
        else:
            publish_due(PostId(UUID(body["partId"])), body["revision"], deadline=deadline)


@contextmanager
def a_world(engine: Engine, platform: Platform, patch: pytest.MonkeyPatch) -> Iterator[World]:
    """Put the queues, the schedules, the commits and the platform into the hands of a world."""
    world = World(engine, platform)
    commit = db_session._commit

    def watched_commit(session: Session) -> None:
        if not _has_written(session):  # nothing is lost or kept by it: most of a sweep's are such
            commit(session)
            return
        world.tick("before a commit")
        commit(session)
        world.tick("after a commit")

    execute_alone = db_session._execute_alone

    def watched_statement(*statement: Any) -> db_session.Rows:
        world.tick("before a statement")
        found = execute_alone(*statement)
        world.tick("after a statement")
        return found

    patch.setattr(db_session, "_commit", watched_commit)
    patch.setattr(db_session, "_execute_alone", watched_statement)
    patch.setattr(queues, "send", world.send)
    patch.setattr(scheduler, "create_schedule", world.create_schedule)
    patch.setattr(scheduler, "delete_schedule", lambda name: world.schedules.pop(name, None))
    patch.setattr(tokens, "seal", lambda plain, _purpose, _owner: plain.encode())
    patch.setattr(connection, "open_sealed", lambda sealed, _purpose, _owner: sealed.decode())
    platform.around = world.tick
    yield world


def _has_written(session: Session) -> bool:
    if not session.in_transaction():
        return False
    cursor = session.connection().connection.cursor()  # beside the statements that tests count
    try:
        cursor.execute("select pg_current_xact_id_if_assigned() is not null")
        return cursor.fetchone() == (True,)
    finally:
        cursor.close()


def a_thread(world: World, provider: str, *, due_in: timedelta, media: bool = False) -> Post:
    """Store a queued thread of two parts, the second a minute after the first, and arm it as `compose` does."""
    with Session(world.engine, expire_on_commit=False) as session, session.begin():
        organization = an_organization(session)
        channel = a_channel(session, organization, provider=provider)
        files = [{"id": str(a_media(session, organization).id)}] if media else []
        when = datetime.now(UTC) + due_in
        root = a_post(session, channel, publish_at=when, content="<p>one</p>", media=files)
        a_post(session, channel, parent=root, content="<p>two</p>", delay_seconds=60)
    queued = Queued(
        root.id,
        root.organization_id,
        root.revision,
        root.arm_count,
        when,
        due_in.total_seconds(),
        media,
    )
    with contextlib.suppress(Stopped):
        arm([queued])
    return root

"""Measures publishing in one environment: posts per second, their cost, and the lateness of a hundred at once.

Batches of ten go through the publish function's handler in sequence, each in parallel threads as in Lambda. The platform
answers immediately in memory, so only our own cost remains: claim, mark, record, and the HTTP client.
"""

import json
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from benchmarks.callers import backend
from benchmarks.surroundings import LambdaContext, backend_cpu_ns, quiet
from benchmarks.timing import Row
from functions.publish.app import handler
from shared.channels import connection
from shared.channels.models import Channel
from shared.core import clock
from shared.core.crypto import Purpose, Sealer
from shared.core.ids import PostId, new_id
from shared.db.session import unit_of_work
from shared.organizations.models import Organization
from shared.posts.lifecycle import PostState
from shared.posts.models import Post
from shared.publishing.models import Staging, StagingState
from tests.builders import a_channel, a_media, a_post, an_organization
from tests.counting import Cost, count_statements
from tests.fakes.platform import Platform, fake_platform

BOTH = "both, ms"
LAST_OUT = "last one out, seconds late"
BATCH = 10
TRIPS = "round trips a post, without media and replies"
BURST = 100
_SOON = timedelta(seconds=1)


class KeysInMemory:
    """A KMS replacement with plain keys in memory; each is requested once in five minutes, as from KMS."""

    def new_key(self, _context: dict[str, str]) -> tuple[bytes, bytes]:
        key = os.urandom(32)
        return key, key

    def open_key(self, wrapped: bytes, _context: dict[str, str]) -> bytes:
        return wrapped


@dataclass(frozen=True, slots=True)
class Publisher:
    """Channels on a platform that answers immediately."""

    channels: Sequence[Channel]
    platform: Platform

    def queue_posts(self, count: int) -> list[PostId]:
        """Store posts that are due."""
        posts = [self._post(self.channels[number % len(self.channels)]) for number in range(count)]
        with unit_of_work() as session:
            session.add_all(posts)
        return [post.id for post in posts]

    def queue_thread_with_picture(self) -> PostId:
        """Store a due post with a reply and a picture that is already on the platform."""
        channel = self.channels[0]
        with unit_of_work() as session:
            picture = a_media(session, session.get_one(Organization, channel.organization_id))
            due = clock.now() - timedelta(milliseconds=100)
            root = a_post(session, channel, publish_at=due, media=[{"id": str(picture.id)}])
            a_post(session, channel, parent=root)
            staging = Staging(organization_id=root.organization_id, post_id=root.id, revision=1, generation=1,
                              state=StagingState.READY, lease_until=due, progress={"ids": ["1"]})  # fmt: skip
            session.add(staging)
        return root.id

    @staticmethod
    def _post(channel: Channel) -> Post:
        key, due = new_id(), clock.now() - timedelta(milliseconds=100)
        return Post(
            id=key,
            organization_id=channel.organization_id,
            channel_id=channel.id,
            group_id=new_id(),
            root_id=key,
            state=PostState.QUEUED,
            content=f"<p>Post {key}</p>",
            content_hash=key.hex,
            publish_at=due,
            due_at=due,
        )


@dataclass(frozen=True, slots=True)
class Throughput:
    """The result of one environment."""

    posts: int
    seconds: float
    handler_cpu_seconds: float
    database_cpu_seconds: float
    batch_cpu_seconds: float

    @property
    def rows(self) -> list[Row]:
        per_post = 1000 / self.posts
        handlers = self.handler_cpu_seconds * per_post
        database = self.database_cpu_seconds * per_post
        return [
            {"what": "posts", "figure": self.posts},
            {"what": "posts a second, one environment", "figure": round(self.posts / self.seconds)},
            {"what": "handler's CPU a post, ms", "figure": round(handlers, 2)},
            {"what": "database's CPU a post, ms", "figure": round(database, 2)},
            {"what": BOTH, "figure": round(handlers + database, 2)},
            {"what": "database's share of it", "figure": round(database / (handlers + database), 2)},
        ]  # fmt: skip


@contextmanager
def publisher(patch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """Connect twenty organizations' channels to a platform in memory."""
    sealer = Sealer(KeysInMemory())
    patch.setattr(connection, "open_sealed", sealer.open)
    with fake_platform(patch) as platform:
        with unit_of_work() as session:
            channels = []
            for _ in range(20):
                organization = an_organization(session)
                token = sealer.seal("token", Purpose.CHANNEL, organization.id)
                channels.append(
                    a_channel(session, organization, provider="keyless", sealed_token=token)
                )
        yield Publisher(channels, platform)


def measure(on: Publisher, *, posts: int) -> Throughput:
    """Publish `posts` in batches of ten."""
    _work_off(on.queue_posts(2 * BATCH))
    ids = on.queue_posts(posts)
    batches = list(_batches(ids))
    pid, cpu = backend(), []
    database, begin = backend_cpu_ns(pid) or 0, time.perf_counter()
    for batch in batches:
        before = time.process_time()
        _handle(batch)
        cpu.append(time.process_time() - before)
    seconds = time.perf_counter() - begin
    used = ((backend_cpu_ns(pid) or 0) - database) / 1e9
    _late(ids)
    return Throughput(posts, seconds, sum(cpu), used, statistics.median(cpu))


def measure_burst(on: Publisher, *, times: int) -> list[Row]:
    """Publish a hundred posts that are due in one second, in one environment at that second."""
    late: list[list[float]] = []
    for _ in range(times):
        ids = on.queue_posts(BURST)
        with unit_of_work() as session:
            due = session.execute(
                text("""
                    update posts set publish_at = now() + :soon, due_at = now() + :soon where id = any(:ids)
                    returning extract(epoch from due_at - clock_timestamp())::float8
                """),
                {"soon": _SOON, "ids": ids},
            ).scalars()
            wait_seconds = max(due)
        time.sleep(max(0.0, wait_seconds))
        _work_off(ids)
        late.append(_late(ids))
    return [
        {"what": "posts due in one second, one environment", "figure": BURST},
        {"what": "p50, seconds late", "figure": round(statistics.median(map(statistics.median, late)), 2)},
        {"what": LAST_OUT, "figure": round(statistics.median(map(max, late)), 2)},
        {"what": "last one out, the worst of the runs", "figure": round(max(map(max, late)), 2)},
        {"what": "runs", "figure": times},
    ]  # fmt: skip


def trips_a_post(on: Publisher) -> int:
    """Count the round trips for a post without media and replies."""
    return len(_trips_of(on, on.queue_posts(1)))


def claim_mark_record(on: Publisher) -> tuple[Cost, Cost, Cost]:
    """Count the statements of a post with a picture and a reply before its mark, for its mark, and after it.

    Arming the reply after the record's commit counts as part of the record.
    """
    trips = _trips_of(on, [on.queue_thread_with_picture()])
    mark = next(number for number, trip in enumerate(trips) if "set state = 'sending'" in trip)
    return _cost(trips[:mark]), _cost(trips[mark : mark + 1]), _cost(trips[mark + 1 :])


def _trips_of(on: Publisher, ids: Sequence[PostId]) -> Sequence[str]:
    _work_off(on.queue_posts(1))
    [batch] = _batches(ids)
    with count_statements() as cost:
        _handle(batch)
    _late(ids)
    return cost.trips


def _cost(trips: Sequence[str]) -> Cost:
    return Cost(sql=[trip for trip in trips if trip != "commit"], trips=list(trips))


def _work_off(ids: Sequence[PostId]) -> None:
    for batch in _batches(ids):
        _handle(batch)


def _batches(ids: Sequence[PostId]) -> Iterator[dict[str, Any]]:
    for start in range(0, len(ids), BATCH):
        yield {
            "Records": [
                {"messageId": str(one), "body": json.dumps({"partId": str(one), "revision": 1})}
                for one in ids[start : start + BATCH]
            ]
        }


def _handle(batch: dict[str, Any]) -> None:
    with quiet():
        failed = handler(batch, LambdaContext())["batchItemFailures"]
    if failed:
        raise RuntimeError(f"not published: {failed}")


def _late(ids: Sequence[PostId]) -> list[float]:
    """Return each post's lateness in seconds. An unpublished post is an error of the measurement."""
    with unit_of_work() as session:
        late = session.execute(
            text("""
                select extract(epoch from published_at - publish_at)::float8 from posts
                where id = any(:ids) and state = 'published'
            """),
            {"ids": list(ids)},
        ).scalars()
        found = sorted(late)
    if len(found) != len(ids):
        raise RuntimeError(f"{len(found)} of {len(ids)} were published")
    return found

"""Are the books the same when every message and firing comes again, two at once, late, and in another order?

Queues deliver at least once and keep no order, and the Scheduler may fire twice. What a member, the platform and the database
hold afterwards must not depend on it.
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from functions.dead_letter import app as dead_letter
from functions.publish import app as publish
from functions.stage import app as stage
from shared.core.ids import PostId
from tests.fakes.platform import refuse
from tests.functions.test_publish import Context
from tests.shared.publishing import world as world_module
from tests.shared.publishing.conftest import world as world_of_publishing
from tests.shared.publishing.world import STAGE, Held, World, a_thread

world = world_of_publishing
BOOKS = {
    "parts": "select position, state, revision, generation, error_code, release_id is not null from posts order by 1",
    "attempts": (
        "select p.position, a.generation, a.number, a.state, a.counts from attempts a join posts p on p.id = a.post_id"
        " order by 1, 2, 3"
    ),
    "stagings": "select state, generation, revision from stagings order by 1, 2, 3",
    "notifications": "select kind, title, count(*) from notifications group by 1, 2 order by 1, 2",
}


@dataclass
class Unreliable:
    """Lets everything that was delivered come once more, at a time and in an order of chance, and twice in a batch."""

    world: World
    chance: random.Random
    again: list[Callable[[], None]] = field(default_factory=list)

    def work_off(self, held: Held) -> None:
        self._first(lambda: self._deliver(held))

    def prepare(self, part_id: PostId, revision: int) -> None:
        firing = {"partId": str(part_id), "revision": revision}
        self._first(lambda: publish.prepare(firing, Context()))

    def _first(self, event: Callable[[], None]) -> None:
        event()
        self.again.append(event)
        self.chance.shuffle(self.again)
        for _ in range(self.chance.randint(0, len(self.again))):
            self.again.pop()()
        dead = {"messageId": "d", "body": "{}", "eventSourceARN": "arn:aws:sqs:us-east-1:1:dead"}
        assert dead_letter.handler({"Records": [dead]}, Context()) == {"batchItemFailures": []}

    def _deliver(self, held: Held) -> None:
        record = {"messageId": "m", "body": json.dumps(dict(held.body)), "attributes": {}}
        twice = {"Records": [record, {**record, "messageId": "n"}]}
        handler = stage.handler if held.queue == STAGE else publish.handler
        assert handler(twice, Context()) == {"batchItemFailures": []}


def plain(world: World) -> None:
    a_thread(world, "keyless", due_in=timedelta(minutes=40), media=True)
    world.run()


def answer_lost(world: World) -> None:
    world.platform.answers.append(world.platform.accept_and_drop)
    a_thread(world, "searchable", due_in=timedelta(seconds=30))
    world.run()


def processed(world: World) -> None:
    a_thread(world, "slow", due_in=timedelta(0))
    world.run()


def limited(world: World) -> None:
    world.platform.answers.append(refuse(429, headers={"retry-after": "1500"}))
    a_thread(world, "keyless", due_in=timedelta(0))
    world.run()


def sent_again(world: World) -> None:
    """A member sends it again after it failed; the messages of the generation before still lie about."""
    world.platform.answers.append(refuse(422))
    a_thread(world, "keyed", due_in=timedelta(0))
    world.run()
    with world.engine.begin() as connection:
        connection.execute(
            text(
                "update posts set state = 'queued', generation = generation + 1, armed_revision = null,"
                " enqueued_at = null, due_at = case when position = 0 then now() end,"
                " error_code = null, error_message = null"
            )
        )
    world.run()


def edited(world: World) -> None:
    """A member corrects it while its first message is held back."""
    a_thread(world, "keyed", due_in=timedelta(minutes=2))
    world.run(until=30)
    with world.engine.begin() as connection:
        connection.execute(
            text(
                "update posts set revision = revision + 1, content = '<p>new ' || position || '</p>',"
                " armed_revision = null, enqueued_at = null, updated_at = now() - interval '1 minute'"
            )
        )
    world.run()


def books(world: World) -> dict[str, Any]:
    with world.engine.connect() as connection:
        written = {
            name: [tuple(row) for row in connection.execute(text(statement))]
            for name, statement in BOOKS.items()
        }
    sent = Counter(one.url.path for one in world.platform.requests if one.method == "POST")
    return {**written, "platform": world.platform.texts(), "sent": sent}


HAPPENINGS: Mapping[Callable[[World], None], list[str]] = {
    plain: ["one", "two"],
    answer_lost: ["one", "two"],
    processed: ["one", "two"],
    limited: ["one", "two"],
    sent_again: ["one", "two"],
    edited: ["new 0", "new 1"],
}


@pytest.mark.parametrize("happening", HAPPENINGS, ids=lambda found: found.__name__)
def test_the_books_are_the_same_however_often_and_in_whichever_order(
    world: World, monkeypatch: pytest.MonkeyPatch, happening: Callable[[World], None]
) -> None:
    kept = []
    for seed in (None, 1, 2):
        with monkeypatch.context() as patch:
            if seed is not None:
                unreliable = Unreliable(world, random.Random(seed))
                patch.setattr(world, "_work_off", unreliable.work_off)
                patch.setattr(world_module, "prepare", unreliable.prepare)
            happening(world)
            if seed is not None:
                for event in unreliable.again:
                    event()
                world.run()
        kept.append(books(world))
        empty(world)
    assert kept[0]["platform"] == HAPPENINGS[happening]
    assert {part[1] for part in kept[0]["parts"]} == {"published"}
    assert kept[1] == kept[0]
    assert kept[2] == kept[0]


def empty(world: World) -> None:
    """Forget what happened, so that it can happen once more."""
    tables = "posts, attempts, stagings, notifications, channels, media, organizations"
    with world.engine.begin() as connection:
        connection.execute(text(f"truncate {tables} cascade"))
    world.platform.created.clear()
    world.platform.requests.clear()
    world.messages.clear()
    world.schedules.clear()

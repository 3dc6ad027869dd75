"""Publishing's functions, called with the events that AWS sends them."""

import io
import json
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from functions.dead_letter import app as dead_letter
from functions.publish import app as publish
from functions.reconcile import app as reconcile
from functions.stage import app as stage
from tests.fakes.platform import Platform
from tests.shared.publishing.conftest import world as world_of_publishing
from tests.shared.publishing.world import PUBLISH, STAGE, World, a_thread

EVENTS = Path(__file__).parents[2] / "events"
PART = UUID("01923456-789a-7bcd-8ef0-123456789abc")  # the part that the events name
world = world_of_publishing


class Context:
    function_name, memory_limit_in_mb = "publish", 1024
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:publish"
    aws_request_id = "request"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


def event(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_text())


@pytest.fixture
def platform(world: World) -> Platform:
    """The platform, with one thread queued whose root is the events' part and due now."""
    root = a_thread(world, "keyless", due_in=timedelta(0))
    world.messages.clear()
    with world.engine.begin() as connection:
        connection.execute(text("delete from posts where position > 0"))
        connection.execute(
            text("update posts set id = :new, root_id = :new where id = :old"),
            {"new": PART, "old": root.id},
        )
    return world.platform


def test_a_batch_is_worked_off_and_only_the_bad_message_goes_back(platform: Platform) -> None:
    answer = publish.handler(event("publish_batch"), Context())
    bad = event("publish_batch")["Records"][2]["messageId"]
    assert answer == {"batchItemFailures": [{"itemIdentifier": bad}]}
    assert platform.texts() == ["one"]


def test_parts_of_one_batch_are_published_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """None waits for the platform of another: all of a batch are due at the same second."""
    record = event("publish_batch")["Records"][0]
    records = [{**record, "messageId": str(number)} for number in range(10)]
    all_at_once = threading.Barrier(len(records), timeout=5)
    monkeypatch.setattr(publish, "publish_due", lambda *_args, **_options: all_at_once.wait())
    assert publish.handler({"Records": records}, Context()) == {"batchItemFailures": []}


def test_the_same_batch_again_publishes_nothing(platform: Platform) -> None:
    publish.handler(event("publish_batch"), Context())
    publish.handler(event("publish_batch"), Context())
    assert platform.texts() == ["one"]


def test_a_schedules_firing_sends_the_message_for_the_second(
    world: World, platform: Platform
) -> None:
    publish.prepare(event("schedule_prepare"), Context())
    [held] = world.messages
    assert (held.queue, held.body["partId"]) == (PUBLISH, str(PART))
    assert platform.requests == []


def test_media_are_moved(world: World, platform: Platform) -> None:
    with world.engine.begin() as connection:
        connection.execute(
            text(
                "insert into media (id, organization_id, state, key, name, original_name, content_type, size_bytes,"
                " width, height, variants_made, examined) select gen_random_uuid(), organization_id, 'ready', 'k', 'n', 'n',"
                " 'image/png', 9, 1, 1, true, true from posts"
            )
        )
        connection.execute(
            text(
                "update posts set media = (select jsonb_build_array(jsonb_build_object('id', id)) from media)"
            )
        )
    assert stage.handler(event("stage_message"), Context()) == {"batchItemFailures": []}
    assert [request.url.path for request in platform.requests] == ["/media"]
    assert STAGE not in {held.queue for held in world.messages}


def test_a_dead_letter_never_fails_a_post_that_is_merely_queued(
    world: World, platform: Platform, log_lines: io.StringIO
) -> None:
    world.pass_time(60)
    assert dead_letter.handler(event("dead_letter"), Context()) == {"batchItemFailures": []}
    [dead] = [line for line in log_lines.getvalue().splitlines() if "message.dead" in line]
    assert str(PART) in dead  # the runbook begins with this line
    with world.engine.connect() as connection:
        assert connection.execute(text("select state from posts")).scalar_one() == "queued"
    assert [held.body["partId"] for held in world.messages] == [str(PART)]


def test_the_sweep_says_what_it_found(world: World, platform: Platform) -> None:
    world.pass_time(60)
    found = reconcile.handler(event("scheduled_rate"), Context())
    assert found["overdue"] == 1


@pytest.mark.parametrize(
    "body", ['{"warm": true}', '{"warm": true, "correlationId": "of-the-request"}']
)
def test_a_message_that_only_warms_is_taken_and_publishes_nothing(
    platform: Platform, body: str
) -> None:
    """Finding 7.13."""
    record = {**event("publish_batch")["Records"][0], "body": body}
    assert publish.handler({"Records": [record]}, Context()) == {"batchItemFailures": []}
    assert platform.requests == []


def test_a_message_that_names_nothing_to_do_goes_back(platform: Platform) -> None:
    """Taken for one that only warms, it would be lost instead of reaching the dead letters."""
    record = {**event("publish_batch")["Records"][0], "body": '{"postId": "1"}'}
    goes_back = {"batchItemFailures": [{"itemIdentifier": record["messageId"]}]}
    assert publish.handler({"Records": [record]}, Context()) == goes_back
    assert platform.requests == []

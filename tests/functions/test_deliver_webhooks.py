"""Webhooks' worker, called with the event that SQS sends it; and a post's whole way to somebody's server."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import boto3
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from functions.dead_letter import app as dead_letter
from functions.deliver_webhooks.app import handler
from shared.aws import keys
from shared.core.ids import OrganizationId
from shared.organizations.models import Organization
from shared.publishing.run import publish_due
from shared.webhooks.models import DeliveryState, WebhookDelivery
from tests.builders import an_organization
from tests.conftest import Configure
from tests.counting import count_statements
from tests.fakes.platform import fake_platform
from tests.shared.publishing.world import PUBLISH, STAGE, World, a_thread, a_world
from tests.shared.webhooks.builders import SECRET, a_delivery, a_webhook, queued
from tests.shared.webhooks.conftest import receiver, webhooks_queue
from tests.shared.webhooks.receiver import Receiver

__all__ = ["receiver", "webhooks_queue"]  # fixtures
EVENT = Path(__file__).parents[2] / "events" / "webhooks_message.json"


class Context:
    """What Lambda tells a function of itself."""

    function_name, memory_limit_in_mb = "deliver-webhooks", 256
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:deliver-webhooks"
    aws_request_id = "request"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


def an_event(*bodies: dict[str, Any]) -> dict[str, Any]:
    """A batch with these messages; without any, the recorded one."""
    event: dict[str, Any] = json.loads(EVENT.read_text())
    [record] = event["Records"]
    event["Records"] = [
        record | {"messageId": str(number), "body": json.dumps(body)}
        for number, body in enumerate(bodies)
    ] or [record]
    return event


class TestBatch:
    @pytest.fixture
    def organization(self, session: Session, webhooks_queue: str) -> Organization:
        return an_organization(session)

    def test_the_recorded_message_is_delivered(
        self, session: Session, organization: Organization, receiver: Receiver
    ) -> None:
        named = json.loads(an_event()["Records"][0]["body"])["deliveryId"]
        webhook = a_webhook(session, organization, url=receiver.url)
        a_delivery(session, webhook, id=UUID(named))
        assert handler(an_event(), Context()) == {"batchItemFailures": []}
        assert len(receiver.received) == 1

    def test_only_the_bad_message_goes_back(
        self, session: Session, organization: Organization, receiver: Receiver
    ) -> None:
        delivery = a_delivery(session, a_webhook(session, organization, url=receiver.url))
        good = {"deliveryId": str(delivery.id)}
        # One after the other: the threads of a batch would share the test's only connection.
        assert handler(an_event({"deliveryId": "no"}), Context()) == {
            "batchItemFailures": [{"itemIdentifier": "0"}]
        }
        assert handler(an_event(good), Context()) == {"batchItemFailures": []}
        assert len(receiver.received) == 1

    def test_a_dead_message_loses_nothing(
        self, session: Session, organization: Organization, configure: Configure
    ) -> None:
        sqs = boto3.client("sqs")
        configure(
            PUBLISH_QUEUE_URL=sqs.create_queue(QueueName="publish")["QueueUrl"],
            STAGE_QUEUE_URL=sqs.create_queue(QueueName="stage")["QueueUrl"],
        )
        delivery = a_delivery(session, a_webhook(session, organization), enqueued_at=None)
        answer = dead_letter.handler(an_event({"deliveryId": str(delivery.id)}), Context())
        assert answer == {"batchItemFailures": []}
        session.refresh(delivery)
        assert (delivery.state, delivery.tries) == (DeliveryState.WAITING, 0)
        assert queued() == {delivery.id: 0}


@pytest.fixture
def world(
    committed: Engine,
    configure: Callable[..., None],
    webhooks_queue: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    configure(
        PUBLISH_QUEUE_URL=PUBLISH,
        STAGE_QUEUE_URL=STAGE,
        MEDIA_PUBLIC_URL="https://media.example",
        MAIL_TRANSPORT="none",
        DATABASE_POOL_SIZE=8,
    )
    with fake_platform(monkeypatch) as platform, a_world(committed, platform, monkeypatch) as world:
        yield world
    keys._sealer.cache_clear()


def listen(world: World, organization_id: OrganizationId, **columns: Any) -> None:
    with Session(world.engine) as session, session.begin():
        organization = session.get_one(Organization, organization_id)
        a_webhook(session, organization, **columns)


def publish(world: World, root: Any) -> list[dict[str, Any]]:
    """Publish a thread's root; return the messages for webhooks."""
    world.messages.clear()
    publish_due(root.id, root.revision, deadline=time.monotonic() + 55)
    return [dict(held.body) for held in world.messages if "deliveryId" in held.body]


class TestWholeWay:
    def test_a_published_post_reaches_the_receiver(
        self, world: World, webhooks_queue: str, receiver: Receiver
    ) -> None:
        root = a_thread(world, "keyless", due_in=timedelta(0))
        listen(world, root.organization_id, url=receiver.url)
        listen(world, root.organization_id, url=receiver.url + "/failures", events=["post.failed"])
        messages = publish(world, root)
        assert [held.queue for held in world.messages if "deliveryId" in held.body] == [
            webhooks_queue
        ]
        with Session(world.engine) as session:
            [delivery] = session.query(WebhookDelivery).all()
            release_url, channel_id = session.execute(
                text("select release_url, channel_id from posts where position = 0")
            ).one()
        assert messages == [{"deliveryId": str(delivery.id)}]
        assert delivery.state is DeliveryState.WAITING

        assert handler(an_event(*messages * 2), Context()) == {"batchItemFailures": []}
        [got] = receiver.received
        assert got.path == "/hook"
        assert got.headers["webhook-event"] == "post.published"
        assert got.verified(SECRET) == [
            {
                "id": str(root.id),
                "content": "<p>one</p>",
                "publishDate": got.verified(SECRET)[0]["publishDate"],
                "releaseURL": release_url,
                "state": "PUBLISHED",
                "integration": {
                    "id": str(channel_id),
                    "name": "Ada",
                    "providerIdentifier": "keyless",
                    "picture": None,
                    "type": "social",
                },
            }
        ]
        with Session(world.engine) as session:
            assert session.query(WebhookDelivery).one().state is DeliveryState.DELIVERED

    def test_to_tell_costs_no_statement(self, world: World, receiver: Receiver) -> None:
        costs = []
        for listens in (False, True):
            root = a_thread(world, "keyless", due_in=timedelta(0))
            if listens:
                listen(world, root.organization_id, url=receiver.url)
            with count_statements() as cost:
                told = publish(world, root)
            assert len(told) == listens
            costs.append(cost.statements)
        assert costs[0] == costs[1]

    def test_a_reply_is_not_told_of_unless_it_fails(self, world: World, receiver: Receiver) -> None:
        root = a_thread(world, "keyless", due_in=timedelta(0))
        publish(world, root)
        listen(world, root.organization_id, url=receiver.url)
        with world.engine.begin() as connection:
            reply_id = connection.execute(
                text("select id from posts where position = 1")
            ).scalar_one()
            connection.execute(text("update posts set due_at = now() where position = 1"))
            connection.execute(text("update channels set disabled = true"))
        world.messages.clear()
        publish_due(reply_id, root.revision, deadline=time.monotonic() + 55)
        messages = [dict(held.body) for held in world.messages]
        handler(an_event(*messages), Context())
        [got] = receiver.received
        [said] = got.verified(SECRET)
        assert (said["id"], said["rootId"]) == (str(reply_id), str(root.id))

    def test_a_failed_post_says_why(self, world: World, receiver: Receiver) -> None:
        root = a_thread(world, "keyless", due_in=timedelta(0))
        listen(world, root.organization_id, url=receiver.url)
        with world.engine.begin() as connection:
            connection.execute(text("update channels set disabled = true"))
        messages = publish(world, root)
        handler(an_event(*messages), Context())
        [got] = receiver.received
        [said] = got.verified(SECRET)
        assert got.headers["webhook-event"] == "post.failed"
        assert (said["state"], said["code"], said["errorCode"]) == (
            "ERROR",
            "failed",
            "channel_disabled",
        )
        assert "is disabled" in said["error"]
        assert (said["id"], said["rootId"], said["releaseURL"]) == (
            str(root.id),
            str(root.id),
            None,
        )

    def test_an_unconfirmed_post_says_so(self, world: World, receiver: Receiver) -> None:
        root = a_thread(world, "keyless", due_in=timedelta(0))
        listen(world, root.organization_id, url=receiver.url)
        world.platform.answers.append(world.platform.accept_and_drop)
        messages = publish(world, root)
        handler(an_event(*messages), Context())
        [got] = receiver.received
        [said] = got.verified(SECRET)
        assert got.headers["webhook-event"] == "post.failed"
        assert (said["state"], said["code"]) == ("ERROR", "unconfirmed")

"""Webhooks over HTTP: what members may make of them, who is told of what happens to posts, and what was said."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import boto3
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from functions.automation.app import app
from functions.channels.app import app as integrations_app
from functions.deliver_webhooks.app import handler as worker
from functions.posts.app import app as posts_app
from shared.aws.keys import open_sealed, seal
from shared.channels.models import Channel
from shared.core.crypto import Purpose
from shared.core.ids import new_id
from shared.organizations.models import Member, Organization, Role
from shared.posts.announce import MAX_CONTENT
from shared.posts.lifecycle import PostState
from shared.publishing.models import Attempt, AttemptState
from shared.publishing.reconcile import adopt_late_releases
from shared.webhooks import manage
from shared.webhooks.models import DeliveryState, Webhook, WebhookBody, WebhookDelivery
from tests.builders import a_channel, a_member, a_post, an_organization
from tests.conftest import Configure
from tests.counting import count_statements
from tests.functions.test_deliver_webhooks import Context
from tests.functions.test_deliver_webhooks import an_event as as_batch
from tests.gateway import Gateway, as_member, by_key
from tests.shared.channels.builders import set_up_platforms
from tests.shared.webhooks.builders import a_delivery, a_webhook, on_the_queue, queued
from tests.shared.webhooks.conftest import receiver, webhooks_queue
from tests.shared.webhooks.receiver import Receiver

__all__ = ["receiver", "webhooks_queue"]  # fixtures
pytestmark = pytest.mark.usefixtures("webhooks_queue")
URL = "https://hooks.example.org/roost"
LATER = datetime(2031, 1, 15, 10, 30, tzinfo=UTC)


@pytest.fixture
def caller(session: Session, webhooks_queue: str, member: Member) -> Gateway:
    """Call the function `automation` as an owner."""
    return as_member(app, session, member)


@pytest.fixture
def webhook(session: Session, organization: Organization, webhooks_queue: str) -> Webhook:
    return a_webhook(session, organization)


def problems(answer: Any) -> list[str]:
    assert answer.status == 422, answer.text
    return [problem["path"] for problem in answer.json["errors"]]


class TestMake:
    def test_as_existing_programs_do(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        sent = {"name": " n8n ", "url": URL, "integrations": [{"id": str(channel.id)}]}
        answer = caller.post("/webhooks", sent)
        assert answer.status == 201
        made = answer.json
        assert made.pop("secret").startswith("whsec_")
        assert made["name"] == "n8n"
        assert made["events"] == ["post.published"]  # what such a program expects to hear of
        assert made["integrations"] == [{"id": str(channel.id)}]
        assert (made["disabled"], made["disabledAt"], made["failingSince"]) == (False, None, None)
        assert caller.get("/webhooks").json == [made]
        assert caller.get(f"/webhooks/{made['id']}").json == made

    def test_secret_rests_sealed_and_is_shown_once(self, session: Session, caller: Gateway) -> None:
        secret = caller.post("/webhooks", {"name": "n8n", "url": URL}).json["secret"]
        stored = session.scalars(select(Webhook)).one()
        assert secret.encode() not in stored.secret
        assert open_sealed(stored.secret, Purpose.WEBHOOK, stored.organization_id) == secret
        assert secret not in caller.get("/webhooks").text

    @pytest.mark.parametrize(
        ("change", "path"),
        [
            ({"name": " "}, "name"),
            ({"name": "x" * 101}, "name"),
            ({"url": "http://hooks.example.org/"}, "url"),
            ({"url": "https://"}, "url"),
            ({"url": "hooks.example.org"}, "url"),
            ({"url": "https://ada:secret@hooks.example.org/"}, "url"),
            ({"url": "https://127.0.0.1/"}, "url"),
            ({"url": "https://2130706433/"}, "url"),
            ({"url": "https://0x7f.1/"}, "url"),
            ({"url": "https://localhost/"}, "url"),
            ({"url": "https://10.1.2.3/"}, "url"),
            ({"url": "https://169.254.169.254/latest"}, "url"),
            ({"url": "https://[::1]/"}, "url"),
            ({"url": "https://[::ffff:10.0.0.1]/"}, "url"),
            ({"url": "https://exa mple.org/"}, "url"),
            ({"url": "https://[::1"}, "url"),
            ({"url": "https://hooks.example.org/" + "x" * 2_000}, "url"),
            ({"events": ["post.read"]}, "events.0"),
            ({"events": ["webhook.test"]}, "events.0"),
            ({"integrations": [{"id": str(new_id())}]}, "integrations.0.id"),
        ],
    )
    def test_a_refused_field_is_named(
        self,
        configure: Configure,
        caller: Gateway,
        webhook: Webhook,
        change: dict[str, Any],
        path: str,
    ) -> None:
        configure(ALLOW_LOOPBACK_ADDRESSES="false")
        made = caller.post("/webhooks", {"name": "n8n", "url": URL} | change)
        assert problems(made) == [path]
        assert problems(caller.put(f"/webhooks/{webhook.id}", change)) == [path]

    def test_on_a_laptop_it_may_be_here(self, caller: Gateway) -> None:
        sent = {"name": "n8n", "url": "http://localhost:5678/hook"}
        assert caller.post("/webhooks", sent).status == 201

    def test_not_more_than_are_allowed(
        self, session: Session, organization: Organization, caller: Gateway
    ) -> None:
        for _ in range(manage.MOST_WEBHOOKS):
            a_webhook(session, organization, secret=b"s")
        a_webhook(session, organization, deleted_at=func.now())
        answer = caller.post("/webhooks", {"name": "n8n", "url": URL})
        assert (answer.status, answer.json["code"]) == (409, "too_many_webhooks")

    def test_others_channels_are_not_there(self, session: Session, caller: Gateway) -> None:
        theirs = a_channel(session, an_organization(session))
        sent = {"name": "n8n", "url": URL, "integrations": [{"id": str(theirs.id)}]}
        assert problems(caller.post("/webhooks", sent)) == ["integrations.0.id"]


class TestRoles:
    @pytest.mark.parametrize(
        ("role", "reads", "writes"),
        [(Role.MEMBER, 403, 403), (Role.EDITOR, 200, 403), (Role.ADMIN, 200, 201)],
    )
    def test_who_may(
        self, session: Session, organization: Organization, role: Role, reads: int, writes: int
    ) -> None:
        caller = as_member(app, session, a_member(session, organization, role=role))
        assert caller.get("/webhooks").status == reads
        assert caller.post("/webhooks", {"name": "n8n", "url": URL}).status == writes

    def test_a_key_that_only_reads_may_not_write(self, session: Session, member: Member) -> None:
        program = by_key(app, session, member, scopes=["read"])
        assert program.get("/webhooks").status == 200
        assert program.post("/webhooks", {"name": "n8n", "url": URL}).status == 403

    def test_may_be_switched_off(self, configure: Configure, caller: Gateway) -> None:
        configure(DISABLED_FEATURES="webhooks")
        assert caller.get("/webhooks").status == 404


class TestChange:
    def test_what_is_left_out_stays(
        self, caller: Gateway, webhook: Webhook, channel: Channel
    ) -> None:
        before = caller.get(f"/webhooks/{webhook.id}").json
        wanted = {
            "events": ["post.failed", "post.failed"],
            "integrations": [{"id": str(channel.id)}],
        }
        changed = caller.put(f"/webhooks/{webhook.id}", wanted).json
        assert changed["events"] == ["post.failed"]
        assert changed["integrations"] == [{"id": str(channel.id)}]
        assert {**changed, "events": [], "integrations": []} == before
        everything = caller.put(f"/webhooks/{webhook.id}", {"events": [], "integrations": []}).json
        assert everything == before

    def test_off_and_on(self, session: Session, caller: Gateway, webhook: Webhook) -> None:
        webhook.failing_since = func.now()
        waiting = a_delivery(session, webhook)
        off = caller.put(f"/webhooks/{webhook.id}", {"disabled": True}).json
        assert off["disabled"]
        assert off["disabledReason"] == "A member disabled it."
        session.refresh(waiting)
        assert (waiting.state, waiting.next_at) == (DeliveryState.FAILED, None)
        on = caller.put(f"/webhooks/{webhook.id}", {"disabled": False}).json
        assert (on["disabled"], on["disabledReason"], on["failingSince"]) == (False, None, None)

    def test_secret_is_rotated_and_the_old_one_signs_for_a_day(
        self, session: Session, caller: Gateway, webhook: Webhook
    ) -> None:
        old = webhook.secret
        secret = caller.post(f"/webhooks/{webhook.id}/rotate").json["secret"]
        session.refresh(webhook)
        assert open_sealed(webhook.secret, Purpose.WEBHOOK, webhook.organization_id) == secret
        assert webhook.previous_secret == old
        now = session.execute(select(func.now())).scalar_one()
        assert webhook.previous_ends_at == now + timedelta(hours=24)

    def test_deleted_is_gone_with_its_secret(
        self, session: Session, caller: Gateway, webhook: Webhook
    ) -> None:
        waiting = a_delivery(session, webhook)
        assert caller.delete(f"/webhooks/{webhook.id}").json == {"id": str(webhook.id)}
        assert caller.get("/webhooks").json == []
        for method, path in (
            ("GET", ""),
            ("PUT", ""),
            ("DELETE", ""),
            ("POST", "/rotate"),
            ("POST", "/test"),
            ("GET", "/deliveries"),
            ("POST", f"/deliveries/{waiting.id}/redeliver"),
        ):
            body: dict[str, Any] | None = {} if method == "PUT" else None
            assert caller.call(method, f"/webhooks/{webhook.id}{path}", body).status == 404
        session.refresh(webhook)
        session.refresh(waiting)
        assert (webhook.secret, waiting.state) == (b"", DeliveryState.FAILED)


class TestLog:
    def test_newest_first_in_pages_by_two_statements(
        self, session: Session, caller: Gateway, webhook: Webhook
    ) -> None:
        now = session.execute(select(func.now())).scalar_one()
        ids = [
            str(a_delivery(session, webhook, created_at=now - timedelta(minutes=age // 2)).id)
            for age in range(5)
        ]
        a_delivery(
            session, a_webhook(session, session.get_one(Organization, webhook.organization_id))
        )
        path = f"/webhooks/{webhook.id}/deliveries"
        found: list[str] = []
        cursor = None
        while len(found) < 5:
            query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
            with count_statements() as cost:
                page = caller.get(path, query=query).json
            assert cost.statements == 2
            found += [one["id"] for one in page["deliveries"]]
            cursor = page["nextCursor"]
        assert cursor is None
        assert sorted(found) == sorted(ids)
        assert found[-1] == ids[-1]
        assert caller.get(path, query={"cursor": "no"}).status == 422

    def test_shows_what_was_said(self, session: Session, caller: Gateway, webhook: Webhook) -> None:
        delivery = a_delivery(
            session, webhook, state=DeliveryState.FAILED, next_at=None, tries=8,
            response_status=500, response_text="broken", error="The server answered 500.",
        )  # fmt: skip
        [shown] = caller.get(f"/webhooks/{webhook.id}/deliveries").json["deliveries"]
        assert shown.pop("createdAt")
        assert shown == {
            "id": str(delivery.id),
            "event": "post.published",
            "eventId": str(delivery.event_id),
            "state": "failed",
            "tries": 8,
            "nextAt": None,
            "responseStatus": 500,
            "responseText": "broken",
            "error": "The server answered 500.",
            "body": delivery.body,
            "finishedAt": None,
        }

    def test_of_a_new_webhook_is_empty(self, caller: Gateway, webhook: Webhook) -> None:
        page = caller.get(f"/webhooks/{webhook.id}/deliveries").json
        assert page == {"deliveries": [], "nextCursor": None}

    def test_test_message_goes_out(
        self, session: Session, caller: Gateway, webhook: Webhook
    ) -> None:
        answer = caller.post(f"/webhooks/{webhook.id}/test")
        assert answer.status == 201
        assert (answer.json["event"], answer.json["state"]) == ("webhook.test", "waiting")
        assert set(answer.json["body"][0]) == {
            "id", "content", "publishDate", "releaseURL", "state", "integration",
        }  # fmt: skip
        assert queued() == {UUID(answer.json["id"]): 0}

    def test_redelivered_under_the_same_event_id(
        self, session: Session, caller: Gateway, webhook: Webhook
    ) -> None:
        first = a_delivery(session, webhook, state=DeliveryState.FAILED, next_at=None)
        answer = caller.post(f"/webhooks/{webhook.id}/deliveries/{first.id}/redeliver")
        assert answer.status == 201
        assert answer.json["id"] != str(first.id)
        assert answer.json["eventId"] == str(first.event_id)
        assert (answer.json["body"], answer.json["tries"]) == (first.body, 0)
        assert queued() == {UUID(answer.json["id"]): 0}

    def test_not_while_it_is_tried_or_the_webhook_is_off(
        self, session: Session, caller: Gateway, webhook: Webhook
    ) -> None:
        waiting = a_delivery(session, webhook)
        path = f"/webhooks/{webhook.id}/deliveries/{waiting.id}/redeliver"
        assert caller.post(path).json["code"] == "still_tried"
        webhook.disabled_at = func.now()
        session.flush()
        assert caller.post(path).json["code"] == "webhook_disabled"
        assert caller.post(f"/webhooks/{webhook.id}/test").json["code"] == "webhook_disabled"
        assert queued() == {}


class TestTold:
    """What happens to posts, as those who listen hear of it."""

    @pytest.fixture
    def member_posts(self, session: Session, queues: None, member: Member) -> Gateway:
        return as_member(posts_app, session, member)

    @pytest.fixture(autouse=True)
    def _only_our_queue(self, queues: None, webhook: Webhook) -> None:
        """Have the queues that posts are armed through, and one who hears of everything."""

    def told(self, session: Session, webhook: Webhook) -> list[WebhookDelivery]:
        """Return the messages since the last time this was asked; each has one on the queue."""
        rows = session.scalars(
            select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook.id)
        ).all()
        assert queued() == {row.id: 0 for row in rows}
        for row in rows:
            session.delete(row)
        session.flush()
        return list(rows)

    def body(self, session: Session, row: WebhookDelivery) -> dict[str, Any]:
        """Return what a message tells of its post."""
        [post] = session.get_one(WebhookBody, row.event_id).body
        return post

    def names(self, session: Session, webhook: Webhook) -> list[tuple[str, str]]:
        return sorted(
            (row.event, self.body(session, row)["id"]) for row in self.told(session, webhook)
        )

    def test_created(
        self,
        session: Session,
        organization: Organization,
        channel: Channel,
        webhook: Webhook,
        member_posts: Gateway,
    ) -> None:
        other = a_channel(session, organization, picture_url="https://cdn.example/a.png")
        answer = member_posts.post(
            "/posts",
            {
                "type": "schedule",
                "date": LATER.isoformat(),
                "tags": [],
                "posts": [
                    {"integration": {"id": str(channel.id)}, "value": [{"content": "One"}, {"content": "Two"}]},
                    {"integration": {"id": str(other.id)}, "value": [{"content": "Three"}]},
                ],
            },
        )  # fmt: skip
        assert answer.status == 201, answer.text
        first, second = sorted(
            self.told(session, webhook), key=lambda row: str(self.body(session, row)["content"])
        )
        assert first.event == second.event == "post.created"
        assert first.event_id != second.event_id
        assert self.body(session, second) == {
            "id": answer.json[1]["postId"],
            "content": "Three",
            "publishDate": "2031-01-15T10:30:00.000Z",
            "releaseURL": None,
            "state": "QUEUE",
            "integration": {
                "id": str(other.id),
                "name": other.name,
                "providerIdentifier": "mastodon",
                "picture": "https://cdn.example/a.png",
                "type": "social",
            },
        }

    @pytest.mark.parametrize("provider", ["mastodon", "mastodon-custom", "bluesky"])
    def test_names_platforms_as_existing_programs_know_them(
        self,
        session: Session,
        organization: Organization,
        webhook: Webhook,
        member_posts: Gateway,
        provider: str,
    ) -> None:
        """Finding 5.2: `mastodon-custom` never existed on this wire, so strict programs refuse it."""
        there = a_channel(session, organization, provider=provider)
        body = {
            "type": "draft",
            "date": LATER.isoformat(),
            "tags": [],
            "posts": [{"integration": {"id": str(there.id)}, "value": [{"content": "One"}]}],
        }
        answer = member_posts.post("/posts", body)
        assert answer.status == 201, answer.text
        [told] = self.told(session, webhook)
        integration = self.body(session, told)["integration"]
        assert integration["id"] == str(there.id)
        assert integration["providerIdentifier"] == provider.removesuffix("-custom")

    def test_costs_no_statement(
        self, session: Session, channel: Channel, webhook: Webhook, member_posts: Gateway
    ) -> None:
        body = {
            "type": "draft",
            "date": LATER.isoformat(),
            "tags": [],
            "posts": [{"integration": {"id": str(channel.id)}, "value": [{"content": "One"}]}],
        }
        costs = []
        for disabled_at in (None, func.now()):
            webhook.disabled_at = disabled_at
            session.flush()
            with count_statements() as cost:
                member_posts.post("/posts", body)
            costs.append(cost.statements)
        assert len(self.told(session, webhook)) == 1
        assert costs[0] == costs[1] <= 8

    def test_updated_and_deleted(
        self, session: Session, channel: Channel, webhook: Webhook, member_posts: Gateway
    ) -> None:
        post = a_post(session, channel, state=PostState.DRAFT)
        a_post(session, channel, state=PostState.DRAFT, parent=post)
        member_posts.put(f"/posts/{post.id}", {"value": [{"content": "A"}, {"content": "B"}]})
        [updated] = self.told(session, webhook)
        assert updated.event == "post.updated"
        told = self.body(session, updated)
        assert (told["content"], told["state"]) == ("A", "DRAFT")
        member_posts.put(f"/posts/{post.id}/date", {"date": LATER.isoformat()})
        assert self.names(session, webhook) == [("post.updated", str(post.id))]
        member_posts.put(f"/posts/{post.id}", {"content": "A"})  # nothing new
        assert self.names(session, webhook) == []
        assert member_posts.delete(f"/posts/{post.id}").status == 200
        assert self.names(session, webhook) == [("post.deleted", str(post.id))]

    def test_a_refused_change_is_not_told(
        self, session: Session, channel: Channel, webhook: Webhook, member_posts: Gateway
    ) -> None:
        post = a_post(session, channel, state=PostState.PUBLISHED)
        assert member_posts.put(f"/posts/{post.id}", {"content": "A"}).status == 409
        assert member_posts.delete(f"/posts/{post.id}").status == 409
        assert self.names(session, webhook) == []

    def test_deleted_with_its_group_or_its_channel(
        self,
        session: Session,
        member: Member,
        channel: Channel,
        webhook: Webhook,
        member_posts: Gateway,
    ) -> None:
        group = new_id()
        posts = [a_post(session, channel, group_id=group) for _ in range(2)]
        member_posts.delete(f"/posts/group/{group}")
        expected = sorted(("post.deleted", str(post.id)) for post in posts)
        assert self.names(session, webhook) == expected
        last = a_post(session, channel)
        integrations = as_member(integrations_app, session, member)
        assert integrations.delete(f"/integrations/{channel.id}").status == 200
        assert self.names(session, webhook) == [("post.deleted", str(last.id))]

    def test_confirmed_is_published(
        self,
        session: Session,
        organization: Organization,
        webhook: Webhook,
        member_posts: Gateway,
        configure: Configure,
    ) -> None:
        set_up_platforms(configure)
        token = seal("token", Purpose.CHANNEL, organization.id)
        page = a_channel(session, organization, provider="linkedin-page", sealed_token=token)
        post = a_post(session, page, state=PostState.UNCONFIRMED, due_at=None)
        url = "https://www.linkedin.com/feed/update/urn:li:activity:7"  # which cannot be asked for
        answer = member_posts.post(f"/posts/{post.id}/confirm", {"releaseUrl": url})
        assert answer.status == 200, answer.text
        [told] = self.told(session, webhook)
        assert told.event == "post.published"
        body = self.body(session, told)
        assert (body["state"], body["releaseURL"]) == ("PUBLISHED", url)

    def test_resent_is_updated(
        self, session: Session, channel: Channel, webhook: Webhook, member_posts: Gateway
    ) -> None:
        post = a_post(session, channel, state=PostState.FAILED, due_at=None)
        member_posts.post(f"/posts/{post.id}/resend")
        [told] = self.told(session, webhook)
        assert (told.event, self.body(session, told)["state"]) == ("post.updated", "QUEUE")

    def test_adopted_is_published_and_each_hears_of_its_own(
        self, session: Session, channel: Channel, webhook: Webhook
    ) -> None:
        other = an_organization(session)
        others_webhook = a_webhook(session, other)
        posts = [
            a_post(session, one, state=PostState.UNCONFIRMED, due_at=None)
            for one in (channel, channel, a_channel(session, other))
        ]
        for number, post in enumerate(posts):
            session.add(
                Attempt(
                    organization_id=post.organization_id, post_id=post.id, root_id=post.id,
                    channel_id=post.channel_id, revision=1, generation=1, number=1,
                    state=AttemptState.UNKNOWN, step=1, lease_until=func.now(), finished_at=func.now(),
                    release_id=str(number), release_url=f"https://social.example/{number}",
                )
            )  # fmt: skip
        session.flush()
        assert adopt_late_releases() == 3
        rows = session.scalars(select(WebhookDelivery)).all()
        assert {(row.webhook_id, self.body(session, row)["id"]) for row in rows} == {
            (webhook.id, str(posts[0].id)),
            (webhook.id, str(posts[1].id)),
            (others_webhook.id, str(posts[2].id)),
        }
        assert {row.event for row in rows} == {"post.published"}
        assert queued() == {row.id: 0 for row in rows}

    @pytest.mark.parametrize(
        ("events", "here", "columns", "heard"),
        [
            ([], False, {}, True),
            (["post.created"], True, {}, True),
            (["post.failed", "post.created"], False, {}, True),
            (["post.failed"], False, {}, False),
            ([], None, {}, False),
            ([], False, {"disabled_at": func.now()}, False),
            ([], False, {"deleted_at": func.now()}, False),
        ],
    )
    def test_who_hears(
        self,
        session: Session,
        organization: Organization,
        channel: Channel,
        webhook: Webhook,
        member_posts: Gateway,
        events: Sequence[str],
        here: bool | None,
        columns: dict[str, Any],
        heard: bool,
    ) -> None:
        """`here`: it named this channel; None: another; False: none."""
        named = {True: [str(channel.id)], None: [str(new_id())], False: []}[here]
        listener = a_webhook(
            session, organization, events=list(events), channel_ids=named, **columns
        )
        a_webhook(session, an_organization(session))
        body = {
            "type": "draft",
            "date": LATER.isoformat(),
            "tags": [],
            "posts": [{"integration": {"id": str(channel.id)}, "value": [{"content": "One"}]}],
        }
        member_posts.post("/posts", body)
        rows = session.scalars(select(WebhookDelivery)).all()
        assert {row.webhook_id for row in rows} == {webhook.id, *([listener.id] if heard else [])}
        assert len({row.event_id for row in rows}) == 1

    def test_a_body_is_stored_once_and_sent_by_one_message(
        self,
        session: Session,
        organization: Organization,
        channel: Channel,
        webhook: Webhook,
        member_posts: Gateway,
    ) -> None:
        """Finding 2.6: fifty webhooks do not store a large post fifty times, nor does the caller wait for fifty messages."""
        webhooks = [webhook, *(a_webhook(session, organization) for _ in range(49))]
        channels = [channel, a_channel(session, organization)]
        long = f"<p>{'x ' * 60_000}</p>"
        entries = [
            {"integration": {"id": str(one.id)}, "value": [{"content": long}]} for one in channels
        ]
        body = {"type": "draft", "date": LATER.isoformat(), "tags": [], "posts": entries}
        answer = member_posts.post("/posts", body)
        assert answer.status == 201, answer.text
        rows = session.scalars(select(WebhookDelivery)).all()
        assert len(rows) == len(webhooks) * 2
        assert all(row.body == [] for row in rows)
        bodies = session.scalars(select(WebhookBody)).all()
        assert {one.event_id for one in bodies} == {row.event_id for row in rows}
        assert len(bodies) == 2
        [post] = bodies[0].body
        assert (len(post["content"]), post["contentTruncated"]) == (MAX_CONTENT, True)
        [listed] = on_the_queue()
        assert set(listed["deliveryIds"]) == {str(row.id) for row in rows}
        assert worker(as_batch(listed), Context()) == {"batchItemFailures": []}
        assert queued() == {row.id: 0 for row in rows}

    def test_nothing_is_stored_that_nobody_hears(
        self, session: Session, channel: Channel, webhook: Webhook, member_posts: Gateway
    ) -> None:
        webhook.events = ["post.failed"]
        session.flush()
        entry = {"integration": {"id": str(channel.id)}, "value": [{"content": "One"}]}
        body = {"type": "draft", "date": LATER.isoformat(), "tags": [], "posts": [entry]}
        assert member_posts.post("/posts", body).status == 201
        assert session.scalars(select(WebhookBody)).all() == []

    def test_a_queue_that_is_away_loses_nothing(
        self, session: Session, channel: Channel, webhook: Webhook, member_posts: Gateway
    ) -> None:
        boto3.client("sqs").delete_queue(
            QueueUrl=boto3.client("sqs").get_queue_url(QueueName="webhooks")["QueueUrl"]
        )
        post = a_post(session, channel, state=PostState.DRAFT)
        assert member_posts.put(f"/posts/{post.id}", {"content": "A"}).status == 200
        assert session.scalars(select(WebhookDelivery)).one().state is DeliveryState.WAITING


class TestAsExistingProgramsCallIt:
    """The two routes without an id in their address."""

    def test_change_by_the_id_in_the_body(self, caller: Gateway, webhook: Webhook) -> None:
        sent = {"id": str(webhook.id), "name": "Make", "url": URL, "integrations": []}
        answer = caller.put("/webhooks", sent)
        assert (answer.status, answer.json["name"], answer.json["url"]) == (200, "Make", URL)
        assert "secret" not in answer.json
        assert caller.put("/webhooks", sent | {"id": str(new_id())}).status == 404
        assert problems(caller.put("/webhooks", {"name": "Make"})) == ["id"]

    @pytest.mark.parametrize("body", [{"content": "é", "n": 1}, [{"content": "<p>hi</p>"}]])
    def test_an_address_is_sent_the_body(
        self, session: Session, caller: Gateway, receiver: Receiver, body: Any
    ) -> None:
        answer = caller.post("/webhooks/send", body, query={"url": receiver.url})
        assert (answer.status, answer.json) == (
            200,
            {"send": True, "responseStatus": 200, "responseText": "thanks", "error": None},
        )
        (received,) = receiver.received
        assert json.loads(received.body) == body
        assert received.headers["content-type"] == "application/json"
        assert not {"webhook-signature", "cookie", "auth", "authorization"} & set(received.headers)
        assert session.scalars(select(WebhookDelivery)).all() == []

    def test_what_is_no_unicode_is_refused(self, caller: Gateway, receiver: Receiver) -> None:
        answer = caller.post("/webhooks/send", text='["\\ud800"]', query={"url": receiver.url})
        assert (answer.status, answer.json["errors"][0]["code"]) == (422, "lone_surrogate")
        assert receiver.received == []

    def test_an_address_that_refuses(self, caller: Gateway, receiver: Receiver) -> None:
        receiver.status, receiver.headers = 302, {"location": receiver.url}
        answer = caller.post("/webhooks/send", {}, query={"url": receiver.url})
        assert (answer.json["send"], answer.json["error"]) == (False, "The server answered 302.")
        assert len(receiver.received) == 1

    def test_an_address_that_is_not_public_is_not_called(
        self, caller: Gateway, receiver: Receiver, configure: Configure
    ) -> None:
        configure(ALLOW_LOOPBACK_ADDRESSES="false")
        for url in (receiver.url, "https://169.254.169.254/", "https://[::1]/", "file:///etc", ""):
            answer = caller.post("/webhooks/send", {}, query={"url": url})
            assert problems(answer) == ["url"]
        assert receiver.received == []

    def test_are_for_administrators_and_limited(
        self, session: Session, organization: Organization, caller: Gateway, receiver: Receiver
    ) -> None:
        editor = as_member(app, session, a_member(session, organization, role=Role.EDITOR))
        assert editor.put("/webhooks", {"id": str(new_id())}).status == 403
        assert editor.post("/webhooks/send", {}, query={"url": receiver.url}).status == 403
        assert receiver.received == []
        answer = caller.post("/webhooks/send", {}, query={"url": receiver.url})
        assert answer.headers["x-ratelimit-limit"] == "60"

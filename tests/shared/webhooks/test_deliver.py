"""Whether a message reaches its receiver once, signed, and what becomes of it when it does not."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import Engine, func, select, text
from sqlalchemy.orm import Session

from shared.aws.keys import seal
from shared.core.crypto import Purpose
from shared.core.ids import DeliveryId
from shared.notifications.models import Notification
from shared.organizations.models import Organization
from shared.publishing.housekeeping import keep_house
from shared.webhooks.announce import KEPT
from shared.webhooks.deliver import LEASE, NoTimeLeft, deliver
from shared.webhooks.manage import redeliver
from shared.webhooks.models import DeliveryState, Webhook, WebhookBody, WebhookDelivery
from shared.webhooks.retry import BACK_OFF, MOST_TRIES
from shared.webhooks.signing import new_signing_secret
from shared.webhooks.sweep import forget_old_deliveries, send_due_deliveries
from tests.builders import a_member, an_actor, an_organization
from tests.conftest import Configure
from tests.mails import sent_mails, verify_sender
from tests.shared.webhooks.builders import SECRET, a_delivery, a_webhook, queued
from tests.shared.webhooks.receiver import Receiver

pytestmark = pytest.mark.usefixtures("webhooks_queue")
DAY = timedelta(days=1)


@pytest.fixture
def organization(session: Session) -> Organization:
    return an_organization(session)


@pytest.fixture
def webhook(session: Session, organization: Organization, receiver: Receiver) -> Webhook:
    return a_webhook(session, organization, url=receiver.url)


def now_deliver(delivery: WebhookDelivery | DeliveryId) -> None:
    delivery_id = delivery.id if isinstance(delivery, WebhookDelivery) else delivery
    deliver(delivery_id, deadline=time.monotonic() + 57)


def seconds_from_now(session: Session, delivery: WebhookDelivery) -> float:
    assert delivery.next_at
    now = session.execute(text("select now()")).scalar_one()
    return float((delivery.next_at - now).total_seconds())


class TestTaken:
    def test_carries_id_time_event_and_a_signature(
        self, session: Session, webhook: Webhook, receiver: Receiver
    ) -> None:
        delivery = a_delivery(session, webhook)
        now_deliver(delivery)
        [got] = receiver.received
        assert got.verified(SECRET) == delivery.body
        assert "Grüße".encode() in got.body
        assert got.headers["webhook-id"] == str(delivery.event_id)
        assert got.headers["webhook-event"] == "post.published"
        assert abs(int(got.headers["webhook-timestamp"]) - time.time()) < 60
        assert got.headers["content-type"] == "application/json"
        session.refresh(delivery)
        assert (delivery.state, delivery.tries, delivery.next_at) == (
            DeliveryState.DELIVERED,
            1,
            None,
        )
        assert (delivery.response_status, delivery.response_text) == (200, "thanks")
        assert delivery.finished_at is not None
        assert delivery.error is None

    def test_a_second_message_sends_nothing(
        self, session: Session, webhook: Webhook, receiver: Receiver
    ) -> None:
        delivery = a_delivery(session, webhook)
        now_deliver(delivery)
        now_deliver(delivery)
        assert len(receiver.received) == 1

    def test_of_many_messages_at_once_one_sends(
        self, committed: Engine, webhooks_queue: str, receiver: Receiver
    ) -> None:
        with Session(committed, expire_on_commit=False) as session, session.begin():
            delivery = a_delivery(
                session, a_webhook(session, an_organization(session), url=receiver.url)
            )
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(now_deliver, [delivery] * 16))
        assert len(receiver.received) == 1

    def test_ends_the_webhooks_failing(
        self, session: Session, webhook: Webhook, receiver: Receiver
    ) -> None:
        webhook.failing_since = func.now()
        session.flush()
        now_deliver(a_delivery(session, webhook))
        session.refresh(webhook)
        assert webhook.failing_since is None

    def test_old_secret_signs_for_a_while_after_a_rotation(
        self, session: Session, webhook: Webhook, receiver: Receiver
    ) -> None:
        new = new_signing_secret()
        webhook.previous_secret, webhook.secret = (
            webhook.secret,
            seal(new, Purpose.WEBHOOK, webhook.organization_id),
        )
        webhook.previous_ends_at = func.now() + timedelta(seconds=1)
        session.flush()
        now_deliver(a_delivery(session, webhook))
        webhook.previous_ends_at = func.now()
        session.flush()
        now_deliver(a_delivery(session, webhook))
        both, alone = receiver.received
        assert both.verified(SECRET) == both.verified(new)
        alone.verified(new)
        assert len(alone.headers["webhook-signature"].split()) == 1

    def test_long_answer_is_kept_in_part_and_counts(
        self, session: Session, webhook: Webhook, receiver: Receiver
    ) -> None:
        receiver.text = b"a\0" + "ü".encode() * 1_000_000
        delivery = a_delivery(session, webhook)
        now_deliver(delivery)
        session.refresh(delivery)
        assert delivery.state is DeliveryState.DELIVERED
        assert delivery.response_text == "a" + "ü" * 998 + "…"

    def test_not_due_or_unknown_is_left_alone(
        self, session: Session, webhook: Webhook, receiver: Receiver
    ) -> None:
        early = a_delivery(session, webhook, next_at=func.now() + timedelta(minutes=1))
        now_deliver(early)
        now_deliver(DeliveryId(UUID(int=7)))
        assert receiver.received == []


class TestFailed:
    def test_is_tried_again_by_a_delayed_message(
        self, session: Session, webhook: Webhook, receiver: Receiver
    ) -> None:
        receiver.status, receiver.text = 500, b"broken"
        delivery = a_delivery(session, webhook)
        now_deliver(delivery)
        session.refresh(delivery)
        session.refresh(webhook)
        assert (delivery.state, delivery.tries) == (DeliveryState.WAITING, 1)
        assert (delivery.response_status, delivery.response_text) == (500, "broken")
        assert delivery.error == "The server answered 500."
        pause = seconds_from_now(session, delivery)
        assert 10 <= pause <= 11
        [(queued_id, held)] = queued().items()
        assert queued_id == delivery.id
        assert pause < held <= pause + 2.5  # a message never comes before what it is about is due
        assert delivery.enqueued_at == delivery.next_at
        assert webhook.failing_since is not None
        assert webhook.disabled_at is None

    def test_pause_too_long_for_a_queue_is_left_to_the_sweep(
        self, session: Session, webhook: Webhook, receiver: Receiver
    ) -> None:
        receiver.status = 503
        delivery = a_delivery(session, webhook, tries=3)
        now_deliver(delivery)
        session.refresh(delivery)
        assert delivery.tries == 4
        assert seconds_from_now(session, delivery) >= BACK_OFF[3].total_seconds() > 900
        assert delivery.enqueued_at is None
        assert queued() == {}
        assert send_due_deliveries() == 0
        delivery.next_at = func.now()
        session.flush()
        assert send_due_deliveries() == 1
        assert queued() == {delivery.id: 0}
        assert send_due_deliveries() == 0  # it is on its way

    @pytest.mark.parametrize("asked", ["9" * 30, "²", "Fri, 31 Dec 9999 23:59:59 -2359"])
    def test_a_receiver_that_asks_for_nonsense_is_tried_again(
        self, session: Session, webhook: Webhook, receiver: Receiver, asked: str
    ) -> None:
        receiver.status, receiver.headers = 503, {"retry-after": asked}
        delivery = a_delivery(session, webhook)
        now_deliver(delivery)
        session.refresh(delivery)
        assert (delivery.state, delivery.response_status) == (DeliveryState.WAITING, 503)
        assert seconds_from_now(session, delivery) <= 1.1 * DAY.total_seconds()

    def test_nothing_is_sent_for_a_deleted_organization(
        self, session: Session, webhook: Webhook, receiver: Receiver
    ) -> None:
        delivery = a_delivery(session, webhook, enqueued_at=None)
        session.execute(text("update organizations set deleted_at = now()"))
        now_deliver(delivery)
        assert send_due_deliveries() == 1
        session.refresh(delivery)
        assert (receiver.received, queued()) == ([], {})
        assert (delivery.state, delivery.next_at) == (DeliveryState.FAILED, None)

    def test_every_pause_is_spread_a_little(
        self, session: Session, webhook: Webhook, receiver: Receiver
    ) -> None:
        receiver.status = 500
        pauses = set()
        for _ in range(5):
            delivery = a_delivery(session, webhook, tries=4)
            now_deliver(delivery)
            session.refresh(delivery)
            pauses.add(seconds_from_now(session, delivery))
        assert len(pauses) > 1
        assert all(7_200 <= pause <= 7_920 for pause in pauses)

    def test_receiver_asks_for_time(
        self, session: Session, webhook: Webhook, receiver: Receiver
    ) -> None:
        receiver.status, receiver.headers = 429, {"retry-after": "600"}
        delivery = a_delivery(session, webhook)
        now_deliver(delivery)
        session.refresh(delivery)
        assert 600 <= seconds_from_now(session, delivery) <= 660

    def test_redirect_is_not_followed(
        self, session: Session, webhook: Webhook, receiver: Receiver
    ) -> None:
        receiver.status, receiver.headers = 302, {"location": receiver.url + "/other"}
        delivery = a_delivery(session, webhook)
        now_deliver(delivery)
        session.refresh(delivery)
        assert len(receiver.received) == 1
        assert delivery.error == "The server answered 302."

    def test_last_try_ends_it(self, session: Session, webhook: Webhook, receiver: Receiver) -> None:
        receiver.status = 500
        delivery = a_delivery(session, webhook, tries=MOST_TRIES - 1)
        now_deliver(delivery)
        session.refresh(delivery)
        assert (delivery.state, delivery.next_at) == (DeliveryState.FAILED, None)
        assert delivery.finished_at is not None
        assert queued() == {}

    @pytest.mark.parametrize(
        ("url", "said"),
        [
            ("http://127.0.0.1:1/", "The connection failed."),
            ("https://10.0.0.1/", "The address cannot be used."),
            ("https://[::ffff:169.254.169.254]/", "The address cannot be used."),
            ("ftp://example.org/", "The address cannot be used."),
            ("https://[::1", "The address cannot be used."),
        ],
    )
    def test_where_nobody_is(
        self, session: Session, organization: Organization, url: str, said: str
    ) -> None:
        delivery = a_delivery(session, a_webhook(session, organization, url=url))
        now_deliver(delivery)
        session.refresh(delivery)
        assert delivery.error is not None
        assert delivery.error.startswith(said)
        assert (delivery.response_status, delivery.tries) == (None, 1)

    def test_loopback_is_not_called_in_production(
        self, session: Session, webhook: Webhook, receiver: Receiver, configure: Configure
    ) -> None:
        configure(ALLOW_LOOPBACK_ADDRESSES="false")
        delivery = a_delivery(session, webhook)
        now_deliver(delivery)
        session.refresh(delivery)
        assert delivery.error == (
            "The address cannot be used. Only https addresses are allowed. "
            "Enter one that begins with https://."
        )
        assert receiver.received == []

    def test_silence_ends_in_time(
        self, session: Session, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def silent(*_: Any, **__: Any) -> httpx.Response:
            raise httpx.ReadTimeout("silence")

        monkeypatch.setattr(httpx.HTTPTransport, "handle_request", silent)
        delivery = a_delivery(session, webhook)
        now_deliver(delivery)
        session.refresh(delivery)
        assert delivery.error == "The server did not answer within 10 seconds."

    def test_without_time_left_nothing_is_begun(
        self, session: Session, webhook: Webhook, receiver: Receiver
    ) -> None:
        delivery = a_delivery(session, webhook)
        with pytest.raises(NoTimeLeft):
            deliver(delivery.id, deadline=time.monotonic() + 5)
        session.refresh(delivery)
        assert (delivery.tries, receiver.received) == (0, [])


class TestLateHolder:
    """One whose lease has run out while it waited for the answer; the message has been taken over since."""

    @pytest.mark.parametrize(
        ("status", "state"), [(200, DeliveryState.DELIVERED), (500, DeliveryState.WAITING)]
    )
    def test_only_its_success_counts(
        self,
        session: Session,
        webhook: Webhook,
        monkeypatch: pytest.MonkeyPatch,
        status: int,
        state: DeliveryState,
    ) -> None:
        delivery = a_delivery(session, webhook)

        def answer_late(*_: Any, **__: Any) -> httpx.Response:
            session.execute(text("update webhook_deliveries set tries = tries + 1"))
            return httpx.Response(status, stream=httpx.ByteStream(b""))

        monkeypatch.setattr(httpx.HTTPTransport, "handle_request", answer_late)
        now_deliver(delivery)
        session.refresh(delivery)
        session.refresh(webhook)
        assert (delivery.state, delivery.tries, delivery.error) == (state, 2, None)
        assert webhook.failing_since is None
        assert queued() == {}


class TestDisabled:
    @pytest.fixture(autouse=True)
    def _mail(self, session: Session, organization: Organization, webhooks_queue: str) -> None:
        verify_sender()
        a_member(session, organization)

    def test_after_three_days_when_a_message_is_given_up(
        self, session: Session, webhook: Webhook, receiver: Receiver
    ) -> None:
        receiver.status = 500
        webhook.failing_since = func.now() - 3 * DAY
        delivery = a_delivery(session, webhook, tries=MOST_TRIES - 1)
        other = a_delivery(session, webhook, next_at=func.now() + DAY)
        now_deliver(delivery)
        for row in (webhook, delivery, other):
            session.refresh(row)
        assert webhook.disabled_at is not None
        assert "3 days" in str(webhook.disabled_reason)
        assert "answered 500" in str(webhook.disabled_reason)
        assert (other.state, other.next_at) == (DeliveryState.FAILED, None)
        [told] = session.query(Notification).all()
        assert "“Zapier” was disabled" in told.title
        [mail] = sent_mails()
        assert mail.subject == told.title

    @pytest.mark.parametrize(
        ("tries", "failing_for"), [(1, 4 * DAY), (MOST_TRIES - 1, 2 * DAY), (MOST_TRIES - 1, None)]
    )
    def test_not_before(
        self,
        session: Session,
        webhook: Webhook,
        receiver: Receiver,
        tries: int,
        failing_for: timedelta | None,
    ) -> None:
        receiver.status = 500
        webhook.failing_since = None if failing_for is None else func.now() - failing_for
        session.flush()
        now_deliver(a_delivery(session, webhook, tries=tries))
        session.refresh(webhook)
        assert webhook.failing_since is not None
        assert webhook.disabled_at is None
        assert sent_mails() == []

    def test_at_once_when_it_is_gone(
        self, session: Session, webhook: Webhook, receiver: Receiver
    ) -> None:
        receiver.status = 410
        delivery = a_delivery(session, webhook)
        now_deliver(delivery)
        session.refresh(webhook)
        session.refresh(delivery)
        assert delivery.state is DeliveryState.FAILED
        assert "410" in str(webhook.disabled_reason)
        assert len(sent_mails()) == 1

    @pytest.mark.parametrize("column", ["disabled_at", "deleted_at"])
    def test_nothing_more_is_sent(
        self, session: Session, webhook: Webhook, receiver: Receiver, column: str
    ) -> None:
        delivery = a_delivery(session, webhook, enqueued_at=None)
        setattr(webhook, column, func.now())
        session.flush()
        now_deliver(delivery)
        assert receiver.received == []
        assert send_due_deliveries() == 1  # where it ends
        session.refresh(delivery)
        assert (delivery.state, delivery.next_at) == (DeliveryState.FAILED, None)
        assert queued() == {}

    def test_a_test_says_nothing_of_the_others(
        self, session: Session, webhook: Webhook, receiver: Receiver
    ) -> None:
        receiver.status = 500
        delivery = a_delivery(session, webhook, event="webhook.test")
        now_deliver(delivery)
        session.refresh(webhook)
        session.refresh(delivery)
        assert (delivery.state, delivery.tries) == (DeliveryState.FAILED, 1)
        assert webhook.failing_since is None


class TestSweep:
    def test_a_lost_message_is_sent_again(self, session: Session, webhook: Webhook) -> None:
        lost = a_delivery(session, webhook, enqueued_at=func.now() - timedelta(minutes=5))
        a_delivery(session, webhook, enqueued_at=func.now() - timedelta(minutes=4))
        assert send_due_deliveries() == 1
        assert queued() == {lost.id: 0}

    def test_a_holder_that_vanished_is_followed(
        self,
        session: Session,
        webhook: Webhook,
        receiver: Receiver,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def killed(*_: Any, **__: Any) -> httpx.Response:
            raise KeyboardInterrupt

        delivery = a_delivery(session, webhook)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(httpx.HTTPTransport, "handle_request", killed)
            now_deliver(delivery)
        session.refresh(delivery)
        assert seconds_from_now(session, delivery) == LEASE.total_seconds()
        now_deliver(delivery)  # a doubled message meanwhile
        assert (receiver.received, send_due_deliveries()) == ([], 0)
        delivery.next_at = func.now()
        session.flush()
        assert send_due_deliveries() == 1
        now_deliver(delivery)
        assert len(receiver.received) == 1

    def test_what_breaks_us_each_time_ends(self, session: Session, webhook: Webhook) -> None:
        delivery = a_delivery(session, webhook, tries=MOST_TRIES, enqueued_at=None)
        assert send_due_deliveries() == 1
        session.refresh(delivery)
        assert delivery.state is DeliveryState.FAILED
        assert (queued(), send_due_deliveries()) == ({}, 0)

    def test_log_is_kept_for_a_month(self, session: Session, webhook: Webhook) -> None:
        old = a_delivery(session, webhook, created_at=func.now() - timedelta(days=30))
        kept = a_delivery(session, webhook, created_at=func.now() - timedelta(days=29))
        assert keep_house()
        session.expunge(old)
        assert [row.id for row in session.query(WebhookDelivery).all()] == [kept.id]

    def test_a_body_is_kept_while_a_message_shows_it(
        self, session: Session, webhook: Webhook
    ) -> None:
        """Finding 2.6: the sweep deletes bodies too, and none that the log still shows."""
        now = session.execute(select(func.now())).scalar_one()
        event_ids = [uuid4(), uuid4()]
        for event_id, kept_until in zip(event_ids, (now, now + timedelta(days=1)), strict=True):
            session.add(
                WebhookBody(
                    event_id=event_id,
                    organization_id=webhook.organization_id,
                    body=[{"id": "1"}],
                    kept_until=kept_until,
                )
            )
        session.flush()
        assert forget_old_deliveries() == 1
        assert [row.event_id for row in session.scalars(select(WebhookBody))] == event_ids[1:]

    def test_redelivering_keeps_a_body_for_longer(self, session: Session, webhook: Webhook) -> None:
        now = session.execute(select(func.now())).scalar_one()
        first = a_delivery(session, webhook, state=DeliveryState.FAILED, next_at=None, body=[])
        body = WebhookBody(
            event_id=first.event_id,
            organization_id=webhook.organization_id,
            body=[{"id": "1", "content": "Stored once"}],
            kept_until=now + timedelta(days=1),
        )
        session.add(body)
        session.flush()
        again = redeliver(session, an_actor(webhook.organization_id), webhook.id, first.id)
        assert again.body == body.body
        session.refresh(body)
        assert body.kept_until == now + KEPT + timedelta(days=1)
        assert session.get_one(WebhookDelivery, again.id).body == []

    def test_a_stored_body_is_what_is_sent(
        self, session: Session, webhook: Webhook, receiver: Receiver
    ) -> None:
        """Finding 2.6: a message without a body of its own sends the one that its event has."""
        webhook.url = receiver.url
        delivery = a_delivery(session, webhook, body=[])
        session.add(
            WebhookBody(
                event_id=delivery.event_id,
                organization_id=webhook.organization_id,
                body=[{"id": "1", "content": "Stored once"}],
                kept_until=func.now(),
            )
        )
        session.flush()
        now_deliver(delivery)
        [got] = receiver.received
        assert got.verified(SECRET) == [{"id": "1", "content": "Stored once"}]

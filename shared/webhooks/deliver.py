"""Delivers a due message to a webhook: claims it, signs it, sends it once, and records the answer.

A receiver can get an event twice, but does not miss one: if a process dies after the request, its lease expires and the
message is sent again with the same id.
"""

import math
import time
from datetime import timedelta

from sqlalchemy.orm import Session

from shared.aws.keys import open_sealed
from shared.core import clock
from shared.core.config import settings
from shared.core.crypto import Purpose
from shared.core.errors import Unavailable
from shared.core.ids import DeliveryId
from shared.core.log import log
from shared.db.session import after_commit, run
from shared.notifications.models import NotificationKind
from shared.notifications.notify import notify
from shared.webhooks.announce import fits_a_queue, send
from shared.webhooks.claim import Bounds, Claimed, Crowded, claim_delivery
from shared.webhooks.delivery_queries import RECORD_FAILED, RECORD_TAKEN
from shared.webhooks.models import TEST_EVENT
from shared.webhooks.post import LONGEST_REQUEST, as_json, post
from shared.webhooks.queries import END_WAITING_DELIVERIES
from shared.webhooks.retry import FAILING_FOR, MOST_TRIES, SPREAD, Answer, pause_after
from shared.webhooks.signing import sign

LEASE = timedelta(seconds=75)  # longer than the function may run
LEAST_TIME = LONGEST_REQUEST + timedelta(seconds=3)  # to send it and to record the outcome
_QUEUE_MARGIN_SECONDS = 1  # a message must not arrive before its delivery is due
_NOT_SENT = "The webhook was disabled before this was sent."


class NoTimeLeft(Unavailable):
    """The function would be stopped before the receiver's timeout; the message is received again."""


def deliver(delivery_id: DeliveryId, *, deadline: float) -> None:
    """Send a due message; do nothing if it is not due or was sent. `deadline` is a `time.monotonic()` value.

    Raises:
        NoTimeLeft: there is not enough time; nothing was sent.
    """
    if deadline - time.monotonic() < LEAST_TIME.total_seconds():
        raise NoTimeLeft("There is no time left to deliver it now. Wait: Roost tries again.")
    claimed = run(lambda session: _claim(session, delivery_id))
    if claimed is None:
        log.info("webhook.not_due", extra={"delivery_id": delivery_id})
        return
    if isinstance(claimed, Crowded):
        log.info("webhook.crowded", extra={"delivery_id": delivery_id})
        return
    answer = _post(claimed)
    run(lambda session: _record(session, claimed, answer))


def _claim(session: Session, delivery_id: DeliveryId) -> Claimed | Crowded | None:
    bounds = Bounds(
        settings().webhooks_at_once_per_organization, settings().webhooks_at_once_per_host
    )
    claimed = claim_delivery(session, delivery_id, bounds, lease=LEASE, most_tries=MOST_TRIES)
    if isinstance(claimed, Crowded):
        organization_id, delay = claimed.organization_id, _delay_seconds(claimed.turn)
        after_commit(session, lambda: send(organization_id, [delivery_id], delay_seconds=delay))
    return claimed


def _post(claimed: Claimed) -> Answer:
    """Send it, with no transaction open."""
    body = as_json(claimed.body)
    return post(claimed.url, body, _headers(claimed, body))


def _headers(claimed: Claimed, body: bytes) -> dict[str, str]:
    message_id, timestamp = str(claimed.event_id), int(clock.now().timestamp())
    keys = [
        open_sealed(sealed, Purpose.WEBHOOK, claimed.organization_id) for sealed in claimed.secrets
    ]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(keys, message_id, timestamp, body),
        "webhook-event": claimed.event,
    }


def _record(session: Session, claimed: Claimed, answer: Answer) -> None:
    if answer.is_taken:
        RECORD_TAKEN.run(session, delivery_id=claimed.id, status=answer.status, text=answer.text)
        log.info("webhook.delivered", extra=_named(claimed))
        return
    pause = _pause(claimed, answer)
    enqueues = pause is not None and fits_a_queue(_delay_seconds(pause))
    row = RECORD_FAILED.find(
        session,
        delivery_id=claimed.id,
        tries=claimed.tries,
        error=answer.reason,
        status=answer.status,
        text=answer.text,
        pause_seconds=pause.total_seconds() if pause else None,
        enqueues=enqueues,
        counts=claimed.event != TEST_EVENT,
        gone=answer.is_gone,
        failing_for_seconds=FAILING_FOR.total_seconds(),
        reason=_why_disabled(answer),
    )
    log.info("webhook.failed", extra=_named(claimed) | {"status": answer.status})
    if row is None:
        log.warning("webhook.lease_lost", extra=_named(claimed))
    elif row.disabled:
        _give_up(session, claimed, answer)
    elif enqueues and pause is not None:
        delay = _delay_seconds(pause)
        after_commit(
            session,
            lambda: send(claimed.organization_id, [claimed.id], delay_seconds=delay),
        )


def _pause(claimed: Claimed, answer: Answer) -> timedelta | None:
    """Return how long to wait, with some jitter. A test is tried only once, because a member is watching."""
    pause = None if claimed.event == TEST_EVENT else pause_after(answer, claimed.tries)
    share = claimed.id.int % 997 / 997
    return pause and pause * (1 + SPREAD * share)


def _delay_seconds(pause: timedelta) -> int:
    return math.ceil(pause.total_seconds()) + _QUEUE_MARGIN_SECONDS


def _give_up(session: Session, claimed: Claimed, answer: Answer) -> None:
    """Fail the waiting messages of a webhook that was just disabled, and notify the members."""
    organization_id = claimed.organization_id
    END_WAITING_DELIVERIES.run(
        session, organization_id=organization_id, webhook_id=claimed.webhook_id, error=_NOT_SENT
    )
    notify(
        session,
        organization_id,
        NotificationKind.INFO,
        title=f"The webhook “{claimed.webhook_name}” was disabled",
        content=f"{_why_disabled(answer)} Nothing more is sent to it. When its server accepts "
        "messages again, enable the webhook. What it missed is in its log and can be "
        "redelivered from there.",
    )
    log.warning("webhook.disabled", extra=_named(claimed))


def _why_disabled(answer: Answer) -> str:
    if answer.is_gone:
        return "Its server answered 410, which means that it wants no more messages."
    return f"Its server has accepted no message for {FAILING_FOR.days} days. {answer.reason}"


def _named(claimed: Claimed) -> dict[str, object]:
    return {
        "delivery_id": claimed.id,
        "webhook_id": claimed.webhook_id,
        "event": claimed.event,
        "tries": claimed.tries,
    }

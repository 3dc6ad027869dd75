"""The glue of time in functions: what is done at once, and how much of a function's time is left for what."""

import json
import threading
import time
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest

from functions.dead_letter import app as dead_letter
from functions.deliver_webhooks import app as deliver_webhooks
from functions.publish import app as publish
from functions.reconcile import app as reconcile
from functions.stage import app as stage
from functions.token_refresh import app as token_refresh
from shared.core.ids import PostId
from shared.publishing.reconcile import Reconciled
from tests.functions.test_publish import Context, event

SPARE_SECONDS = 3.0  # of the function's time, for recording what a try came to


def messages(count: int) -> dict[str, Any]:
    return {
        "Records": [
            {
                "messageId": str(number),
                "body": json.dumps({"partId": str(uuid4()), "revision": 1}),
                "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:queue",
            }
            for number in range(count)
        ]
    }


class TestBatches:
    def test_ten_posts_go_out_side_by_side(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Finding 8.18: each waits for the other nine, so one after the other would never end."""
        together = threading.Barrier(10, timeout=10)
        monkeypatch.setattr(publish, "publish_due", lambda *_, **__: together.wait())
        assert publish.handler(messages(10), Context()) == {"batchItemFailures": []}

    @pytest.mark.parametrize("error", [RuntimeError, LookupError, ValueError, ConnectionError])
    def test_a_mistake_sends_its_own_message_back_and_no_other(
        self, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
    ) -> None:
        """An exception that leaves the handler would bring all ten again, six minutes later."""
        batch = messages(10)
        third = json.loads(batch["Records"][2]["body"])["partId"]

        def publish_due(part_id: PostId, *_: Any, **__: Any) -> None:
            if str(part_id) == third:
                raise error("a mistake")

        monkeypatch.setattr(publish, "publish_due", publish_due)
        failed = publish.handler(batch, Context())
        assert failed == {"batchItemFailures": [{"itemIdentifier": "2"}]}

    def test_five_webhooks_are_told_side_by_side(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Finding 8.18: other people's servers may each take ten seconds, and the function has one minute."""
        together = threading.Barrier(5, timeout=10)
        monkeypatch.setattr(deliver_webhooks, "deliver", lambda *_, **__: together.wait())
        batch = messages(5)
        for record in batch["Records"]:
            record["body"] = json.dumps({"deliveryId": str(uuid4())})
        assert deliver_webhooks.handler(batch, Context()) == {"batchItemFailures": []}

    @pytest.mark.parametrize(
        ("app", "work", "how"),
        [
            (publish, "publish_due", "deadline"),
            (stage, "stage_due", "deadline"),
            (dead_letter, "settle_dead_letter", "deadline"),
        ],
    )
    def test_seconds_are_kept_for_the_record(
        self, app: Any, work: str, how: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Finding 8.18: a minute is a minute, and what a try came to is written down before it is over."""
        asked = mock.Mock()
        monkeypatch.setattr(app, work, asked)
        before = time.monotonic()
        app.handler(messages(1), Context())
        after = time.monotonic()
        deadline = asked.call_args.kwargs[how]
        assert before + 60 - SPARE_SECONDS <= deadline <= after + 60 - SPARE_SECONDS


class TestRates:
    def test_the_sweep_ends_with_its_function(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Finding 8.18."""
        swept, measured = mock.Mock(return_value=Reconciled()), mock.Mock()
        monkeypatch.setattr(reconcile, "reconcile", swept)
        monkeypatch.setattr(reconcile, "measure_connections", measured)
        before = time.monotonic()
        reconcile.handler(event("scheduled_rate"), Context())
        assert 59 < swept.call_args.kwargs["deadline"] - before < 61
        measured.assert_called_once_with()  # what an alarm watches

    def test_tokens_are_renewed_until_the_function_ends(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Finding 8.18."""
        renewed = mock.Mock(return_value={})
        monkeypatch.setattr(token_refresh, "renew_expiring", renewed)
        before = time.monotonic()
        token_refresh.handler(event("scheduled_rate"), Context())
        assert 59 < renewed.call_args.kwargs["deadline"] - before < 61

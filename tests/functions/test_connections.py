"""Does every function let go of the database where it may sleep, and keep its connection elsewhere?"""

import importlib
import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, text

from layers.build import ROOT, read_template
from shared.db.session import read_only
from tests.conftest import Configure
from tests.gateway import put_app_secret
from tests.loop import use_loop

_FUNCTIONS = {
    name: found["Properties"]
    for name, found in read_template()["Resources"].items()
    if found["Type"] == "AWS::Serverless::Function"
}
_CONTEXT = SimpleNamespace(
    function_name="f", memory_limit_in_mb=1, invoked_function_arn="arn", aws_request_id="r",
    get_remaining_time_in_millis=lambda: 60_000,
)  # fmt: skip
_OF_QUEUES = {
    "PublishFunction": "publish_batch",
    "StageFunction": "stage_message",
    "VariantsFunction": "variants_message",
    "DeliverWebhooksFunction": "webhooks_message",
    "MailsFunction": "mails_message",
    "EraseFunction": "erase_message",
    "DeadLetterFunction": "dead_letter",
}


@pytest.mark.parametrize("name", sorted(_FUNCTIONS))
class TestEveryFunction:
    def test_closes_where_the_database_may_sleep(
        self, name: str, queues: None, committed: Engine, configure: Configure
    ) -> None:
        """Finding 7.12: a frozen process kept its connection, and the cluster awake, for minutes."""
        configure(DATABASE_MAY_SLEEP="true")
        _invoke(name, committed)
        assert _open(committed) == 0

    def test_keeps_its_connection_elsewhere(
        self, name: str, queues: None, committed: Engine
    ) -> None:
        _invoke(name, committed)
        assert _open(committed) >= 1


def test_a_failing_invocation_closes_too(committed: Engine, configure: Configure) -> None:
    configure(DATABASE_MAY_SLEEP="true")
    _connect()
    handler = importlib.import_module("functions.publish.app").handler
    with pytest.raises(KeyError):
        handler({}, _CONTEXT)
    assert _open(committed) == 0


def _invoke(name: str, engine: Engine) -> None:
    put_app_secret()
    _connect()
    assert _open(engine) == 1
    module, _, entry = _FUNCTIONS[name]["Handler"].rpartition(".")
    use_loop()
    getattr(importlib.import_module(module), entry)(_event(name), _CONTEXT)


def _connect() -> None:
    with read_only() as session:
        session.execute(text("select 1"))


def _open(engine: Engine) -> int:
    """Count the connections of the pool, used or not."""
    found: Any = engine.pool
    return int(found.checkedin() + found.checkedout())


def _event(name: str) -> Mapping[str, Any]:
    """Return the recorded event of what invokes the function."""
    kinds = {event["Type"] for event in _FUNCTIONS[name].get("Events", {}).values()}
    if name == "PrepareFunction":
        recorded = "schedule_prepare"
    elif name == "MigrateFunction":
        return {}
    elif kinds == {"HttpApi"}:
        recorded = "http_api_request"
    else:
        recorded = _OF_QUEUES[name] if kinds == {"SQS"} else "scheduled_rate"
    event: Mapping[str, Any] = json.loads((ROOT / "events" / f"{recorded}.json").read_text())
    return event

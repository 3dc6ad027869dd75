"""Does every line of a request and of a message say whose it is and what it is about, and nothing more?"""

import importlib
import io
import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.orm import Session

from functions.posts import app as posts
from functions.publish.app import prepare
from shared.core.ids import new_id
from shared.organizations.models import Member, Role
from tests.gateway import as_member

CONTEXT = SimpleNamespace(
    function_name="f", memory_limit_in_mb=1, invoked_function_arn="arn", aws_request_id="r",
    get_remaining_time_in_millis=lambda: 60_000,
)  # fmt: skip
MESSAGES: dict[str, dict[str, Any]] = {
    "publish": {"partId": str(new_id()), "revision": 1},
    "stage": {"partId": str(new_id()), "revision": 1},
    "variants": {"organizationId": str(new_id()), "mediaId": str(new_id())},
    "deliver_webhooks": {"deliveryId": str(new_id())},
}
NAMED = {"partId": "part_id", "mediaId": "media_id", "deliveryId": "delivery_id"}


def _lines(written: io.StringIO) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in written.getvalue().splitlines()]
    return [line for line in found if "_aws" not in line]


class TestRequest:
    def test_lines_name_organization_person_operation_and_post(
        self, session: Session, queues: None, member: Member, log_lines: io.StringIO,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        """Finding 7.16: a request's lines had a correlation id alone."""

        def fail(*args: object, **kwargs: object) -> None:
            raise RuntimeError("no")

        monkeypatch.setattr(posts, "list_history", fail)
        post_id = new_id()
        as_member(posts.app, session, member).get(f"/posts/{post_id}/history")
        (line,) = _lines(log_lines)
        assert line["message"] == "error.unexpected"
        assert line["organization_id"] == str(member.organization_id)
        assert line["user_id"] == str(member.user_id)
        assert line["operation_id"] == "getPostHistory"
        assert line["post_id"] == str(post_id)

    def test_a_refusal_names_who_was_refused_and_what(
        self, session: Session, queues: None, member: Member, log_lines: io.StringIO
    ) -> None:
        member.role = Role.VIEWER
        session.flush()
        answer = as_member(posts.app, session, member).post("/posts/tags", {"name": "x"})
        assert answer.status == 403
        (line,) = _lines(log_lines)
        assert (line["message"], line["code"]) == ("request.refused", answer.json["code"])
        assert line["organization_id"] == str(member.organization_id)
        assert line["user_id"] == str(member.user_id)
        assert line["operation_id"] == "createTag"


class TestMessages:
    @pytest.mark.parametrize("function", MESSAGES)
    def test_lines_name_organization_and_subject(
        self, function: str, session: Session, queues: None, log_lines: io.StringIO
    ) -> None:
        """Finding 7.16: what a message is about stands in each of its lines, whoever writes them."""
        organization_id, body = new_id(), MESSAGES[function]
        record = {
            "messageId": "m", "body": json.dumps({**body, "correlationId": "request-1"}),
            "attributes": {"MessageGroupId": str(organization_id)},
        }  # fmt: skip
        importlib.import_module(f"functions.{function}.app").handler({"Records": [record]}, CONTEXT)
        lines = _lines(log_lines)
        assert lines
        for line in lines:
            assert line["correlation_id"] == "request-1"
            assert line["organization_id"] in {str(organization_id), body.get("organizationId")}
            assert _named(line) == _named({NAMED.get(k, k): v for k, v in body.items()})

    def test_a_firing_names_its_part(
        self, session: Session, queues: None, log_lines: io.StringIO
    ) -> None:
        part_id = str(new_id())
        prepare({"partId": part_id, "revision": 1}, CONTEXT)
        assert [(line["message"], line["part_id"]) for line in _lines(log_lines)] == [
            ("prepare.stale", part_id)
        ]


def _named(line: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(line[name]) for name in NAMED.values() if name in line}

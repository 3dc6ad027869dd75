"""What every line carries, and what none may."""

import io
import json
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from shared.aws import queues
from shared.aws.batch import run_batch
from shared.aws.queues import Message
from shared.core.ids import new_id
from shared.core.log import (
    REDACTED,
    about,
    correlated,
    log,
    note,
    note_given,
    redact,
    with_correlation,
)


class Context:
    def get_remaining_time_in_millis(self) -> int:
        return 30_000


def test_half_of_a_surrogate_pair_does_not_lose_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    [handler] = [one for one in log.handlers if isinstance(one, logging.StreamHandler)]
    monkeypatch.setattr(handler, "stream", stream)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own
    log.info("platform.answered", extra={"said": "\ud83d."})
    stream.seek(0)
    assert json.loads(stream.read())["said"] in {"\ud83d.", "\\ud83d."}


class TestRedact:
    def test_whatever_stands_under_a_secrets_name(self) -> None:
        given = {
            "access_token": "x",
            "nested": [{"Password": "y", "name": "z"}],
            "token_version": 3,
        }
        assert redact(given) == {
            "access_token": REDACTED,
            "nested": [{"Password": REDACTED, "name": "z"}],
            "token_version": 3,
        }

    def test_mail_addresses_in_texts(self) -> None:
        """Finding 7.16: a mail server's refusal repeats whom the mail was for."""
        given = {"reason": "550 <ada@mail.example.org>: unknown", "seen": ["a@b.example, now", "@"]}
        assert redact(given) == {
            "reason": f"550 <{REDACTED}>: unknown",
            "seen": [f"{REDACTED}, now", "@"],
        }

    def test_the_row_that_a_database_refuses(
        self, session: Session, log_lines: io.StringIO
    ) -> None:
        """Finding 7.16: the error of a broken constraint repeats the whole row."""
        for text_of_a_post in ("Nobody may log this", 'It\'s said that "nobody may log this"'):
            try:
                with session.begin_nested():
                    session.execute(
                        text("insert into organizations (id, name) values (:id, :name)"),
                        {"id": None, "name": text_of_a_post},
                    )
            except DBAPIError:
                log.exception("thing.failed")
            (line,) = log_lines.getvalue().splitlines()
            log_lines.truncate(0)
            log_lines.seek(0)
            assert "nobody may" not in line.lower()
            assert "organizations" in line


class TestCorrelation:
    def test_is_in_every_line_of_its_block_and_in_no_other(self, log_lines: io.StringIO) -> None:
        with correlated("request-1"):
            log.info("thing.done")
        log.info("other.done")
        first, second = (json.loads(line) for line in log_lines.getvalue().splitlines())
        assert first["correlation_id"] == "request-1"
        assert second.get("correlation_id") is None

    def test_threads_keep_theirs_apart(self) -> None:
        def passed_on(number: int) -> object:
            with correlated(str(number)):
                return with_correlation({})["correlationId"]

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(passed_on, range(50))) == [str(number) for number in range(50)]

    def test_goes_with_a_message_to_whoever_works_it_off(
        self, aws: None, log_lines: io.StringIO
    ) -> None:
        client = boto3.client("sqs")
        url = client.create_queue(QueueName="publish")["QueueUrl"]
        with correlated("request-1"):
            queues.send(url, [Message({"partId": "p"})])
        [sent] = client.receive_message(QueueUrl=url)["Messages"]
        seen: list[object] = []
        record = {"messageId": "m", "body": sent["Body"]}

        def work(body: object, _deadline: float) -> None:
            seen.append(body)
            log.info("part.worked_off")

        assert run_batch({"Records": [record]}, Context(), work) == {"batchItemFailures": []}
        assert seen == [{"partId": "p"}]
        assert json.loads(log_lines.getvalue())["correlation_id"] == "request-1"


class TestSubject:
    def test_ids_are_in_every_further_line_of_their_block_alone(
        self, log_lines: io.StringIO
    ) -> None:
        """Finding 7.16: lines of a request carried a correlation id alone."""
        with correlated("request-1"):
            note(organization_id="o", channel_id=None)
            log.info("one.done")
            with about(part_id="p"):
                log.info("two.done")
            log.info("three.done", extra={"organization_id": "another"})
        log.info("four.done")
        lines = [json.loads(line) for line in log_lines.getvalue().splitlines()]
        assert [(line.get("organization_id"), line.get("part_id")) for line in lines] == [
            ("o", None), ("o", "p"), ("another", None), (None, None),
        ]  # fmt: skip
        assert "channel_id" not in lines[0]

    def test_what_comes_from_outside_is_written_only_if_it_is_an_id(
        self, log_lines: io.StringIO
    ) -> None:
        """Finding 7.16: never names, addresses or texts."""
        part_id = str(new_id())
        with correlated("1"):
            note_given(
                {"a": "Ada Lovelace", "b": part_id}, {"a": "user_id", "b": "part_id", "c": "c"}
            )
            log.info("thing.done")
        line = json.loads(log_lines.getvalue())
        assert line["part_id"] == part_id
        assert "Ada" not in log_lines.getvalue()

    def test_a_message_names_its_organization_and_what_it_is_about(
        self, log_lines: io.StringIO
    ) -> None:
        """Finding 7.16: the lines of a message, those of its failure included."""
        organization_id, part_id = str(new_id()), str(new_id())

        def fail(body: Mapping[str, Any], deadline: float) -> None:
            log.info("work.begun")
            raise RuntimeError("no")

        record = {
            "messageId": "m", "body": json.dumps({"partId": part_id, "revision": 1}),
            "attributes": {"MessageGroupId": organization_id},
        }  # fmt: skip
        run_batch({"Records": [record]}, Context(), fail)
        lines = [json.loads(line) for line in log_lines.getvalue().splitlines()]
        lines = [line for line in lines if "_aws" not in line]
        assert [line["message"] for line in lines] == [
            "work.begun", "message.failed", "error.unexpected",
        ]  # fmt: skip
        for line in lines:
            assert (line["organization_id"], line["part_id"]) == (organization_id, part_id)

    def test_a_body_that_is_no_object_fails_alone(self) -> None:
        records = [
            {"messageId": str(n), "body": body, "attributes": {}}
            for n, body in enumerate(("[1]", "{}", "x"))
        ]
        answer = run_batch({"Records": records}, Context(), lambda body, deadline: None)
        assert [failed["itemIdentifier"] for failed in answer["batchItemFailures"]] == ["0", "2"]

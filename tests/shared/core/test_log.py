"""What every line carries, and what none may."""

import io
import json
from concurrent.futures import ThreadPoolExecutor

import boto3

from shared.aws import queues
from shared.aws.batch import run_batch
from shared.aws.queues import Message
from shared.core.log import REDACTED, correlated, log, redact, with_correlation


class Context:
    def get_remaining_time_in_millis(self) -> int:
        return 30_000


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

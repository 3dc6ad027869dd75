import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from local.lineage import MOST_IN_A_CHAIN, continued
from local.queues import failed_messages
from local.workers import Outcome
from tests.local.conftest import Running, SmallAws, aws_client, running


def run(home: Path, scenario: Callable[[Running], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with running(home) as up:
            await scenario(up)

    asyncio.run(main())


def bodies(notes: list[dict[str, Any]]) -> list[list[str]]:
    return [[record["body"] for record in note["event"]["Records"]] for note in notes]


class TestFailedMessages:
    @pytest.mark.parametrize(
        ("answer", "failed"),
        [
            (b"null", set()),
            (b"{}", set()),
            (b'{"batchItemFailures": []}', set()),
            (b'{"batchItemFailures": null}', set()),
            (b'{"batchItemFailures": [{"itemIdentifier": "a"}]}', {"a"}),
            (b'{"batchItemFailures": [{"itemIdentifier": "unknown"}]}', {"a", "b"}),
            (b'{"batchItemFailures": [{"itemIdentifier": ""}]}', {"a", "b"}),
            (b'{"batchItemFailures": [{"itemIdentifier": null}]}', {"a", "b"}),
            (b'{"batchItemFailures": [{"wrongKey": "a"}]}', {"a", "b"}),
            (b'{"batchItemFailures": ["a"]}', {"a", "b"}),
            (b'{"batchItemFailures": "a"}', {"a", "b"}),
            (b'"done"', {"a", "b"}),
            (b"not json", {"a", "b"}),
        ],
    )
    def test_as_lambda_reads_it(self, answer: bytes, failed: set[str]) -> None:
        assert failed_messages(Outcome(answer, failed=False), ["a", "b"], partial=True) == failed

    def test_failed_function_returns_the_whole_batch(self) -> None:
        assert failed_messages(Outcome(b"{}", failed=True), ["a", "b"], partial=True) == {"a", "b"}

    def test_without_report_batch_item_failures_the_answer_does_not_count(self) -> None:
        answer = Outcome(b'{"batchItemFailures": [{"itemIdentifier": "a"}]}', failed=False)

        assert failed_messages(answer, ["a", "b"], partial=False) == frozenset()


class TestQueueFeed:
    def test_record_has_what_lambda_gives_it(self, tmp_path: Path) -> None:
        async def scenario(up: Running) -> None:
            client = aws_client(up.aws, "sqs")
            url = up.system.functions["EchoFunction"].environment["JOBS_URL"]
            attributes = {"kind": {"DataType": "String", "StringValue": "x"}}
            sent = await asyncio.to_thread(
                client.send_message, QueueUrl=url, MessageBody="hello", MessageAttributes=attributes
            )
            await up.until(lambda: up.noted("WorkFunction"))
            record = up.noted("WorkFunction")[0]["event"]["Records"][0]

            assert record["messageId"] == sent["MessageId"]
            assert record["md5OfBody"] == sent["MD5OfMessageBody"]
            assert record["body"] == "hello"
            assert record["eventSource"] == "aws:sqs"
            assert record["eventSourceARN"].endswith(":roost-local-Jobs")
            assert record["attributes"]["ApproximateReceiveCount"] == "1"
            assert abs(int(record["attributes"]["SentTimestamp"]) / 1000 - time.time()) < 5
            assert record["messageAttributes"]["kind"] == {
                "stringValue": "x",
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": "String",
            }
            assert record["receiptHandle"]

        run(tmp_path, scenario)

    def test_batches_are_filled_up_to_their_size(self, tmp_path: Path) -> None:
        async def scenario(up: Running) -> None:
            for number in range(7):
                up.aws.queues.send_message("roost-local-Jobs", str(number))
            await up.until(lambda: sum(map(len, bodies(up.noted("WorkFunction")))) == 7)

            assert sorted(map(len, bodies(up.noted("WorkFunction")))) == [2, 5]

        run(tmp_path, scenario)

    def test_only_failed_messages_return_and_end_in_the_dead_letter_queue(
        self, tmp_path: Path
    ) -> None:
        async def scenario(up: Running) -> None:
            await up.pools["WorkFunction"].warm()
            for body in ("fine", "fail", "good"):
                up.aws.queues.send_message("roost-local-Jobs", body)
            await up.until(lambda: up.noted("BuryFunction"))

            seen = bodies(up.noted("WorkFunction"))
            assert seen == [["fine", "fail", "good"], ["fail"]]
            assert bodies(up.noted("BuryFunction")) == [["fail"]]
            first, second = (note["at"] for note in up.noted("WorkFunction"))
            assert second - first >= 0.9, "it was given out again before its visibility timeout"
            await up.until(lambda: not up.aws.queues.queues["roost-local-DeadJobs"]._messages)
            assert not up.aws.queues.queues["roost-local-Jobs"]._messages

        run(tmp_path, scenario)

    def test_exception_returns_the_whole_batch(self, tmp_path: Path) -> None:
        async def scenario(up: Running) -> None:
            for body in ("raise", "fine"):
                up.aws.queues.send_message("roost-local-Jobs", body)
            await up.until(lambda: len(up.noted("WorkFunction")) == 2)

            assert bodies(up.noted("WorkFunction")) == [["raise", "fine"], ["raise", "fine"]]

        run(tmp_path, scenario)

    def test_delayed_message_arrives_on_time(self, tmp_path: Path) -> None:
        async def scenario(up: Running) -> None:
            await up.pools["WorkFunction"].warm()
            sent = time.time()
            up.aws.queues.send_message("roost-local-Jobs", "later", delay_seconds=1)
            await up.until(lambda: up.noted("WorkFunction"))

            late = up.noted("WorkFunction")[0]["at"] - (sent + 1)
            assert 0 <= late < 0.1

        run(tmp_path, scenario)

    def test_shortened_visibility_wakes_the_consumer(self, tmp_path: Path) -> None:
        async def scenario(up: Running) -> None:
            queue = up.aws.queues.queues["roost-local-Jobs"]
            message = up.aws.queues.send_message("roost-local-Jobs", "hidden", delay_seconds=0)
            await up.until(lambda: not queue._messages)
            message = up.aws.queues.send_message("roost-local-Jobs", "fail")
            await up.until(lambda: len(up.noted("WorkFunction")) == 2)
            await asyncio.sleep(0.1)
            up.aws.queues.change_message_visibility(
                "roost-local-Jobs", message.receipt_handle or "", 0
            )
            shortened = time.time()
            await up.until(lambda: len(up.noted("WorkFunction")) == 3)

            assert up.noted("WorkFunction")[2]["at"] - shortened < 0.5

        run(tmp_path, scenario)

    def test_no_more_batches_at_once_than_the_mapping_allows(self, tmp_path: Path) -> None:
        async def scenario(up: Running) -> None:
            for number in range(40):
                up.aws.queues.send_message("roost-local-Jobs", str(number))
            await up.until(lambda: sum(map(len, bodies(up.noted("WorkFunction")))) == 40)

            assert len(up.pools["WorkFunction"].pids()) <= 2
            assert sorted(
                int(one) for batch in bodies(up.noted("WorkFunction")) for one in batch
            ) == list(range(40))

        run(tmp_path, scenario)


class TestRecursiveLoops:
    """Finding 7.5: Lambda stopped a thread of 40 parts after 16, and nothing here would have shown it."""

    PARTS = 50  # the longest thread

    def test_a_function_that_may_recur_sends_the_whole_thread(self, tmp_path: Path) -> None:
        async def scenario(up: Running) -> None:
            up.aws.queues.send_message("roost-local-AllowedLoopQueue", str(self.PARTS))
            await up.until(lambda: len(up.noted("AllowedLoopFunction")) == self.PARTS, seconds=60)

        run(tmp_path, scenario)

    def test_one_that_may_not_is_stopped_after_16_and_named(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        printed: list[str] = []

        def stopped() -> bool:
            printed.append(capsys.readouterr().out)
            return "RecursiveLoop: Allow" in "".join(printed)

        async def scenario(up: Running) -> None:
            up.aws.queues.send_message("roost-local-LoopQueue", str(self.PARTS))
            await up.until(stopped, seconds=60)
            parts = [batch[0] for batch in bodies(up.noted("-LoopFunction"))]
            assert parts == [str(self.PARTS - number) for number in range(MOST_IN_A_CHAIN)]
            # It is not lost: the queue offers it again and puts it aside at last.
            queue = up.aws.queues.queues["roost-local-LoopQueue"]
            await up.until(lambda: len(queue._messages) == 1)  # the last one is taken off
            [waiting] = queue._messages
            assert waiting.body == str(self.PARTS - MOST_IN_A_CHAIN)

        run(tmp_path, scenario)

    def test_messages_of_other_chains_do_not_count(self, tmp_path: Path) -> None:
        async def scenario(up: Running) -> None:
            for _ in range(MOST_IN_A_CHAIN + 4):
                up.aws.queues.send_message("roost-local-LoopQueue", "1")
            await up.until(
                lambda: len(up.noted("-LoopFunction")) == MOST_IN_A_CHAIN + 4, seconds=60
            )

        run(tmp_path, scenario)

    def test_the_count_is_kept_for_each_function(self) -> None:
        first, times = continued("a", [])
        second, of_other = continued("b", [first])
        third, again = continued("a", [second, "Root=1-2-3;Lineage=broken", ""])
        assert (times, of_other, again) == (1, 1, 2)
        assert third.startswith("Root=1-")


class TestWatchedQueue:
    def test_nothing_is_lost_when_adding_and_deleting_at_once(self, small_aws: SmallAws) -> None:
        aws, _, _ = small_aws
        queue = aws.queue("arn:aws:sqs:us-east-1:123456789012:roost-local-DeadJobs")
        stop = threading.Event()

        def take() -> None:
            while not stop.is_set():
                for message in queue.receive(10):
                    taken.append(message.body)
                    queue.delete_message(message.receipt_handle or "")

        taken: list[str] = []
        consumer = threading.Thread(target=take)
        consumer.start()
        for number in range(2000):
            aws.queues.send_message("roost-local-DeadJobs", json.dumps(number))
        deadline = time.monotonic() + 10
        while len(taken) < 2000 and time.monotonic() < deadline:
            time.sleep(0.01)
        stop.set()
        consumer.join()

        assert sorted(map(int, taken)) == list(range(2000))

"""Does every message get on its queue, as SQS takes it, and are those that do not named?"""

from collections.abc import Iterable
from typing import Any

import pytest

from shared.aws import queues
from shared.aws.queues import Message, MessagesNotTaken

URL = "https://queue.example/publish"


class Queue:
    """Stands for SQS: it takes ten messages a request, and refuses those of `refused`."""

    def __init__(self, refused: Iterable[int] = ()) -> None:
        self.refused, self.taken = set(refused), list[str]()

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        assert QueueUrl == URL
        assert 1 <= len(Entries) <= 10
        failed = [entry["Id"] for entry in Entries if int(entry["Id"]) in self.refused]
        self.taken += [entry["Id"] for entry in Entries if entry["Id"] not in failed]
        return {"Failed": [{"Id": name} for name in failed]} if failed else {}


@pytest.mark.parametrize(("wanted", "given"), [(-5, 0), (0, 0), (899, 899), (1_000, 900)])
def test_a_delay_is_within_what_a_queue_holds(wanted: int, given: int) -> None:
    """SQS refuses the whole message otherwise; a message that comes early is sent again for the rest."""
    assert Message({}, delay_seconds=wanted).as_request()["DelaySeconds"] == given


def test_a_message_says_whose_it_is() -> None:
    """SQS serves quiet tenants first while one has a large backlog, if it knows them apart."""
    assert Message({}, tenant="organization").as_request()["MessageGroupId"] == "organization"
    assert "MessageGroupId" not in Message({}).as_request()


@pytest.mark.parametrize("count", [0, 1, 10, 11, 35])
def test_all_are_sent_ten_a_request(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue()
    monkeypatch.setattr(queues, "client", lambda _name: queue)
    queues.send(URL, [Message({"number": number}) for number in range(count)])
    assert sorted(map(int, queue.taken)) == list(range(count))


@pytest.mark.parametrize("refused", [{0}, {3, 12, 24}])
def test_those_that_were_refused_are_named(
    refused: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue(refused)
    monkeypatch.setattr(queues, "client", lambda _name: queue)
    with pytest.raises(MessagesNotTaken) as told:
        queues.send(URL, [Message({})] * 25)
    assert set(told.value.failed) == refused
    assert len(queue.taken) == 25 - len(refused)

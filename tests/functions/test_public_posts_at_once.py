"""Fifty programs at once: what is counted is counted exactly, and one key makes one group. Real connections, real commits."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import boto3
import pytest
from sqlalchemy import Engine, func, select

from functions.public_api.app import app
from shared.db.session import unit_of_work
from shared.posts.models import Post
from tests.builders import a_channel, a_member, an_organization
from tests.conftest import Configure
from tests.gateway import Answer, Gateway, by_key
from tests.loop import close_loop

POSTS = "/public/v1/posts"
CALLERS = 50


@pytest.fixture
def composing(committed: Engine, aws: None, configure: Configure) -> tuple[Gateway, dict[str, Any]]:
    """A program with a key, and a body that it may send."""
    queues = boto3.client("sqs")
    configure(
        PUBLISH_QUEUE_URL=queues.create_queue(QueueName="publish")["QueueUrl"],
        STAGE_QUEUE_URL=queues.create_queue(QueueName="stage")["QueueUrl"],
    )
    with unit_of_work() as session:
        organization = an_organization(session)
        channel = a_channel(session, organization)
        program = by_key(app, session, a_member(session, organization))
    entry = {"integration": {"id": str(channel.id)}, "value": [{"content": "Hello"}]}
    date = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    return program, {"type": "schedule", "date": date, "shortLink": False, "posts": [entry]}


def at_once(program: Gateway, bodies: list[Any], **headers: str) -> list[Answer]:
    """Send all bodies at the same moment."""
    start = Barrier(len(bodies))

    def send(body: Any) -> Answer:
        start.wait(timeout=30)
        try:
            return Gateway(app, {**program.headers, **headers}).post(POSTS, body)
        finally:
            close_loop()

    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(send, bodies))


def stored_posts() -> int:
    with unit_of_work() as session:
        return session.scalar(select(func.count()).select_from(Post)) or 0


def test_exactly_the_allowed_number_pass(
    composing: tuple[Gateway, dict[str, Any]], configure: Configure
) -> None:
    program, body = composing
    configure(API_LIMIT=30)
    answers = at_once(program, [body] * CALLERS)
    passed = [answer for answer in answers if answer.status == 201]
    refused = [answer for answer in answers if answer.status == 429]
    assert (len(passed), len(refused)) == (30, 20)
    left = sorted(int(answer.headers["x-ratelimit-remaining"]) for answer in passed)
    assert left == list(range(30))
    assert all(int(answer.headers["retry-after"]) > 3500 for answer in refused)
    assert stored_posts() == 30


def test_one_key_makes_one_group(composing: tuple[Gateway, dict[str, Any]]) -> None:
    program, body = composing
    answers = at_once(program, [body] * CALLERS, **{"idempotency-key": "one"})
    assert {answer.status for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert stored_posts() == 1


def test_of_two_bodies_with_one_key_one_is_refused(
    composing: tuple[Gateway, dict[str, Any]],
) -> None:
    program, body = composing
    other = body | {"type": "draft"}
    answers = at_once(program, [body, other] * 5, **{"idempotency-key": "one"})
    assert sorted(answer.status for answer in answers) == [201] * 5 + [409] * 5
    assert stored_posts() == 1

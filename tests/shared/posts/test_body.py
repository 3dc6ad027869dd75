"""Whatever the body of `POST /posts` holds: no 5xx, a path for each refusal, and nothing stored on one."""

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from functions.posts.app import app
from shared.posts.models import Post, Tag
from tests.builders import a_channel, a_media, a_member, an_organization
from tests.conftest import Configure
from tests.gateway import Gateway, as_member

JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["<p>x</p>", "x" * 600, "\ud800", "9" * 400, "0001-01-01T00:00:00Z", "now"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "content", "value", "x", "__type"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
PLACES: list[tuple[str | int, ...]] = [
    (),
    ("type",),
    ("date",),
    ("tags",),
    ("tags", 0),
    ("tags", 0, "label"),
    ("creationMethod",),
    ("posts",),
    ("posts", 0),
    ("posts", 0, "integration"),
    ("posts", 0, "integration", "id"),
    ("posts", 0, "group"),
    ("posts", 0, "settings"),
    ("posts", 0, "settings", "visibility"),
    ("posts", 0, "value"),
    ("posts", 0, "value", 0),
    ("posts", 0, "value", 0, "id"),
    ("posts", 0, "value", 1, "content"),
    ("posts", 0, "value", 1, "delay"),
    ("posts", 0, "value", 0, "image"),
    ("posts", 0, "value", 0, "image", 0),
    ("posts", 0, "value", 0, "image", 0, "id"),
    ("posts", 0, "value", 0, "image", 0, "path"),
    ("posts", 0, "value", 0, "image", 0, "alt"),
]


@pytest.fixture
def valid(session: Session, aws: None, configure: Configure) -> dict[str, Any]:
    sqs = boto3.client("sqs")
    configure(
        PUBLISH_QUEUE_URL=sqs.create_queue(QueueName="publish")["QueueUrl"],
        STAGE_QUEUE_URL=sqs.create_queue(QueueName="stage")["QueueUrl"],
    )
    organization = an_organization(session)
    channel, media = a_channel(session, organization), a_media(session, organization)
    session.add(Tag(organization_id=organization.id, name="news", color="#2f6f4f"))
    session.flush()
    return {
        "organization": organization,
        "body": {
            "type": "schedule",
            "date": (datetime.now(UTC) + timedelta(minutes=5)).isoformat(),
            "tags": [{"value": "news", "label": "news"}],
            "posts": [
                {
                    "integration": {"id": str(channel.id)},
                    "settings": {"visibility": "public"},
                    "value": [
                        {"content": "One", "image": [{"id": str(media.id), "path": "x"}]},
                        {"content": "Two", "delay": 1, "image": []},
                    ],
                }
            ],
        },
    }


@pytest.fixture
def caller(session: Session, valid: dict[str, Any]) -> Gateway:
    return as_member(app, session, a_member(session, valid["organization"]))


def changed(body: dict[str, Any], place: tuple[str | int, ...], value: Any) -> Any:
    """Return the body with another value at a place."""
    if not place:
        return value
    made: Any = copy.deepcopy(body)
    inner = made
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    return made


class TestAnyBody:
    @settings(
        max_examples=150,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(place=st.sampled_from(PLACES), junk=JUNK)
    def test_it_is_stored_whole_or_refused_with_paths(
        self,
        session: Session,
        caller: Gateway,
        valid: dict[str, Any],
        place: tuple[str | int, ...],
        junk: Any,
    ) -> None:
        before = count(session)
        answer = caller.post("/posts", changed(valid["body"], place, junk))
        assert answer.status in {201, 400, 404, 422}, answer.text
        if answer.status == 201:
            assert count(session) > before
            return
        assert count(session) == before
        if answer.status != 400:
            errors = answer.json["errors"]
            assert errors
            assert all(error["path"] and error["code"] and error["message"] for error in errors)

    def test_the_valid_one_is_taken(self, caller: Gateway, valid: dict[str, Any]) -> None:
        answer = caller.post("/posts", valid["body"])
        assert answer.status == 201, answer.text


def count(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(Post)) or 0

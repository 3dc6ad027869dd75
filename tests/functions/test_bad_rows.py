"""Does one bad row, however it came to be, leave every list and every other row readable?

The rows are put directly in the database: what was stored before a rule is not let in by it.
"""

import importlib
import typing
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any

import pytest
from annotated_types import BaseMetadata
from fastapi.routing import APIRoute
from pydantic import BaseModel
from sqlalchemy.orm import Session

from functions.channels.app import app as integrations
from functions.organizations.app import app as organizations
from functions.posts.app import app as posts
from functions.public_api.app import app as public_api
from shared.core.wire import RequestModel
from shared.organizations.models import Member
from shared.posts.lifecycle import PostState
from tests.builders import a_channel, a_member, a_post, an_organization
from tests.conftest import Configure
from tests.functions.test_organizations import a_notification
from tests.gateway import as_member, by_key
from tests.shared.channels.builders import set_up_platforms

LONG = "x" * 300_000
NAME = "gro\u202e\nBcc: x " + "é" * 900_000


def nested(depth: int) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for _ in range(depth):
        settings = {"a": settings}
    return settings


@pytest.fixture(autouse=True)
def _aws(aws: None, configure: Configure) -> None:
    set_up_platforms(configure)


@pytest.fixture
def member(session: Session) -> Member:
    organization = an_organization(session)
    member = a_member(session, organization)
    channel = a_channel(
        session,
        organization,
        name=NAME,
        username=LONG,
        picture_url="javascript:alert(1)",
        posting_times=[{"time": 5_000}, {"time": "noon"}, "x", {"time": 60, "weekdays": [9]}],
        account_settings={"maxCharacters": "many"},
        additional_settings=[{"title": LONG, "type": "unknown"}],
        disconnected_reason=LONG,
    )
    a_post(
        session,
        channel,
        state=PostState.PUBLISHED,
        content="&amp;" * 60_000,
        release_id=LONG[:2_000],
        release_url="https://social.example/" + LONG,
        settings=nested(900),
        title=LONG,
    )
    a_post(session, channel, state=PostState.FAILED, error_message=LONG, error_code="x")
    a_notification(session, member, title=NAME, content=LONG, link="javascript:alert(1)")
    return member


class TestLists:
    def test_channels(self, session: Session, member: Member) -> None:
        """Finding 2.4: `GET /integrations` answered 500 for the whole organization."""
        answer = as_member(integrations, session, member).get("/integrations")
        assert answer.status == 200, answer.text[:500]
        [channel] = answer.json["integrations"]
        assert channel["time"] == [
            {"time": 5_000, "weekdays": None},
            {"time": 60, "weekdays": [9]},
        ]
        assert as_member(integrations, session, member).get("/integrations/providers").status == 200

    @pytest.mark.parametrize("path", ["/posts/list", "/posts"])
    def test_posts(self, session: Session, member: Member, path: str) -> None:
        """Finding 2.4: `GET /posts/list` answered 500 for the whole organization."""
        answer = as_member(posts, session, member).get(
            path,
            query={"startDate": "2020-01-01T00:00:00Z", "endDate": "2020-01-02T00:00:00Z"}
            if path == "/posts"
            else {},
        )
        assert answer.status == 200, answer.text[:500]
        if path == "/posts/list":
            assert len(answer.json["posts"]) == 2

    def test_a_post_whose_settings_are_bottomless(self, session: Session, member: Member) -> None:
        """Finding 2.4: `GET /posts/{id}` of settings nested 900 deep."""
        caller = as_member(posts, session, member)
        for one in caller.get("/posts/list").json["posts"]:
            answer = caller.get(f"/posts/{one['id']}")
            assert answer.status == 200, answer.text[:500]

    def test_notifications(self, session: Session, member: Member) -> None:
        """Finding 2.4: the list of notifications answered 500."""
        answer = as_member(organizations, session, member).get("/notifications/list")
        assert answer.status == 200, answer.text[:500]
        assert len(answer.json["notifications"]) == 1

    @pytest.mark.parametrize("path", ["/public/v1/integrations", "/public/v1/notifications"])
    def test_the_public_api(self, session: Session, member: Member, path: str) -> None:
        answer = by_key(public_api, session, member).get(path)
        assert answer.status == 200, answer.text[:500]


def _models(annotation: Any, seen: set[type[BaseModel]]) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, UnionType):
        if issubclass(annotation, BaseModel) and annotation not in seen:
            seen.add(annotation)
            for field in annotation.model_fields.values():
                _models(field.annotation, seen)
        if issubclass(annotation, BaseModel):
            return seen
    for inner in typing.get_args(annotation):
        _models(inner, seen)
    return seen


def _answers() -> Iterator[type[BaseModel]]:
    found: set[type[BaseModel]] = set()
    for file in sorted(Path("functions").glob("*/app.py")):
        app = getattr(importlib.import_module(f"functions.{file.parent.name}.app"), "app", None)
        for route in getattr(app, "routes", ()):
            if isinstance(route, APIRoute) and route.response_field is not None:
                _models(route.response_field.field_info.annotation, found)
    yield from sorted(found, key=lambda model: model.__qualname__)


def test_no_answer_is_held_to_the_limits_of_requests() -> None:
    """Finding 2.4: a limit that an answer does not keep is a 500 for somebody who can do nothing about it."""
    answers = list(_answers())
    assert len(answers) > 80
    for model in answers:
        assert not issubclass(model, RequestModel), model
        assert model.model_config.get("str_max_length") is None, model
        for name, field in model.model_fields.items():
            limits = [one for one in field.metadata if isinstance(one, BaseMetadata)]
            assert not limits, f"{model.__qualname__}.{name}: {limits}"

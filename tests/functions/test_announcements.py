"""Operators announce, members read."""

import pytest
from sqlalchemy.orm import Session

from functions.organizations.app import app
from shared.notifications import announcements
from shared.organizations.models import Role
from tests.builders import a_member, an_organization
from tests.gateway import Gateway, as_member, as_operator

PATH = "/announcements"
BODY = {"title": "Maintenance", "description": "On Sunday from 2 to 3 UTC.", "color": "WARNING"}


@pytest.fixture
def operator(session: Session, aws: None) -> Gateway:
    return as_operator(app, session)


@pytest.fixture
def viewer(session: Session, aws: None) -> Gateway:
    return as_member(app, session, a_member(session, an_organization(session), role=Role.VIEWER))


def test_members_of_every_organization_read_it(operator: Gateway, viewer: Gateway) -> None:
    made = operator.post(PATH, BODY)
    assert made.status == 201, made.text
    second = operator.post(PATH, {**BODY, "title": "Second", "color": "INFO"}).json
    assert made.json.items() >= BODY.items()
    assert viewer.get(PATH).json == [second, made.json]


def test_what_is_deleted_is_gone(operator: Gateway, viewer: Gateway) -> None:
    made = operator.post(PATH, BODY).json
    assert operator.delete(f"{PATH}/{made['id']}").json == {"id": made["id"]}
    assert viewer.get(PATH).json == []
    assert operator.delete(f"{PATH}/{made['id']}").status == 404


def test_members_write_none(viewer: Gateway) -> None:
    refused = viewer.post(PATH, BODY)
    assert (refused.status, refused.json["code"]) == (403, "role_too_low")


def test_there_is_a_limit(operator: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcements, "MOST_ANNOUNCEMENTS", 1)
    assert operator.post(PATH, BODY).status == 201
    refused = operator.post(PATH, BODY)
    assert (refused.status, refused.json["code"]) == (409, "too_many_announcements")


@pytest.mark.parametrize("wrong", [{"title": ""}, {"description": ""}, {"color": "PINK"}])
def test_what_is_wrong_is_named(operator: Gateway, wrong: dict[str, str]) -> None:
    answer = operator.post(PATH, BODY | wrong)
    assert answer.status == 422
    assert answer.json["errors"][0]["path"] == next(iter(wrong))

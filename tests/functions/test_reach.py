"""A walk over every route with ids of customers that the caller does not see: to them, what is theirs is not there."""

import re
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.access.policy import Rule, Who, rule_for
from shared.organizations.models import Organization, Role
from tests.builders import a_channel, a_customer, a_member, a_post, an_organization
from tests.functions.test_tenancy import (
    BODIES,
    LISTS,
    NOT_THERE,
    NOTHING,
    SECRET,
    Theirs,
    in_bodies,
    routes,
)
from tests.gateway import Answer, Gateway, as_member, by_grant, by_key

# What belongs to customers, directly or by a channel; a key or a webhook may see more than the caller.
OF_CUSTOMERS = {
    "channel_id", "customer_id", "key_id", "post_id", "group_id", "media_id", "webhook_id", "delivery_id",
}  # fmt: skip
# What belongs to all of an organization, so that a member who is limited to customers sees it too.
OF_ORGANIZATION = {
    "/settings/team": "its members",
    "/posts/tags": "its tags, which posts of all customers have",
    "/media/storage": "the storage that all of them share",
    "/organizations/ownership": "the offers of its ownership",
    "/oauth/grants": "the consents of its members",
    "/oauth/app": "its own app",
    "/user/approved-apps": "the consents of its members",
    "/user/oauth-app": "its own app",
}
PRINCIPALS = ("session", "key", "grant")
TABLES = ("customers", "channels", "posts", "media", "tags", "notifications", "webhooks", "webhook_deliveries")  # fmt: skip


def with_id() -> list[Any]:
    """Every route with an id of something that belongs to customers."""
    return [
        pytest.param(app, method, path, id=f"{method} {path}")
        for app, method, path in routes()
        if OF_CUSTOMERS & set(re.findall(r"\{(\w+)\}", path))
    ]


def accepts(principal: str, rule: Rule) -> bool:
    """Return whether a route lets in an owner's session, key or consent."""
    if principal == "session":
        return not rule.program
    is_accepted = not rule.person and (principal == "key" or rule.consent)
    return is_accepted and not (principal == "grant" and rule.who in {Who.ADMIN, Who.OWNER})


@dataclass
class Agency:
    """An organization with two customers, and callers who see one of them."""

    session: Session
    organization: Organization
    theirs: Theirs
    headers: dict[str, dict[str, str]]

    def call(self, principal: str, app: FastAPI, method: str, path: str, **sent: Any) -> Answer:
        return Gateway(app, dict(self.headers[principal])).call(method, path, **sent)

    def everything(self) -> list[Any]:
        """Return the rows of both customers, to see that nothing changed."""
        return [
            self.session.execute(
                text(f"select * from {table} where organization_id = :id order by id"),
                {"id": self.organization.id},
            ).all()
            for table in TABLES
        ]


@pytest.fixture
def agency(session: Session, aws: None) -> Agency:
    organization = an_organization(session)
    own = a_customer(session, organization, name="Own")
    a_post(session, a_channel(session, organization, customer_id=own.id, name="Own channel"))
    member = a_member(session, organization, role=Role.OWNER)
    limited: dict[str, Any] = {"customers": [own.id]}
    headers = {
        "session": as_member(
            None, session, a_member(session, organization, role=Role.OWNER, **limited)
        ).headers,
        "key": by_key(None, session, member, **limited).headers,
        "grant": by_grant(None, session, member, **limited).headers,
    }
    theirs = Theirs(session, organization=organization, shared="Shared")
    return Agency(session, organization, theirs, headers)


@pytest.mark.parametrize("principal", PRINCIPALS)
@pytest.mark.parametrize(("app", "method", "path"), with_id())
def test_an_id_of_another_customer_is_not_found(
    app: FastAPI, method: str, path: str, principal: str, agency: Agency
) -> None:
    rule = rule_for(method, path)
    if not accepts(principal, rule):
        return
    before = agency.everything()
    body = BODIES.get(f"{method} {path}", {} if method in {"POST", "PUT"} else None)
    answer = agency.call(principal, app, method, agency.theirs.path(path), body=body)
    if rule.whole:
        assert (answer.status, answer.json["code"]) == (403, "whole_organization_needed")
    elif found_nothing := NOTHING.get(f"{method} {path}"):
        assert (answer.status, answer.text) == (200, found_nothing)
    else:
        assert answer.status == NOT_THERE.get(f"{method} {path}", 404), answer.text
    assert SECRET not in answer.text
    assert agency.everything() == before


def of_range(path: str) -> dict[str, str] | None:
    in_time = path in {"/posts", "/public/v1/posts"}
    return {"startDate": "2026-11-01", "endDate": "2026-12-01"} if in_time else None


@pytest.mark.parametrize("principal", PRINCIPALS)
@pytest.mark.parametrize(("app", "path"), LISTS)
def test_no_list_shows_or_counts_what_is_another_customers(
    app: FastAPI, path: str, principal: str, agency: Agency
) -> None:
    rule = rule_for("GET", path)
    if not accepts(principal, rule) or rule.who in {Who.PUBLIC, Who.SUPER_ADMIN}:
        return

    def answer() -> str:
        found = agency.call(principal, app, "GET", path, query=of_range(path))
        assert found.status < 500, found.text
        return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "", found.text)

    unread = text("update users set last_read_notifications_at = now() - interval '1 day'")
    agency.session.execute(unread)
    answer()  # some lists note that they were looked at
    before = answer()
    assert SECRET not in before
    if path not in OF_ORGANIZATION:
        Theirs(agency.session, secret="More", organization=agency.organization)
        assert answer() == before


@pytest.mark.parametrize("principal", PRINCIPALS)
def test_ids_in_bodies_reach_nothing(agency: Agency, principal: str) -> None:
    owners = {(method, path): app for app, method, path in routes()}
    before = agency.everything()
    for method, path, body in in_bodies(agency.theirs):
        if "media" in path or path in {"/user/change-org", "/webhooks"}:
            continue
        if not accepts(principal, rule_for(method, path)):
            continue
        answer = agency.call(principal, owners[method, path], method, path, body=body)
        if path == "/posts/valid":
            assert answer.status in {200, 201, 404, 422}, (path, answer.text)
        else:
            assert answer.status in {404, 422}, (path, answer.status, answer.text)
        assert SECRET not in answer.text, path
    assert agency.everything() == before

"""Reading the audit log over HTTP: who may, the filters, the pages, and the files."""

import csv
import io
import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text, update
from sqlalchemy.orm import Session

from functions.identity.app import app as identity
from functions.organizations.app import app
from shared.audit import read
from shared.audit.entries import Action, Actor
from shared.audit.record import record
from shared.core.formats.csv import csv_text, safe_cell
from shared.core.ids import OrganizationId, UserId, new_id
from shared.organizations.models import Member, Organization, Role
from tests.builders import a_customer, a_member, an_actor, an_organization
from tests.counting import count_statements
from tests.gateway import Gateway, as_member, by_key


@pytest.fixture
def member(session: Session) -> Member:
    return a_member(session, an_organization(session), role=Role.ADMIN)


@pytest.fixture
def browser(session: Session, aws: None, member: Member) -> Gateway:
    return as_member(app, session, member)


def actor(member: Member, **columns: Any) -> Actor:
    return Actor(organization_id=member.organization_id, user_id=member.user_id, **columns)


def listed(browser: Gateway, **query: Any) -> list[Any]:
    answer = browser.get("/settings/audit", query=query)
    assert answer.status == 200, answer.text
    return list(answer.json["entries"])


class TestList:
    def test_an_action_over_http_is_there_with_everything(
        self, session: Session, browser: Gateway, member: Member
    ) -> None:
        made = browser.call(
            "POST", "/customers", {"name": "Looms"}, headers={"x-request-id": "my-request-1"}
        )
        [entry] = listed(browser)
        assert entry["action"] == "customer.created"
        assert (entry["subjectKind"], entry["subjectId"]) == ("customer", made.json["id"])
        assert entry["userId"] == str(member.user_id)
        assert entry["sessionId"] == str(UUID(entry["sessionId"]))
        assert (entry["requestId"], entry["address"]) == ("my-request-1", browser.address)
        assert {entry[name] for name in ("impersonatedBy", "apiKeyId", "grantId", "linkId")} == {
            None
        }

    def test_it_names_the_key_that_acted(self, session: Session, member: Member, aws: None) -> None:
        program = by_key(app, session, member)
        assert program.post("/customers", {"name": "Looms"}).status == 201
        [entry] = listed(program)
        key = session.execute(text("select id from api_keys")).scalar_one()
        assert (entry["apiKeyId"], entry["sessionId"]) == (str(key), None)

    def test_no_text_of_a_member_is_in_it(self, browser: Gateway) -> None:
        browser.post("/customers", {"name": "Secret Looms"})
        assert "Secret" not in browser.get("/settings/audit").text

    @pytest.mark.parametrize("role", [Role.EDITOR, Role.MEMBER, Role.VIEWER])
    def test_lower_roles_are_refused(
        self, session: Session, member: Member, aws: None, role: Role
    ) -> None:
        organization = an_organization(session)
        other = a_member(session, organization, role=role)
        assert as_member(app, session, other).get("/settings/audit").status == 403

    def test_a_scoped_administrator_is_refused(
        self, session: Session, member: Member, browser: Gateway
    ) -> None:
        organization = session.get_one(Organization, member.organization_id)
        customer = a_customer(session, organization)
        session.execute(
            update(Member).where(Member.id == member.id).values(customers=[customer.id])
        )
        answer = browser.get("/settings/audit")
        assert (answer.status, answer.json["code"]) == (403, "whole_organization_needed")

    def test_another_organizations_is_not_there(self, session: Session, browser: Gateway) -> None:
        record(session, an_actor(an_organization(session).id), Action.TAG_CREATED)
        record(session, Actor(), Action.ACCOUNT_UPDATED)
        assert listed(browser) == []

    def test_costs_one_statement_more_than_knowing_who_asks(self, browser: Gateway) -> None:
        with count_statements() as cost:
            browser.get("/settings/audit")
        assert cost.statements == 2


class TestFilters:
    def test_each_leaves_what_fits(
        self, session: Session, browser: Gateway, member: Member
    ) -> None:
        other, operator, subject = UserId(new_id()), UserId(new_id()), new_id()
        record(session, actor(member), Action.TAG_CREATED, subject)
        record(session, actor(member).as_user(other), Action.TAG_DELETED, subject)
        record(session, actor(member, impersonated_by=operator), Action.CUSTOMER_DELETED)
        for query, actions in (
            ({"who": member.user_id}, {"tag.created", "customer.deleted"}),
            ({"who": other}, {"tag.deleted"}),
            ({"who": operator}, {"customer.deleted"}),
            ({"action": "tag.deleted"}, {"tag.deleted"}),
            ({"subject": subject}, {"tag.created", "tag.deleted"}),
            ({"who": other, "action": "tag.created"}, set()),
        ):
            assert {entry["action"] for entry in listed(browser, **query)} == actions, query

    def test_times_include_the_first_and_not_the_last_moment(
        self, session: Session, browser: Gateway, member: Member
    ) -> None:
        record(session, actor(member), Action.TAG_CREATED)
        [entry] = listed(browser)
        at = datetime.fromisoformat(entry["at"])
        second = timedelta(seconds=1)
        assert len(listed(browser, **{"from": at.isoformat()})) == 1
        assert len(listed(browser, to=(at + second).isoformat())) == 1
        assert listed(browser, **{"from": (at + second).isoformat()}) == []
        assert listed(browser, to=at.isoformat()) == []

    @pytest.mark.parametrize(
        "query", [{"action": "tag.eaten"}, {"who": "me"}, {"wo": "x"}, {"cursor": "x"}]
    )
    def test_unknown_ones_are_refused(self, browser: Gateway, query: dict[str, str]) -> None:
        assert browser.get("/settings/audit", query=query).status == 422


class TestPages:
    def test_every_entry_is_on_one_page_newest_first(
        self, session: Session, browser: Gateway, member: Member
    ) -> None:
        """Entries of one transaction have the same time."""
        subjects = [new_id() for _ in range(7)]
        for subject in subjects:
            record(session, actor(member), Action.TAG_CREATED, subject)
        found, cursor = [], None
        for _ in range(4):
            page = browser.get(
                "/settings/audit", query={"limit": 2, **({"cursor": cursor} if cursor else {})}
            ).json
            found += [entry["subjectId"] for entry in page["entries"]]
            cursor = page["nextCursor"]
        assert found == [str(subject) for subject in reversed(subjects)]
        assert cursor is None


class TestExport:
    @pytest.fixture
    def entry(self, session: Session, member: Member) -> None:
        record(
            session,
            actor(member, request_id="=cmd|'/C calc'!A0"),
            Action.API_KEY_CREATED,
            new_id(),
            after={"scopes": ["read", "write"]},
        )

    @pytest.mark.parametrize(
        "call", [{"query": {"format": "csv"}}, {"headers": {"accept": "text/csv"}}]
    )
    def test_csv_has_no_formula(self, browser: Gateway, entry: None, call: Any) -> None:
        answer = browser.call("GET", "/settings/audit", **call)
        assert answer.headers["content-type"].startswith("text/csv")
        assert answer.headers["content-disposition"] == 'attachment; filename="audit.csv"'
        [row] = csv.DictReader(io.StringIO(answer.text))
        assert row["requestId"] == "'=cmd|'/C calc'!A0"
        assert json.loads(row["after"]) == {"scopes": ["read", "write"]}
        assert row["before"] == ""
        assert list(row) == list(listed(browser)[0])

    @pytest.mark.parametrize(
        "call",
        [{"query": {"format": "jsonl"}}, {"headers": {"accept": "application/jsonl;q=0.9, */*"}}],
    )
    def test_json_lines_are_the_entries(self, browser: Gateway, entry: None, call: Any) -> None:
        answer = browser.call("GET", "/settings/audit", **call)
        assert answer.headers["content-type"].startswith("application/jsonl")
        assert [json.loads(line) for line in answer.text.splitlines()] == listed(browser)

    @pytest.mark.parametrize("form", ["csv", "jsonl"])
    def test_the_header_link_leads_to_the_rest(
        self,
        session: Session,
        browser: Gateway,
        member: Member,
        monkeypatch: pytest.MonkeyPatch,
        form: str,
    ) -> None:
        monkeypatch.setattr(read, "MOST_EXPORTED", 2)
        for _ in range(3):
            record(session, actor(member), Action.TAG_CREATED)
        query = {"format": form, "action": "tag.created"}
        first = browser.get("/settings/audit", query=query)
        address, _, rel = first.headers["link"].partition(">; ")
        assert rel == 'rel="next"'
        assert "action=tag.created" in address
        cursor = address.rpartition("cursor=")[2]
        rest = browser.get("/settings/audit", query={**query, "cursor": cursor})
        assert "link" not in rest.headers
        header = form == "csv"
        assert len(first.text.splitlines()) - header == 2
        assert len(rest.text.splitlines()) - header == 1

    def test_a_whole_export_fits_into_an_answer(self) -> None:
        longest = 1_000  # of an entry, with a long request id and several fields
        assert read.MOST_EXPORTED * longest < 6 * 1024**2


class TestCells:
    @pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a", "\t=1", "\r=1", "  =1", "|x", "%x"])
    def test_formulas_get_an_apostrophe(self, text: str) -> None:
        assert safe_cell(text) == f"'{text}"

    @pytest.mark.parametrize("text", ["", "a=1", "post.created", "203.0.113.7", '{"a": 1}'])
    def test_others_stay(self, text: str) -> None:
        assert safe_cell(text) == text

    def test_quotes_and_lines_survive(self) -> None:
        rows = [['a"b', "c,d", "e\nf"]]
        assert list(csv.reader(io.StringIO(csv_text(["1", "2", "3"], rows), newline=""))) == [
            ["1", "2", "3"],
            *rows,
        ]


class TestOwn:
    def test_shows_what_was_done_to_the_account_by_anybody(
        self, session: Session, member: Member, aws: None
    ) -> None:
        operator = UserId(new_id())
        mine = Actor(user_id=member.user_id)
        record(session, mine, Action.ACCOUNT_UPDATED, member.user_id)
        record(session, Actor(user_id=operator), Action.SESSION_ENDED, member.user_id)
        record(session, Actor(user_id=operator), Action.SESSION_ENDED, new_id())
        record(session, actor(member), Action.TAG_CREATED)
        browser = as_member(identity, session, member)
        answer = browser.get("/user/audit")
        assert [entry["action"] for entry in answer.json["entries"]] == [
            "session.ended",
            "account.updated",
        ]

    def test_a_program_is_refused(self, session: Session, member: Member, aws: None) -> None:
        assert by_key(identity, session, member).get("/user/audit").status == 403

    def test_pages_follow_the_cursor(self, session: Session, member: Member, aws: None) -> None:
        for _ in range(3):
            record(session, Actor(user_id=member.user_id), Action.ACCOUNT_UPDATED)
        browser = as_member(identity, session, member)
        first = browser.get("/user/audit", query={"limit": 2}).json
        rest = browser.get("/user/audit", query={"limit": 2, "cursor": first["nextCursor"]}).json
        ids = [entry["id"] for entry in [*first["entries"], *rest["entries"]]]
        assert (len(ids), len(set(ids)), rest["nextCursor"]) == (3, 3, None)


def test_an_actor_of_no_organization_is_refused_where_one_is_needed() -> None:
    with pytest.raises(ValueError, match="no organization"):
        _ = Actor().organization
    assert an_actor(OrganizationId(UUID(int=1))).organization == UUID(int=1)

"""Whether channels can be grouped by customers: made, listed, renamed, chosen for a channel, and deleted."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from functions.channels.app import app as integrations
from functions.organizations.app import app as organizations
from shared.apps.models import OAuthGrant
from shared.channels import customers
from shared.channels.models import Channel, Customer
from shared.organizations.models import ApiKey, Member, Organization, Role
from tests.builders import a_channel, a_customer, a_member, an_organization
from tests.conftest import Configure
from tests.counting import count_statements
from tests.gateway import Gateway, as_member, by_grant, by_key
from tests.shared.channels.builders import set_up_platforms


@pytest.fixture(autouse=True)
def _aws(aws: None, configure: Configure) -> None:
    set_up_platforms(configure)


@pytest.fixture
def caller(session: Session, member: Member) -> Gateway:
    return as_member(organizations, session, member)


@pytest.fixture
def channel(session: Session, organization: Organization) -> Channel:
    return a_channel(session, organization)


@pytest.fixture
def choose(session: Session, member: Member, channel: Channel) -> Any:
    """Choose the channel's customer."""
    gateway = as_member(integrations, session, member)
    return lambda body: gateway.put(f"/integrations/{channel.id}/customer", body)


class TestCustomers:
    def test_are_listed_by_name_and_only_the_organizations_own(
        self, session: Session, organization: Organization, caller: Gateway
    ) -> None:
        looms = a_customer(session, organization, name="looms")
        engines = a_customer(session, organization, name="Engines")
        a_customer(session, an_organization(session), name="Theirs")
        with count_statements() as cost:
            answer = caller.get("/customers")
        assert answer.json == {
            "customers": [
                {"id": str(engines.id), "name": "Engines"},
                {"id": str(looms.id), "name": "looms"},
            ]
        }
        assert cost.statements == 2

    def test_one_is_added(self, session: Session, caller: Gateway, member: Member) -> None:
        answer = caller.post("/customers", {"name": "  Engines "})
        assert (answer.status, answer.json["name"]) == (201, "Engines")
        row = session.get_one(Customer, answer.json["id"])
        assert row.organization_id == member.organization_id

    @pytest.mark.parametrize("body", [{}, {"name": " "}, {"name": "x" * 201}, {"name": 5}])
    def test_a_name_is_needed(self, caller: Gateway, body: dict[str, Any]) -> None:
        answer = caller.post("/customers", body)
        assert answer.status == 422
        assert answer.json["errors"][0]["path"] == "name"

    def test_a_name_is_one_customers(
        self, session: Session, organization: Organization, caller: Gateway
    ) -> None:
        a_customer(session, organization, name="Engines")
        looms = a_customer(session, organization, name="Looms")
        a_customer(session, an_organization(session), name="Mills")
        for answer in (
            caller.post("/customers", {"name": "Engines"}),
            caller.put(f"/customers/{looms.id}", {"name": "Engines"}),
        ):
            assert (answer.status, answer.json["code"]) == (409, "customer_name_taken")
        assert caller.put(f"/customers/{looms.id}", {"name": "Looms"}).status == 200
        assert caller.post("/customers", {"name": "Mills"}).status == 201

    def test_there_may_be_so_many(self, caller: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(customers, "MOST_CUSTOMERS", 1)
        assert caller.post("/customers", {"name": "One"}).status == 201
        answer = caller.post("/customers", {"name": "Two"})
        assert (answer.status, answer.json["code"]) == (409, "too_many_customers")

    def test_one_is_renamed(
        self, session: Session, organization: Organization, caller: Gateway
    ) -> None:
        customer = a_customer(session, organization)
        answer = caller.put(f"/customers/{customer.id}", {"name": "Looms"})
        assert (answer.status, answer.json) == (200, {"id": str(customer.id), "name": "Looms"})

    def test_a_deleted_ones_channels_stay_and_are_nobodys(
        self, session: Session, organization: Organization, caller: Gateway
    ) -> None:
        customer = a_customer(session, organization)
        channel = a_channel(session, organization, customer_id=customer.id)
        path = f"/customers/{customer.id}"
        answer = caller.delete(path)
        assert (answer.status, answer.json) == (200, {"id": path.removeprefix("/customers/")})
        session.expire_all()
        kept = session.get_one(Channel, channel.id)
        assert (kept.customer_id, kept.deleted_at) == (None, None)
        assert caller.delete(path).status == 404

    @pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER])
    def test_are_an_editors_to_change(
        self, session: Session, organization: Organization, role: Role
    ) -> None:
        caller = as_member(organizations, session, a_member(session, organization, role=role))
        assert caller.get("/customers").status == 200
        assert caller.post("/customers", {"name": "Mine"}).status == 403


class TestOfAChannel:
    def test_an_existing_one(
        self, session: Session, organization: Organization, channel: Channel, choose: Any
    ) -> None:
        customer = a_customer(session, organization, name="Engines")
        with count_statements() as cost:
            answer = choose({"customerId": str(customer.id)})
        assert answer.status == 200
        assert answer.json["customer"] == {"id": str(customer.id), "name": "Engines"}
        assert cost.statements == 4  # who, the customer, the channel, the audit log
        session.expire_all()
        assert session.get_one(Channel, channel.id).customer_id == customer.id

    def test_a_name_makes_one_and_then_means_it(self, choose: Any, caller: Gateway) -> None:
        first = choose({"name": "Engines"}).json["customer"]
        assert choose({"name": "Engines"}).json["customer"] == first
        assert caller.get("/customers").json == {"customers": [first]}

    @pytest.mark.parametrize("nobody", [{"customerId": None}, {"name": None}])
    def test_null_is_nobody(self, choose: Any, nobody: dict[str, None]) -> None:
        choose({"name": "Engines"})
        answer = choose(nobody)
        assert (answer.status, answer.json["customer"]) == (200, None)

    @pytest.mark.parametrize(
        "body", [{}, {"name": "A", "customerId": None}, {"name": ""}, {"customerId": "x"}]
    )
    def test_what_is_unclear_is_refused(self, choose: Any, body: dict[str, Any]) -> None:
        assert choose(body).status == 422

    def test_another_organizations_is_not_found(self, session: Session, choose: Any) -> None:
        theirs = a_customer(session, an_organization(session))
        for customer_id in (theirs.id, uuid4()):
            answer = choose({"customerId": str(customer_id)})
            assert (answer.status, answer.json["code"]) == (404, "customer_not_found")

    def test_is_shown_wherever_the_channel_is(
        self, session: Session, member: Member, channel: Channel, choose: Any
    ) -> None:
        customer = choose({"name": "Engines"}).json["customer"]
        gateway = as_member(integrations, session, member)
        [listed] = gateway.get("/integrations").json["integrations"]
        assert listed["customer"] == customer
        assert gateway.get(f"/integrations/{channel.id}").json["customer"] == customer
        renamed = gateway.post(f"/integrations/{channel.id}/nickname", {"name": "Other"})
        assert renamed.json["customer"] == customer


class TestLimits:
    def test_nobody_is_limited_to_a_deleted_customer(
        self, session: Session, organization: Organization, member: Member, caller: Gateway
    ) -> None:
        gone, stays = a_customer(session, organization), a_customer(session, organization, name="b")
        limited = a_member(session, organization, customers=[gone.id, stays.id])
        alone = a_member(session, organization, customers=[gone.id])
        by_key(None, session, member, customers=[stays.id, gone.id])
        by_grant(None, session, member, customers=[gone.id])
        others = a_member(session, an_organization(session), customers=[gone.id])
        gone_id, stays_id = gone.id, stays.id

        assert caller.delete(f"/customers/{gone_id}").status == 200

        session.expire_all()
        assert (limited.customers, alone.customers) == ([stays_id], [])
        assert session.scalars(select(ApiKey.customers)).all() == [[stays_id]]
        assert session.scalars(select(OAuthGrant.customers)).all() == [[]]
        assert (member.customers, others.customers) == (None, [gone_id])
        assert as_member(organizations, session, alone).get("/customers").json["customers"] == []

    def test_only_the_callers_own_are_listed(
        self, session: Session, organization: Organization
    ) -> None:
        own = a_customer(session, organization, name="Own")
        a_customer(session, organization, name="Theirs")
        limited = a_member(session, organization, customers=[own.id])
        with count_statements() as cost:
            listed = as_member(organizations, session, limited).get("/customers").json["customers"]
        assert [one["name"] for one in listed] == ["Own"]
        assert cost.statements == 3  # one signs the member in

    def test_a_channels_customer_is_not_for_editors(
        self, session: Session, organization: Organization, channel: Channel
    ) -> None:
        editor = as_member(integrations, session, a_member(session, organization, role=Role.EDITOR))
        answer = editor.put(f"/integrations/{channel.id}/customer", {"customerId": None})
        assert (answer.status, answer.json["code"]) == (403, "role_too_low")

"""Do people come in through their company, for its domains alone, and stay inside it?"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import boto3
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from functions.identity.app import app
from functions.organizations.app import app as organizations
from local.names import NameServer, add_record
from shared.identity.models import Session as LoginSession
from shared.identity.models import User
from shared.organizations.company_login import check_old_domains
from shared.organizations.models import Member, Organization, Role
from tests.builders import (
    a_customer,
    a_member,
    a_user,
    an_organization,
)
from tests.conftest import Configure
from tests.counting import count_statements
from tests.fakes.openid_provider import CLIENT_ID, CLIENT_SECRET, ISSUER, OpenIdProvider
from tests.gateway import STRONG, Answer, Gateway, as_member, in_place_of
from tests.mails import make_mails_queue, queued_mails

PATH = "/settings/company-login"
DOMAIN, EMAIL = "example.com", "ada@example.com"
LOGIN = {"issuer": ISSUER, "clientId": CLIENT_ID, "clientSecret": CLIENT_SECRET}
BACK = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


@pytest.fixture(autouse=True)
def _server(aws: None, configure: Configure) -> None:
    key = boto3.client("kms").create_key()["KeyMetadata"]["KeyId"]
    make_mails_queue(configure)
    configure(KMS_KEY_ID=key)


@pytest.fixture
def peer() -> Iterator[OpenIdProvider]:
    with OpenIdProvider() as running:
        yield running


@pytest.fixture
def company(session: Session) -> Organization:
    return an_organization(session, name="Acme", timezone="Europe/Paris")


@pytest.fixture
def owner(session: Session, company: Organization) -> Member:
    return a_member(session, company, a_user(session, email="owner@example.org"))


@pytest.fixture
def by_owner(session: Session, owner: Member) -> Gateway:
    return as_member(organizations, session, owner)


def proven(session: Session, organization: Organization, domain: str = DOMAIN) -> UUID:
    """Add a proven domain."""
    row = session.execute(
        text(
            "insert into company_domains (id, organization_id, domain, token, proven_at, checked_at)"
            " values (gen_random_uuid(), :id, :domain, 'token', now(), now()) returning id"
        ),
        {"id": organization.id, "domain": domain},
    ).scalar_one()
    return UUID(str(row))


@pytest.fixture
def connected(session: Session, company: Organization, by_owner: Gateway) -> dict[str, Any]:
    """A company login that speaks for `DOMAIN`."""
    proven(session, company)
    answer = by_owner.put(PATH, LOGIN)
    assert answer.status == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


def start(browser: Gateway, email: str = EMAIL) -> str:
    answer = browser.post("/auth/company", {"email": email, "returnTo": "/docs"})
    assert answer.status == 200, answer.text
    url: str = answer.json["url"]
    return url


def come_back(browser: Gateway, peer: OpenIdProvider, url: str, **changes: Any) -> Answer:
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    sent = {"code": peer.consent(url).code, "state": query["state"], **changes}
    path = urlsplit(query["redirect_uri"]).path
    return browser.get(path, query=sent, headers=BACK)


def sign_in(peer: OpenIdProvider) -> Gateway:
    browser = Gateway(app)
    answer = come_back(browser, peer, start(browser))
    assert answer.status == 200, answer.text
    return browser


class TestSignIn:
    def test_newcomer_gets_an_account_and_a_seat(
        self,
        session: Session,
        company: Organization,
        by_owner: Gateway,
        connected: dict[str, Any],
        peer: OpenIdProvider,
    ) -> None:
        customer = a_customer(session, company)
        changed = {**LOGIN, "role": "EDITOR", "customers": [str(customer.id)]}
        assert by_owner.put(PATH, changed).status == 200
        own = sign_in(peer).get("/user/self").json
        assert (own["email"], own["role"], own["orgName"]) == (EMAIL, "EDITOR", "Acme")
        assert own["name"] == "Ada Lovelace"
        team = by_owner.get("/settings/team").json["users"]
        (seat,) = [one for one in team if one["user"]["email"] == EMAIL]
        assert seat["customers"] == [str(customer.id)]
        joined = by_owner.get("/settings/audit", query={"action": "member.joined"}).json["entries"]
        assert [one["after"] for one in joined] == [{"role": "editor", "provider": "company"}]

    def test_the_same_subject_is_the_same_person(
        self, session: Session, connected: dict[str, Any], peer: OpenIdProvider
    ) -> None:
        first = sign_in(peer).get("/user/self").json["id"]
        peer.claims["email"] = f"renamed@{DOMAIN}"
        assert sign_in(peer).get("/user/self").json["id"] == first

    def test_person_with_an_account_gets_a_seat(
        self, session: Session, connected: dict[str, Any], peer: OpenIdProvider
    ) -> None:
        elsewhere = a_member(session, an_organization(session), a_user(session, email=EMAIL))
        own = sign_in(peer).get("/user/self").json
        assert own["id"] == str(elsewhere.user_id)
        assert own["orgName"] == "Acme"

    def test_account_that_was_never_activated_loses_its_password(
        self, session: Session, connected: dict[str, Any], peer: OpenIdProvider
    ) -> None:
        waiting = a_user(session, email=EMAIL, activated_at=None)
        assert sign_in(peer).get("/user/self").json["id"] == str(waiting.id)
        session.refresh(waiting)
        assert (waiting.password_hash, waiting.activated_at is not None) == (None, True)

    @pytest.mark.parametrize("how", ["removed", "disabled"])
    def test_closed_seat_stays_closed(
        self, session: Session, connected: dict[str, Any], peer: OpenIdProvider, how: str
    ) -> None:
        user_id = sign_in(peer).get("/user/self").json["id"]
        changes = {
            "removed": "delete from members where user_id = :id",
            "disabled": "update members set disabled = true where user_id = :id",
        }
        session.execute(text(changes[how]), {"id": user_id})
        browser = Gateway(app)
        refused = come_back(browser, peer, start(browser))
        assert refused.status == 403
        assert "no longer a member" in refused.text
        assert "auth" not in browser.cookies

    def test_session_names_its_method(
        self, session: Session, connected: dict[str, Any], peer: OpenIdProvider
    ) -> None:
        sign_in(peer)
        row = session.query(LoginSession).order_by(LoginSession.id.desc()).first()
        assert row is not None
        assert (row.methods, str(row.connection_id)) == (["company"], connected["id"])


class TestLies:
    @pytest.mark.parametrize(
        "claims",
        [
            {"email": "ada@other.example"},
            {"email": "ada@sub.example.com"},
            {"email_verified": False},
            {"email_verified": None},
            {"email": None},
        ],
    )
    def test_other_addresses_do_not_come_in(
        self,
        session: Session,
        connected: dict[str, Any],
        peer: OpenIdProvider,
        claims: dict[str, Any],
    ) -> None:
        browser = Gateway(app)
        peer.claims |= claims
        refused = come_back(browser, peer, start(browser))
        assert refused.status == 403, refused.text
        assert "auth" not in browser.cookies
        assert session.query(User).filter_by(email=EMAIL).count() == 0

    def test_domain_must_still_be_proven_at_the_end(
        self, session: Session, connected: dict[str, Any], peer: OpenIdProvider
    ) -> None:
        browser = Gateway(app)
        url = start(browser)
        session.execute(text("update company_domains set proven_at = null"))
        assert come_back(browser, peer, url).status == 403

    def test_state_works_once_in_its_own_browser(
        self, session: Session, connected: dict[str, Any], peer: OpenIdProvider
    ) -> None:
        browser = Gateway(app)
        url = start(browser)
        other = Gateway(app)
        start(other)
        assert come_back(other, peer, url).status == 403
        kept = dict(browser.cookies)
        assert come_back(browser, peer, url).status == 200
        assert come_back(Gateway(app, cookies=kept), peer, url).status == 403

    def test_state_of_another_connection(
        self,
        session: Session,
        connected: dict[str, Any],
        peer: OpenIdProvider,
    ) -> None:
        other = an_organization(session)
        by_other = as_member(organizations, session, a_member(session, other))
        proven(session, other, "other.example")
        second = by_other.put(PATH, LOGIN).json["id"]
        browser = Gateway(app)
        url = start(browser)
        state = parse_qs(urlsplit(url).query)["state"][0]
        sent = {"code": peer.consent(url).code, "state": state}
        refused = browser.get(f"/auth/company/{second}/callback", query=sent, headers=BACK)
        assert refused.status == 403

    def test_issuer_of_another(
        self, session: Session, connected: dict[str, Any], peer: OpenIdProvider
    ) -> None:
        browser = Gateway(app)
        url = start(browser)
        assert come_back(browser, peer, url, iss="https://evil.example").status in {401, 403}

    @pytest.mark.parametrize("email", ["ada@nobody.example", "ada", "ada@"])
    def test_nobody_speaks_for_the_address(self, session: Session, email: str) -> None:
        refused = Gateway(app).post("/auth/company", {"email": email})
        assert refused.status == 404, refused.text

    def test_unproven_domain_of_another_organization_begins_nothing(
        self, session: Session, connected: dict[str, Any]
    ) -> None:
        session.execute(text("update company_domains set proven_at = null"))
        assert Gateway(app).post("/auth/company", {"email": EMAIL}).status == 404


class TestBound:
    @pytest.fixture
    def browser(self, session: Session, connected: dict[str, Any], peer: OpenIdProvider) -> Gateway:
        """Somebody with another organization, who came through the company."""
        ada = a_user(session, email=EMAIL)
        self.elsewhere = a_member(session, an_organization(session, name="Elsewhere"), ada)
        return sign_in(peer)

    def test_it_sees_no_other_organization(self, session: Session, browser: Gateway) -> None:
        listed = browser.get("/user/organizations").json
        assert [one["name"] for one in listed] == ["Acme"]
        other = str(self.elsewhere.organization_id)
        refused = browser.get("/user/self", headers={"showorg": other})
        assert (refused.status, refused.json["code"]) == (403, "organization_gone")
        refused = browser.post("/user/change-org", {"id": other})
        assert (refused.status, refused.json["code"]) == (403, "own_login_needed")

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("POST", "/user/password"), ("POST", "/user/email"), ("POST", "/user/logins"),
            ("GET", "/user/logins"), ("GET", "/user/sessions"), ("DELETE", "/user/sessions"),
            ("GET", "/user/audit"), ("POST", "/user/confirm"),
        ],
    )  # fmt: skip
    def test_it_does_not_touch_the_account(self, browser: Gateway, method: str, path: str) -> None:
        refused = browser.call(method, path, {} if method == "POST" else None)
        assert (refused.status, refused.json["code"]) == (403, "own_login_needed")

    def test_it_creates_no_organization(self, browser: Gateway) -> None:
        refused = Gateway(organizations, {}, browser.cookies).post(
            "/organizations", {"name": "Mine"}
        )
        assert (refused.status, refused.json["code"]) == (403, "own_login_needed")

    def test_old_proof_asks_for_the_company_again(self, session: Session, browser: Gateway) -> None:
        session.execute(text("update members set role = 'admin'"))
        assert browser.post("/user/api-key", {}).status == 201
        session.execute(
            text("update sessions set authenticated_at = now() - interval '11 minutes'")
        )
        refused = browser.post("/user/api-key", {})
        assert (refused.status, refused.json["code"]) == (403, "fresh_login_needed")
        assert refused.json["methods"] == ["company"]

    def test_removing_the_company_login_ends_it(
        self, session: Session, by_owner: Gateway, browser: Gateway
    ) -> None:
        assert by_owner.delete(PATH).json == {"sessions": 1}
        assert browser.get("/user/self").status == 401

    def test_another_issuer_ends_it_and_forgets_its_people(
        self, session: Session, by_owner: Gateway, browser: Gateway
    ) -> None:
        assert by_owner.put(PATH, {**LOGIN, "issuer": "https://new.example"}).status == 200
        assert browser.get("/user/self").status == 401
        assert session.execute(text("select count(*) from company_identities")).scalar_one() == 0


class TestRequired:
    @pytest.fixture
    def required(self, by_owner: Gateway, connected: dict[str, Any]) -> None:
        assert by_owner.put(PATH, {**LOGIN, "required": True}).status == 200

    def test_seats_that_came_another_way_are_refused(
        self, session: Session, company: Organization, required: None
    ) -> None:
        for role in Role:
            member = a_member(session, company, role=role)
            browser = as_member(app, session, member)
            with count_statements() as cost:
                refused = browser.get("/user/self")
            assert (refused.status, refused.json["code"]) == (403, "company_login_needed"), role
            assert cost.statements == 1
            assert browser.get("/user/organizations").status == 200

    def test_owner_with_a_second_factor_is_not(
        self, session: Session, company: Organization, owner: Member, required: None
    ) -> None:
        assert as_member(app, session, owner, methods=STRONG).get("/user/self").status == 200
        admin = a_member(session, company, role=Role.ADMIN)
        assert as_member(app, session, admin, methods=STRONG).get("/user/self").status == 403

    def test_who_came_through_it_is_not(
        self, session: Session, required: None, peer: OpenIdProvider
    ) -> None:
        assert sign_in(peer).get("/user/self").status == 200

    def test_other_organizations_of_the_person_stay_open(
        self, session: Session, owner: Member, required: None
    ) -> None:
        user = session.get_one(User, owner.user_id)
        other = a_member(session, an_organization(session), user)
        assert as_member(app, session, other).get("/user/self").status == 200

    def test_operator_in_a_members_place_is_not(
        self, session: Session, owner: Member, required: None
    ) -> None:
        assert in_place_of(app, session, owner).get("/user/self").status == 200

    def test_without_a_proven_domain_it_cannot_be(self, by_owner: Gateway) -> None:
        refused = by_owner.put(PATH, {**LOGIN, "required": True})
        assert (refused.status, refused.json["code"]) == (409, "no_proven_domain")

    def test_removing_the_last_domain_releases(
        self, session: Session, owner: Member, required: None
    ) -> None:
        strong = as_member(organizations, session, owner, methods=STRONG)
        (domain,) = strong.get(PATH).json["domains"]
        assert strong.delete(f"{PATH}/domains/{domain['id']}").status == 200
        assert strong.get(PATH).json["required"] is False


class TestSettings:
    def test_the_secret_is_sealed_and_never_shown(
        self, session: Session, by_owner: Gateway, connected: dict[str, Any]
    ) -> None:
        shown = by_owner.get(PATH)
        assert CLIENT_SECRET not in shown.text
        assert (shown.json["hasSecret"], shown.json["issuer"]) == (True, ISSUER)
        assert shown.json["redirectUri"].endswith(f"/auth/company/{connected['id']}/callback")
        stored = session.execute(text("select client_secret from company_logins")).scalar_one()
        assert CLIENT_SECRET.encode() not in bytes(stored)

    def test_a_change_without_a_secret_keeps_it(
        self, session: Session, by_owner: Gateway, connected: dict[str, Any], peer: OpenIdProvider
    ) -> None:
        kept = {name: value for name, value in LOGIN.items() if name != "clientSecret"}
        assert by_owner.put(PATH, kept).json["hasSecret"] is True
        assert sign_in(peer).get("/user/self").status == 200

    @pytest.mark.parametrize(
        ("change", "path"),
        [
            ({"issuer": "http://id.example"}, "issuer"),
            ({"issuer": "https://127.0.0.1"}, "issuer"),
            ({"issuer": "nonsense"}, "issuer"),
            ({"role": "SUPERADMIN"}, "role"),
        ],
    )
    def test_what_is_wrong_is_named(
        self, by_owner: Gateway, change: dict[str, Any], path: str
    ) -> None:
        refused = by_owner.put(PATH, LOGIN | change)
        assert (refused.status, refused.json["errors"][0]["path"]) == (422, path)

    def test_only_owners_with_a_fresh_proof(
        self, session: Session, company: Organization, by_owner: Gateway
    ) -> None:
        admin = as_member(organizations, session, a_member(session, company, role=Role.ADMIN))
        for method, path in (("GET", PATH), ("PUT", PATH), ("DELETE", PATH), ("POST", f"{PATH}/domains")):  # fmt: skip
            body = LOGIN if method == "PUT" else {"domain": DOMAIN} if method == "POST" else None
            refused = admin.call(method, path, body)
            assert (refused.status, refused.json["code"]) == (403, "role_too_low")
        old = text("update sessions set authenticated_at = now() - interval '11 minutes'")
        session.execute(old)
        refused = by_owner.put(PATH, LOGIN)
        assert (refused.status, refused.json["code"]) == (403, "fresh_login_needed")

    def test_changes_are_recorded(
        self, session: Session, by_owner: Gateway, connected: dict[str, Any]
    ) -> None:
        by_owner.put(PATH, LOGIN)
        by_owner.delete(PATH)
        assert by_owner.delete(PATH).status == 404
        entries = by_owner.get("/settings/audit").json["entries"]
        assert [one["action"] for one in entries] == [
            "company_login.deleted", "company_login.updated", "company_login.created",
        ]  # fmt: skip


class TestDomains:
    @pytest.fixture
    def records(self, tmp_path: Path, configure: Configure) -> Iterator[Path]:
        path = tmp_path / "names.json"
        with NameServer(path) as server:
            configure(TEST_NAMES_SERVER=server.address)
            yield path

    def add(self, by_owner: Gateway, domain: str = "acme.test") -> dict[str, Any]:
        answer = by_owner.post(f"{PATH}/domains", {"domain": domain})
        assert answer.status == 201, answer.text
        found: dict[str, Any] = answer.json
        return found

    def verify(self, by_owner: Gateway, domain: dict[str, Any]) -> Answer:
        return by_owner.post(f"{PATH}/domains/{domain['id']}/verify")

    def test_domain_counts_when_its_record_is_there(
        self, session: Session, by_owner: Gateway, records: Path
    ) -> None:
        domain = self.add(by_owner, "ACME.test.")
        assert (domain["domain"], domain["provenAt"]) == ("acme.test", None)
        assert domain["recordName"] == "_roost-verification.acme.test"
        refused = self.verify(by_owner, domain)
        assert (refused.status, refused.json["code"]) == (409, "domain_not_proven")
        add_record(records, domain["recordName"], "roost=another")
        assert self.verify(by_owner, domain).status == 409
        add_record(records, domain["recordName"], domain["recordValue"])
        assert self.verify(by_owner, domain).json["provenAt"] is not None
        assert [one["provenAt"] is not None for one in by_owner.get(PATH).json["domains"]] == [True]

    def test_it_belongs_to_one_organization(
        self, session: Session, by_owner: Gateway, records: Path
    ) -> None:
        proven(session, an_organization(session), "acme.test")
        domain = self.add(by_owner)
        add_record(records, domain["recordName"], domain["recordValue"])
        refused = self.verify(by_owner, domain)
        assert (refused.status, refused.json["code"]) == (409, "domain_of_another")

    def test_silent_name_server_proves_nothing(
        self, session: Session, by_owner: Gateway, configure: Configure
    ) -> None:
        configure(TEST_NAMES_SERVER="")
        refused = self.verify(by_owner, self.add(by_owner))
        assert (refused.status, refused.json["code"]) == (503, "domains_not_answered")

    @pytest.mark.parametrize("domain", ["localhost", "a b.test", "-a.test", "1.2.3.4", "x" * 64 + ".test"])  # fmt: skip
    def test_what_is_no_domain_is_refused(self, by_owner: Gateway, domain: str) -> None:
        refused = by_owner.post(f"{PATH}/domains", {"domain": domain})
        assert (refused.status, refused.json["errors"][0]["path"]) == (422, "domain")

    def test_adding_it_twice_adds_one(self, by_owner: Gateway) -> None:
        assert self.add(by_owner) == self.add(by_owner)

    def old(self, session: Session, company: Organization, days: int = 8) -> None:
        proven(session, company, "acme.test")
        session.execute(
            text("update company_domains set checked_at = now() - make_interval(days => :days)"),
            {"days": days},
        )

    def row(self, session: Session) -> Any:
        return session.execute(text("select proven_at, missing_since, checked_at > now() - interval '1 hour' as is_checked from company_domains")).one()  # fmt: skip

    def test_record_is_asked_for_again_every_week(
        self, session: Session, company: Organization, records: Path
    ) -> None:
        self.old(session, company)
        add_record(records, "_roost-verification.acme.test", "roost=token")
        assert (check_old_domains(), check_old_domains()) == (1, 0)
        assert (self.row(session).missing_since, self.row(session).is_checked) == (None, True)

    def test_gone_record_is_reported_then_the_domain_is_off(
        self, session: Session, company: Organization, owner: Member, records: Path
    ) -> None:
        self.old(session, company)
        check_old_domains()
        assert self.row(session).proven_at is not None
        (mail,) = queued_mails()
        assert mail["mail"]["to"] == "owner@example.org"
        week = "now() - interval '8 days'"
        session.execute(
            text(f"update company_domains set missing_since = {week}, checked_at = {week}")
        )
        check_old_domains()
        assert self.row(session).proven_at is None
        assert len(queued_mails()) == 1
        actions = session.execute(text("select action from audit_events")).scalars().all()
        assert actions == ["company_domain.lapsed"]

    def test_silence_is_no_missing_record(
        self, session: Session, company: Organization, owner: Member, configure: Configure
    ) -> None:
        configure(TEST_NAMES_SERVER="")
        self.old(session, company)
        assert check_old_domains() == 1
        assert self.row(session).missing_since is None
        assert check_old_domains() == 0  # not before tomorrow

    def test_only_a_domain_of_ones_own(
        self, session: Session, by_owner: Gateway, company: Organization
    ) -> None:
        theirs = proven(session, an_organization(session), "other.example")
        assert by_owner.post(f"{PATH}/domains/{theirs}/verify").status == 404
        assert by_owner.delete(f"{PATH}/domains/{theirs}").status == 404

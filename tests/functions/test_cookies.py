"""Which cookies do browsers get where the public address is https, and what does another site reach with them?"""

from datetime import timedelta

import boto3
import pytest
import time_machine
from sqlalchemy import select, update
from sqlalchemy.orm import Session as DbSession

from functions.apps.app import app as oauth
from functions.channels.app import app as integrations
from functions.identity.app import app
from shared.identity.models import Session as LoginSession
from shared.identity.models import User
from shared.organizations.models import ApiKey, Member
from shared.web.cookies import PLAIN_RENEW_ENDS
from tests.builders import PASSWORD, a_member, an_operator, an_organization
from tests.conftest import Configure
from tests.gateway import STRONG, Gateway, as_member, put_app_secret

SITE = "https://roost.example"
FOREIGN = {"sec-fetch-site": "same-site", "origin": "https://evil.roost.example"}
BEFORE_THE_END = PLAIN_RENEW_ENDS - timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _aws(aws: None) -> None:
    put_app_secret()


@pytest.fixture
def member(session: DbSession) -> Member:
    return a_member(session, an_organization(session))


@pytest.fixture
def browser(session: DbSession, member: Member) -> Gateway:
    return signed_in(session, member)


def signed_in(session: DbSession, member: Member) -> Gateway:
    made = Gateway(app)
    who = {"email": session.get_one(User, member.user_id).email, "password": PASSWORD}
    assert made.post("/auth/login", who).status == 200
    return made


class TestNames:
    def test_only_prefixed_names_are_set_and_read_on_https(
        self, session: DbSession, member: Member, configure: Configure
    ) -> None:
        """Finding 2.15: a sub-domain could plant the cookies that say who is calling."""
        configure(PUBLIC_URL=SITE)
        browser = signed_in(session, member)
        browser.post("/user/change-org", {"id": str(member.organization_id)})
        assert set(browser.cookies) == {
            "__Host-auth",
            "__Host-renew",
            "__Host-showorg",
            "__Host-device",
        }
        assert browser.get("/user/self").status == 200
        plain = {name.removeprefix("__Host-"): value for name, value in browser.cookies.items()}
        assert Gateway(app, cookies=plain).get("/user/self").status == 401

    def test_a_plain_choice_of_an_organization_is_not_read_on_https(
        self, session: DbSession, member: Member, configure: Configure
    ) -> None:
        configure(PUBLIC_URL=SITE)
        browser = signed_in(session, member)
        browser.cookies["showorg"] = str(an_organization(session).id)
        assert browser.get("/user/self").status == 200

    @pytest.mark.parametrize("site", [SITE, "http://127.0.0.1:3000"])
    def test_signing_out_removes_every_one_but_the_device(
        self, session: DbSession, member: Member, configure: Configure, site: str
    ) -> None:
        """One that stays would be the next one's: their organization, or the member whom an operator acted as."""
        configure(PUBLIC_URL=site)
        browser = signed_in(session, member)
        browser.post("/user/change-org", {"id": str(member.organization_id)})
        prefix = "__Host-" if site == SITE else ""
        browser.cookies[f"{prefix}impersonate"] = str(member.id)
        assert len(browser.cookies) == 5
        assert browser.post("/user/logout").status == 200
        assert set(browser.cookies) == {f"{prefix}device"}

    def test_plain_names_stay_on_a_laptop(self, browser: Gateway) -> None:
        assert set(browser.cookies) == {"auth", "renew", "device"}

    def test_header_stays(self, session: DbSession, member: Member, configure: Configure) -> None:
        configure(PUBLIC_URL=SITE)
        assert as_member(app, session, member).get("/user/self").status == 200


class TestPlainRenew:
    def test_is_exchanged_once_and_deleted(
        self, session: DbSession, browser: Gateway, configure: Configure
    ) -> None:
        """Finding 2.15: who was signed in when the names changed stays so."""
        configure(PUBLIC_URL=SITE)
        before = Gateway(app, cookies={"renew": browser.cookies["renew"]})
        with time_machine.travel(BEFORE_THE_END, tick=False):
            answer = before.post("/auth/renew")
        assert answer.status == 200
        assert set(before.cookies) == {"__Host-auth", "__Host-renew"}
        assert any(
            line.startswith('renew=""; ') and "Max-Age=0; Path=/auth" in line
            for line in answer.set_cookies
        )

    def test_is_refused_after_thirty_days(
        self, session: DbSession, browser: Gateway, configure: Configure
    ) -> None:
        configure(PUBLIC_URL=SITE)
        before = Gateway(app, cookies={"renew": browser.cookies["renew"]})
        with time_machine.travel(PLAIN_RENEW_ENDS, tick=False):
            assert before.post("/auth/renew").status == 401

    def test_exception_is_for_thirty_days_of_this_deployment(self) -> None:
        assert PLAIN_RENEW_ENDS.isoformat() == "2026-12-31T00:00:00+00:00"


class TestOtherSites:
    def test_sub_domain_cannot_rotate_a_key_without_a_body(
        self, session: DbSession, browser: Gateway, member: Member
    ) -> None:
        """Finding 2.15: a body-less POST from a sub-domain rotated keys and secrets."""
        key = browser.post("/user/api-key", {}).json
        path = f"/user/api-key/{key['id']}/rotate"
        before = session.scalar(select(ApiKey.key_hash))
        refused = browser.post(path, headers=FOREIGN)
        assert (refused.status, refused.json["code"]) == (403, "origin_refused")
        session.expire_all()
        assert session.scalar(select(ApiKey.key_hash)) == before
        assert browser.post(path).status == 201

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("POST", "/auth/login"),
            ("POST", "/auth/register"),
            ("POST", "/auth/activate"),
            ("POST", "/auth/renew"),
            ("POST", "/auth/forgot-return"),
            ("POST", "/user/logout"),
            ("GET", "/notifications/list"),
        ],
    )
    def test_what_sets_or_uses_cookies_is_ours_to_send(
        self, session: DbSession, method: str, path: str
    ) -> None:
        asked = Gateway(app).call(method, path, {} if method == "POST" else None, headers=FOREIGN)
        expected = (404, "no_such_route") if path.startswith("/notif") else (403, "origin_refused")
        assert (asked.status, asked.json["code"]) == expected

    def test_other_sites_cannot_start_a_connection(
        self, browser: Gateway, configure: Configure
    ) -> None:
        """Finding 2.1: a GET that begins something counts as writing for cross-site rules."""
        configure(KMS_KEY_ID=boto3.client("kms").create_key()["KeyMetadata"]["KeyId"])
        there = Gateway(integrations, cookies=dict(browser.cookies))
        link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
        path = "/integrations/social/bluesky"
        assert there.get(path, headers=link).json["code"] == "origin_refused"
        ahead = there.get(path, headers={"sec-purpose": "prefetch"})
        assert ahead.json["code"] == "prefetch_refused"
        assert there.get(path).status == 200

    def test_a_program_of_a_page_elsewhere_may_ask_for_a_token(self, session: DbSession) -> None:
        answer = Gateway(oauth).post("/oauth/token", {"grant_type": "x"}, headers=FOREIGN)
        assert answer.json["error"] == "unsupported_grant_type"


class TestGoneChoice:
    def test_answer_removes_the_cookie(self, session: DbSession, browser: Gateway) -> None:
        """Finding 2.16: the choice of an organization that is gone locks nobody out."""
        browser.cookies["showorg"] = str(an_organization(session).id)
        refused = browser.get("/user/self")
        assert (refused.status, refused.json["code"]) == (403, "organization_gone")
        assert set(refused.cookies) == {"showorg"}
        assert browser.get("/user/self").status == 200

    def test_routes_of_the_person_ignore_it(self, session: DbSession, browser: Gateway) -> None:
        """Finding 2.16: own organizations, choosing one, sessions and sign-out stay open."""
        gone = {"showorg": str(an_organization(session).id)}
        (own,) = browser.get("/user/organizations", headers=gone).json
        assert browser.post("/user/change-org", {"id": own["id"]}, headers=gone).status == 200
        (here,) = browser.get("/user/sessions", headers=gone).json["sessions"]
        assert browser.delete(f"/user/sessions/{here['id']}", headers=gone).status == 200
        assert browser.post("/user/logout", headers=gone).status == 200

    def test_header_is_the_callers_own_matter(self, session: DbSession, browser: Gateway) -> None:
        browser.cookies["showorg"] = browser.get("/user/organizations").json[0]["id"]
        foreign = {"showorg": str(an_organization(session).id)}
        refused = browser.get("/user/self", headers=foreign)
        assert (refused.status, refused.cookies) == (403, {})

    def test_over_impersonation_removes_its_cookie(
        self, session: DbSession, member: Member
    ) -> None:
        admin = an_operator(session)
        browser = signed_in(session, admin)
        session.execute(update(LoginSession).values(methods=STRONG))
        body = {"id": str(member.id), "reason": "A support request"}
        assert browser.post("/user/impersonate", body).status == 200
        member.disabled = True
        session.flush()
        refused = browser.post("/user/personal", {"fullname": "Ada Lovelace"})
        assert (refused.status, refused.json["code"]) == (401, "impersonation_over")
        assert set(refused.cookies) == {"impersonate"}
        assert browser.get("/user/self").json["id"] == str(admin.user_id)

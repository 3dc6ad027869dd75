"""Do third-party apps get what the protocol and its existing clients expect, and nothing that no member allowed?"""

import base64
import hashlib
import html
import json
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from oauthlib.oauth2 import InvalidGrantError, WebApplicationClient
from sqlalchemy import Connection, Engine, func, select, text, update
from sqlalchemy.orm import Session

from functions.apps.app import app
from functions.public_api.app import app as public_app
from shared.apps import manage, register
from shared.apps.device import CLIENT_ID, poll_device
from shared.apps.errors import OAuthRefused
from shared.apps.models import DeviceCode, OAuthApp, OAuthCode, OAuthGrant
from shared.apps.schemas import AppIn, ClientMetadata
from shared.apps.server import exchange
from shared.audit.entries import Actor
from shared.core.crypto import hash_secret
from shared.core.ids import OrganizationId, new_id
from shared.db.session import read_only, unit_of_work
from shared.identity.models import User
from shared.organizations.models import Member, Organization, Role
from tests.builders import a_member, an_actor, an_organization
from tests.conftest import Configure
from tests.counting import count_statements
from tests.gateway import Answer, Gateway, as_member, by_key, in_place_of, put_app_secret

BACK = "https://newsroom.example/connected?from=roost"
LOOPBACK = "http://127.0.0.1:8976/callback"
VERIFIER = "v" * 43
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
)
ISSUER = "http%3A%2F%2F127.0.0.1%3A3000"
PROTOCOL = "application/json"


@dataclass(frozen=True)
class AProgram:
    """A program with what it knows of itself."""

    client_id: str
    secret: str | None
    redirect_uri: str

    @property
    def uses_pkce(self) -> bool:
        """An organization's app need not; a program that registered itself must."""
        return self.client_id.startswith("pcd_")

    def asks(self, **changes: Any) -> dict[str, str]:
        """What it sends a browser with."""
        values = {
            "client_id": self.client_id,
            "response_type": "code",
            "state": "s 1&",
            "redirect_uri": self.redirect_uri,
        }
        if self.uses_pkce:
            values |= {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
        return {name: value for name, value in (values | changes).items() if value is not None}

    def exchanges(self, code: str, /, **changes: Any) -> dict[str, str]:
        """What it sends to get a token."""
        values = {
            "grant_type": "authorization_code",
            "code": code,
            "client_id": self.client_id,
            "client_secret": self.secret,
            "redirect_uri": self.redirect_uri,
            "code_verifier": VERIFIER if self.uses_pkce else None,
        }
        return {name: value for name, value in (values | changes).items() if value is not None}


def an_app(session: Session, organization: Organization, **changes: Any) -> AProgram:
    values = {"name": "Newsroom", "description": "Writes news.", "redirect_url": BACK} | changes
    made = manage.make_app(session, an_actor(organization.id), AppIn(**values))
    return AProgram(made.client_id, made.client_secret, made.redirect_url)


def a_registered_program(session: Session, *, method: str = "none", **changes: Any) -> AProgram:
    values = {
        "redirect_uris": [LOOPBACK, "https://other.example/cb"],
        "client_name": "Tool",
        "token_endpoint_auth_method": method,
    }
    made = register.register(session, Actor(), ClientMetadata(**values | changes))
    return AProgram(made.client_id, made.client_secret, LOOPBACK)


@pytest.fixture
def browser(session: Session, aws: None, member: Member) -> Gateway:
    return as_member(app, session, member)


@pytest.fixture
def nobody(session: Session) -> Gateway:
    return Gateway(app)


@pytest.fixture
def static(session: Session) -> AProgram:
    """The app of another organization: whoever consents need not belong to the one that made it."""
    return an_app(session, an_organization(session, name="Makers"))


@pytest.fixture
def public(session: Session) -> AProgram:
    return a_registered_program(session)


def parameters(redirect: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(redirect).query))


def allow(browser: Gateway, program: AProgram, **changes: Any) -> str:
    """Consent as the browser's member; the code."""
    answer = browser.post("/oauth/authorize", program.asks(**changes) | {"action": "approve"})
    assert answer.status == 201, answer.text
    return parameters(answer.json["redirect"])["code"]


def form(caller: Gateway, fields: dict[str, str], path: str = "/oauth/token") -> Answer:
    kind = {"content-type": "application/x-www-form-urlencoded"}
    return caller.post(path, text=urlencode(fields), headers=kind)


def token_of(browser: Gateway, program: AProgram, **changes: Any) -> str:
    answer = Gateway(app).post(
        "/oauth/token", program.exchanges(allow(browser, program, **changes))
    )
    assert answer.status == 201, answer.text
    token: str = answer.json["access_token"]
    return token


def may(token: str, method: str = "GET", path: str = "/public/v1/is-connected") -> int:
    """Use a token at the public API; the status."""
    return Gateway(public_app, {"authorization": token}).call(method, path).status


class TestAskForConsent:
    def test_json_says_who_asks(self, nobody: Gateway, static: AProgram) -> None:
        answer = nobody.get("/oauth/authorize", query=static.asks())
        assert answer.status == 200
        assert answer.json == {
            "app": {
                "name": "Newsroom",
                "description": "Writes news.",
                "picture": None,
                "clientId": static.client_id,
                "redirectUrl": BACK,
            },
            "madeAt": answer.json["madeAt"],
            "madeBy": {"name": "Makers", "since": answer.json["madeBy"]["since"]},
            "state": "s 1&",
            "scope": "mcp:read mcp:write",
        }

    def test_unknown_client_id(self, nobody: Gateway) -> None:
        for query in ({"client_id": "pca_none"}, {}):
            answer = nobody.get("/oauth/authorize", query=query)
            assert answer.status == 400
            assert answer.json["msg"] == answer.json["detail"] == "Invalid client_id"
            page = nobody.get("/oauth/authorize", query=query, headers={"accept": "text/html"})
            assert page.status == 400
            assert "is not registered. Connect again" in page.text

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"redirect_uri": "https://evil.example/"}, "invalid_request"),
            ({"redirect_uri": LOOPBACK + "/"}, "invalid_request"),
            ({"redirect_uri": None}, "invalid_request"),
            ({"redirect_uri": 'https://"\\é'}, "invalid_request"),
            ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
            ({"code_challenge": "short"}, "invalid_request"),
            ({"code_challenge_method": "plain"}, "invalid_request"),
            ({"response_type": "token"}, "unsupported_response_type"),
            ({"response_type": '"\\é'}, "unsupported_response_type"),
            ({"scope": "openid"}, "invalid_scope"),
        ],
    )
    def test_refuses(
        self,
        nobody: Gateway,
        browser: Gateway,
        public: AProgram,
        changes: dict[str, Any],
        error: str,
    ) -> None:
        asks = public.asks(**changes)
        asked = nobody.get("/oauth/authorize", query=asks)
        decided = browser.post("/oauth/authorize", asks | {"action": "approve"})
        for answer in (asked, decided):
            assert answer.status == 400, answer.text
            assert answer.json["error"] == error
            assert answer.headers["content-type"] == PROTOCOL

    def test_app_of_an_organization_goes_where_it_said(
        self, nobody: Gateway, browser: Gateway, static: AProgram
    ) -> None:
        for uri in (None, "https://evil.example/"):
            asks = static.asks(redirect_uri=uri)
            assert nobody.get("/oauth/authorize", query=asks).json["app"]["redirectUrl"] == BACK
            redirect = browser.post("/oauth/authorize", asks | {"action": "approve"}).json
            assert redirect["redirect"].startswith(BACK + "&")

    def test_deleted_app_is_unknown(
        self, session: Session, nobody: Gateway, static: AProgram
    ) -> None:
        session.execute(update(OAuthApp).values(deleted_at=func.now()))
        assert nobody.get("/oauth/authorize", query=static.asks()).status == 400


class TestConsentPage:
    HTML: ClassVar = {"accept": "text/html,application/xhtml+xml"}

    def ask(self, caller: Gateway, asks: dict[str, str]) -> Answer:
        answer = caller.get("/oauth/authorize", query=asks, headers=self.HTML)
        assert answer.headers["content-type"].startswith("text/html")
        assert answer.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        for script in re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL):
            digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in answer.headers["content-security-policy"]
        return answer

    def test_shows_who_asks_for_what(
        self, session: Session, browser: Gateway, member: Member, static: AProgram
    ) -> None:
        other = an_organization(session, name="Second <Ltd>")
        session.add(
            Member(id=new_id(), organization_id=other.id, user_id=member.user_id, role=Role.EDITOR)
        )
        closed = an_organization(session, name="Third Ltd")
        session.add(
            Member(
                id=new_id(),
                organization_id=closed.id,
                user_id=member.user_id,
                role=Role.EDITOR,
                disabled=True,
            )
        )
        session.flush()
        answer = self.ask(browser, static.asks())
        assert answer.status == 200
        assert (
            "Third Ltd" not in answer.text
        )  # where the member is shut out, nothing can be allowed
        for part in (
            "Newsroom", "Writes news.", "publish and delete", "cannot administer", "https://newsroom.example",
            "ends after 90 days without use",
        ):  # fmt: skip
            assert part in answer.text
        assert (
            f'<option value="{member.organization_id}" selected>Roost Ltd</option>' in answer.text
        )
        assert f'<option value="{other.id}">Second &lt;Ltd&gt;</option>' in answer.text
        assert "<strong>Makers</strong>" in answer.text

    def test_what_its_script_sends_is_a_decision(
        self, browser: Gateway, member: Member, public: AProgram
    ) -> None:
        page = self.ask(browser, public.asks(scope="mcp:read"))
        assert "not verified" in page.text
        assert "publish and delete" not in page.text
        found = re.search(r'data-asked="([^"]*)"', page.text)
        assert found
        asked = json.loads(html.unescape(found[1]))
        answer = browser.post(
            "/oauth/authorize",
            asked | {"action": "approve"},
            headers={"showorg": str(member.organization_id)},
        )
        assert parameters(answer.json["redirect"])["state"] == "s 1&"

    def test_words_of_a_program_are_escaped(self, session: Session, browser: Gateway) -> None:
        name = '<script>alert(1)</script>"'
        page = self.ask(browser, a_registered_program(session, client_name=name).asks(state=name))
        assert "<script>alert" not in page.text
        assert html.escape(name) in page.text

    def test_signed_out_browser_signs_in_first(self, nobody: Gateway, static: AProgram) -> None:
        answer = self.ask(nobody, static.asks())
        assert answer.status == 200
        assert 'type="password"' in answer.text
        assert "Sign in to decide whether Newsroom may act for you." in answer.text
        assert "data-asked" not in answer.text

    def test_without_an_organization_nothing_is_asked(
        self, session: Session, browser: Gateway, member: Member, static: AProgram
    ) -> None:
        session.execute(update(Member).values(disabled=True))
        answer = self.ask(browser, static.asks())
        assert answer.status == 403
        assert "<form" not in answer.text

    def test_unknown_program(self, browser: Gateway) -> None:
        answer = self.ask(browser, {"client_id": "pca_none"})
        assert answer.status == 400
        assert "<form" not in answer.text

    def test_wrong_address_is_not_linked(self, browser: Gateway, public: AProgram) -> None:
        answer = self.ask(browser, public.asks(redirect_uri="https://evil.example/"))
        assert answer.status == 400
        assert "evil" not in answer.text

    def test_wrong_request_leads_back_by_a_click(self, browser: Gateway, public: AProgram) -> None:
        answer = self.ask(browser, public.asks(scope="openid"))
        assert answer.status == 400
        found = re.search(r'href="(http[^"]*)"', answer.text)
        assert found
        back = html.unescape(found[1])
        assert back.startswith(LOOPBACK)
        assert parameters(back)["error"] == "invalid_scope"
        assert parameters(back)["state"] == "s 1&"


class TestDecide:
    def test_approve_gives_a_code_for_ten_minutes(
        self, session: Session, browser: Gateway, member: Member, static: AProgram
    ) -> None:
        answer = browser.post("/oauth/authorize", static.asks() | {"action": "approve"})
        assert answer.status == 201
        assert list(answer.json) == ["redirect"]
        code = parameters(answer.json["redirect"])["code"]
        assert re.fullmatch(r"[A-Za-z0-9]{32}", code)
        assert answer.json["redirect"] == f"{BACK}&code={code}&state=s+1%26&iss={ISSUER}"
        row = session.scalars(select(OAuthCode)).one()
        assert row.code_hash == hash_secret(code)
        assert (row.organization_id, row.user_id) == (member.organization_id, member.user_id)
        assert row.expires_at - row.created_at == timedelta(minutes=10)

    def test_deny_says_so_to_the_program(
        self, session: Session, browser: Gateway, static: AProgram
    ) -> None:
        answer = browser.post("/oauth/authorize", static.asks() | {"action": "deny"})
        assert answer.status == 201
        assert answer.json == {"redirect": f"{BACK}&error=access_denied&state=s+1%26&iss={ISSUER}"}
        assert session.scalars(select(OAuthCode)).all() == []

    def test_unknown_client_id(self, browser: Gateway) -> None:
        answer = browser.post("/oauth/authorize", {"client_id": "no", "action": "approve"})
        assert answer.status == 400
        assert answer.json["msg"] == "Invalid client_id"

    def test_needs_a_person_who_may_write(
        self, session: Session, aws: None, organization: Organization, static: AProgram
    ) -> None:
        body = static.asks() | {"action": "approve"}
        owner = a_member(session, organization)
        viewer = a_member(session, organization, role=Role.VIEWER)
        assert Gateway(app).post("/oauth/authorize", body).status == 401
        assert by_key(app, session, owner).post("/oauth/authorize", body).status == 403
        assert as_member(app, session, viewer).post("/oauth/authorize", body).status == 403

    def test_is_for_the_organization_that_was_chosen_or_none(
        self, session: Session, aws: None, browser: Gateway, member: Member, static: AProgram
    ) -> None:
        chosen = a_member(session, an_organization(session), session.get(User, member.user_id))
        started = Gateway(app).post("/device/code").json
        requests = [
            ("/oauth/authorize", static.asks() | {"action": "approve"}),
            ("/device/approve", {"code": started["user_code"], "approve": True}),
        ]
        headers = {"showorg": str(chosen.organization_id)}
        chosen.disabled = True
        session.flush()
        for path, body in requests:
            answer = browser.post(path, body, headers=headers)
            assert (answer.status, answer.json["code"]) == (403, "organization_gone")
        assert session.scalars(select(OAuthCode)).all() == []
        chosen.disabled = False
        session.flush()
        for path, body in requests:
            assert browser.post(path, body, headers=headers).status in {200, 201}
        assert session.scalars(select(OAuthCode.organization_id)).all() == [chosen.organization_id]
        settled = session.scalars(select(DeviceCode.organization_id)).all()
        assert settled == [chosen.organization_id]

    def test_nobody_consents_as_somebody_else(
        self, session: Session, browser: Gateway, member: Member, static: AProgram
    ) -> None:
        body = static.asks() | {"action": "approve"}
        answer = in_place_of(app, session, member).post("/oauth/authorize", body)
        assert (answer.status, answer.json["code"]) == (403, "not_in_their_place")
        assert session.scalars(select(OAuthCode)).all() == []

    def test_a_form_of_another_site_does_nothing(self, browser: Gateway, static: AProgram) -> None:
        sent = json.dumps(static.asks() | {"action": "approve"})
        kinds = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data")
        for kind in kinds:
            answer = browser.post("/oauth/authorize", text=sent, headers={"content-type": kind})
            assert answer.status in {400, 422}, (kind, answer.text)


class TestExchange:
    def test_json_as_existing_clients_send_it(
        self, session: Session, browser: Gateway, nobody: Gateway, member: Member, static: AProgram
    ) -> None:
        answer = nobody.post("/oauth/token", static.exchanges(allow(browser, static)))
        assert answer.status == 201
        token = answer.json["access_token"]
        assert re.fullmatch(r"pos_[A-Za-z0-9]{40}", token)
        assert answer.json == {
            "id": str(member.organization_id),
            "cus": None,
            "access_token": token,
            "token_type": "bearer",
            "scope": "mcp:read mcp:write",
        }
        assert answer.headers["cache-control"] == "no-store"
        grant = session.scalars(select(OAuthGrant)).one()
        assert grant.token_hash == hash_secret(token)
        assert may(token) == may(f"Bearer {token}") == 200

    def test_form_as_the_protocol_has_it(
        self, browser: Gateway, nobody: Gateway, public: AProgram
    ) -> None:
        answer = form(nobody, public.exchanges(allow(browser, public)))
        assert answer.status == 200
        assert may(answer.json["access_token"]) == 200

    def test_secret_in_basic_credentials(
        self, browser: Gateway, nobody: Gateway, static: AProgram
    ) -> None:
        fields = static.exchanges(allow(browser, static), client_id=None, client_secret=None)
        pair = base64.b64encode(f"{static.client_id}:{static.secret}".encode()).decode()
        nobody.headers["authorization"] = f"Basic {pair}"
        assert form(nobody, fields).status == 200

    @pytest.mark.parametrize(
        "header",
        [
            "Basic",
            "Basic ",
            "Basic  ",
            "Basic /w==",
            "Basic x",
            "Basic eA==",
            "Basic JTAwOmE=",
            "Bearer a",
        ],
    )
    def test_unreadable_credentials_are_an_unknown_client(
        self, nobody: Gateway, header: str
    ) -> None:
        nobody.headers["authorization"] = header
        answer = form(nobody, {"grant_type": "authorization_code", "code": "c"})
        assert (answer.status, answer.json) == (401, {"error": "invalid_client"})
        assert answer.headers["www-authenticate"].startswith("Basic")

    def test_confidential_program_that_registered_itself(
        self, session: Session, browser: Gateway
    ) -> None:
        program = a_registered_program(session, method="client_secret_post")
        assert program.secret
        assert may(token_of(browser, program)) == 200

    @pytest.mark.parametrize(
        ("changes", "status", "error"),
        [
            ({"client_id": "pca_none"}, 401, "invalid_client"),
            ({"client_id": None}, 401, "invalid_client"),
            ({"client_secret": "pcs_wrong"}, 401, "invalid_client"),
            ({"client_secret": None}, 401, "invalid_client"),
            ({"code": "wrong"}, 400, "invalid_grant"),
            ({"code": None}, 400, "invalid_request"),
            ({"grant_type": "password"}, 400, "unsupported_grant_type"),
            ({"grant_type": None}, 400, "unsupported_grant_type"),
            ({"grant_type": '"\\é'}, 400, "unsupported_grant_type"),
            ({"code_verifier": VERIFIER}, 400, "invalid_request"),  # no challenge went before
        ],
    )
    def test_refuses_an_app(
        self,
        browser: Gateway,
        nobody: Gateway,
        static: AProgram,
        changes: dict[str, Any],
        status: int,
        error: str,
    ) -> None:
        fields = static.exchanges(allow(browser, static), **changes)
        for answer in (nobody.post("/oauth/token", fields), form(nobody, fields)):
            assert answer.status == status, answer.text
            assert answer.json["error"] == error
            assert answer.headers["content-type"] == PROTOCOL
            if error in {"invalid_client", "unsupported_grant_type"}:
                assert answer.json == {"error": error}

    @pytest.mark.parametrize(
        ("changes", "status", "error"),
        [
            ({"code_verifier": None}, 400, "invalid_request"),
            ({"code_verifier": "w" * 43}, 400, "invalid_grant"),
            ({"code_verifier": "short"}, 400, "invalid_request"),
            ({"redirect_uri": None}, 400, "invalid_grant"),
            ({"redirect_uri": "https://other.example/cb"}, 400, "invalid_grant"),
            ({"client_secret": "pcs_x"}, 401, "invalid_client"),
        ],
    )
    def test_refuses_a_public_program(
        self,
        browser: Gateway,
        nobody: Gateway,
        public: AProgram,
        changes: dict[str, Any],
        status: int,
        error: str,
    ) -> None:
        code = allow(browser, public)
        answer = nobody.post("/oauth/token", public.exchanges(code, **changes))
        assert (answer.status, answer.json["error"]) == (status, error)
        # Whoever has only the code cannot use it up.
        assert nobody.post("/oauth/token", public.exchanges(code)).status == 201

    @pytest.mark.parametrize(
        "body",
        ["", "{", "[]", '"x"', '{"code": 5}', '{"code": "\\ud800"}', '{"code": "\\u0000"}'],
    )
    def test_unreadable_body(self, nobody: Gateway, body: str) -> None:
        answer = nobody.post("/oauth/token", text=body)
        assert answer.status in {400, 422}
        assert answer.json["error"] == "invalid_request"

    @pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x"])
    def test_nul_is_refused_whatever_the_body_says_it_is(self, nobody: Gateway, kind: str) -> None:
        text = '{"grant_type": "authorization_code", "client_id": "a\\u0000", "code": "c"}'
        answer = nobody.post("/oauth/token", text=text, headers={"content-type": kind})
        assert answer.status in {400, 422}
        assert answer.json["error"] == "invalid_request"

    def test_unreadable_form(self, nobody: Gateway) -> None:
        kind = {"content-type": "application/x-www-form-urlencoded; charset=UTF-8"}
        for body in ("code=a&code=b", "code=%00&client_id=%00&grant_type=authorization_code"):
            answer = nobody.post("/oauth/token", text=body, headers=kind)
            assert answer.status == 400
            assert answer.json["error"] == "invalid_request"

    def test_expired_code(
        self, session: Session, browser: Gateway, nobody: Gateway, static: AProgram
    ) -> None:
        code = allow(browser, static)
        session.execute(update(OAuthCode).values(expires_at=func.now()))
        answer = nobody.post("/oauth/token", static.exchanges(code))
        assert (answer.status, answer.json["error"]) == (400, "invalid_grant")

    def test_code_of_another_program(
        self, session: Session, browser: Gateway, nobody: Gateway, static: AProgram
    ) -> None:
        other = an_app(session, an_organization(session))
        answer = nobody.post("/oauth/token", other.exchanges(allow(browser, static)))
        assert (answer.status, answer.json["error"]) == (400, "invalid_grant")

    def test_code_that_comes_twice_ends_what_it_gave(
        self, browser: Gateway, nobody: Gateway, static: AProgram, log_lines: Any
    ) -> None:
        code = allow(browser, static)
        token = nobody.post("/oauth/token", static.exchanges(code)).json["access_token"]
        assert may(token) == 200
        answer = nobody.post("/oauth/token", static.exchanges(code))
        assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
        assert may(token) == 401
        assert "oauth.code_came_twice" in log_lines.getvalue()

    def test_code_that_comes_twice_ends_what_it_gave_whatever_comes_with_it(
        self, session: Session, browser: Gateway, nobody: Gateway
    ) -> None:
        """RFC 6749 section 4.1.2: who has the code without its verifier shows that the code was stolen."""
        program = a_registered_program(session)
        code = allow(browser, program)
        token = nobody.post("/oauth/token", program.exchanges(code)).json["access_token"]
        stolen = program.exchanges(code, code_verifier="x" * 43)
        assert nobody.post("/oauth/token", stolen).json["error"] == "invalid_grant"
        assert may(token) == 401

    def test_code_that_comes_twice_spares_a_later_consent(
        self, browser: Gateway, nobody: Gateway, static: AProgram
    ) -> None:
        first = allow(browser, static)
        nobody.post("/oauth/token", static.exchanges(first))
        later = token_of(browser, static)
        assert nobody.post("/oauth/token", static.exchanges(first)).status == 400
        assert may(later) == 200

    def test_one_grant_a_member_and_organization(
        self, session: Session, browser: Gateway, static: AProgram
    ) -> None:
        first, second = token_of(browser, static), token_of(browser, static, scope="mcp:read")
        assert [may(first), may(second)] == [401, 200]
        grant = session.scalars(select(OAuthGrant)).one()
        assert grant.scopes == ["mcp:read"]

    def test_program_that_may_only_read(
        self, session: Session, browser: Gateway, nobody: Gateway, static: AProgram
    ) -> None:
        code = allow(browser, static, scope="mcp:read offline_access")
        answer = nobody.post("/oauth/token", static.exchanges(code))
        assert answer.json["scope"] == "mcp:read"
        token = answer.json["access_token"]
        assert may(token) == 200
        assert may(token, "DELETE", f"/public/v1/posts/{new_id()}") == 403
        assert may(token_of(browser, static), "DELETE", f"/public/v1/posts/{new_id()}") == 404

    def test_token_acts_for_the_organization_that_was_chosen(
        self, session: Session, browser: Gateway, nobody: Gateway, member: Member, static: AProgram
    ) -> None:
        other = an_organization(session, name="Second")
        session.add(
            Member(id=new_id(), organization_id=other.id, user_id=member.user_id, role=Role.MEMBER)
        )
        session.flush()
        first = token_of(browser, static)
        browser.headers["showorg"] = str(other.id)
        answer = nobody.post("/oauth/token", static.exchanges(allow(browser, static)))
        assert answer.json["id"] == str(other.id)
        assert may(first) == 200  # another organization, another grant

    def test_nothing_secret_is_logged(
        self,
        browser: Gateway,
        nobody: Gateway,
        static: AProgram,
        log_lines: Any,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level("DEBUG")
        code = allow(browser, static)
        token = nobody.post("/oauth/token", static.exchanges(code)).json["access_token"]
        nobody.post("/oauth/token", static.exchanges(code))
        nobody.post("/oauth/token", static.exchanges(code, client_secret="pcs_wrong"))
        written = log_lines.getvalue() + caplog.text
        for hidden in (code, token, static.secret or "", "pcs_wrong"):
            assert hidden not in written

    def test_counts_by_address(
        self, nobody: Gateway, configure: Configure, session: Session
    ) -> None:
        configure(RATE_LIMITS='{"tokens": 1}')
        assert form(nobody, {}).status == 400
        answer = form(nobody, {})
        assert (answer.status, answer.json["error"]) == (429, "slow_down")
        assert int(answer.headers["retry-after"]) > 0


class TestCost:
    def test_statements(self, browser: Gateway, nobody: Gateway, static: AProgram) -> None:
        """Each also counts the call: with who is calling where somebody is, in a statement of its own else."""
        with count_statements() as deciding:
            code = allow(browser, static)
        with count_statements() as exchanging:
            nobody.post("/oauth/token", static.exchanges(code))
        with count_statements() as starting:
            started = nobody.post("/device/code").json
        with count_statements() as approving:
            browser.post("/device/approve", {"code": started["user_code"], "approve": True})
        with count_statements() as polling:
            nobody.post("/device/token", {"device_code": started["device_code"]})
        costs = (deciding, exchanging, starting, approving, polling)
        # A member's decision is two more: the session that consents is held, and the audit log has an entry.
        assert [cost.statements for cost in costs] == [5, 4, 2, 4, 3]


class TestSingleUse:
    def test_of_many_at_once_one_gets_a_token(self, committed: Engine, aws: None) -> None:
        put_app_secret()
        with unit_of_work() as session:
            organization = an_organization(session)
            member = a_member(session, organization)
            program = an_app(session, organization)
            browser = as_member(app, session, member)
        code = allow(browser, program)

        with ThreadPoolExecutor(7) as pool:
            with committed.begin() as holder:  # until all have found the code unused
                holder.execute(text("select 1 from oauth_codes for update"))
                asked = [pool.submit(exchange_alone, program, code) for _ in range(7)]
                wait_for_waiting(holder, 7)
            answers = [one.result() for one in asked]

        given = [answer for answer in answers if "access_token" in answer]
        assert len(given) == 1
        assert {answer.get("error") for answer in answers if answer not in given} == {
            "invalid_grant"
        }
        with unit_of_work() as session:
            grant = session.scalars(select(OAuthGrant)).one()
        assert grant.token_hash == hash_secret(given[0]["access_token"])
        assert grant.revoked_at is not None  # one of those who had the code was not the program

    def test_beside_the_deletion_of_the_app_nothing_waits_for_ever(
        self, committed: Engine, aws: None
    ) -> None:
        put_app_secret()
        with unit_of_work() as session:
            organization = an_organization(session)
            program = an_app(session, organization)
            browser = as_member(app, session, a_member(session, organization))
        code = allow(browser, program)

        with ThreadPoolExecutor(2) as pool:
            with committed.begin() as holder:
                holder.execute(text("select 1 from oauth_codes for update"))
                asked = pool.submit(exchange_alone, program, code)
                wait_for_waiting(holder, 1)
                deleted = pool.submit(delete_alone, organization.id)
                wait_for_waiting(holder, 2)
            token = asked.result()["access_token"]
            deleted.result()

        assert may(token) == 401
        assert browser.get("/oauth/grants").json == {"grants": []}

    def test_of_many_devices_at_once_one_gets_a_token(self, committed: Engine, aws: None) -> None:
        put_app_secret()
        with unit_of_work() as session:
            member = a_member(session, an_organization(session))
            browser = as_member(app, session, member)
        started = Gateway(app).post("/device/code").json
        browser.post("/device/approve", {"code": started["user_code"], "approve": True})
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: poll_alone(started["device_code"]), range(16)))
        assert sorted("access_token" in answer for answer in answers)[-2:] == [False, True]


def wait_for_waiting(connection: Connection, how_many: int) -> None:
    """Wait until so many others wait for a lock."""
    waiting = text("select count(*) from pg_stat_activity where wait_event_type = 'Lock'")
    deadline = time.monotonic() + 20
    while connection.scalar(waiting) != how_many:
        assert time.monotonic() < deadline
        connection.execute(text("select pg_sleep(0.01)"))
        connection.execute(text("select pg_stat_clear_snapshot()"))


def exchange_alone(program: AProgram, code: str) -> dict[str, Any]:
    """Exchange in a thread of its own, past Mangum, whose loop is the test's."""
    try:
        with read_only() as session:
            return exchange(session, Actor(), program.exchanges(code), authorization=None)
    except OAuthRefused as error:
        return {"error": error.error}


def delete_alone(organization_id: OrganizationId) -> None:
    with unit_of_work() as session:
        manage.delete_app(session, an_actor(organization_id))


def poll_alone(device_code: str) -> dict[str, Any]:
    try:
        with read_only() as session:
            return poll_device(session, Actor(), device_code).model_dump()
    except OAuthRefused as error:
        return {"error": error.error}


class TestRegister:
    BODY: ClassVar = {
        "redirect_uris": [LOOPBACK],
        "client_name": "Tool",
        "token_endpoint_auth_method": "none",
        "software_version": "unknown fields are ignored",
    }

    def test_public_program(self, session: Session, nobody: Gateway) -> None:
        answer = nobody.post("/oauth/register", self.BODY)
        assert answer.status == 201
        assert re.fullmatch(r"pcd_[A-Za-z0-9]{32}", answer.json["client_id"])
        assert answer.json == {
            "client_id": answer.json["client_id"],
            "client_id_issued_at": answer.json["client_id_issued_at"],
            "client_name": "Tool",
            "redirect_uris": [LOOPBACK],
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code"],
            "response_types": ["code"],
            "scope": "mcp:read mcp:write",
        }
        assert isinstance(answer.json["client_id_issued_at"], int)
        row = session.scalars(select(OAuthApp)).one()
        assert (row.organization_id, row.secret_hash) == (None, None)

    @pytest.mark.parametrize("method", ["client_secret_post", "client_secret_basic", None])
    def test_program_with_a_secret(self, session: Session, nobody: Gateway, method: str) -> None:
        body = {"redirect_uris": ["https://a.example/cb"], "token_endpoint_auth_method": method}
        asked = {name: value for name, value in body.items() if value}
        answer = nobody.post("/oauth/register", asked)
        assert answer.status == 201
        assert re.fullmatch(r"pcs_[A-Za-z0-9]{48}", answer.json["client_secret"])
        assert answer.json["client_secret_expires_at"] == 0
        assert answer.json["token_endpoint_auth_method"] == "client_secret_post"
        row = session.scalars(select(OAuthApp)).one()
        assert row.secret_hash == hash_secret(answer.json["client_secret"])

    @pytest.mark.parametrize(
        "uri",
        [
            "http://tool.example/cb",
            "http://127.0.0.2/cb",
            "http://localhost.evil.example/cb",
            "https://",
            "https://u:p@tool.example/cb",
            "https://tool.example/cb#part",
            "https://tool.example/c b",
            "https://tool.example/é",
            "https://tool.example:x/",
            "javascript:alert(1)",
            "tool://cb",
            "/cb",
            "",
            "https://tool.example/" + "a" * 2_000,
        ],
    )
    def test_addresses_that_may_not_be(self, nobody: Gateway, uri: str) -> None:
        answer = nobody.post("/oauth/register", self.BODY | {"redirect_uris": [LOOPBACK, uri]})
        assert answer.status == 400
        assert answer.headers["content-type"] == PROTOCOL
        assert answer.json["error"] == "invalid_redirect_uri"
        assert "redirect URI" in answer.json["error_description"]

    @pytest.mark.parametrize(
        "uri", ["http://localhost/cb", "http://[::1]:1/cb", "https://tool.example:8443/cb?a=b"]
    )
    def test_addresses_that_may_be(self, nobody: Gateway, uri: str) -> None:
        body = self.BODY | {"redirect_uris": [uri]}
        assert nobody.post("/oauth/register", body).status == 201

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"redirect_uris": []}, "invalid_redirect_uri"),
            ({"redirect_uris": LOOPBACK}, "invalid_redirect_uri"),
            ({"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"),
            ({"grant_types": ["client_credentials"]}, "invalid_client_metadata"),
            ({"response_types": ["token"]}, "invalid_client_metadata"),
            ({"client_name": 5}, "invalid_client_metadata"),
            ({"logo_uri": "javascript:x"}, "invalid_client_metadata"),
            ({"scope": "openid"}, "invalid_client_metadata"),
        ],
    )
    def test_refuses(self, nobody: Gateway, changes: dict[str, Any], error: str) -> None:
        answer = nobody.post("/oauth/register", self.BODY | changes)
        assert (answer.status, answer.json["error"]) == (400, error)
        assert answer.json["error_description"]

    def test_unreadable_body(self, nobody: Gateway) -> None:
        answer = nobody.post("/oauth/register", text="{")
        assert (answer.status, answer.json["error"]) == (400, "invalid_client_metadata")


class TestUserInfo:
    def test_says_who_consented(self, browser: Gateway, member: Member, static: AProgram) -> None:
        token = token_of(browser, static, scope="mcp:read")
        caller = Gateway(app, {"authorization": f"Bearer {token}"})
        for answer in (caller.get("/oauth/userinfo"), caller.post("/oauth/userinfo")):
            assert answer.status == 200
            assert answer.json["sub"] == str(member.user_id)
            assert "@example.org" in answer.json["email"]
            assert answer.json["email_verified"] is True
            assert answer.json["organization_id"] == str(member.organization_id)

    def test_address_that_nobody_proved(
        self, browser: Gateway, static: AProgram, configure: Configure
    ) -> None:
        caller = Gateway(app, {"authorization": token_of(browser, static)})
        configure(MAIL_TRANSPORT="none")
        assert caller.get("/oauth/userinfo").json["email_verified"] is False

    def test_needs_a_consent(self, session: Session, browser: Gateway, member: Member) -> None:
        callers = (Gateway(app), browser, by_key(app, session, member))
        assert [caller.get("/oauth/userinfo").status for caller in callers] == [401, 401, 401]


class TestApp:
    BODY: ClassVar = {
        "name": " Newsroom ",
        "description": "Writes news.",
        "picture": "https://newsroom.example/logo.png",
        "redirectUrl": BACK,
    }

    def test_is_made_once_and_its_secret_shown_once(
        self, session: Session, browser: Gateway
    ) -> None:
        answer = browser.post("/oauth/app", self.BODY)
        assert answer.status == 201
        assert re.fullmatch(r"pca_[A-Za-z0-9]{32}", answer.json["clientId"])
        assert re.fullmatch(r"pcs_[A-Za-z0-9]{48}", answer.json["clientSecret"])
        assert answer.json["name"] == "Newsroom"
        row = session.scalars(select(OAuthApp)).one()
        assert row.secret_hash == hash_secret(answer.json["clientSecret"])
        shown = browser.get("/oauth/app")
        assert shown.json == {
            name: value for name, value in answer.json.items() if name != "clientSecret"
        }
        again = browser.post("/oauth/app", self.BODY)
        assert (again.status, again.json["code"]) == (409, "app_exists")

    def test_without_one(self, browser: Gateway) -> None:
        for answer in (
            browser.get("/oauth/app"),
            browser.put("/oauth/app", {"name": "x"}),
            browser.delete("/oauth/app"),
            browser.post("/oauth/app/rotate"),
        ):
            assert (answer.status, answer.json["code"]) == (404, "no_app")

    def test_change_keeps_what_is_left_out(self, browser: Gateway) -> None:
        made = browser.post("/oauth/app", self.BODY).json
        answer = browser.put("/oauth/app", {"redirectUrl": LOOPBACK, "picture": None})
        assert answer.status == 200
        assert answer.json["redirectUrl"] == LOOPBACK
        assert answer.json["picture"] is None
        assert answer.json["name"] == made["name"] == "Newsroom"
        assert answer.json["clientId"] == made["clientId"]

    @pytest.mark.parametrize(
        ("body", "path"),
        [
            ({}, "name"),
            ({"name": None}, "name"),
            ({"name": " "}, "name"),
            ({"redirectUrl": None}, "redirectUrl"),
            ({"redirectUrl": "http://newsroom.example"}, "redirectUrl"),
            ({"picture": "javascript:alert(1)"}, "picture"),
        ],
    )
    def test_changes_that_are_refused(self, browser: Gateway, body: Any, path: str) -> None:
        browser.post("/oauth/app", self.BODY)
        answer = browser.put("/oauth/app", body)
        assert answer.status == 422
        assert [each["path"] for each in answer.json["errors"]] == [path]

    def test_rotation_keeps_tokens(
        self, session: Session, organization: Organization, browser: Gateway, nobody: Gateway
    ) -> None:
        program = an_app(session, organization)
        token = token_of(browser, program)
        answer = browser.post("/oauth/app/rotate")
        assert answer.status == 200
        code = allow(browser, program)
        assert nobody.post("/oauth/token", program.exchanges(code)).status == 401
        fields = program.exchanges(code, client_secret=answer.json["clientSecret"])
        assert may(token) == 200
        assert nobody.post("/oauth/token", fields).status == 201

    def test_deletion_ends_every_token_and_code(
        self, session: Session, organization: Organization, browser: Gateway, nobody: Gateway
    ) -> None:
        program = an_app(session, organization)
        token, code = token_of(browser, program), allow(browser, program)
        assert browser.delete("/oauth/app").status == 200
        assert may(token) == 401
        assert nobody.post("/oauth/token", program.exchanges(code)).status == 401
        assert browser.get("/oauth/grants").json == {"grants": []}
        assert browser.post("/oauth/app", self.BODY).status == 201

    def test_is_for_administrators_in_person(
        self, session: Session, aws: None, organization: Organization
    ) -> None:
        editor = a_member(session, organization, role=Role.EDITOR)
        owner = a_member(session, organization)
        callers = (as_member(app, session, editor), by_key(app, session, owner))
        for caller in callers:
            for method, path in (
                ("GET", ""), ("POST", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/rotate"),
            ):  # fmt: skip
                answer = caller.call(method, f"/oauth/app{path}", self.BODY)
                assert answer.status == 403, (method, path)


class TestGrants:
    def test_says_who_allowed_what(
        self, browser: Gateway, member: Member, static: AProgram
    ) -> None:
        token = token_of(browser, static)
        may(token)
        (grant,) = browser.get("/oauth/grants").json["grants"]
        assert grant["app"] == {
            "name": "Newsroom",
            "description": "Writes news.",
            "picture": None,
            "clientId": static.client_id,
        }
        assert grant["user"]["id"] == str(member.user_id)
        assert grant["scopes"] == ["mcp:read", "mcp:write"]
        assert grant["lastUsedAt"]
        assert browser.delete(f"/oauth/grants/{grant['id']}").status == 200
        assert may(token) == 401
        assert browser.get("/oauth/grants").json == {"grants": []}
        assert browser.delete(f"/oauth/grants/{grant['id']}").status == 404

    def test_members_have_their_own_and_administrators_all(
        self, session: Session, aws: None, organization: Organization, static: AProgram
    ) -> None:
        ada, bob, admin = (
            as_member(app, session, a_member(session, organization, role=role))
            for role in (Role.MEMBER, Role.MEMBER, Role.ADMIN)
        )
        token = token_of(ada, static)
        token_of(bob, static)
        assert [len(each.get("/oauth/grants").json["grants"]) for each in (ada, bob, admin)] == [
            1,
            1,
            2,
        ]
        (of_ada,) = ada.get("/oauth/grants").json["grants"]
        assert bob.delete(f"/oauth/grants/{of_ada['id']}").status == 404
        assert may(token) == 200
        assert admin.delete(f"/oauth/grants/{of_ada['id']}").status == 200
        assert may(token) == 401

    def test_consent_after_it_was_taken_back(self, browser: Gateway, static: AProgram) -> None:
        token_of(browser, static)
        (grant,) = browser.get("/oauth/grants").json["grants"]
        browser.delete(f"/oauth/grants/{grant['id']}")
        assert may(token_of(browser, static)) == 200


class TestDevice:
    def start(self, session: Session) -> dict[str, Any]:
        answer = Gateway(app).post("/device/code")
        assert answer.status == 200, answer.text
        started: dict[str, Any] = answer.json
        return started

    def poll(self, session: Session, started: dict[str, Any]) -> Answer:
        """Ask as if the interval had passed; `now()` is the same throughout a test."""
        session.execute(
            text("update device_codes set last_asked_at = now() - interval '5 seconds'")
        )
        return Gateway(app).post("/device/token", {"device_code": started["device_code"]})

    def test_begins_without_a_body(self, session: Session) -> None:
        started = self.start(session)
        assert re.fullmatch(r"[A-HJ-NP-Z2-9]{4}-[A-HJ-NP-Z2-9]{4}", started["user_code"])
        assert started == {
            "device_code": started["device_code"],
            "user_code": started["user_code"],
            "verification_uri": "http://127.0.0.1:3000/device",
            "verification_uri_complete": f"http://127.0.0.1:3000/device?code={started['user_code']}",
            "expires_in": 900,
            "interval": 5,
        }
        row = session.scalars(select(DeviceCode)).one()
        assert row.device_code_hash == hash_secret(started["device_code"])
        assert row.expires_at - row.created_at == timedelta(minutes=15)

    def test_its_program_is_made_once(self, session: Session) -> None:
        self.start(session)
        self.start(session)
        program = session.scalars(select(OAuthApp)).one()
        assert (program.client_id, program.organization_id) == (CLIENT_ID, None)

    def test_nobody_is_sent_back_with_its_client_id(
        self, session: Session, browser: Gateway
    ) -> None:
        self.start(session)
        body = {"client_id": CLIENT_ID, "redirect_uri": LOOPBACK, "code_challenge": CHALLENGE}
        assert browser.post("/oauth/authorize", body | {"action": "approve"}).status == 400

    def test_approved_device_gets_its_token_once(
        self, session: Session, browser: Gateway, member: Member
    ) -> None:
        started = self.start(session)
        pending = self.poll(session, started)
        assert (pending.status, pending.json["error"]) == (400, "authorization_pending")
        typed = started["user_code"].lower().replace("-", " ")
        approved = browser.post("/device/approve", {"code": typed, "approve": True})
        assert (approved.status, approved.json) == (200, {"approved": True})
        answer = self.poll(session, started)
        assert answer.status == 200
        assert answer.json == {
            "access_token": answer.json["access_token"],
            "token_type": "bearer",
            "scope": "mcp:read mcp:write",
            "api_url": "http://127.0.0.1:3000",
            "organization_id": str(member.organization_id),
        }
        assert may(answer.json["access_token"]) == 200
        again = self.poll(session, started)
        assert (again.status, again.json["error"]) == (400, "expired_token")
        assert may(answer.json["access_token"]) == 200
        (grant,) = browser.get("/oauth/grants").json["grants"]
        assert grant["app"]["clientId"] == CLIENT_ID

    def test_each_computer_has_a_token_of_its_own(self, session: Session, browser: Gateway) -> None:
        tokens, codes = [], []
        for _ in range(2):
            started = self.start(session)
            browser.post("/device/approve", {"code": started["user_code"], "approve": True})
            tokens.append(self.poll(session, started).json["access_token"])
            codes.append(started["user_code"])
        assert [may(token) for token in tokens] == [200, 200]
        grants = {
            grant["device"]: grant["id"] for grant in browser.get("/oauth/grants").json["grants"]
        }
        assert grants.keys() == set(codes)
        assert browser.delete(f"/oauth/grants/{grants[codes[0]]}").status == 200
        assert [may(token) for token in tokens] == [401, 200]

    def test_denied(self, session: Session, browser: Gateway) -> None:
        started = self.start(session)
        body = {"code": started["user_code"], "approve": False}
        assert browser.post("/device/approve", body).json == {"approved": False}
        answer = self.poll(session, started)
        assert (answer.status, answer.json["error"]) == (400, "access_denied")
        assert browser.post("/device/approve", body | {"approve": True}).status == 404

    def test_expired(self, session: Session, browser: Gateway) -> None:
        started = self.start(session)
        session.execute(update(DeviceCode).values(expires_at=func.now()))
        body = {"code": started["user_code"], "approve": True}
        assert browser.post("/device/approve", body).status == 404
        answer = self.poll(session, started)
        assert (answer.status, answer.json["error"]) == (400, "expired_token")

    def test_unknown(self, nobody: Gateway) -> None:
        answer = nobody.post("/device/token", {"device_code": "never given out"})
        assert (answer.status, answer.json["error"]) == (400, "expired_token")

    @pytest.mark.parametrize(
        ("after", "error"),
        [("3 seconds", "slow_down"), ("4.5 seconds", "authorization_pending")],
    )
    def test_too_soon(self, session: Session, nobody: Gateway, after: str, error: str) -> None:
        started = self.start(session)
        session.execute(text(f"update device_codes set last_asked_at = now() - interval '{after}'"))
        answer = nobody.post("/device/token", {"device_code": started["device_code"]})
        assert (answer.status, answer.json["error"]) == (400, error)

    def test_notes_when_it_asked(self, session: Session, nobody: Gateway) -> None:
        body = {"device_code": self.start(session)["device_code"]}
        errors = [nobody.post("/device/token", body).json["error"] for _ in range(2)]
        assert errors == ["authorization_pending", "slow_down"]

    @pytest.mark.parametrize("body", [{}, {"device_code": ""}, {"device_code": 5}, []])
    def test_unreadable_question(self, nobody: Gateway, body: Any) -> None:
        answer = nobody.post("/device/token", body)
        assert (answer.status, answer.json["error"]) == (400, "invalid_request")

    def test_member_without_rights_cannot_approve(
        self, session: Session, aws: None, organization: Organization
    ) -> None:
        started = self.start(session)
        body = {"code": started["user_code"], "approve": True}
        viewer = as_member(app, session, a_member(session, organization, role=Role.VIEWER))
        assert viewer.post("/device/approve", body).status == 403
        assert Gateway(app).post("/device/approve", body).status == 401

    def test_page_shows_code_and_organization(self, browser: Gateway, member: Member) -> None:
        answer = browser.get("/device", query={"code": 'ABCD-EFGH"><script>'})
        assert answer.status == 200
        assert 'value="ABCD-EFGH&quot;&gt;&lt;script&gt;"' in answer.text
        assert f'<option value="{member.organization_id}" selected>' in answer.text

    def test_page_asks_to_sign_in(self, nobody: Gateway) -> None:
        page = nobody.get("/device").text
        assert 'type="password"' in page
        assert "/auth/renew" in page  # a session that has run out is renewed first


class TestMetadata:
    ORIGIN = "https://roost.example"

    @pytest.fixture(autouse=True)
    def _at(self, configure: Configure) -> None:
        configure(PUBLIC_URL=self.ORIGIN)

    @pytest.mark.parametrize("path", ["", "/mcp", "/mcp-oauth", "/mcp-oauth-claude"])
    def test_server_names_itself(self, nobody: Gateway, path: str) -> None:
        answer = nobody.get(f"/.well-known/oauth-authorization-server{path}")
        assert answer.status == 200
        assert answer.json == {
            "issuer": f"{self.ORIGIN}{path}",
            "authorization_endpoint": f"{self.ORIGIN}/oauth/authorize{path}",
            "authorization_response_iss_parameter_supported": True,
            "token_endpoint": f"{self.ORIGIN}/oauth/token",
            "revocation_endpoint": f"{self.ORIGIN}/oauth/revoke",
            "revocation_endpoint_auth_methods_supported": ["client_secret_post", "none"],
            "registration_endpoint": f"{self.ORIGIN}/oauth/register",
            "userinfo_endpoint": f"{self.ORIGIN}/oauth/userinfo",
            "service_documentation": f"{self.ORIGIN}/docs",
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "none"],
            "scopes_supported": ["mcp:read", "mcp:propose", "mcp:write"],
        }
        AuthorizationServerMetadata(answer.json).validate()

    @pytest.mark.parametrize(
        ("path", "server"),
        [
            ("", ""),
            ("/mcp", ""),
            ("/mcp-oauth", "/mcp-oauth"),
            ("/mcp-oauth-claude", "/mcp-oauth-claude"),
        ],
    )
    def test_resource_names_itself_and_its_server(
        self, nobody: Gateway, path: str, server: str
    ) -> None:
        answer = nobody.get(f"/.well-known/oauth-protected-resource{path}")
        assert answer.status == 200
        assert answer.json["resource"] == f"{self.ORIGIN}{path}"
        assert answer.json["authorization_servers"] == [f"{self.ORIGIN}{server}"]
        assert answer.json["scopes_supported"] == ["mcp:read", "mcp:propose", "mcp:write"]
        assert answer.json["bearer_methods_supported"] == ["header"]

    @pytest.mark.parametrize("path", ["oauth-authorization-server/x", "oauth-protected-resource/x"])
    def test_unknown_name(self, nobody: Gateway, path: str) -> None:
        assert nobody.get(f"/.well-known/{path}").status == 404


class TestClientLibrary:
    """A whole flow, by a library that knows nothing of Roost."""

    @pytest.mark.parametrize("method", ["none", "client_secret_post"])
    def test_code_with_pkce(
        self, browser: Gateway, nobody: Gateway, configure: Configure, method: str
    ) -> None:
        configure(PUBLIC_URL="https://roost.example")
        about = nobody.get("/.well-known/oauth-authorization-server").json
        me = {"redirect_uris": [LOOPBACK], "token_endpoint_auth_method": method}
        registered = nobody.post(urlsplit(about["registration_endpoint"]).path, me).json
        client = WebApplicationClient(registered["client_id"])
        verifier = client.create_code_verifier(64)
        url = client.prepare_request_uri(
            about["authorization_endpoint"],
            redirect_uri=LOOPBACK,
            scope=["mcp:read"],
            state="of the library",
            code_challenge=client.create_code_challenge(verifier, "S256"),
            code_challenge_method="S256",
        )
        redirect = consent_in_browser(browser, url)
        # The library asks for https even where RFC 8252 does not; the code is the same.
        client.parse_request_uri_response(
            redirect.replace("http://", "https://"), state="of the library"
        )
        body = client.prepare_request_body(
            redirect_uri=LOOPBACK,
            code_verifier=verifier,
            include_client_id=True,
            client_secret=registered.get("client_secret"),
        )
        kind = {"content-type": "application/x-www-form-urlencoded"}
        answer = nobody.post(urlsplit(about["token_endpoint"]).path, text=body, headers=kind)
        assert answer.status == 200
        token = client.parse_request_body_response(answer.text)
        assert token.scopes == ["mcp:read"]
        _, headers, _ = client.add_token("https://roost.example", headers={})
        caller = Gateway(public_app, {name.lower(): value for name, value in headers.items()})
        assert caller.get("/public/v1/is-connected").json == {"connected": True}
        assert caller.delete(f"/public/v1/posts/{new_id()}").status == 403

    def test_it_understands_refusals(self, nobody: Gateway, public: AProgram) -> None:
        client = WebApplicationClient(public.client_id)
        answer = form(nobody, public.exchanges("no such code"))
        with pytest.raises(InvalidGrantError):
            client.parse_request_body_response(answer.text)


def consent_in_browser(browser: Gateway, url: str) -> str:
    """Do what the page's script does; where the browser goes."""
    page = browser.get(
        urlsplit(url).path, query=urlsplit(url).query, headers={"accept": "text/html"}
    )
    found = re.search(r'data-asked="([^"]*)"', page.text)
    assert found, page.text
    asked = json.loads(html.unescape(found[1]))
    answer = browser.post("/oauth/authorize", asked | {"action": "approve"})
    redirect: str = answer.json["redirect"]
    return redirect


class TestSwitchedOff:
    def test_nothing_is_there(self, nobody: Gateway, configure: Configure) -> None:
        configure(DISABLED_FEATURES="apps")
        assert nobody.get("/oauth/authorize").status == 404
        assert nobody.get("/.well-known/oauth-authorization-server").status == 404
        answer = nobody.post("/oauth/token", {})
        assert (answer.status, answer.json["error"]) == (404, "invalid_request")


def test_no_other_function_imports_authlib() -> None:
    """Starting costs every function what it imports; docs/adr/0007 says how much this is."""
    folder = Path(__file__).parents[2] / "functions"
    others = sorted(each.parent.name for each in folder.glob("*/app.py"))
    others.remove("apps")
    assert len(others) > 10
    code = "; ".join(f"import functions.{name}.app" for name in others)
    code = f"import sys; {code}; sys.exit('authlib' in sys.modules)"
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", code], timeout=120, check=False)
    assert ran.returncode == 0

"""How long do tokens of third-party apps last, how do they end, and what can an app never get?"""

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from functions.apps.app import app
from shared.apps.credentials import successors_of
from shared.core.config import settings
from shared.identity.sessions import GRACE
from shared.organizations.models import Member
from tests.builders import an_organization
from tests.functions.test_apps import (
    LOOPBACK,
    VERIFIER,
    AProgram,
    a_registered_program,
    allow,
    an_app,
    form,
    may,
    parameters,
    token_of,
)
from tests.gateway import Answer, Gateway, as_member, put_app_secret

REFRESHING = ["authorization_code", "refresh_token"]
HTML = {"accept": "text/html"}


@pytest.fixture
def browser(session: Session, aws: None, member: Member) -> Gateway:
    return as_member(app, session, member)


@pytest.fixture
def nobody(session: Session) -> Gateway:
    return Gateway(app)


@pytest.fixture
def refreshing(session: Session) -> AProgram:
    return a_registered_program(session, grant_types=REFRESHING)


def tokens_of(browser: Gateway, program: AProgram) -> tuple[str, str]:
    answer = form(Gateway(app), program.exchanges(allow(browser, program)))
    assert answer.json["expires_in"] == 3_600
    return answer.json["access_token"], answer.json["refresh_token"]


def refresh(program: AProgram, token: str, **changes: str) -> Answer:
    fields = {"grant_type": "refresh_token", "refresh_token": token, "client_id": program.client_id}
    return form(Gateway(app), fields | changes)


def let_pass(session: Session, time: timedelta) -> None:
    """Let time pass since the tokens were replaced."""
    statement = "update oauth_grants set token_ends_at = token_ends_at - cast(:time as interval)"
    session.execute(text(statement), {"time": time})


class TestRefresh:
    def test_token_is_replaced_with_its_refresh_token(
        self, browser: Gateway, refreshing: AProgram
    ) -> None:
        """Finding 2.14: only a program registered for `refresh_token` gets an hour and can renew."""
        access, token = tokens_of(browser, refreshing)
        answer = refresh(refreshing, token)
        assert answer.status == 200, answer.text
        assert answer.json["refresh_token"] != token
        assert (may(access), may(answer.json["access_token"])) == (401, 200)
        again = refresh(refreshing, answer.json["refresh_token"])
        assert may(again.json["access_token"]) == 200

    def test_access_token_ends_after_an_hour(
        self, session: Session, browser: Gateway, refreshing: AProgram
    ) -> None:
        access, token = tokens_of(browser, refreshing)
        ends = "select extract(epoch from token_ends_at - now()) from oauth_grants"
        assert session.scalar(text(ends)) == timedelta(hours=1).total_seconds()
        session.execute(text("update oauth_grants set token_ends_at = now()"))
        assert may(access) == 401
        assert may(refresh(refreshing, token).json["access_token"]) == 200

    @pytest.mark.parametrize("generations", [1, 2])
    def test_token_that_comes_again_ends_the_grant(
        self, session: Session, browser: Gateway, refreshing: AProgram, generations: int
    ) -> None:
        """Finding 2.14: reuse of a refresh token of any age is noticed."""
        _, stolen = tokens_of(browser, refreshing)
        token = stolen
        for _ in range(generations):
            answer = refresh(refreshing, token)
            token = answer.json["refresh_token"]
        if generations == 1:
            let_pass(session, GRACE)
        reused = refresh(refreshing, stolen)
        assert (reused.status, reused.json["error"]) == (400, "invalid_grant")
        assert may(answer.json["access_token"]) == 401
        assert refresh(refreshing, token).json["error"] == "invalid_grant"

    def test_two_who_refresh_at_once_get_the_same_tokens(
        self, session: Session, browser: Gateway, refreshing: AProgram
    ) -> None:
        """Finding 2.14, sibling: two tabs of one program refreshed at once, and both were signed out."""
        _, token = tokens_of(browser, refreshing)
        first = refresh(refreshing, token).json
        let_pass(session, GRACE - timedelta(seconds=1))
        second = refresh(refreshing, token)
        assert second.status == 200, second.text
        assert second.json["refresh_token"] == first["refresh_token"]
        assert second.json["access_token"] == first["access_token"]
        assert second.json["expires_in"] == 3_600 - GRACE.seconds
        assert second.json["id"] == first["id"]
        assert may(first["access_token"]) == 200
        assert may(refresh(refreshing, first["refresh_token"]).json["access_token"]) == 200

    def test_a_thief_within_the_grace_is_noticed_at_the_next_exchange(
        self, browser: Gateway, refreshing: AProgram
    ) -> None:
        """Finding 2.14: both hold the same pair, so whoever exchanges it second shows the theft."""
        _, token = tokens_of(browser, refreshing)
        stolen, ours = (refresh(refreshing, token).json["refresh_token"] for _ in range(2))
        for _ in range(
            2
        ):  # the thief goes on twice, so that our copy is no longer the one of before
            stolen = refresh(refreshing, stolen).json["refresh_token"]
        assert refresh(refreshing, ours).json["error"] == "invalid_grant"
        assert refresh(refreshing, stolen).json["error"] == "invalid_grant"

    def test_a_token_signed_with_the_key_of_before_has_its_grace_too(
        self, browser: Gateway, refreshing: AProgram
    ) -> None:
        _, token = tokens_of(browser, refreshing)
        first = refresh(refreshing, token).json
        put_app_secret(**{"1": "k" * 32, "2": "n" * 32})
        assert refresh(refreshing, token).json["refresh_token"] == first["refresh_token"]

    def test_nobody_can_make_the_successor_without_our_key(
        self, browser: Gateway, refreshing: AProgram
    ) -> None:
        _, token = tokens_of(browser, refreshing)
        put_app_secret(**{"1": "other" * 8})
        theirs = successors_of(token)[0].refresh
        put_app_secret(**{"1": "k" * 32})
        assert refresh(refreshing, token).json["refresh_token"] != theirs

    def test_code_that_comes_twice_ends_what_was_refreshed(
        self, browser: Gateway, refreshing: AProgram
    ) -> None:
        """Finding 2.14: the token that the code gave is not the current one any more."""
        asked = refreshing.exchanges(allow(browser, refreshing))
        first = form(Gateway(app), asked).json
        access = refresh(refreshing, first["refresh_token"]).json["access_token"]
        assert may(access) == 200
        assert form(Gateway(app), asked).json["error"] == "invalid_grant"
        assert may(access) == 401

    @pytest.mark.parametrize(
        "wrong", ["other_program", "invented", "access_token", "who_left", "who_left_and_returned"]
    )
    def test_refuses(
        self, session: Session, browser: Gateway, refreshing: AProgram, wrong: str
    ) -> None:
        access, token = tokens_of(browser, refreshing)
        program = refreshing
        match wrong:
            case "other_program":
                program = a_registered_program(session, grant_types=REFRESHING)
            case "invented":
                token = "por_" + "x" * 72
            case "access_token":
                token = access
            case "who_left":
                session.execute(text("update members set disabled = true"))
            case "who_left_and_returned":
                session.execute(text("update members set created_at = now() + interval '1 second'"))
        answer = refresh(program, token)
        assert (answer.status, answer.json["error"]) == (400, "invalid_grant")

    def test_is_for_programs_that_registered_for_it(
        self, session: Session, browser: Gateway
    ) -> None:
        """Finding 2.14: published clients hold one token and cannot renew it."""
        program = a_registered_program(session)
        answer = form(Gateway(app), program.exchanges(allow(browser, program)))
        assert not {"expires_in", "refresh_token"} & set(answer.json)
        assert answer.json["cus"] is None
        refused = refresh(program, "por_" + "x" * 72)
        assert refused.json["error"] == "unauthorized_client"
        asked = {
            "client_name": "Tool", "redirect_uris": [LOOPBACK], "grant_types": REFRESHING,
            "token_endpoint_auth_method": "none",
        }  # fmt: skip
        registered = Gateway(app).post("/oauth/register", asked)
        assert registered.json["grant_types"] == REFRESHING


class TestUnused:
    def test_token_ends_after_ninety_days_without_use(
        self, session: Session, browser: Gateway
    ) -> None:
        """Finding 2.14: tokens never ended."""
        program = a_registered_program(session)
        token = token_of(browser, program)
        for days, status in ((89, 200), (90, 401)):
            session.execute(
                text("update oauth_grants set last_used_at = now() - make_interval(days => :d)"),
                {"d": days},
            )
            assert may(token) == status
        assert browser.get("/oauth/grants").json["grants"] == []

    def test_consent_given_again_begins_its_ninety_days_anew(
        self, session: Session, browser: Gateway
    ) -> None:
        program = a_registered_program(session)
        token_of(browser, program)
        session.execute(text("update oauth_grants set last_used_at = now() - interval '91 days'"))
        assert may(token_of(browser, program)) == 200


class TestRevoke:
    @pytest.mark.parametrize("which", [0, 1])
    def test_either_token_ends_both(
        self, browser: Gateway, refreshing: AProgram, which: int
    ) -> None:
        """Finding 2.14: there was no way to give a token back (RFC 7009)."""
        tokens = tokens_of(browser, refreshing)
        fields = {"token": tokens[which], "client_id": refreshing.client_id}
        assert form(Gateway(app), fields, "/oauth/revoke").status == 200
        assert may(tokens[0]) == 401
        assert refresh(refreshing, tokens[1]).json["error"] == "invalid_grant"
        assert browser.get("/oauth/grants").json["grants"] == []

    def test_another_programs_token_stays_and_nobody_is_told(
        self, session: Session, browser: Gateway, refreshing: AProgram
    ) -> None:
        access, _ = tokens_of(browser, refreshing)
        other = a_registered_program(session)
        for token in (access, "pos_unknown"):
            fields = {"token": token, "client_id": other.client_id, "token_type_hint": "x"}
            answer = form(Gateway(app), fields, "/oauth/revoke")
            assert (answer.status, answer.json) == (200, {})
        assert may(access) == 200

    def test_program_with_a_secret_needs_it(self, session: Session, browser: Gateway) -> None:
        program = an_app(session, an_organization(session))
        token = token_of(browser, program)
        fields = {"token": token, "client_id": program.client_id, "client_secret": "pcs_wrong"}
        refused = form(Gateway(app), fields, "/oauth/revoke")
        assert (refused.status, refused.json["error"]) == (401, "invalid_client")
        assert may(token) == 200
        fields["client_secret"] = program.secret or ""
        assert form(Gateway(app), fields, "/oauth/revoke").status == 200
        assert may(token) == 401

    def test_token_is_needed(self, nobody: Gateway) -> None:
        refused = form(nobody, {"client_id": "pcd_x"}, "/oauth/revoke")
        assert (refused.status, refused.json["error"]) == (400, "invalid_request")


class TestRegisteredScope:
    @pytest.mark.parametrize(
        ("registered", "asked", "given"),
        [
            ("mcp:read", None, "mcp:read"),
            ("mcp:read", "mcp:read mcp:write", "mcp:read"),
            ("mcp:write", "mcp:write", "mcp:read mcp:write"),
            (None, "mcp:write", "mcp:read mcp:write"),
        ],
    )
    def test_is_the_most_that_is_given(
        self,
        session: Session,
        browser: Gateway,
        registered: str | None,
        asked: str | None,
        given: str,
    ) -> None:
        """Finding 2.14: a program registered for `mcp:read` got write."""
        program = a_registered_program(session, scope=registered)
        code = allow(browser, program, scope=asked)
        assert form(Gateway(app), program.exchanges(code)).json["scope"] == given
        page = browser.get("/oauth/authorize", query=program.asks(scope=asked), headers=HTML)
        assert ("publish and delete" in page.text) is ("mcp:write" in given)

    def test_nothing_of_it_is_refused(self, session: Session, browser: Gateway) -> None:
        program = a_registered_program(session, scope="mcp:read")
        code = allow(browser, program, scope="mcp:read openid")
        assert code
        answer = browser.post(
            "/oauth/authorize", program.asks(scope="openid") | {"action": "approve"}
        )
        assert (answer.status, answer.json["error"]) == (400, "invalid_scope")


class TestCodeChallenge:
    def test_is_needed_of_every_program_that_registered_itself(
        self, session: Session, browser: Gateway
    ) -> None:
        """Finding 2.14: a confidential program went without PKCE."""
        program = a_registered_program(session, method="client_secret_post")
        asked = program.asks(code_challenge=None, code_challenge_method=None)
        answer = browser.post("/oauth/authorize", asked | {"action": "approve"})
        assert (answer.status, answer.json["error"]) == (400, "invalid_request")
        code = allow(browser, program)
        refused = form(Gateway(app), program.exchanges(code, code_verifier=None))
        assert refused.json["error"] == "invalid_request"
        wrong = form(Gateway(app), program.exchanges(code, code_verifier="w" * 43))
        assert wrong.json["error"] == "invalid_grant"
        assert form(Gateway(app), program.exchanges(code)).status == 200

    def test_app_that_uses_it_must_keep_to_it(self, session: Session, browser: Gateway) -> None:
        program = an_app(session, an_organization(session))
        challenge = a_registered_program(session).asks()["code_challenge"]
        code = allow(browser, program, code_challenge=challenge, code_challenge_method="S256")
        assert form(Gateway(app), program.exchanges(code)).json["error"] == "invalid_request"
        kept = program.exchanges(code, code_verifier=VERIFIER)
        assert form(Gateway(app), kept).status == 200


class TestLoopback:
    @pytest.mark.parametrize(
        ("registered", "asked", "taken"),
        [
            (LOOPBACK, "http://127.0.0.1:50123/callback", True),
            (LOOPBACK, "http://127.0.0.1/callback", True),
            ("http://[::1]/cb", "http://[::1]:7/cb", True),
            ("http://localhost:1/cb", "http://localhost:2/cb", True),
            (LOOPBACK, "http://127.0.0.1:50123/other", False),
            (LOOPBACK, "http://localhost:8976/callback", False),
            (LOOPBACK, "http://127.0.0.1:50123/callback#x", False),
            ("https://tool.example/cb", "https://tool.example:8443/cb", False),
        ],
    )
    def test_port_does_not_matter_on_the_own_machine(
        self, session: Session, browser: Gateway, registered: str, asked: str, *, taken: bool
    ) -> None:
        """Finding 2.14: a loopback redirect with another port was refused (RFC 8252 section 7.3)."""
        program = a_registered_program(session, redirect_uris=[registered])
        sent = program.asks(redirect_uri=asked) | {"action": "approve"}
        answer = browser.post("/oauth/authorize", sent)
        if not taken:
            assert answer.status == 400
            return
        assert answer.json["redirect"].startswith(f"{asked}?")
        code = parameters(answer.json["redirect"])["code"]
        exchanged = form(Gateway(app), program.exchanges(code, redirect_uri=asked))
        assert exchanged.status == 200


class TestIssuer:
    @pytest.mark.parametrize("name", ["", "mcp-oauth"])
    def test_answers_say_who_gives_them(
        self, session: Session, browser: Gateway, name: str
    ) -> None:
        """Finding 2.14: no `iss` (RFC 9207), so a program could be led to another server."""
        path = "/.well-known/oauth-authorization-server"
        described = browser.get(f"{path}/{name}" if name else path).json
        assert described["authorization_response_iss_parameter_supported"] is True
        endpoint = described["authorization_endpoint"].removeprefix(settings().public_url)
        program = a_registered_program(session)
        page = browser.get(endpoint, query=program.asks(), headers=HTML)
        assert page.status == 200
        assert f"&quot;issuer&quot;: &quot;{described['issuer']}&quot;" in page.text
        for action in ("approve", "deny"):
            asked = program.asks(issuer=described["issuer"]) | {"action": action}
            redirect = browser.post("/oauth/authorize", asked).json["redirect"]
            assert parameters(redirect)["iss"] == described["issuer"]

    def test_refusals_say_it_too(self, session: Session, browser: Gateway) -> None:
        program = a_registered_program(session)
        asked = program.asks(scope="nothing")
        page = browser.get("/oauth/authorize", query=asked, headers=HTML)
        assert "error=invalid_scope&amp;" in page.text
        assert "iss=http" in page.text

    def test_nobody_makes_one_up(self, session: Session, browser: Gateway) -> None:
        asked = a_registered_program(session).asks(issuer="https://evil.example")
        redirect = browser.post("/oauth/authorize", asked | {"action": "deny"}).json["redirect"]
        assert parameters(redirect)["iss"] == settings().public_url

    def test_unknown_one_is_not_there(self, browser: Gateway) -> None:
        assert browser.get("/oauth/authorize/elsewhere").status == 404

    def test_documents_name_what_there_is(self, nobody: Gateway) -> None:
        described = nobody.get("/.well-known/oauth-authorization-server").json
        assert described["grant_types_supported"] == REFRESHING
        assert described["revocation_endpoint"] == f"{settings().public_url}/oauth/revoke"


class TestMaker:
    def test_page_names_the_organization_its_age_and_that_nobody_checked(
        self, session: Session, browser: Gateway
    ) -> None:
        """Finding 2.5: an app named "official ... Verified." asked without a word on who made it."""
        makers = an_organization(session, name="Makers <b>& Co</b>")
        session.execute(
            text("update organizations set created_at = '2026-02-03T10:00:00Z' where id = :id"),
            {"id": makers.id},
        )
        program = an_app(session, makers, name="Roost official app. Verified.")
        session.execute(text("update oauth_apps set created_at = now() - interval '49 hours'"))
        page = browser.get("/oauth/authorize", query=program.asks(), headers=HTML).text
        assert "Makers &lt;b&gt;&amp; Co&lt;/b&gt;" in page
        assert "here since 3 February 2026" in page
        assert "made this app 2 days ago" in page
        assert "The maker of this app is not verified" in page
        asked = browser.get("/oauth/authorize", query=program.asks()).json
        assert asked["madeBy"]["name"] == "Makers <b>& Co</b>"

    def test_program_that_registered_itself_has_none(
        self, session: Session, browser: Gateway
    ) -> None:
        program = a_registered_program(session)
        page = browser.get("/oauth/authorize", query=program.asks(), headers=HTML).text
        assert "registered itself today" in page
        assert "The maker of this app is not verified" in page
        assert browser.get("/oauth/authorize", query=program.asks()).json["madeBy"] is None

"""Whether a login with GitHub is the account that GitHub names, with its primary verified address and no other."""

import base64
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
import respx

from shared.core import clock
from shared.identity.errors import (
    LoginDenied,
    LoginNotProven,
    LoginProviderMisconfigured,
    LoginProviderUnavailable,
    LoginTooOld,
)
from shared.identity.login_providers.base import Answer, Proven, Start
from shared.identity.login_providers.github import GitHubLogin
from shared.identity.models import LoginProvider
from tests.providers.published import judge, judge_answer
from tests.shared.identity.login_providers.samples import sample

START = Start("state-1", "https://roost.example/auth/oauth/GITHUB/callback")
LOGIN = GitHubLogin("Iv1.8a61f9b3a7aba766", "github secret")
TOKEN, USER, EMAILS = (
    "https://github.com/login/oauth/access_token",
    "https://api.github.com/user",
    "https://api.github.com/user/emails?per_page=100",
)


class GitHub:
    """GitHub as it answers by default; a test replaces an answer."""

    def __init__(self, router: respx.MockRouter) -> None:
        self.token = router.post(TOKEN).respond(json=sample("github", "token"))
        self.user = router.get(USER).respond(json=sample("github", "user"))
        self.emails = router.get(EMAILS).respond(json=sample("github", "emails"))


@pytest.fixture
def github() -> Iterator[GitHub]:
    with respx.mock(assert_all_called=False) as router:
        yield GitHub(router)


def sign_in(answer: Answer | None = None) -> Proven:
    return LOGIN.finish(answer or Answer(code="code-1"), LOGIN.begin(START).remember)


class TestBegin:
    def test_address_is_githubs_with_state_and_pkce(self) -> None:
        begun = LOGIN.begin(START)
        url = httpx.URL(begun.url)
        digest = hashlib.sha256(begun.remember["verifier"].encode()).digest()
        assert f"{url.scheme}://{url.host}{url.path}" == "https://github.com/login/oauth/authorize"
        assert {name: values[0] for name, values in parse_qs(url.query.decode()).items()} == {
            "client_id": LOGIN.client_id,
            "redirect_uri": START.redirect_uri,
            "scope": "read:user user:email",
            "state": "state-1",
            "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
        }


class TestFinish:
    def test_person_is_the_account_with_its_primary_verified_address(self, github: GitHub) -> None:
        assert sign_in() == Proven(
            provider=LoginProvider.GITHUB,
            issuer="https://github.com/login/oauth",
            subject="4815162342",
            email="ada@example.com",
            email_verified=True,
            name="Ada Lovelace",
        )

    def test_requests_and_samples_are_as_github_describes_them(self, github: GitHub) -> None:
        sign_in()
        for route in (github.user, github.emails):
            call = route.calls.last
            assert call.request.headers["authorization"].startswith("Bearer gho_")
            judge(call.request, "github-login/openapi.json")
            judge_answer(call.response, "github-login/openapi.json")

    def test_code_is_exchanged_with_verifier_and_secret(self, github: GitHub) -> None:
        begun = LOGIN.begin(START)
        LOGIN.finish(Answer(code="code-1"), begun.remember)
        form = parse_qs(github.token.calls.last.request.content.decode())
        assert form == {
            "client_id": [LOGIN.client_id],
            "client_secret": ["github secret"],
            "code": ["code-1"],
            "redirect_uri": [START.redirect_uri],
            "code_verifier": [begun.remember["verifier"]],
        }

    @pytest.mark.parametrize(
        "change",
        [
            {"verified": False},
            {"primary": False},
            {"verified": "true"},
            {"primary": 1},
            {"email": "not an address"},
            {"email": None},
        ],
    )
    def test_no_other_address_takes_the_place_of_the_primary_one(
        self, github: GitHub, change: dict[str, Any]
    ) -> None:
        listed = sample("github", "emails")
        listed[1] |= change
        github.emails.respond(json=listed)
        proven = sign_in()
        assert (proven.email, proven.email_verified) == (None, False)
        assert proven.subject == "4815162342"

    def test_two_primary_addresses_are_none(self, github: GitHub) -> None:
        listed = sample("github", "emails")
        listed[0]["primary"] = True
        github.emails.respond(json=listed)
        assert sign_in().email is None

    @pytest.mark.parametrize("status", [403, 404])
    def test_person_who_shares_no_address_still_signs_in(self, github: GitHub, status: int) -> None:
        github.emails.respond(status)
        assert sign_in().email is None

    @pytest.mark.parametrize("body", ["", "{}", "[1, null]", '{"message": "Moved"}'])
    def test_addresses_that_cannot_be_read_are_no_addresses(
        self, github: GitHub, body: str
    ) -> None:
        github.emails.respond(text=body)
        if body:
            assert sign_in().email is None
        else:
            with pytest.raises(LoginProviderUnavailable, match="GitHub"):
                sign_in()

    @pytest.mark.parametrize("number", [None, "4815162342", True, 0, -1, 1.5])
    def test_account_without_a_number_proves_nothing(self, github: GitHub, number: object) -> None:
        github.user.respond(json={**sample("github", "user"), "id": number})
        with pytest.raises(LoginNotProven):
            sign_in()

    def test_login_name_stands_in_for_a_name(self, github: GitHub) -> None:
        github.user.respond(json={**sample("github", "user"), "name": None})
        assert sign_in().name == "adalovelace"

    def test_refused_code_is_no_login(self, github: GitHub) -> None:
        github.token.respond(json=sample("github", "code_refused"))
        with pytest.raises(LoginNotProven) as refused:
            sign_in()
        assert refused.value.reason == "code"

    def test_refused_client_is_the_operators_fault(self, github: GitHub) -> None:
        github.token.respond(json=sample("github", "client_refused"))
        with pytest.raises(LoginProviderMisconfigured):
            sign_in()

    @pytest.mark.parametrize("token", [None, "", 7, "with space", "line\nbreak"])
    def test_answer_without_a_token_is_no_login(self, github: GitHub, token: object) -> None:
        github.token.respond(json={"access_token": token})
        with pytest.raises(LoginNotProven):
            sign_in()
        assert not github.user.called

    def test_who_refused_at_github_reads_so(self, github: GitHub) -> None:
        with pytest.raises(LoginDenied, match="GitHub"):
            sign_in(Answer(error="access_denied"))
        assert not github.token.called

    @pytest.mark.parametrize(
        ("iss", "accepted"),
        [
            ("https://github.com/login/oauth", True),
            ("https://github.com", False),
            ("https://evil.example", False),
        ],
    )
    def test_answer_that_names_another_issuer_is_refused(
        self, github: GitHub, iss: str, *, accepted: bool
    ) -> None:
        if accepted:
            assert sign_in(Answer(code="code-1", iss=iss)).subject
        else:
            with pytest.raises(LoginNotProven):
                sign_in(Answer(code="code-1", iss=iss))
            assert not github.token.called

    def test_answer_after_ten_minutes_is_refused(
        self, github: GitHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = datetime(2026, 12, 1, 12, tzinfo=UTC)
        monkeypatch.setattr(clock, "now", lambda: now)
        begun = LOGIN.begin(START)
        now += timedelta(minutes=10, seconds=1)
        with pytest.raises(LoginTooOld):
            LOGIN.finish(Answer(code="code-1"), begun.remember)
        assert not github.token.called

    @pytest.mark.parametrize("part", ["token", "user", "emails"])
    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_github_in_trouble_is_unavailable(self, github: GitHub, part: str, status: int) -> None:
        getattr(github, part).respond(status)
        with pytest.raises(LoginProviderUnavailable, match="GitHub is not available"):
            sign_in()

"""Whether a login with Farcaster is the account that Neynar names for an approved signer, whatever the browser says."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
import respx

from shared.core import clock
from shared.identity.errors import (
    LoginCodeRefused,
    LoginDenied,
    LoginNotProven,
    LoginProviderMisconfigured,
    LoginProviderUnavailable,
    LoginTooOld,
)
from shared.identity.login_providers.base import Answer, Proven, Start
from shared.identity.login_providers.farcaster import FarcasterLogin
from shared.identity.models import LoginProvider
from tests.providers.published import judge, judge_answer
from tests.shared.identity.login_providers.samples import sample

START = Start("state-1", "https://roost.example/auth/oauth/FARCASTER/callback")
LOGIN = FarcasterLogin("00b75745-0000-4000-8000-000000000000", "neynar key")
SIGNER = "19d0c5fd-9b33-4a48-a0e2-bc7b0555baec"
API = "https://api.neynar.com/v2/farcaster"


class Neynar:
    """Neynar as it answers by default; a test replaces an answer."""

    def __init__(self, router: respx.MockRouter) -> None:
        self.nonce = router.get(f"{API}/login/nonce/").respond(json=sample("neynar", "nonce"))
        self.page = router.get(url__startswith=f"{API}/login/authorize/").respond(
            json=sample("neynar", "authorization")
        )
        self.signer = router.get(f"{API}/signer/?signer_uuid={SIGNER}").respond(
            json=sample("neynar", "signer")
        )


@pytest.fixture
def neynar() -> Iterator[Neynar]:
    with respx.mock(assert_all_called=False) as router:
        yield Neynar(router)


def code(**fields: Any) -> str:
    return json.dumps({"signer_uuid": SIGNER, **fields})


def sign_in(answer: Answer | None = None) -> Proven:
    return LOGIN.finish(answer or Answer(code=code()), LOGIN.begin(START).remember)


class TestBegin:
    def test_address_is_neynars_with_our_state_and_its_nonce(self, neynar: Neynar) -> None:
        begun = LOGIN.begin(START)
        url = httpx.URL(begun.url)
        assert f"{url.scheme}://{url.host}{url.path}" == "https://app.neynar.com/login"
        assert {name: values[0] for name, values in parse_qs(url.query.decode()).items()} == {
            "client_id": LOGIN.client_id,
            "response_type": "code",
            "redirect_uri": START.redirect_uri,
            "state": "state-1",
            "nonce": "neynarbMi9zSDuOC1GFqixR",
        }
        assert begun.remember["nonce"] == "neynarbMi9zSDuOC1GFqixR"

    @pytest.mark.parametrize("nonce", [None, "", 7, "short", "with space", "x" * 129])
    def test_answer_without_a_nonce_is_refused(self, neynar: Neynar, nonce: object) -> None:
        neynar.nonce.respond(json={"nonce": nonce})
        with pytest.raises(LoginProviderUnavailable, match="Neynar"):
            LOGIN.begin(START)

    @pytest.mark.parametrize("url", [None, "javascript:alert(1)", "http://app.neynar.com/", 7])
    def test_page_that_must_not_be_opened_is_refused(self, neynar: Neynar, url: object) -> None:
        neynar.page.respond(json={"authorization_url": url})
        with pytest.raises(LoginProviderMisconfigured):
            LOGIN.begin(START)

    @pytest.mark.parametrize("part", ["nonce", "page"])
    @pytest.mark.parametrize("status", [400, 401, 403])
    def test_refused_keys_are_the_operators_fault(
        self, neynar: Neynar, part: str, status: int
    ) -> None:
        getattr(neynar, part).respond(status, json={"message": "no"})
        with pytest.raises(LoginProviderMisconfigured):
            LOGIN.begin(START)


class TestFinish:
    def test_account_is_the_one_that_neynar_names(self, neynar: Neynar) -> None:
        assert sign_in() == Proven(
            provider=LoginProvider.FARCASTER,
            issuer="farcaster",
            subject="6131",
            name="Farcaster 6131",
        )

    def test_what_the_browser_says_of_the_account_is_not_read(self, neynar: Neynar) -> None:
        claimed = code(fid=1, username="dwr", display_name="Dan", pfp_url="https://x.example/a.png")
        assert sign_in(Answer(code=claimed)).subject == "6131"
        encoded = base64.b64encode(claimed.encode()).decode()
        assert sign_in(Answer(code=encoded)).subject == "6131"

    def test_requests_and_samples_are_as_neynar_describes_them(self, neynar: Neynar) -> None:
        sign_in()
        for route in (neynar.nonce, neynar.page, neynar.signer):
            call = route.calls.last
            assert call.request.headers["x-api-key"] == "neynar key"
            judge(call.request, "farcaster/neynar-openapi.json")
            judge_answer(call.response, "farcaster/neynar-openapi.json")

    @pytest.mark.parametrize(
        "status", ["generated", "pending_approval", "revoked", "APPROVED", "", None, True]
    )
    def test_only_an_approved_signer_counts(self, neynar: Neynar, status: object) -> None:
        neynar.signer.respond(json={**sample("neynar", "signer"), "status": status})
        with pytest.raises(LoginNotProven) as refused:
            sign_in()
        assert refused.value.reason == "signer_not_approved"

    @pytest.mark.parametrize("number", [None, 0, -1, "6131", True, 1.5])
    def test_signer_without_an_account_proves_nothing(self, neynar: Neynar, number: object) -> None:
        neynar.signer.respond(json={**sample("neynar", "signer"), "fid": number})
        with pytest.raises(LoginNotProven):
            sign_in(Answer(code=code(fid=6131)))

    def test_answer_about_another_signer_is_refused(self, neynar: Neynar) -> None:
        other = {**sample("neynar", "signer"), "signer_uuid": SIGNER.replace("19d0", "29d0")}
        neynar.signer.respond(json=other)
        with pytest.raises(LoginNotProven):
            sign_in()

    @pytest.mark.parametrize("status", [400, 403, 404])
    def test_signer_that_neynar_does_not_know_is_refused(self, neynar: Neynar, status: int) -> None:
        neynar.signer.respond(status, json=sample("neynar", "unknown_signer"))
        with pytest.raises(LoginNotProven):
            sign_in()

    @pytest.mark.parametrize(
        "signer", ["x", f"{SIGNER}&status=approved", f"../{SIGNER}", f"{SIGNER}\n", "%00"]
    )
    def test_what_is_no_signers_id_is_not_sent(self, neynar: Neynar, signer: str) -> None:
        with pytest.raises(LoginNotProven):
            sign_in(Answer(code=code(signer_uuid=signer)))
        assert not neynar.signer.called

    @pytest.mark.parametrize("given_code", ["", "{}", "[]", '{"signer_uuid": 7}', '{"fid": 6131}'])
    def test_code_of_another_form_is_refused(self, neynar: Neynar, given_code: str) -> None:
        with pytest.raises(LoginCodeRefused, match="JSON with signer_uuid"):
            sign_in(Answer(code=given_code))

    def test_refused_api_key_is_the_operators_fault(self, neynar: Neynar) -> None:
        neynar.signer.respond(401, json={"message": "Incorrect or missing API key"})
        with pytest.raises(LoginProviderMisconfigured):
            sign_in()

    @pytest.mark.parametrize("status", [429, 500, 502])
    def test_neynar_in_trouble_is_unavailable(self, neynar: Neynar, status: int) -> None:
        neynar.signer.respond(status)
        with pytest.raises(LoginProviderUnavailable, match="Neynar is not available"):
            sign_in()

    def test_who_refused_at_neynar_reads_so(self, neynar: Neynar) -> None:
        with pytest.raises(LoginDenied, match="Farcaster"):
            sign_in(Answer(error="access_denied"))

    def test_answer_after_ten_minutes_is_refused(
        self, neynar: Neynar, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = datetime(2026, 12, 1, 12, tzinfo=UTC)
        monkeypatch.setattr(clock, "now", lambda: now)
        begun = LOGIN.begin(START)
        now += timedelta(minutes=10, seconds=1)
        with pytest.raises(LoginTooOld):
            LOGIN.finish(Answer(code=code()), begun.remember)
        assert not neynar.signer.called

    def test_the_key_is_not_shown(self) -> None:
        assert "neynar key" not in repr(LOGIN)

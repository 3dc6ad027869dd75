import base64
import json
import urllib.parse
from collections.abc import Iterator
from typing import Any, ClassVar

import httpx
import pytest
import respx

from shared.channels.connection import app_credentials
from shared.core.config import settings
from shared.core.errors import InvalidInput
from shared.providers.errors import (
    AppMisconfigured,
    ChannelDisconnected,
    GrantRejected,
    PlatformUnavailable,
    ProviderError,
    RateLimited,
)
from shared.providers.http import AppCredentials
from shared.providers.oauth import OAuth1Auth, server_address, signature_base
from shared.providers.platforms.bluesky import Bluesky
from shared.providers.platforms.linkedin import LinkedInPage
from shared.providers.platforms.mastodon import Mastodon
from shared.providers.platforms.x import X
from tests.providers.builders import CLIENT_SECRET, REFRESH_TOKEN, an_access, an_api
from tests.providers.conftest import sample

REDIRECT = "https://roost.example/app/integrations/social/linkedin-page"
TOKEN_URL = "https://www.linkedin.com/oauth/v2/accessToken"
GRANTED = {"access_token": "new", "expires_in": 3600}


@pytest.fixture
def loopback_allowed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("ALLOW_LOOPBACK_ADDRESSES", "true")
    settings.cache_clear()
    yield
    settings.cache_clear()


class TestAuthorize:
    def test_asks_for_the_declared_scopes_and_a_fresh_state(self) -> None:
        provider = LinkedInPage()
        begun = provider.authorize(an_api(provider), redirect_uri=REDIRECT, instance=None)
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(begun.url).query))
        assert query == {
            "response_type": "code",
            "client_id": "the-client-id",
            "redirect_uri": REDIRECT,
            "scope": " ".join(provider.auth.scopes),
            "state": begun.state,
        }
        again = provider.authorize(an_api(provider), redirect_uri=REDIRECT, instance=None)
        assert again.state != begun.state

    def test_goes_to_the_overridden_address(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PROVIDER_BASE_URLS", '{"linkedin-page": "http://127.0.0.1:9"}')
        settings.cache_clear()
        provider = LinkedInPage()
        begun = provider.authorize(an_api(provider), redirect_uri=REDIRECT, instance=None)
        settings.cache_clear()
        assert begun.url.startswith("http://127.0.0.1:9/oauth/v2/authorization?")


class TestConnect:
    def test_remembers_tokens_lifetime_and_account(self, platform: respx.MockRouter) -> None:
        provider = LinkedInPage()
        exchange = platform.post(TOKEN_URL).mock(sample("linkedin-page", "token"))
        me = platform.get("https://api.linkedin.com/v2/me").mock(sample("linkedin-page", "me"))
        api = an_api(provider)
        connection = provider.connect(api, code="the-code", redirect_uri=REDIRECT, remember={})
        form = dict(urllib.parse.parse_qsl(exchange.calls.last.request.content.decode()))
        assert form == {
            "grant_type": "authorization_code",
            "code": "the-code",
            "redirect_uri": REDIRECT,
            "client_id": "the-client-id",
            "client_secret": CLIENT_SECRET,
        }
        assert me.calls.last.request.headers["authorization"] == "Bearer redacted-access-token"
        assert connection.account.remote_id == "yrZCpj2Z12"
        assert connection.tokens.refresh == "redacted-refresh-token"
        assert connection.tokens.expires_at is not None
        assert 59 <= (connection.tokens.expires_at - api.now()).days <= 60

    def test_names_the_scopes_that_were_not_granted(self, platform: respx.MockRouter) -> None:
        platform.post(TOKEN_URL).respond(
            json={**GRANTED, "scope": "r_basicprofile,w_organization_social"}
        )
        provider = LinkedInPage()
        with pytest.raises(
            ChannelDisconnected, match="rw_organization_admin, r_organization_social"
        ):
            provider.connect(an_api(provider), code="c", redirect_uri=REDIRECT, remember={})

    @pytest.mark.parametrize("body", [{}, {"access_token": ""}, {"access_token": None}])
    def test_never_takes_an_empty_token(
        self, platform: respx.MockRouter, body: dict[str, Any]
    ) -> None:
        platform.post(TOKEN_URL).respond(json=body)
        provider = LinkedInPage()
        with pytest.raises(PlatformUnavailable):
            provider.connect(an_api(provider), code="c", redirect_uri=REDIRECT, remember={})

    def test_never_takes_an_account_without_an_id(self, platform: respx.MockRouter) -> None:
        platform.post(TOKEN_URL).mock(sample("linkedin-page", "token"))
        platform.get("https://api.linkedin.com/v2/me").respond(json={"id": ""})
        provider = LinkedInPage()
        with pytest.raises(PlatformUnavailable):
            provider.connect(an_api(provider), code="c", redirect_uri=REDIRECT, remember={})


class TestRefresh:
    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            (httpx.Response(400, json={"error": "invalid_grant"}), GrantRejected),
            (httpx.Response(401, json={"error": "invalid_grant"}), GrantRejected),
            (httpx.Response(200, json={"error": "invalid_grant"}), GrantRejected),
            (httpx.Response(401, json={"error": "invalid_client"}), AppMisconfigured),
            (httpx.Response(400, json={"error": "unauthorized_client"}), AppMisconfigured),
            (httpx.Response(400, json={"error": "temporarily_unavailable"}), PlatformUnavailable),
            (httpx.Response(401, text="<html>proxy</html>"), PlatformUnavailable),
            (httpx.Response(403), PlatformUnavailable),
            (httpx.Response(404), PlatformUnavailable),
            (httpx.Response(429, headers={"retry-after": "7"}), RateLimited),
            (httpx.Response(500), PlatformUnavailable),
            (httpx.Response(302, headers={"location": "/"}), ProviderError),
            (httpx.ConnectError("no route"), PlatformUnavailable),
            (httpx.ReadTimeout("silence"), PlatformUnavailable),
            (httpx.Response(200, text="not JSON"), PlatformUnavailable),
        ],
    )
    def test_only_a_rejected_grant_disconnects(
        self,
        platform: respx.MockRouter,
        answer: httpx.Response | httpx.HTTPError,
        error: type[ProviderError],
    ) -> None:
        platform.post(TOKEN_URL).mock(
            side_effect=answer if isinstance(answer, Exception) else None,
            return_value=answer if isinstance(answer, httpx.Response) else None,
        )
        provider = LinkedInPage()
        with pytest.raises(error) as refused:
            provider.refresh(an_api(provider))
        assert isinstance(refused.value, GrantRejected) == (error is GrantRejected)
        assert refused.value.message

    def test_keeps_the_old_refresh_token_where_none_comes(self, platform: respx.MockRouter) -> None:
        platform.post(TOKEN_URL).respond(json=GRANTED)
        provider = LinkedInPage()
        tokens = provider.refresh(an_api(provider))
        assert (tokens.access, tokens.refresh) == ("new", None)

    def test_without_a_refresh_token_the_member_must_connect_again(self) -> None:
        provider = LinkedInPage()
        with pytest.raises(GrantRejected, match="Connect it again"):
            provider.refresh(an_api(provider, access=an_access(refresh_token=None)))

    def test_a_secret_that_is_echoed_is_blanked(self, platform: respx.MockRouter) -> None:
        echoed = f"refused {REFRESH_TOKEN} and {CLIENT_SECRET}"
        platform.post(TOKEN_URL).respond(
            400, json={"error": "x", "error_description": echoed, "access_token": "leak"}
        )
        provider = LinkedInPage()
        with pytest.raises(PlatformUnavailable) as refused:
            provider.refresh(an_api(provider))
        shown = f"{refused.value} {refused.value.message} {refused.value.evidence}"
        assert REFRESH_TOKEN not in shown
        assert CLIENT_SECRET not in shown
        assert "leak" not in shown


class TestAppCredentials:
    def test_names_what_is_missing(self) -> None:
        """Finding 6.6: the platform was not asked, so it refused nothing."""
        with pytest.raises(AppMisconfigured) as refused:
            app_credentials(Mastodon.spec, {"MASTODON_CLIENT_ID": "a"})
        assert refused.value.message.startswith(
            "Mastodon is not set up on this server: MASTODON_CLIENT_SECRET is missing."
        )
        with pytest.raises(AppMisconfigured, match="X_API_KEY and X_API_SECRET are missing"):
            app_credentials(X.spec, {})

    def test_a_form_needs_none(self) -> None:
        assert app_credentials(Bluesky.spec, {}) == AppCredentials()


class TestServerAddress:
    @pytest.mark.parametrize(
        ("given", "read"),
        [
            ("mastodon.social", "https://mastodon.social"),
            (" https://Mastodon.Social/about ", "https://mastodon.social"),
            ("https://a.example:8443", "https://a.example:8443"),
        ],
    )
    def test_reads_a_name_or_an_address(self, given: str, read: str) -> None:
        assert server_address(given, field="instance") == read

    @pytest.mark.parametrize(
        "given",
        [
            "",
            "localhost",
            "http://127.0.0.1:3000",
            "http://mastodon.social",
            "https://127.0.0.1",
            "https://[::1]",
            "https://user:pass@a.example",
            "ftp://a.example",
            "https://[abc",
            "mastodon.social\u200b",
            "https://💩.example",
            "http://[::1]:5022",
            "https://a.example:port",
            "https://a.example:99999999",
            "a..example",
            "https://",
        ],
    )
    def test_refuses_the_rest_and_names_the_field(self, given: str) -> None:
        """Finding 4.2f: some of these were answered 500, "our side"."""
        with pytest.raises(InvalidInput) as refused:
            server_address(given, field="instance")
        assert [problem.path for problem in refused.value.problems] == ["instance"]

    @pytest.mark.usefixtures("loopback_allowed")
    def test_takes_this_machine_where_the_setting_allows(self) -> None:
        assert (
            server_address("http://127.0.0.1:3000/x", field="instance") == "http://127.0.0.1:3000"
        )
        assert server_address("http://[::1]:5022", field="instance") == "http://[::1]:5022"
        with pytest.raises(InvalidInput):
            server_address("http://10.0.0.1", field="instance")


class TestOAuth1Auth:
    # The example of docs.x.com/fundamentals/authentication/oauth-1-0a/creating-a-signature, read 2026-11.
    APP = AppCredentials("xvz1evFS4wEEPTGEFPHBog", "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw")
    SIGNER = OAuth1Auth(
        APP,
        token="370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
        token_secret="LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE",
        nonce=lambda: "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg",
        timestamp=lambda: 1318622958,
    )

    def signed(self, url: str) -> httpx.Request:
        request = httpx.Request(
            "POST", url, data={"status": "Hello Ladies + Gentlemen, a signed OAuth request!"}
        )
        next(self.SIGNER.auth_flow(request))
        return request

    def test_signs_x_s_published_example(self) -> None:
        url = "https://api.x.com/1.1/statuses/update.json?include_entities=true"
        signature = urllib.parse.quote("Ls93hJiZbQ3akF3HF3x1Bz8/zU4=", safe="")
        assert f'oauth_signature="{signature}"' in self.signed(url).headers["authorization"]

    def test_another_address_has_another_signature(self) -> None:
        one = self.signed("https://api.x.com/1.1/statuses/update.json?include_entities=true")
        other = self.signed("https://api.x.com/1.1/statuses/update.json?include_entities=false")
        assert one.headers["authorization"] != other.headers["authorization"]

    def test_the_base_string_is_rfc_5849_s(self) -> None:
        # RFC 5849, section 3.4.1.1.
        request = httpx.Request(
            "POST",
            "http://EXAMPLE.COM:80/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b",
            content=b"c2&a3=2+q",
            headers={"content-type": "application/x-www-form-urlencoded"},
        )
        oauth = {
            "oauth_consumer_key": "9djdj82h48djs9d2",
            "oauth_token": "kkk9d7dh3k39sjv7",
            "oauth_signature_method": "HMAC-SHA1",
            "oauth_timestamp": "137131201",
            "oauth_nonce": "7d8f3e4a",
        }
        assert signature_base(request, oauth) == (
            "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D"
            "%26c%2540%3D%26c2%3D%26oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a"
            "%26oauth_signature_method%3DHMAC-SHA1%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7"
        )


class TestOAuth1Provider:
    def test_connects_in_three_legs(self, platform: respx.MockRouter) -> None:
        provider = X()
        first = platform.post("https://api.x.com/oauth/request_token").respond(
            text="oauth_token=request-token&oauth_token_secret=request-secret&oauth_callback_confirmed=true"
        )
        second = platform.post("https://api.x.com/oauth/access_token").respond(
            text="oauth_token=2244994945-access&oauth_token_secret=access-secret&user_id=2244994945&screen_name=roost"
        )
        platform.get("https://api.x.com/2/users/me").mock(sample("x", "me"))
        begun = provider.authorize(an_api(provider), redirect_uri=REDIRECT, instance=None)
        assert begun.url == "https://api.x.com/oauth/authenticate?oauth_token=request-token"
        assert begun.state == "request-token"
        assert "x_auth_access_type=write" in str(first.calls.last.request.url)
        connection = provider.connect(
            an_api(provider), code="verifier", redirect_uri=REDIRECT, remember=begun.remember
        )
        assert 'oauth_verifier="verifier"' in second.calls.last.request.headers["authorization"]
        assert connection.tokens.access == "2244994945-access"
        assert connection.tokens.refresh is None
        assert connection.details == {"tokenSecret": "access-secret"}
        assert connection.account.username == "roost"

    def test_a_refused_application_is_ours_to_mend(self, platform: respx.MockRouter) -> None:
        platform.post("https://api.x.com/oauth/request_token").respond(
            401, json={"errors": [{"code": 32, "message": "Could not authenticate you."}]}
        )
        with pytest.raises(AppMisconfigured, match="Could not authenticate you"):
            X().authorize(an_api(X()), redirect_uri=REDIRECT, instance=None)

    def test_a_used_verifier_is_a_rejected_grant(self, platform: respx.MockRouter) -> None:
        platform.post("https://api.x.com/oauth/access_token").respond(
            401, text="Invalid request token"
        )
        with pytest.raises(GrantRejected):
            X().connect(
                an_api(X()), code="v", redirect_uri=REDIRECT, remember={"token": "t", "secret": "s"}
            )

    def test_there_is_nothing_to_refresh(self) -> None:
        with pytest.raises(GrantRejected):
            X().refresh(an_api(X()))


class TestFormProvider:
    FORM: ClassVar = {
        "service": "https://pds.example",
        "identifier": "@roost.example",
        "password": "app-password",
    }

    @pytest.mark.parametrize(
        "encode", [lambda text: text, lambda text: base64.b64encode(text.encode()).decode()]
    )
    def test_reads_json_plain_or_in_base64(self, encode: Any) -> None:
        assert Bluesky().read_form(encode(json.dumps(self.FORM))) == self.FORM

    @pytest.mark.parametrize("code", ["", "{}", "[]", "nonsense", "bm9uc2Vuc2U="])
    def test_names_the_missing_fields(self, code: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            Bluesky().read_form(code)
        assert [problem.path for problem in refused.value.problems] == ["identifier", "password"]

    def test_needs_no_page(self) -> None:
        assert Bluesky().authorize(an_api(Bluesky()), redirect_uri="", instance=None).url == ""

"""Which logins a server offers, with which keys, and what a function imports for them."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.core.config import Settings, SettingsRefused, settings
from shared.identity.errors import LoginProviderNotOffered
from shared.identity.login_providers import offered
from shared.identity.login_providers.base import Start, callback_url
from shared.identity.login_providers.farcaster import FarcasterLogin
from shared.identity.login_providers.github import GitHubLogin
from shared.identity.login_providers.offered import Offered, external_login, list_offered
from shared.identity.login_providers.openid import OpenIdLogin
from shared.identity.login_providers.wallet import WalletLogin
from shared.identity.models import LoginProvider
from tests.conftest import Configure
from tests.fakes.openid_provider import CLIENT_ID, CLIENT_SECRET, ISSUER, OpenIdProvider
from tests.shared.identity.login_providers.samples import sample

ROOT = Path(__file__).parents[4]
GENERIC = {
    "GENERIC_OAUTH": "true",
    "OAUTH_URL": ISSUER,
    "OAUTH_CLIENT_ID": CLIENT_ID,
    "OAUTH_DISPLAY_NAME": "Example ID",
    "OAUTH_LOGO_URL": "https://id.example/logo.svg",
}
WALLET = Offered(LoginProvider.WALLET, "your wallet")
Keys = Callable[..., None]


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Keys:
    """Put keys into the providers' secret."""

    def put(**held: str) -> None:
        monkeypatch.setattr(offered, "secret", lambda _name: held)

    put()
    return put


@pytest.fixture
def google() -> Iterator[OpenIdProvider]:
    described = sample("google", "description")
    with OpenIdProvider(described["issuer"]) as running:
        running.description = described
        running.claims = {**sample("google", "claims"), "aud": CLIENT_ID}
        running.instead["/oauth2/v3/certs"] = running.send_keys
        yield running


class TestListOffered:
    def test_only_what_needs_no_keys_is_offered_without_keys(self, keys: Keys) -> None:
        assert list_offered() == [WALLET]

    def test_what_is_set_up_is_offered_in_order(self, keys: Keys, configure: Configure) -> None:
        configure(**GENERIC)
        keys(
            GITHUB_CLIENT_ID="a", GITHUB_CLIENT_SECRET="b", GOOGLE_CLIENT_ID="c",
            GOOGLE_CLIENT_SECRET="d", NEYNAR_CLIENT_ID="e", NEYNAR_SECRET_KEY="f",
        )  # fmt: skip
        assert list_offered() == [
            Offered(LoginProvider.GENERIC, "Example ID", "https://id.example/logo.svg"),
            Offered(LoginProvider.GOOGLE, "Google"),
            Offered(LoginProvider.GITHUB, "GitHub"),
            Offered(LoginProvider.FARCASTER, "Farcaster"),
            WALLET,
        ]

    @pytest.mark.parametrize("prefix", ["GITHUB", "GOOGLE", "YOUTUBE"])
    @pytest.mark.parametrize("part", ["CLIENT_ID", "CLIENT_SECRET"])
    def test_half_a_pair_is_not_set_up(self, keys: Keys, prefix: str, part: str) -> None:
        keys(**{f"{prefix}_{part}": "half"})
        assert list_offered() == [WALLET]

    @pytest.mark.parametrize("name", ["NEYNAR_CLIENT_ID", "NEYNAR_SECRET_KEY"])
    def test_half_of_neynars_keys_is_not_set_up(self, keys: Keys, name: str) -> None:
        keys(**{name: "half"})
        assert list_offered() == [WALLET]


class TestExternalLogin:
    @pytest.mark.parametrize(
        "provider", [one for one in LoginProvider if one is not LoginProvider.WALLET]
    )
    def test_login_that_is_not_set_up_is_not_offered(
        self, keys: Keys, provider: LoginProvider
    ) -> None:
        with pytest.raises(LoginProviderNotOffered, match=provider.name):
            external_login(provider)

    def test_wallet_needs_no_keys(self, keys: Keys) -> None:
        assert external_login(LoginProvider.WALLET) == WalletLogin()

    def test_farcaster_has_neynars_keys(self, keys: Keys) -> None:
        keys(NEYNAR_CLIENT_ID="id", NEYNAR_SECRET_KEY="key")
        assert external_login(LoginProvider.FARCASTER) == FarcasterLogin("id", "key")

    def test_every_key_is_listed_for_operators(self, keys: Keys) -> None:
        """`make run` refuses keys with other names."""
        text = Path(offered.__file__).read_text()
        asked = set(re.findall(r'keys\.get\("(\w+)"', text))
        pairs = re.findall(r'_pair\(keys, "(\w+)"\)', text)
        asked |= {f"{one}_CLIENT_{part}" for one in pairs for part in ("ID", "SECRET")}
        assert asked == set(offered.KEY_NAMES)

    def test_github_has_its_own_keys(self, keys: Keys) -> None:
        keys(GITHUB_CLIENT_ID="id", GITHUB_CLIENT_SECRET="secret")
        assert external_login(LoginProvider.GITHUB) == GitHubLogin("id", "secret")

    @pytest.mark.parametrize(
        ("held", "used"),
        [
            (["GOOGLE"], "GOOGLE"),
            (["YOUTUBE"], "YOUTUBE"),
            (["GOOGLE", "YOUTUBE"], "GOOGLE"),
        ],
    )
    def test_google_falls_back_to_youtubes_keys(
        self, keys: Keys, held: list[str], used: str
    ) -> None:
        pairs = {f"{one}_CLIENT_ID": f"{one} id" for one in held}
        keys(**pairs, **{f"{one}_CLIENT_SECRET": f"{one} secret" for one in held})
        login = external_login(LoginProvider.GOOGLE)
        assert isinstance(login, OpenIdLogin)
        assert (login.issuer, login.client_id, login.client_secret) == (
            "https://accounts.google.com",
            f"{used} id",
            f"{used} secret",
        )

    def test_google_never_mixes_two_clients(self, keys: Keys) -> None:
        keys(GOOGLE_CLIENT_ID="g", YOUTUBE_CLIENT_ID="y", YOUTUBE_CLIENT_SECRET="ys")
        login = external_login(LoginProvider.GOOGLE)
        assert isinstance(login, OpenIdLogin)
        assert (login.client_id, login.client_secret) == ("y", "ys")

    def test_google_signs_in_as_google_answers(self, keys: Keys, google: OpenIdProvider) -> None:
        keys(GOOGLE_CLIENT_ID=CLIENT_ID, GOOGLE_CLIENT_SECRET=CLIENT_SECRET)
        login = external_login(LoginProvider.GOOGLE)
        begun = login.begin(Start("state", callback_url(LoginProvider.GOOGLE)))
        assert begun.url.startswith("https://accounts.google.com/o/oauth2/v2/auth?")
        proven = login.finish(google.consent(begun.url), begun.remember)
        assert (proven.issuer, proven.subject) == (
            "https://accounts.google.com",
            "110169484474386276334",
        )
        assert (proven.email, proven.email_verified) == ("ada.lovelace@gmail.com", True)

    def test_generic_login_takes_the_operators_settings(
        self, keys: Keys, configure: Configure
    ) -> None:
        configure(
            **GENERIC,
            OAUTH_SCOPE="openid email",
            OAUTH_AUTH_URL="https://id.example/a",
            OAUTH_TOKEN_URL="https://id.example/t",
            OAUTH_USERINFO_URL="https://id.example/u",
        )
        keys(OAUTH_CLIENT_SECRET=CLIENT_SECRET)
        login = external_login(LoginProvider.GENERIC)
        assert isinstance(login, OpenIdLogin)
        assert (login.issuer, login.client_id, login.client_secret, login.scope) == (
            ISSUER,
            CLIENT_ID,
            CLIENT_SECRET,
            "openid email",
        )
        assert (
            login.overrides.authorization_url,
            login.overrides.token_url,
            login.overrides.userinfo_url,
        ) == ("https://id.example/a", "https://id.example/t", "https://id.example/u")

    def test_generic_login_is_off_by_default(self, keys: Keys, configure: Configure) -> None:
        configure(**{**GENERIC, "GENERIC_OAUTH": "false"})
        with pytest.raises(LoginProviderNotOffered):
            external_login(LoginProvider.GENERIC)

    @pytest.mark.parametrize("missing", ["OAUTH_URL", "OAUTH_CLIENT_ID"])
    def test_generic_login_without_its_settings_stops_the_start(
        self, configure: Configure, missing: str
    ) -> None:
        configure(**{**GENERIC, missing: ""})
        with pytest.raises(SettingsRefused, match=missing):
            settings()


def test_every_provider_has_its_own_redirect_address(configure: Configure) -> None:
    configure(PUBLIC_URL="https://roost.example")
    addresses = {callback_url(provider) for provider in LoginProvider}
    assert len(addresses) == len(LoginProvider)
    assert "https://roost.example/auth/oauth/GITHUB/callback" in addresses


def test_what_only_a_login_needs_is_not_imported_at_the_start() -> None:
    """In a process of its own, as in Lambda."""
    program = (
        "import sys, functions.identity.app, shared.identity.login_providers.offered;"
        "print(*(name for name in sys.modules"
        " if name.startswith(('shared.identity.login_providers.', 'coincurve'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert set(done.stdout.split()) == {
        "shared.identity.login_providers.base",
        "shared.identity.login_providers.offered",
    }


def test_settings_have_no_client_secret() -> None:
    assert not {name for name in Settings.model_fields if name.endswith("client_secret")}

"""Lists and makes the external logins that this server offers, from the settings and the keys in the providers' secret.

A login's module is imported only when it is used, because most requests need none.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.aws.secrets import secret
from shared.core.config import settings
from shared.identity.errors import LoginProviderNotOffered
from shared.identity.login_providers.base import ExternalLogin
from shared.identity.models import LoginProvider

GOOGLE_ISSUER = "https://accounts.google.com"
KEY_NAMES = (
    "GITHUB_CLIENT_ID",
    "GITHUB_CLIENT_SECRET",
    "GOOGLE_CLIENT_ID",
    "GOOGLE_CLIENT_SECRET",
    "NEYNAR_CLIENT_ID",
    "NEYNAR_SECRET_KEY",
    "OAUTH_CLIENT_SECRET",
    "YOUTUBE_CLIENT_ID",
    "YOUTUBE_CLIENT_SECRET",
)
"""The keys of the providers' secret that are read here."""
_IN_ORDER = (
    LoginProvider.GENERIC,
    LoginProvider.GOOGLE,
    LoginProvider.GITHUB,
    LoginProvider.FARCASTER,
    LoginProvider.WALLET,
)


@dataclass(frozen=True, slots=True)
class Offered:
    """A login for the sign-in page. `logo_url` is None if the operator gave none."""

    provider: LoginProvider
    name: str
    logo_url: str | None = None


def list_offered() -> list[Offered]:
    """List the external logins that are set up, in the order in which a page shows them."""
    keys = secret(settings().providers_secret_name)
    logins = filter(None, (_login(provider, keys) for provider in _IN_ORDER))
    return [Offered(login.provider, login.name, _logo(login.provider)) for login in logins]


def external_login(provider: LoginProvider) -> ExternalLogin:
    """Return a login that is set up.

    Raises:
        LoginProviderNotOffered: it is not.
    """
    login = _login(provider, secret(settings().providers_secret_name))
    if login is None:
        raise LoginProviderNotOffered(provider.value.upper())
    return login


def _login(provider: LoginProvider, keys: Mapping[str, str]) -> ExternalLogin | None:
    """Return a login; None if it is not set up."""
    if provider is LoginProvider.GENERIC:
        return _generic(keys)
    if provider is LoginProvider.GOOGLE:
        return _google(keys)
    if provider is LoginProvider.GITHUB:
        return _github(keys)
    if provider is LoginProvider.FARCASTER:
        return _farcaster(keys)
    if provider is LoginProvider.WALLET:
        from shared.identity.login_providers.wallet import WalletLogin

        return WalletLogin()  # needs no keys, so it is always offered
    return None


def _generic(keys: Mapping[str, str]) -> ExternalLogin | None:
    if not settings().generic_oauth:
        return None
    from shared.identity.login_providers.description import Overrides
    from shared.identity.login_providers.openid import OpenIdLogin

    return OpenIdLogin(
        provider=LoginProvider.GENERIC,
        name=settings().oauth_display_name,
        issuer=settings().oauth_url,
        client_id=settings().oauth_client_id,
        client_secret=keys.get("OAUTH_CLIENT_SECRET", ""),
        scope=settings().oauth_scope,
        overrides=Overrides(
            authorization_url=settings().oauth_auth_url,
            token_url=settings().oauth_token_url,
            userinfo_url=settings().oauth_userinfo_url,
        ),
    )


def _google(keys: Mapping[str, str]) -> ExternalLogin | None:
    """Return Google's login, with the keys of YouTube's application if it has none of its own: both are Google's."""
    pair = _pair(keys, "GOOGLE") or _pair(keys, "YOUTUBE")
    if pair is None:
        return None
    from shared.identity.login_providers.openid import OpenIdLogin

    client_id, client_secret = pair
    return OpenIdLogin(
        provider=LoginProvider.GOOGLE,
        name="Google",
        issuer=GOOGLE_ISSUER,
        client_id=client_id,
        client_secret=client_secret,
    )


def _github(keys: Mapping[str, str]) -> ExternalLogin | None:
    pair = _pair(keys, "GITHUB")
    if pair is None:
        return None
    from shared.identity.login_providers.github import GitHubLogin

    return GitHubLogin(*pair)


def _farcaster(keys: Mapping[str, str]) -> ExternalLogin | None:
    client_id, api_key = keys.get("NEYNAR_CLIENT_ID", ""), keys.get("NEYNAR_SECRET_KEY", "")
    if not (client_id and api_key):
        return None
    from shared.identity.login_providers.farcaster import FarcasterLogin

    return FarcasterLogin(client_id, api_key)


def _pair(keys: Mapping[str, str], prefix: str) -> tuple[str, str] | None:
    """Return a client's id and secret; None if either is missing, so that those of two clients are never mixed."""
    client_id = keys.get(f"{prefix}_CLIENT_ID", "")
    client_secret = keys.get(f"{prefix}_CLIENT_SECRET", "")
    return (client_id, client_secret) if client_id and client_secret else None


def _logo(provider: LoginProvider) -> str | None:
    return (settings().oauth_logo_url or None) if provider is LoginProvider.GENERIC else None

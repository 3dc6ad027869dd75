"""Signs in with GitHub, which speaks OAuth 2.0 without ID tokens: its API says who the access token belongs to.

Sources: docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps, docs.github.com/en/rest/users (GET
/user and GET /user/emails); read 2026-11.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from shared.core.cleaning import clean_name
from shared.identity.errors import Trouble
from shared.identity.login_providers.base import (
    Answer,
    Begun,
    Doubt,
    Proven,
    Start,
    began_at,
    begun_now,
    not_proven,
)
from shared.identity.login_providers.oauth import (
    check_answer,
    new_pkce,
    read_email,
    read_tokens,
)
from shared.identity.login_providers.peer import Peer
from shared.identity.models import LoginProvider
from shared.providers.answers import is_token

ISSUER = "https://github.com/login/oauth"
"""The issuer of GitHub's OAuth metadata, which also identifies its logins."""
AUTHORIZE_URL = f"{ISSUER}/authorize"
TOKEN_URL = f"{ISSUER}/access_token"
API_URL = "https://api.github.com"
SCOPE = "read:user user:email"
# GitHub's own codes beside those of RFC 6749.
_OUR_FAULT = frozenset({"incorrect_client_credentials", "redirect_uri_mismatch"})
_NOT_GRANTED = frozenset(
    {403, 404}
)  # how GitHub answers a request that the token's scope does not cover


@dataclass(frozen=True, slots=True)
class GitHubLogin:
    """A login with a GitHub account. The subject is the account's number, which outlives its login name."""

    client_id: str
    client_secret: str = field(repr=False)
    provider: LoginProvider = LoginProvider.GITHUB
    name: str = "GitHub"

    def begin(self, start: Start) -> Begun:
        """Build the address of GitHub's page. Sends nothing."""
        verifier, challenge = new_pkce()
        query = {
            "client_id": self.client_id,
            "redirect_uri": start.redirect_uri,
            "scope": SCOPE,
            "state": start.state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        kept = {**begun_now(), "verifier": verifier, "redirect_uri": start.redirect_uri}
        return Begun(str(httpx.URL(AUTHORIZE_URL, params=query)), kept)

    def finish(self, answer: Answer, remembered: Mapping[str, str]) -> Proven:
        """Exchange the code, and ask whose token it is."""
        began_at(remembered)
        check_answer(self, answer, issuer=ISSUER)
        peer = Peer(self.provider, self.name)
        token = self._exchange(peer, answer.code, remembered)
        account = self._account(peer, token)
        email = self._primary_verified_address(peer, token)
        return Proven(
            provider=self.provider,
            issuer=ISSUER,
            subject=str(account["id"]),
            email=email,
            email_verified=email is not None,
            name=clean_name(account.get("name")) or clean_name(account.get("login")),
        )

    def _exchange(self, peer: Peer, code: str, remembered: Mapping[str, str]) -> str:
        form = {
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "code": code,
            "redirect_uri": remembered["redirect_uri"],
            "code_verifier": remembered["verifier"],
        }
        tokens = read_tokens(self, peer, peer.post(TOKEN_URL, form), our_fault=_OUR_FAULT)
        token = tokens.get("access_token")
        if not is_token(token):
            raise not_proven(self, Doubt.NO_ACCESS_TOKEN)
        return str(token)

    def _account(self, peer: Peer, token: str) -> dict[str, Any]:
        response = peer.get(f"{API_URL}/user", _headers(token))
        if not response.is_success:
            raise peer.unavailable(Trouble.UNREADABLE, what="account", status=response.status_code)
        account = peer.read(response)
        number = account.get("id")
        if not isinstance(number, int) or isinstance(number, bool) or number <= 0:
            raise not_proven(self, Doubt.NO_ACCOUNT)
        return account

    def _primary_verified_address(self, peer: Peer, token: str) -> str | None:
        """Return the account's primary address if GitHub verified it; None also if the person did not share it."""
        response = peer.get(f"{API_URL}/user/emails?per_page=100", _headers(token))
        if response.status_code in _NOT_GRANTED:
            return None
        if not response.is_success:
            raise peer.unavailable(
                Trouble.UNREADABLE, what="addresses", status=response.status_code
            )
        primary = [
            entry["email"]
            for entry in _entries(peer.read_any(response))
            if entry.get("primary") is True and entry.get("verified") is True and "email" in entry
        ]
        return read_email(primary[0]) if len(primary) == 1 else None


def _entries(listed: Any) -> Iterator[Mapping[str, Any]]:
    return (
        (entry for entry in listed if isinstance(entry, dict))
        if isinstance(listed, list)
        else iter(())
    )


def _headers(token: str) -> dict[str, str]:
    return {
        "Accept": "application/vnd.github+json",
        "Authorization": f"Bearer {token}",
        "X-GitHub-Api-Version": "2022-11-28",
        "User-Agent": "Roost",  # required: docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api
    }

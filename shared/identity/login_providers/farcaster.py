"""Signs in with Farcaster, through Neynar: the person approves a signer there, and Neynar says whose it is.

What the browser brings is only the id of a signer. It counts if Neynar, asked with our API key, says that the signer is approved;
the account's number (`fid`) is the one in Neynar's answer. The id is a secret between Neynar, the person's browser and us:
Neynar does not bind it to the nonce, so the caller's state alone ties an answer to the browser that began.

Source: docs.neynar.com/reference (fetch-nonce, fetch-authorization-url, lookup-signer) and Neynar's OpenAPI description, read
2026-11.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from shared.identity.errors import LoginDenied, Trouble
from shared.identity.login_providers.base import (
    Answer,
    Begun,
    Doubt,
    Proven,
    Start,
    began_at,
    begun_now,
    not_proven,
    read_code,
)
from shared.identity.login_providers.peer import Fault, Peer
from shared.identity.models import LoginProvider

API_URL = "https://api.neynar.com"
ISSUER = "farcaster"
"""What takes the place of an issuer: account numbers are Farcaster's, not Neynar's."""
APPROVED = "approved"
_SIGNER_ID = re.compile("[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_NONCE = re.compile("[A-Za-z0-9]{8,128}")


@dataclass(frozen=True, slots=True)
class FarcasterLogin:
    """A login with a Farcaster account. The subject is its number."""

    client_id: str
    api_key: str = field(repr=False)
    provider: LoginProvider = LoginProvider.FARCASTER
    name: str = "Farcaster"

    def begin(self, start: Start) -> Begun:
        """Ask Neynar for a nonce and for the address of its page."""
        peer = Peer(self.provider, "Neynar")
        nonce = self._described(peer, "/v2/farcaster/login/nonce/").get("nonce")
        if not isinstance(nonce, str) or not _NONCE.fullmatch(nonce):
            raise peer.unavailable(Trouble.UNREADABLE, what="nonce")
        asked = {"client_id": self.client_id, "response_type": "code"}
        address = self._described(peer, "/v2/farcaster/login/authorize/", asked)
        page = peer.check_address(address.get("authorization_url"), "authorization_url")
        query = {"redirect_uri": start.redirect_uri, "state": start.state, "nonce": nonce}
        url = httpx.URL(page).copy_merge_params(query)
        return Begun(str(url), {**begun_now(), "nonce": nonce})

    def finish(self, answer: Answer, remembered: Mapping[str, str]) -> Proven:
        """Look up the signer that the browser names."""
        began_at(remembered)
        if answer.error:
            raise LoginDenied(self.name)
        (signer_id,) = read_code(answer.code, "signer_uuid")
        if not _SIGNER_ID.fullmatch(signer_id):
            raise not_proven(self, Doubt.SIGNER_ID)
        peer = Peer(self.provider, "Neynar")
        response = self._ask(peer, "/v2/farcaster/signer/", {"signer_uuid": signer_id})
        if not response.is_success:  # there is no such signer, or it is another application's
            raise not_proven(self, Doubt.UNKNOWN_SIGNER, status=response.status_code)
        signer = peer.read(response)
        if signer.get("signer_uuid") != signer_id:
            raise not_proven(self, Doubt.OTHER_SIGNER)
        if signer.get("status") != APPROVED:
            raise not_proven(self, Doubt.SIGNER_NOT_APPROVED)
        number = signer.get("fid")
        if not isinstance(number, int) or isinstance(number, bool) or number <= 0:
            raise not_proven(self, Doubt.NO_ACCOUNT)
        return Proven(
            provider=self.provider, issuer=ISSUER, subject=str(number), name=f"Farcaster {number}"
        )

    def _described(
        self, peer: Peer, path: str, query: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Return an answer that only depends on our keys."""
        response = self._ask(peer, path, query or {})
        if not response.is_success:
            raise peer.misconfigured(Fault.CLIENT_REFUSED, status=response.status_code)
        return peer.read(response)

    def _ask(self, peer: Peer, path: str, query: Mapping[str, str]) -> httpx.Response:
        response = peer.get(
            str(httpx.URL(f"{API_URL}{path}", params=dict(query))), {"x-api-key": self.api_key}
        )
        if response.status_code == 401:
            raise peer.misconfigured(Fault.API_KEY_REFUSED)
        return response

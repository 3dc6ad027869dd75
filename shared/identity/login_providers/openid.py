"""Signs in with an OpenID provider: the authorization-code flow with PKCE, a nonce, and a verified ID token.

One connection is one client at one issuer: the operator's (GENERIC, GOOGLE), or an organization's company login.

Sources: OpenID Connect Core 1.0 sections 3.1.2.1, 3.1.3.7 and 5.3.2, OpenID Connect Discovery 1.0 section 4, RFC 6749, RFC
7636, RFC 9207; read 2026-11.
"""

import base64
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote_plus

import httpx
import jwt
from jwt.types import Options

from shared.core import clock
from shared.core.cleaning import clean_name
from shared.identity.errors import Trouble
from shared.identity.login_providers.base import (
    LEEWAY,
    Answer,
    Begun,
    Doubt,
    Proven,
    Start,
    began_at,
    begun_now,
    not_proven,
)
from shared.identity.login_providers.description import Description, Overrides, describe
from shared.identity.login_providers.keys import KeyRefused, signing_key
from shared.identity.login_providers.oauth import check_answer, new_pkce, read_email, read_tokens
from shared.identity.login_providers.peer import Peer
from shared.identity.models import LoginProvider
from shared.providers.answers import is_token

_SUBJECT = re.compile(r"[\x21-\x7e]{1,255}")  # OpenID Connect Core, section 2


@dataclass(frozen=True, slots=True)
class OpenIdLogin:
    """A login at one issuer. Without a client secret we are a public client, which PKCE alone protects."""

    provider: LoginProvider
    name: str
    issuer: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    scope: str = "openid profile email"
    overrides: Overrides = field(default_factory=Overrides)

    def begin(self, start: Start) -> Begun:
        """Build the address of the provider's page."""
        peer = Peer(self.provider, self.name)
        description = describe(peer, self.issuer, self.overrides)
        nonce = secrets.token_urlsafe(24)
        verifier, challenge = new_pkce()
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": start.redirect_uri,
            "scope": _with_openid(self.scope),
            "state": start.state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        url = httpx.URL(description.authorization_url).copy_merge_params(query)
        return Begun(
            str(url),
            {
                **begun_now(),
                "nonce": nonce,
                "verifier": verifier,
                "redirect_uri": start.redirect_uri,
            },
        )

    def finish(self, answer: Answer, remembered: Mapping[str, str]) -> Proven:
        """Exchange the code and verify the ID token."""
        begun = began_at(remembered)
        peer = Peer(self.provider, self.name)
        description = describe(peer, self.issuer, self.overrides)
        check_answer(self, answer, issuer=self.issuer, must_name_issuer=description.names_issuer)
        tokens = self._exchange(peer, description, answer.code, remembered)
        claims = self._verify(peer, description, tokens, remembered["nonce"], begun)
        return self._person(peer, description, claims, tokens.get("access_token"))

    def _exchange(
        self, peer: Peer, description: Description, code: str, remembered: Mapping[str, str]
    ) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": remembered["redirect_uri"],
            "code_verifier": remembered["verifier"],
            "client_id": self.client_id,
        }
        headers = {}
        if self.client_secret and description.takes_secret_in_form:
            form["client_secret"] = self.client_secret
        elif self.client_secret:
            headers["Authorization"] = _basic(self.client_id, self.client_secret)
        response = peer.post(description.token_url, form, headers)
        return read_tokens(self, peer, response)

    def _verify(
        self,
        peer: Peer,
        description: Description,
        tokens: Mapping[str, Any],
        nonce: str,
        begun: datetime,
    ) -> dict[str, Any]:
        """Return the claims of the ID token, all of which were checked."""
        token = tokens.get("id_token")
        if not isinstance(token, str):
            raise not_proven(self, Doubt.NO_ID_TOKEN)
        try:
            key = signing_key(peer, description.keys_url, jwt.get_unverified_header(token))
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                options=_SIGNATURE_ONLY,
            )
        except KeyRefused as error:
            raise not_proven(self, error.doubt) from error
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise not_proven(self, Doubt.SIGNATURE, error=type(error).__name__) from error
        if failed := self._failed_check(claims, nonce, begun):
            raise not_proven(self, failed)
        return claims

    def _failed_check(self, claims: Mapping[str, Any], nonce: str, begun: datetime) -> Doubt | None:
        """Return the first claim that is not as it must be (OpenID Connect Core, section 3.1.3.7)."""
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        now = clock.now().timestamp()
        given_nonce = claims.get("nonce")
        expires, issued, starts = (_number(claims.get(name)) for name in ("exp", "iat", "nbf"))
        leeway = LEEWAY.total_seconds()
        checks = {
            Doubt.ISSUER: claims.get("iss") == self.issuer,
            Doubt.AUDIENCE: self.client_id in audiences,
            Doubt.AUTHORIZED_PARTY: claims.get("azp") == self.client_id
            if "azp" in claims
            else len(audiences) == 1,
            Doubt.NONCE: isinstance(given_nonce, str)
            and hmac.compare_digest(given_nonce.encode(), nonce.encode()),
            Doubt.EXPIRY: expires is not None and expires > now - leeway,
            # Made for this login, and not before it began.
            Doubt.ISSUED_AT: issued is not None
            and begun.timestamp() - leeway <= issued <= now + leeway,
            Doubt.NOT_BEFORE: "nbf" not in claims
            or (starts is not None and starts <= now + leeway),
            Doubt.SUBJECT: _is_subject(claims.get("sub")),
        }
        return next((doubt for doubt, holds in checks.items() if not holds), None)

    def _person(
        self, peer: Peer, description: Description, claims: Mapping[str, Any], token: object
    ) -> Proven:
        """Read the address and name: from the ID token, or from userinfo if the address or its mark is missing."""
        subject = str(claims["sub"])
        userinfo: Mapping[str, Any] = {}
        if not {"email", "email_verified"} <= claims.keys() and description.userinfo_url:
            userinfo = self._userinfo(peer, description.userinfo_url, subject, token)
        # The address and its mark always come from the same place.
        vouching = userinfo if "email" in userinfo else claims
        email = read_email(vouching.get("email"))
        names = (
            clean_name(place.get(key))
            for key in ("name", "preferred_username")
            for place in (claims, userinfo)
        )
        return Proven(
            provider=self.provider,
            issuer=self.issuer,
            subject=subject,
            email=email,
            email_verified=email is not None and _is_true(vouching.get("email_verified")),
            name=next(filter(None, names), ""),
        )

    def _userinfo(self, peer: Peer, url: str, subject: str, token: object) -> dict[str, Any]:
        """Return the claims of userinfo, which must be about the same subject."""
        if not is_token(token):
            return {}
        response = peer.get(url, {"Authorization": f"Bearer {token}"})
        if not response.is_success:
            raise peer.unavailable(Trouble.UNREADABLE, what="userinfo", status=response.status_code)
        userinfo = peer.read(response)
        if userinfo.get("sub") != subject:
            raise not_proven(self, Doubt.USERINFO_SUBJECT)
        return userinfo


# Our clock decides the times, and `_failed_check` compares the other claims.
_SIGNATURE_ONLY: Options = {
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


def _with_openid(scope: str) -> str:
    scopes = scope.split()
    return " ".join(scopes if "openid" in scopes else ["openid", *scopes])


def _basic(client_id: str, client_secret: str) -> str:
    """Build the header of RFC 6749 section 2.3.1, which encodes both parts as in a form."""
    pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _is_subject(value: object) -> bool:
    return isinstance(value, str) and _SUBJECT.fullmatch(value) is not None


def _is_true(value: object) -> bool:
    """Return whether a provider vouches for an address. Some send the word instead of the JSON value."""
    return value is True or value == "true"


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None

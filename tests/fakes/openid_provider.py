"""An OpenID provider in memory, which can lie in every way that a login must notice.

with OpenIdProvider() as peer:                 # answers at https://id.example through httpx's transport
    peer.claims["email_verified"] = False      # what the next ID token says; None leaves a claim out
    answer = peer.consent(begun.url)           # what comes back through the browser
"""

import base64
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs

import httpx
import jwt
import respx
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from shared.identity.login_providers.base import Answer
from shared.identity.login_providers.description import forget_descriptions
from shared.identity.login_providers.keys import forget_keys

ISSUER = "https://id.example"
CLIENT_ID, CLIENT_SECRET = "roost-client", "its secret/with+signs"
_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
_STRANGERS = rsa.generate_private_key(public_exponent=65537, key_size=2048)
_EC = ec.generate_private_key(ec.SECP256R1())

Handler = Callable[[httpx.Request], httpx.Response]


def public_key(kid: str = "first", **changes: Any) -> dict[str, Any]:
    """Return the provider's RSA key as it is in the key set."""
    key = RSAAlgorithm.to_jwk(_RSA.public_key(), as_dict=True)
    return {**key, "kid": kid, "use": "sig", "alg": "RS256", **changes}


def elliptic_key(kid: str = "curve", **changes: Any) -> dict[str, Any]:
    """Return the provider's EC key as it is in the key set."""
    return {
        **ECAlgorithm.to_jwk(_EC.public_key(), as_dict=True),
        "kid": kid,
        "use": "sig",
        **changes,
    }


class OpenIdProvider:
    """One issuer with one user; what it says about itself and the user can be changed between the steps."""

    def __init__(self, issuer: str = ISSUER, now: Callable[[], float] = time.time) -> None:
        self.issuer = issuer
        self.now = now
        self.description: dict[str, Any] = {
            "issuer": issuer,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/keys",
            "userinfo_endpoint": f"{ISSUER}/userinfo",
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        }
        self.keys: list[Any] = [public_key(), elliptic_key()]
        self.header: dict[str, Any] = {"kid": "first"}
        self.algorithm = "RS256"
        self.secret: Any = _RSA
        self.claims: dict[str, Any] = {
            "sub": "248289761001",
            "email": "Ada@Example.com",
            "email_verified": True,
            "name": "Ada  Lovelace",
        }
        self.userinfo: dict[str, Any] = {"sub": "248289761001"}
        self.instead: dict[str, Handler] = {}
        """Other answers by path."""
        self.asked: list[str] = []
        self._codes: dict[str, Mapping[str, str]] = {}
        self._router = respx.MockRouter(assert_all_called=False)
        self._router.route().mock(side_effect=self._answer)

    def __enter__(self) -> "OpenIdProvider":
        forget_keys()
        forget_descriptions()
        self._router.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._router.stop()
        forget_keys()
        forget_descriptions()

    def consent(self, url: str, **changes: Any) -> Answer:
        """Return what the browser brings back after the person has agreed."""
        query = {
            name: values[0] for name, values in parse_qs(httpx.URL(url).query.decode()).items()
        }
        code = f"code-{len(self._codes)}"
        self._codes[code] = query
        return Answer(**{"code": code, **changes})

    def sign_with_a_strangers_key(self) -> None:
        """Sign from now on with a key that is not in the key set."""
        self.secret = _STRANGERS

    def sign_with_the_curve(self) -> None:
        """Sign from now on with ES256."""
        self.secret, self.algorithm, self.header = _EC, "ES256", {"kid": "curve"}

    def count(self, path: str) -> int:
        """Return how often a path was asked for."""
        return self.asked.count(path)

    def send_keys(self, _request: httpx.Request) -> httpx.Response:
        """Answer with the key set."""
        return httpx.Response(200, json={"keys": self.keys})

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.asked.append(path)
        if path in self.instead:
            return self.instead[path](request)
        if path.endswith("/.well-known/openid-configuration"):
            return httpx.Response(200, json=self.description)
        if path == "/keys":
            return self.send_keys(request)
        if path == "/token":
            return self._token(request)
        if path == "/userinfo":
            assert request.headers["authorization"] == "Bearer access"
            return httpx.Response(200, json=self.userinfo)
        return httpx.Response(404)

    def _token(self, request: httpx.Request) -> httpx.Response:
        form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        begun = self._codes.pop(form["code"], None)
        if begun is None or form["redirect_uri"] != begun["redirect_uri"]:
            return httpx.Response(400, json={"error": "invalid_grant"})
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == begun["code_challenge"]
        self._check_client(request, form)
        now = int(self.now())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": begun["nonce"],
            **self.claims,
        }
        return httpx.Response(
            200,
            json={"access_token": "access", "token_type": "Bearer", "id_token": self._sign(claims)},
        )

    def _check_client(self, request: httpx.Request, form: Mapping[str, str]) -> None:
        assert form["client_id"] == CLIENT_ID
        if "client_secret_post" in self.description["token_endpoint_auth_methods_supported"]:
            assert form["client_secret"] == CLIENT_SECRET
            return
        scheme, _, pair = request.headers["authorization"].partition(" ")
        assert scheme == "Basic"
        assert base64.b64decode(pair) == b"roost-client:its+secret%2Fwith%2Bsigns"

    def _sign(self, claims: Mapping[str, Any]) -> str:
        given = {name: value for name, value in claims.items() if value is not None}
        if self.algorithm in {"none", "HS256"}:
            return _with_public_key_as_secret(given, self.algorithm, self.header)
        payload = json.dumps(given).encode()  # claims of any type: `jwt.encode` would refuse some
        return jwt.PyJWS().encode(payload, self.secret, self.algorithm, self.header)


def _with_public_key_as_secret(
    claims: Mapping[str, Any], algorithm: str, header: Mapping[str, Any]
) -> str:
    """Make the two classic forgeries: no signature, and the public key as the shared secret."""

    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    signed = f"{part({'alg': algorithm, **header})}.{part(claims)}"
    if algorithm == "none":
        return f"{signed}."
    from cryptography.hazmat.primitives import hashes, hmac, serialization

    pem = _RSA.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    mac = hmac.HMAC(pem, hashes.SHA256())
    mac.update(signed.encode())
    return f"{signed}.{base64.urlsafe_b64encode(mac.finalize()).decode().rstrip('=')}"

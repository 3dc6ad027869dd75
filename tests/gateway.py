"""How tests call an HTTP function: by the event API Gateway would send, and nothing in between.

member = a_member(session, an_organization(session))
gateway = as_member(app, session, member)      # needs the fixtures `session` and `aws`
assert gateway.get("/user/self").json["role"] == "SUPERADMIN"
"""

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

import boto3
import httpx
from botocore.exceptions import ClientError
from sqlalchemy.orm import Session

from shared.apps.credentials import GRANT_PREFIX
from shared.apps.models import OAuthApp, OAuthGrant
from shared.aws.secrets import forget_secrets, secret
from shared.core.config import settings
from shared.core.crypto import hash_secret
from shared.core.ids import new_id
from shared.identity.tokens import SessionClaims, sign_access_token
from shared.organizations.models import ApiKey, Member
from shared.web.app import as_handler
from shared.web.bodies import is_json
from tests.builders import a_session, an_impersonation, an_operator
from tests.loop import use_loop

_NO_CONTEXT: Any = None  # no function reads it
# What API Gateway sent for a request without a body; a call changes only what it says.
_RECORDED = (Path(__file__).parents[1] / "events" / "http_api_request.json").read_text()


@dataclass(frozen=True, slots=True)
class Answer:
    """What API Gateway would have passed on. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    cookies: Mapping[str, str]
    set_cookies: tuple[str, ...]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass(slots=True)
class Gateway:
    """A caller of one function. Cookies that come back are sent with the next call, as a browser does."""

    app: Any
    headers: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    address: str = "203.0.113.7"

    def get(self, path: str, **options: Any) -> Answer:
        return self.call("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> Answer:
        return self.call("POST", path, body, **options)

    def put(self, path: str, body: Any = None, **options: Any) -> Answer:
        return self.call("PUT", path, body, **options)

    def delete(self, path: str, body: Any = None, **options: Any) -> Answer:
        return self.call("DELETE", path, body, **options)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | str | None = None,
        headers: Mapping[str, str] | None = None,
        text: str | None = None,
        content: bytes | None = None,
    ) -> Answer:
        """Call it. `body` is sent as JSON, `text` as it is; so is a `query` that is a text.

        `content` is a body that is no text, whose type is in `headers`.
        """
        sent = {**self.headers, **(headers or {})}
        if body is not None or text is not None:
            sent.setdefault("content-type", "application/json")
        asked = query if isinstance(query, str) else urlencode(query or {}, doseq=True)
        sent_body = json.dumps(body) if body is not None else text
        event = self._event(method, path, asked, sent, sent_body)
        if content is not None:
            event["headers"] |= {"content-length": str(len(content)), **sent}
            event |= {"body": base64.b64encode(content).decode(), "isBase64Encoded": True}
        use_loop()
        return self._read(as_handler(self.app)(event, _NO_CONTEXT))

    def _event(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: str | None
    ) -> dict[str, Any]:
        """Write a request over the recorded one; what the gateway leaves out is left out."""
        event: dict[str, Any] = json.loads(_RECORDED)
        context = event["requestContext"]
        event |= {
            "routeKey": "$default",
            "rawPath": path,
            "rawQueryString": query,
            "queryStringParameters": dict(parse_qsl(query, keep_blank_values=True)),
            "cookies": [f"{name}={value}" for name, value in self.cookies.items()],
            "body": body,
        }
        if self.cookies:  # a browser on one of our pages
            headers = {"sec-fetch-site": "same-origin", **headers}
        event["headers"] |= {
            "content-length": str(len((body or "").encode())),
            "x-forwarded-for": self.address,
            **headers,
        }
        context["routeKey"] = "$default"
        context["http"] |= {"method": method, "path": unquote(path), "sourceIp": self.address}
        optional = ("queryStringParameters", "cookies", "body")
        absent = {"pathParameters", *(name for name in optional if not event[name])}
        return {name: value for name, value in event.items() if name not in absent}

    def _read(self, answer: Mapping[str, Any]) -> Answer:
        set_cookies = tuple(answer.get("cookies") or ())
        parsed = SimpleCookie()
        for line in set_cookies:
            parsed.load(line)
        for name, morsel in parsed.items():
            if morsel["max-age"] == "0":
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = morsel.value
        headers = {name.lower(): value for name, value in (answer.get("headers") or {}).items()}
        return Answer(
            status=answer["statusCode"],
            headers=headers,
            cookies={name: morsel.value for name, morsel in parsed.items()},
            set_cookies=set_cookies,
            text=_unpacked(answer.get("body") or "", headers),
        )


def _unpacked(body: str, headers: Mapping[str, str]) -> str:
    """Read JSON that came packed, as every client does; what else is no text stays in base64."""
    if headers.get("content-encoding") != "gzip" or not is_json(headers["content-type"]):
        return body
    return gzip.decompress(base64.b64decode(body)).decode()


class Transport(httpx.BaseTransport):
    """What an `httpx` client sends goes to a caller of one function, as the gateway would hand it on."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Call the function; only bodies of text are sent."""
        answer = self._gateway.call(
            request.method,
            request.url.path,
            json.loads(request.read() or b"null"),
            query=dict(request.url.params),
            headers={"authorization": request.headers["authorization"]},
        )
        return httpx.Response(answer.status, text=answer.text)


def put_app_secret(**keys: str) -> None:
    """Store the application's secret with these signing keys, newest last; one key unless given. It has no pepper."""
    _put_app_secret({"jwtKeys": json.dumps(keys or {"1": "k" * 32})})


def put_peppers(peppers: Mapping[str, str]) -> None:
    """Store these peppers of passwords in the application's secret, newest last."""
    stored = dict(secret(settings().app_secret_name))
    _put_app_secret({**stored, "passwordPepper": json.dumps(peppers)})


def _put_app_secret(values: Mapping[str, str]) -> None:
    client = boto3.client("secretsmanager")
    name, value = settings().app_secret_name, json.dumps(values)
    try:
        client.create_secret(Name=name, SecretString=value)
    except client.exceptions.ResourceExistsException:
        client.put_secret_value(SecretId=name, SecretString=value)
    forget_secrets()


def _need_app_secret() -> None:
    try:
        secret(settings().app_secret_name)
    except ClientError:
        put_app_secret()


def as_member(app: Any, session: Session, member: Member, **columns: Any) -> Gateway:
    """Return a caller who is signed in as `member`; `columns` are those of the session."""
    _need_app_secret()
    user_id = member.user_id
    session_id = a_session(session, user_id, **columns)
    token = sign_access_token(SessionClaims(user_id, session_id))
    return Gateway(app, {"auth": token, "showorg": str(member.organization_id)})


STRONG = ["password", "totp"]
"""The methods of a session that has proven a second factor."""


def as_operator(app: Any, session: Session, operator: Member | None = None) -> Gateway:
    """Return a super admin who is signed in with a second factor."""
    return as_member(app, session, operator or an_operator(session), methods=STRONG)


def in_place_of(
    app: Any, session: Session, member: Member, operator: Member | None = None, **columns: Any
) -> Gateway:
    """Return a super admin who acts as `member`; `columns` are those of the impersonation."""
    _need_app_secret()
    user_id = (operator or an_operator(session)).user_id
    session_id = a_session(session, user_id, methods=STRONG)
    an_impersonation(session, user_id, session_id, member, **columns)
    token = sign_access_token(SessionClaims(user_id, session_id))
    return Gateway(app, {"auth": token, "impersonate": str(member.id)})


def by_key(
    app: Any,
    session: Session,
    member: Member,
    *,
    scopes: Sequence[str] = ("read", "write"),
    **columns: Any,
) -> Gateway:
    """Return a caller with an API key that `member` made."""
    key = f"roost_{new_id()}"
    session.add(
        ApiKey(
            organization_id=member.organization_id,
            created_by=member.user_id,
            name="test",
            key_hash=hash_secret(key),
            hint=key[-4:],
            scopes=list(scopes),
            **columns,
        )
    )
    session.flush()
    return Gateway(app, {"authorization": key})


def by_grant(
    app: Any,
    session: Session,
    member: Member,
    *,
    scopes: Sequence[str] = ("mcp:read", "mcp:write"),
    **columns: Any,
) -> Gateway:
    """Return a caller with a token that `member` let a program have."""
    program = OAuthApp(client_id=f"pca_{new_id()}", name="test", redirect_uris=["https://a.test/"])
    session.add(program)
    session.flush()
    token = f"{GRANT_PREFIX}{new_id()}"
    session.add(
        OAuthGrant(
            app_id=program.id,
            organization_id=member.organization_id,
            user_id=member.user_id,
            token_hash=hash_secret(token),
            scopes=list(scopes),
            **columns,
        )
    )
    session.flush()
    return Gateway(app, {"authorization": token})

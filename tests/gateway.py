"""How tests call an HTTP function: by the event API Gateway would send, and nothing in between."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import unquote, urlencode

from shared.web.app import as_handler

_NO_CONTEXT: Any = None  # no function reads it


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
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        text: str | None = None,
    ) -> Answer:
        """Call it. `body` is sent as JSON, `text` as it is."""
        sent = {**self.headers, **(headers or {})}
        if body is not None or text is not None:
            sent.setdefault("content-type", "application/json")
        event = {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": path,
            "rawQueryString": urlencode(query or {}, doseq=True),
            "headers": {"host": "api.test", **sent},
            "cookies": [f"{name}={value}" for name, value in self.cookies.items()],
            "body": json.dumps(body) if body is not None else text,
            "isBase64Encoded": False,
            "requestContext": {
                "http": {"method": method, "path": unquote(path), "sourceIp": self.address},
                "requestId": "request-from-gateway",
            },
        }
        return self._read(as_handler(self.app)(_without_none(event), _NO_CONTEXT))

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
        return Answer(
            status=answer["statusCode"],
            headers={name.lower(): value for name, value in (answer.get("headers") or {}).items()},
            cookies={name: morsel.value for name, morsel in parsed.items()},
            set_cookies=set_cookies,
            text=answer.get("body") or "",
        )


def _without_none(event: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in event.items() if value is not None}

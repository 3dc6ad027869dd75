"""The API reference at `/docs`: Swagger UI, served from here and restricted to its own files.

Its two files come from the package `fastapi-swagger`, whose code is not imported. The package contains Swagger UI's npm
package and follows it within days: 69 versions from 2024-08 to 2026-10 (its page on the Python Package Index, read
2026-11).
"""

import functools
import gzip
import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Self

from fastapi import Request, Response

from shared.core.errors import NotFound
from shared.web.packing import takes_gzip

_PACKAGE = "fastapi-swagger"
_FOLDER = "fastapi_swagger/resources"
KEPT_SHORTLY = "public, max-age=300"
_KEPT_FOR_EVER = "public, max-age=31536000, immutable"
# All scripts and styles are our own files. Swagger UI does not use `eval` and sets its styles through the DOM; its pictures
# are in its style sheet.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

# Source: swagger.io/docs/open-source-tools/swagger-ui/usage/configuration, read 2026-11.
_OPTIONS = {
    "url": "/openapi.json",
    "dom_id": "#reference",
    "deepLinking": True,
    "defaultModelsExpandDepth": 0,
    "displayRequestDuration": True,
    "docExpansion": "none",
    "filter": True,
    "persistAuthorization": True,
    "tryItOutEnabled": True,
    "validatorUrl": None,  # do not send the document to a validator
}
_START = f"""\
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();
const options = {json.dumps(_OPTIONS)};
options.oauth2RedirectUrl = new URL("/docs/oauth2-redirect.html", location).href;
SwaggerUIBundle(options).initOAuth({{usePkceWithAuthorizationCodeGrant: true}});
"""
_PAGE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Roost API</title><link rel="icon" href="data:,"><link rel="stylesheet" href="{css}"></head>
<body><div id="reference"></div>
<noscript>This page needs JavaScript. You can read the <a href="/openapi.json">OpenAPI document</a> instead.</noscript>
<script src="{bundle}"></script><script src="{start}"></script></body></html>
"""
# The end of a consent in another window: the reference waits for the result under this name.
# Source: swagger.io/docs/open-source-tools/swagger-ui/usage/oauth2, read 2026-11.
_HAND_OVER = """\
const waiting = window.opener && window.opener.swaggerUIRedirectOauth2;
if (waiting) {
  const said = new URLSearchParams(location.search), {auth, redirectUrl} = waiting;
  const isOurs = said.get("state") === waiting.state, code = said.get("code");
  if (isOurs && code) {
    auth.code = code;
    waiting.callback({auth, redirectUrl});
  } else {
    const message = isOurs ? said.get("error_description") || said.get("error") : "This answer belongs to another sign-in. Try again.";
    waiting.errCb({authId: auth.name, source: "auth", level: "error", message: message || "The answer contains no code. Try again."});
  }
  window.close();
}
"""
_RETURN = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Roost API</title></head>
<body>You can close this window.<script src="{script}"></script></body></html>
"""


@dataclass(frozen=True, slots=True)
class Served:
    """A file in both forms, plain and gzipped, because compressing takes longer than sending."""

    plain: bytes
    gzipped: bytes
    media_type: str
    version: str

    @classmethod
    def of(cls, content: bytes, media_type: str) -> Self:
        digest = hashlib.sha256(content).hexdigest()[:12]
        return cls(content, gzip.compress(content, mtime=0), media_type, digest)

    def answer(self, request: Request, **headers: str) -> Response:
        """Send it, gzipped if the client accepts that, because Lambda answers at most 6 MB, and slowly."""
        headers |= {"vary": "accept-encoding"}
        if not takes_gzip(request.headers.get("accept-encoding", "")):
            return Response(self.plain, media_type=self.media_type, headers=headers)
        headers |= {"content-encoding": "gzip"}
        return Response(self.gzipped, media_type=self.media_type, headers=headers)


def show_page(request: Request) -> Response:
    """Return the HTML page."""
    return _html(_PAGE).answer(
        request, **{"cache-control": KEPT_SHORTLY, "content-security-policy": _POLICY}
    )


def show_file(request: Request, name: str) -> Response:
    """Return a file of the HTML page. Its address contains the version, so browsers can cache it forever.

    Raises:
        NotFound: there is no such file.
    """
    if name == "oauth2-redirect.html":
        return _html(_RETURN).answer(request, **{"content-security-policy": _POLICY})
    if name not in _FILES:
        raise NotFound("The reference has no such file.")
    file = _file(name)
    is_this = request.query_params.get("v") == file.version
    return file.answer(request, **{"cache-control": _KEPT_FOR_EVER if is_this else KEPT_SHORTLY})


# Our own files with their content; None: from the package.
_FILES: dict[str, str | None] = {
    "swagger-ui.css": None,
    "swagger-ui-bundle.js": None,
    "start.js": _START,
    "oauth2-redirect.js": _HAND_OVER,
}


@functools.cache
def _html(template: str) -> Served:
    html = template.format(
        css=_address("swagger-ui.css"),
        bundle=_address("swagger-ui-bundle.js"),
        start=_address("start.js"),
        script=_address("oauth2-redirect.js"),
    )
    return Served.of(html.encode(), "text/html; charset=utf-8")


def _address(name: str) -> str:
    return f"/docs/{name}?v={_file(name).version}"


@functools.cache
def _file(name: str) -> Served:
    own = _FILES[name]
    content = _packaged(name) if own is None else own.encode()
    kind = "text/css" if name.endswith(".css") else "text/javascript"
    return Served.of(content, f"{kind}; charset=utf-8")


def _packaged(name: str) -> bytes:
    return Path(str(distribution(_PACKAGE).locate_file(f"{_FOLDER}/{name}"))).read_bytes()

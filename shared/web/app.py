"""Builds an HTTP function: its routes and their shared layers.

app = make_app("posts", routers=[posts])
handler = as_handler(app)
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from mangum import Mangum
from mangum.adapter import DEFAULT_TEXT_MIME_TYPES
from starlette.middleware.cors import CORSMiddleware

from shared.access.policy import check_rate_limits
from shared.core.config import settings
from shared.db.invocations import closes_connections
from shared.web.edge import REQUEST_ID, BodyLimit, Edge
from shared.web.errors import PROBLEM_JSON, Render, add_handlers, problem_response
from shared.web.paths import Paths
from shared.web.routing import Route, Router

MAX_BODY_BYTES = 2 * 1024**2
_OURS_TO_SEND = [
    "content-type",
    "authorization",
    "auth",
    "showorg",
    "impersonate",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "mcp-protocol-version",
    "mcp-method",
    "mcp-name",
    REQUEST_ID,
]
_OURS_TO_READ = [
    REQUEST_ID, "etag", "link", "warning", "retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset",
    "www-authenticate", "reload", "onboarding", "activate", "logout",
]  # fmt: skip


def make_app(
    name: str,
    *,
    routers: Sequence[Router],
    max_body_bytes: int = MAX_BODY_BYTES,
    body_limits: Mapping[str, BodyLimit] | None = None,
    render: Render = problem_response,
    below_api: bool = False,
) -> FastAPI:
    """Make the application of the function `name`; `render` renders its refusals.

    `body_limits` sets other size limits for the bodies of some paths. With `below_api`, its paths also work below `/api`. The
    function `root` serves its document, merged with the others.
    """
    check_rate_limits()
    app = FastAPI(
        title=f"Roost: {name}",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
    )
    for router in routers:
        # Not include_router: that would match every request twice and hide the routes' own paths.
        app.router.routes.extend(router.routes)
    add_handlers(app, render)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings().cors_origins,
        allow_credentials=True,
        allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=_OURS_TO_SEND,
        expose_headers=_OURS_TO_READ,
    )
    templates = (
        route.path for router in routers for route in router.routes if isinstance(route, Route)
    )
    app.add_middleware(
        Edge,
        paths=Paths(templates, below_api=below_api),
        max_body_bytes=max_body_bytes,
        body_limits=body_limits,
        render=render,
    )
    return app


def as_handler(app: FastAPI) -> Callable[[Any, Any], dict[str, Any]]:
    """Make the Lambda handler of an application. It has no startup, because clients are created at first use."""
    texts = [*DEFAULT_TEXT_MIME_TYPES, PROBLEM_JSON]
    return closes_connections(Mangum(app, lifespan="off", text_mime_types=texts))

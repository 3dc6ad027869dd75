"""`/`: health, readiness, the monitor of publishing, and the API reference."""

import functools
from datetime import timedelta
from pathlib import Path

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse

from shared.core import clock
from shared.core.config import settings
from shared.core.errors import NotFound
from shared.publishing.failures import state_of_publishing
from shared.publishing.schemas import QueueState
from shared.web import reference
from shared.web.app import as_handler, make_app
from shared.web.deps import Reading
from shared.web.health import Health, Readiness, health, readiness
from shared.web.html import start_page
from shared.web.routing import Router

_CONTACT_IS_GOOD_FOR = timedelta(days=180)  # RFC 9116, section 2.5.5: less than a year
_DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"

root = Router(tags=["Running"])


@root.get("/", response_class=PlainTextResponse)
def get_start_page(request: Request) -> Response:
    """Show that Roost is running, with links: html for a browser, a line of text for other clients."""
    if "text/html" in request.headers.get("accept", ""):
        return start_page()
    return PlainTextResponse("Roost is running. The API is described at /docs.\n")


@root.get("/health")
def get_health() -> Health:
    """Report that this function is alive. Checks nothing else."""
    return health()


@root.get(
    "/health/ready",
    responses={503: {"description": "A dependency fails; the answer names it", "model": Readiness}},
)
def get_health_readiness(response: Response) -> Readiness:
    """Check the database, the queue and the storage, and name the one that does not answer."""
    found = readiness()
    response.status_code = 200 if found.status == "ok" else 503
    return found


@root.get(
    "/monitor/queue/{queue}",
    responses={503: {"description": "Due posts are not published", "model": QueueState}},
)
def get_queue_state(queue: str, response: Response, session: Reading) -> QueueState:
    """Report whether due posts are published, for monitors. `publish` is the only queue that is watched."""
    if queue != "publish":
        raise NotFound("This queue is not watched. Use `publish`.")
    found = state_of_publishing(session)
    response.status_code = 200 if found.status == "success" else 503
    return found


@root.get(
    "/.well-known/security.txt",
    response_class=PlainTextResponse,
    responses={404: {"description": "This server names no contact"}},
)
def get_security_contact() -> PlainTextResponse:
    """Tell where to report a vulnerability of this server (RFC 9116)."""
    contact = settings().security_contact
    if not contact:
        raise NotFound("This server names no contact for security reports. Ask its operator.")
    expires = clock.now().replace(hour=0, minute=0, second=0, microsecond=0) + _CONTACT_IS_GOOD_FOR
    lines = [
        f"Contact: {contact}",
        f"Expires: {expires:%Y-%m-%dT%H:%M:%SZ}",
        f"Canonical: {settings().public_url}/.well-known/security.txt",
    ]
    return PlainTextResponse("\n".join([*lines, ""]))


@root.get(
    "/openapi.json",
    responses={200: {"content": {"application/json": {"schema": {"type": "object"}}}}},
)
def get_openapi_document(request: Request) -> Response:
    """Return the description of the whole API as an OpenAPI 3.1 document."""
    return _document().answer(request, **{"cache-control": reference.KEPT_SHORTLY})


@root.get("/docs", response_class=HTMLResponse)
def get_docs(request: Request) -> Response:
    """Show the API reference, where routes can be tried."""
    return reference.show_page(request)


@root.get("/docs/{file}", include_in_schema=False)
def get_file_of_reference(file: str, request: Request) -> Response:
    """Return a file of the API reference."""
    return reference.show_file(request, file)


app = make_app("root", routers=[root])
handler = as_handler(app)


@functools.cache
def _document() -> reference.Served:
    return reference.Served.of(_DOCUMENT.read_bytes(), "application/json")

"""The routes for people: html, pictures and styles. None of them needs a token.

They show every status, including those for followers only, with a label: a sandbox has no secrets, and a person who
follows a link from Roost wants to see the post.
"""

from collections.abc import Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

from local.sandbox import accounts, pages, pictures, statuses
from local.sandbox.entities import Entity, status_entities
from local.sandbox.network import Network, network_of
from local.sandbox.statuses import Status

_ASSETS = Path(__file__).parent / "assets"
_ASSET_TYPES = {
    "sandbox.css": "text/css",
    "live.js": "text/javascript",
    "choose.js": "text/javascript",
}
_THREADS_PER_PAGE = 40
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'self';"
        " script-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
}
_PICTURE_HEADERS = {"Cache-Control": "public, max-age=86400", "X-Content-Type-Options": "nosniff"}


def home(request: Request) -> Response:
    network = network_of(request)
    starts = statuses.thread_starts(network.database, None, limit=_THREADS_PER_PAGE)
    everybody = accounts.list_accounts(network.database)
    return _page(pages.home(everybody, _threads(network, starts)))


def profile(request: Request) -> Response:
    network = network_of(request)
    account = accounts.find_account_by_name(network.database, request.path_params["name"])
    if account is None:
        return missing()
    starts = statuses.thread_starts(network.database, account, limit=_THREADS_PER_PAGE)
    posted, _ = statuses.tally(network.database, account)
    return _page(pages.profile(account, _threads(network, starts), posted=posted))


def _threads(network: Network, starts: Sequence[Status]) -> list[list[Entity]]:
    return [
        _entities(network, [start, *statuses.descendants(network.database, start)])
        for start in starts
    ]


def status(request: Request) -> Response:
    network = network_of(request)
    found = statuses.find_for_html(network.database, request.path_params["id"])
    account = accounts.find_account(network.database, found.account) if found else None
    if found is None or account is None or account.name != request.path_params["name"].lower():
        return missing()
    around = [
        *statuses.ancestors(network.database, found),
        found,
        *statuses.descendants(network.database, found),
    ]
    return _page(pages.single(_entities(network, around), focused_id=str(found.id)))


def tag(request: Request) -> Response:
    network = network_of(request)
    name = request.path_params["name"]
    found = statuses.tagged(network.database, name, limit=_THREADS_PER_PAGE)
    return _page(pages.tag(name, _entities(network, found)))


def _entities(network: Network, listed: Sequence[Status]) -> list[Entity]:
    return status_entities(network, listed, viewer=None)


def missing() -> Response:
    """Answer 404 with html."""
    return HTMLResponse(pages.missing(), status_code=404, headers=_HEADERS)


def _page(html: str) -> Response:
    return HTMLResponse(html, headers=_HEADERS)


def avatar(request: Request) -> Response:
    return _picture(pictures.avatar(request.path_params["name"].lower()))


def header(request: Request) -> Response:
    return _picture(pictures.header(request.path_params["name"].lower()))


def _picture(png: bytes) -> Response:
    return Response(png, media_type="image/png", headers=_PICTURE_HEADERS)


def media_file(request: Request) -> Response:
    """Answer with an uploaded file or its small copy; the route matches only their names."""
    name = request.path_params["name"]
    path = network_of(request).media_directory / name
    content_type = pictures.CONTENT_TYPES.get(path.suffix[1:])
    if content_type is None or path.parent != network_of(request).media_directory:
        return missing()
    if not path.is_file():
        return missing()
    return FileResponse(path, media_type=content_type, headers=_PICTURE_HEADERS)


def asset(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _ASSET_TYPES:
        return missing()
    return FileResponse(
        _ASSETS / name, media_type=_ASSET_TYPES[name], headers={"Cache-Control": "no-cache"}
    )

"""The sandbox: a small social network on one machine with Mastodon's API, durable state, and faults on request.

In a program, `make_sandbox(home, public_url=...)` returns an ASGI application to be served at that address;
`ensure_account`, `ensure_client` and `issue_token` connect without a browser. `python -m local.sandbox` runs it alone.
Its state is in `home/sandbox.sqlite3` and `home/sandbox-media/`, and is committed before a request is answered.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from local.sandbox import accounts, api, control, media, oauth, site
from local.sandbox.accounts import Account, Client
from local.sandbox.database import Clock, Database
from local.sandbox.faults import TRANSPORT, Faults, Kind
from local.sandbox.gate import Handler, gated
from local.sandbox.network import Network
from shared.core import clock as system_clock

PROCESSING = timedelta(milliseconds=600)
ROOST_SCOPES = ("read:accounts", "read:statuses", "write:media", "write:statuses")


class Sandbox:
    """A running network: an ASGI application with methods for programs in the same process."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._web = Starlette(routes=_routes(), exception_handlers={HTTPException: _unrouted})
        self._web.state.network = network

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, and keep the server's transport so that a fault can close it.

        ASGI has no message for closing a connection without an answer, so the transport is taken from uvicorn's request
        cycle, to which the method `send` belongs. Other servers have no transport, and a drop raises `ConnectionDropped`.
        """
        cycle = getattr(send, "__self__", None)
        scope[TRANSPORT] = getattr(cycle, "transport", None)
        if scope["type"] == "http":  # Mastodon accepts a trailing slash, and some clients send one
            scope["path"] = scope["path"].rstrip("/") or "/"
        await self._web(scope, receive, send)

    def close(self) -> None:
        """Close the database."""
        self.network.database.close()

    def next_moment(self) -> datetime | None:
        """Return when the next uploaded file is ready."""
        return media.next_ready(self.network.database)

    def ensure_account(self, name: str) -> Account:
        """Return the account called `name`; create it if it does not exist."""
        return accounts.ensure_account(self.network.database, name)

    def ensure_client(
        self,
        name: str,
        *,
        redirect_uris: Sequence[str],
        scopes: Sequence[str] = ROOST_SCOPES,
        website: str | None = None,
    ) -> Client:
        """Return the client that registered as `name` with these addresses and scopes, or register it."""
        found = accounts.find_client_by_name(
            self.network.database, name, redirect_uris=redirect_uris, scopes=scopes
        )
        return found or accounts.register_client(
            self.network.database,
            name=name,
            website=website,
            redirect_uris=redirect_uris,
            scopes=scopes,
        )

    def issue_token(
        self, account: Account, client: Client, *, scopes: Sequence[str] | None = None
    ) -> str:
        """Create a bearer token of `client` for `account`, with all the client's scopes if none are given."""
        return accounts.issue_token(
            self.network.database,
            client=client.id,
            account=account.id,
            scopes=client.scopes if scopes is None else scopes,
        )


def make_sandbox(
    home: Path,
    *,
    public_url: str,
    clock: Clock = system_clock.now,
    processing: timedelta = PROCESSING,
) -> Sandbox:
    """Open the network in `home`; create the folder if it does not exist.

    `processing` is how long an uploaded file is unfinished. Real servers take longer for videos than for pictures;
    here both take the same time.
    """
    media_directory = home / "sandbox-media"
    media_directory.mkdir(parents=True, exist_ok=True)
    return Sandbox(
        Network(
            database=Database(home / "sandbox.sqlite3", clock=clock),
            faults=Faults(),
            media_directory=media_directory,
            public_url=public_url.rstrip("/"),
            processing=processing,
        )
    )


def _routes() -> list[BaseRoute]:
    return [
        _route("POST", "/api/v1/apps", Kind.OTHER, oauth.register_app),
        _route("GET", "/api/v1/apps/verify_credentials", Kind.READ, oauth.verify_app),
        _route("POST", "/oauth/token", Kind.TOKEN, oauth.token),
        _route("POST", "/oauth/revoke", Kind.OTHER, oauth.revoke),
        _route("GET", "/oauth/userinfo", Kind.READ, oauth.userinfo),
        _route("GET", "/.well-known/oauth-authorization-server", Kind.READ, oauth.describe_server),
        Route("/oauth/authorize", oauth.authorize_page, methods=["GET"]),
        Route("/oauth/authorize", oauth.authorize, methods=["POST"]),
        _route("GET", "/api/v1/accounts/verify_credentials", Kind.VERIFY, api.verify_credentials),
        _route("GET", "/api/v1/accounts/lookup", Kind.READ, api.look_up_account),
        _route("GET", "/api/v1/accounts/search", Kind.READ, api.search_accounts),
        _route("GET", "/api/v1/accounts/{id}", Kind.READ, api.get_account),
        _route("GET", "/api/v1/accounts/{id}/statuses", Kind.READ, api.list_account_statuses),
        _route("GET", "/api/v2/search", Kind.READ, api.search),
        _route("POST", "/api/v2/media", Kind.MEDIA, api.upload_media),
        _route("POST", "/api/v1/media", Kind.MEDIA, api.upload_media_at_once),
        _route("GET", "/api/v1/media/{id}", Kind.PROCESSING, api.get_media),
        _route("PUT", "/api/v1/media/{id}", Kind.MEDIA, api.change_media),
        _route("POST", "/api/v1/statuses", Kind.STATUSES, api.post_status),
        _route("GET", "/api/v1/statuses/{id}", Kind.READ, api.get_status),
        _route("DELETE", "/api/v1/statuses/{id}", Kind.OTHER, api.delete_status),
        _route("GET", "/api/v1/statuses/{id}/context", Kind.READ, api.get_status_context),
        _route("GET", "/api/v1/instance", Kind.READ, api.get_old_instance),
        _route("GET", "/api/v2/instance", Kind.READ, api.get_instance),
        Route("/api/{rest:path}", gated(Kind.OTHER, api.no_such_method), methods=_ALL_METHODS),
        Route("/_faults", control.add_fault, methods=["POST"]),
        Route("/_faults", control.list_faults, methods=["GET"]),
        Route("/_faults", control.clear_faults, methods=["DELETE"]),
        Route("/_log", control.list_requests, methods=["GET"]),
        Route("/_statuses", control.list_statuses, methods=["GET"]),
        Route("/", site.home, methods=["GET"]),
        Route("/@{name}", site.profile, methods=["GET"]),
        Route("/@{name}/{id}", site.status, methods=["GET"]),
        Route("/@{name}/statuses/{id}", site.status, methods=["GET"]),
        Route("/tags/{name}", site.tag, methods=["GET"]),
        Route("/avatars/{name}.png", site.avatar, methods=["GET"]),
        Route("/headers/{name}.png", site.header, methods=["GET"]),
        Route("/media/{name}", site.media_file, methods=["GET"]),
        Route("/assets/{name}", site.asset, methods=["GET"]),
    ]


_ALL_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def _route(method: str, path: str, kind: Kind, handler: Handler) -> Route:
    return Route(path, gated(kind, handler), methods=[method])


def _unrouted(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    response = site.missing()
    response.status_code = error.status_code
    return response

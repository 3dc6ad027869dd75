"""Shared by the sandbox's modules: its state, its address, and a request."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from local.sandbox import accounts
from local.sandbox.accounts import Account, Token
from local.sandbox.database import Database
from local.sandbox.faults import Faults
from local.sandbox.refusals import Refused, token_invalid

_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Network:
    """One running sandbox. `public_url` has no trailing slash."""

    database: Database
    faults: Faults
    media_directory: Path
    public_url: str
    processing: timedelta


def network_of(request: Request) -> Network:
    """Return the sandbox that received `request`."""
    network = request.app.state.network
    assert isinstance(network, Network)
    return network


class Params:
    """A request's fields, from its query and its JSON or form body; the body wins.

    `media_ids[]=1&media_ids[]=2` and `{"media_ids": ["1", "2"]}` are equivalent.
    """

    def __init__(self, values: Mapping[str, Sequence[Any]]) -> None:
        self._values = values

    def text(self, name: str) -> str | None:
        """Return the last value; None when it is absent or null."""
        values = self.texts(name)
        return values[-1] if values else None

    def texts(self, name: str) -> list[str]:
        """Return all values, in order."""
        values = self._values.get(name, ())
        return [str(value) for value in values if not isinstance(value, UploadFile)]

    def flag(self, name: str) -> bool:
        """Return whether the value means yes."""
        return (self.text(name) or "").lower() in ("1", "true", "on", "yes")

    def number(self, name: str, *, default: int, most: int) -> int:
        """Return a count from 1 to `most`; a value that is not a number counts as absent."""
        value = self.text(name) or ""
        return min(max(int(value), 1), most) if _NUMBER.fullmatch(value) else default

    def file(self, name: str) -> UploadFile | None:
        """Return the uploaded file."""
        values = self._values.get(name, ())
        return next((value for value in values if isinstance(value, UploadFile)), None)


@dataclass(frozen=True, slots=True)
class Call:
    """One request whose body has been read; it can be processed in any thread."""

    request: Request
    network: Network
    params: Params
    token: Token | None

    @property
    def database(self) -> Database:
        return self.network.database

    @property
    def viewer(self) -> Account | None:
        """The calling account; None without a valid token."""
        return self.token.account if self.token and not self.token.revoked else None

    @property
    def idempotency_key(self) -> str | None:
        return self.request.headers.get("Idempotency-Key") or None

    def path(self, name: str) -> str:
        """Return a path parameter."""
        return str(self.request.path_params[name])

    def authorized(self, *scopes: str) -> Token:
        """Return the token if it has one of `scopes`.

        Raises:
            Refused: 401 or 403, with Mastodon's words.
        """
        if self.token is None:
            raise token_invalid()
        if self.token.revoked:
            raise Refused(401, "The access token was revoked")
        if not self.token.allows(scopes):
            raise Refused(403, "This action is outside the authorized scopes")
        return self.token

    def account(self, *scopes: str) -> Account:
        """Return the calling account if its token has one of `scopes`.

        Raises:
            Refused: also if the token belongs to a client and not to an account.
        """
        account = self.authorized(*scopes).account
        if account is None:
            raise Refused(422, "This method requires an authenticated user")
        return account


async def read_params(request: Request) -> Params:
    """Read the query and the body.

    Raises:
        Refused: the body claims to be JSON and is not, or is not an object.
    """
    values: dict[str, list[Any]] = {}
    for name in request.query_params:
        values[_bare(name)] = list(request.query_params.getlist(name))
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        values.update(_json_values(await request.body()))
    elif kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
        values.update(_form_values(await request.form()))
    return Params(values)


def _json_values(body: bytes) -> dict[str, list[Any]]:
    try:
        fields = json.loads(body or b"{}")
        json.dumps(fields, ensure_ascii=False).encode()  # half a surrogate pair cannot be stored
    except (ValueError, RecursionError) as error:
        raise Refused(400, "Error occurred while parsing request parameters") from error
    if not isinstance(fields, dict):
        raise Refused(400, "Error occurred while parsing request parameters")
    return {
        _bare(name): value if isinstance(value, list) else [] if value is None else [value]
        for name, value in fields.items()
    }


def _form_values(form: FormData) -> dict[str, list[Any]]:
    return {_bare(name): list(form.getlist(name)) for name in form}


def _bare(name: str) -> str:
    return name.removesuffix("[]")


def bearer(request: Request) -> str | None:
    """Return the token of the Authorization header."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def call_of(request: Request, params: Params) -> Call:
    """Read the request's caller and parameters."""
    network = network_of(request)
    token = bearer(request)
    return Call(
        request=request,
        network=network,
        params=params,
        token=accounts.find_token(network.database, token) if token else None,
    )

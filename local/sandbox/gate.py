"""The path of every API request: it is logged, may meet a fault, is carried out, and its answer is logged.

The log entry is committed first, so `GET /_log` contains a request even if the process died during it.
"""

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from datetime import timedelta

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from local.sandbox import accounts
from local.sandbox.database import Database, moment
from local.sandbox.faults import Action, Dropped, Fault, Kind, Trait, refusal
from local.sandbox.network import Call, Params, call_of, network_of, read_params
from local.sandbox.refusals import Refused
from shared.core.clock import to_wire

Handler = Callable[[Call], Response]
Endpoint = Callable[[Request], Awaitable[Response]]

KEPT_ENTRIES = 20_000


def gated(kind: Kind, handler: Handler) -> Endpoint:
    """Make an endpoint from `handler` for requests of `kind`."""

    async def endpoint(request: Request) -> Response:
        try:
            params = await read_params(request)
        except Refused as error:
            return await run_in_threadpool(_note_unreadable, request, error)
        try:
            response, fault = await run_in_threadpool(_answer, request, params, kind, handler)
        finally:
            await request.close()
        if fault and fault.action == Action.TIMEOUT:
            await _hold(request, fault.seconds)
        packs = network_of(request).faults.has(Trait.COMPRESSED)
        return _packed(response) if packs and not isinstance(response, Dropped) else response

    return endpoint


def _packed(response: Response) -> Response:
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    headers["content-encoding"] = "gzip"
    return Response(gzip.compress(bytes(response.body)), response.status_code, headers)


def _answer(
    request: Request, params: Params, kind: Kind, handler: Handler
) -> tuple[Response, Fault | None]:
    call = call_of(request, params)
    account = _account_name(call, kind)
    fault = call.network.faults.take(kind, account)
    entry = note(call.database, request, account=account, fault=fault)
    if fault and not fault.action.carries_out:
        response = _spoiled(call.database, fault)
    else:
        response = _carried_out(call, handler)
        if fault and fault.action != Action.TIMEOUT:
            response = _spoiled(call.database, fault)
    silent = isinstance(response, Dropped) or (fault and fault.action == Action.TIMEOUT)
    if not silent:
        note_answer(call.database, entry, response.status_code)
    return response, fault


def _account_name(call: Call, kind: Kind) -> str | None:
    """Return the name of the request's account; for a token request, the account of its code."""
    if call.viewer is not None:
        return call.viewer.name
    code = call.params.text("code") if kind == Kind.TOKEN else None
    grant = accounts.find_grant(call.database, code) if code else None
    account = accounts.find_account(call.database, grant.account) if grant else None
    return account.name if account else None


def _carried_out(call: Call, handler: Handler) -> Response:
    try:
        return handler(call)
    except Refused as error:
        return refused_response(error)


def refused_response(error: Refused) -> Response:
    """Write a refusal in Mastodon's format."""
    body = {"error": error.error}
    if error.description:
        body["error_description"] = error.description
    return JSONResponse(body, status_code=error.status)


def _spoiled(database: Database, fault: Fault) -> Response:
    if fault.action in (Action.DROP_BEFORE, Action.DROP_AFTER_ACCEPT):
        return Dropped()
    response = refused_response(refusal(fault))
    if fault.action == Action.RATE_LIMITED:
        opens = moment(database.now_ms()) + timedelta(seconds=fault.retry_after or 300)
        response.headers["X-RateLimit-Limit"] = "300"
        response.headers["X-RateLimit-Remaining"] = "0"
        response.headers["X-RateLimit-Reset"] = to_wire(opens)
    if fault.retry_after is not None and fault.action in (Action.RATE_LIMITED, Action.UNAVAILABLE):
        response.headers["Retry-After"] = str(fault.retry_after)
    return response


async def _hold(request: Request, seconds: float) -> None:
    """Wait until the delay or the caller's connection ends."""
    try:
        async with asyncio.timeout(seconds):
            while (await request.receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return


def _note_unreadable(request: Request, error: Refused) -> Response:
    database = network_of(request).database
    note_answer(database, note(database, request, account=None, fault=None), error.status)
    return refused_response(error)


def note(database: Database, request: Request, *, account: str | None, fault: Fault | None) -> int:
    """Log a request and return the entry's id."""
    entry = database.insert(
        "INSERT INTO requests (received_ms, method, path, account, idempotency_key, fault)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        *(database.now_ms(), request.method, request.url.path, account),
        *(request.headers.get("Idempotency-Key"), fault.action if fault else None),
    )
    if entry % 1000 == 0:
        database.rows("DELETE FROM requests WHERE id <= ?", entry - KEPT_ENTRIES)
    return entry


def note_answer(database: Database, entry: int, status: int) -> None:
    """Log a request's answer. An entry without one was never answered, or too late."""
    database.rows("UPDATE requests SET status = ? WHERE id = ?", status, entry)

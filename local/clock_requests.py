"""The HTTP requests that read and move a running system's clock.

GET  /_clock    the time, and how far it is ahead of the machine's clock
POST /_clock    {"advance": "P40D", "steps": 10000}
walk through everything that falls due in 40 days, in at most `steps` steps
POST /_clock    {"jump": "P40D"}
move at once, as if the machine had slept
Both need the header `X-Roost-Clock: 1`, which no page of another site can send.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from local.walk import MovableClock, Moved, Refused
from shared.core import clock

PATH = "/_clock"
HEADER = "x-roost-clock"
STEPS = 10_000
MOST_STEPS = 100_000
LONGEST = timedelta(days=3660)
_DURATION = TypeAdapter(timedelta)
_HOW = 'Send how far: an ISO 8601 duration such as "P40D" or "PT90M", or a number of seconds.'


@dataclass(frozen=True, slots=True)
class _Move:
    by: timedelta
    steps: int | None  # None: a jump


class _BadInput(Exception):
    """A field of the body is invalid; the message says what to send."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class WithClock:
    """Wraps an application and adds `/_clock`."""

    def __init__(self, app: ASGIApp, movable: MovableClock) -> None:
        self._app, self._movable = app, movable

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer requests for the clock and pass all others to the application."""
        if scope["type"] != "http" or scope["path"].rstrip("/") != PATH:
            await self._app(scope, receive, send)
            return
        answer = await self._answer(Request(scope, receive))
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.method in ("GET", "HEAD"):
            return JSONResponse(self._state())
        if request.method != "POST":
            return _refusal(405, "Send GET or POST.", headers={"allow": "GET, HEAD, POST"})
        if request.headers.get(HEADER) != "1":
            return _refusal(403, "Send the header X-Roost-Clock: 1 to move the clock.")
        try:
            move = _read(await request.body())
            moved = await self._move(move)
        except _BadInput as bad:
            problem = {"field": bad.field, "message": str(bad)}
            return JSONResponse({"error": "Not a move of the clock", "problems": [problem]}, 422)
        except Refused as refused:
            return _refusal(409, str(refused))
        return JSONResponse({**self._state(), "steps": moved.steps, "arrived": moved.arrived})

    async def _move(self, move: _Move) -> Moved:
        if self._movable.offset + move.by > LONGEST:
            message = f"The clock goes at most {LONGEST.days} days ahead in all. Start with another ROOST_HOME."
            raise _BadInput("advance" if move.steps else "jump", message)
        if move.steps is None:
            return await self._movable.jump(move.by)
        return await self._movable.advance(move.by, most_steps=move.steps)

    def _state(self) -> Mapping[str, Any]:
        return {
            "now": clock.to_wire(clock.now()),
            "offsetSeconds": self._movable.offset.total_seconds(),
        }


def _refusal(status: int, message: str, *, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": message}, status, headers=headers)


def _read(body: bytes) -> _Move:
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise _BadInput("body", 'Send a JSON object, such as {"advance": "P40D"}.')
    for field in given:
        if field not in ("advance", "jump", "steps"):
            raise _BadInput(field, "There is no such field. Send advance or jump.")
    if len({"advance", "jump"} & given.keys()) != 1:
        raise _BadInput("advance", "Send either advance or jump.")
    if "jump" in given:
        if "steps" in given:
            raise _BadInput("steps", "A jump has no steps. Leave it out, or send advance.")
        return _Move(_duration("jump", given["jump"]), None)
    steps = given.get("steps", STEPS)
    if type(steps) is not int or not 1 <= steps <= MOST_STEPS:
        raise _BadInput("steps", f"Send a whole number from 1 to {MOST_STEPS}.")
    return _Move(_duration("advance", given["advance"]), steps)


def _duration(field: str, value: object) -> timedelta:
    if type(value) not in (str, int, float):
        raise _BadInput(field, _HOW)
    try:
        found = _DURATION.validate_python(value)
    except ValidationError:
        raise _BadInput(field, _HOW) from None
    if not timedelta() < found <= LONGEST:
        raise _BadInput(field, f"Send more than nothing and at most {LONGEST.days} days.")
    return found

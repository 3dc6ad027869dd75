"""Offers the tools over the Model Context Protocol: each request is one exchange, without state between requests.

The SDK handles versions, messages and their refusals. A request that is refused before the SDK sees it (no API key, rate
limit, a body that is not a message) also gets a JSON-RPC error, without a request id.

Source: modelcontextprotocol.io/specification/2025-11-25/basic/transports, read 2026-11.
"""

import functools
import json
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any, Literal

from fastapi import Request, Response
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    PARSE_ERROR,
    CallToolRequestParams,
    CallToolResult,
    JSONRPCNotification,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
    jsonrpc_message_adapter,
)
from pydantic import Field, ValidationError
from pydantic_core import from_json

from shared.access.context import Caller
from shared.access.errors import OriginRefused, UnknownApiKey, UnknownGrant
from shared.access.policy import Rule
from shared.core.config import Feature, settings
from shared.core.errors import AppError, InvalidInput, Unreadable
from shared.core.phrases import phrase_of
from shared.core.wire import WireModel
from shared.public_api import tools
from shared.web.edge import Receive, Scope, Send
from shared.web.errors import NoSuchRoute, Unexpected, headers_of, unexpected
from shared.web.paths import base_address
from shared.web.routing import Route, Router

METADATA_PATH = "/.well-known/oauth-protected-resource/mcp"
_INSTRUCTIONS = (
    "Plans and publishes posts on social media. Begin with integrationList, read the platform's rules with "
    "integrationSchema, then schedule. Times are UTC unless they say otherwise. Ask the user before anything is published now."
)


_NO_MESSAGE = "This is not a JSON-RPC 2.0 message. Send one."
MESSAGE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["jsonrpc"],
                    "properties": {
                        "jsonrpc": {"type": "string", "const": "2.0"},
                        "id": {"type": ["string", "integer"]},
                        "method": {"type": "string"},
                        "params": {"type": "object"},
                    },
                    "example": {"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
                }
            }
        },
    }
}
"""The schema of a message for the API's document."""


class RpcError(WireModel):
    """Why a message was not answered."""

    code: int = Field(examples=[INVALID_REQUEST])
    message: str
    data: Any = None


class RpcAnswer(WireModel):
    """The answer to a message: its result, or an error. `id` is the message's; null if it could not be read."""

    jsonrpc: Literal["2.0"]
    id: str | int | None = None
    result: dict[str, Any] | None = Field(
        default=None, examples=[{"tools": [{"name": "integrationList", "inputSchema": {}}]}]
    )
    error: RpcError | None = None


class UnknownKeyInPath(AppError):
    """The API key in the address is invalid or has expired."""

    def __init__(self) -> None:
        super().__init__("Invalid API Key")


class ToolsRoute(Route):
    """A route of the protocol, with its own refusals, including one for an invalid API key in the path."""

    leaves_unknown_fields = True

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Distinguish an invalid API key in the path from one in a header."""
        handle = super().get_route_handler()

        async def run(request: Request) -> Response:
            try:
                return await handle(request)
            except (UnknownApiKey, UnknownGrant) as error:
                if "api_key" in request.path_params:
                    raise UnknownKeyInPath from error
                raise

        return run

    @staticmethod
    def documented(_method: str, _rule: Rule) -> dict[int | str, dict[str, Any]]:
        """Describe each status that the route may refuse with."""
        refused: dict[int | str, dict[str, Any]] = {
            status: {"model": RpcAnswer, "description": phrase_of(status)}
            for status in (400, 401, 403, 404, 413, 429, 500, 503)
        }
        refused[HTTPStatus.ACCEPTED] = {"description": "A notification, which gets no answer."}
        refused[HTTPStatus.BAD_REQUEST]["content"] = {"text/plain": {"schema": {"type": "string"}}}
        return refused


def tools_router() -> Router:
    """Make the router of the protocol."""
    return Router(prefix="/mcp", tags=["MCP"], route_class=ToolsRoute)


async def answer(request: Request) -> Response:
    """Let the SDK answer a message for the caller whom the guard identified.

    Raises:
        OriginRefused: a browser sent it from a page that is not ours.
        Unreadable: the body is not JSON.
        InvalidInput: the body is not a message.
    """
    _check_origin(request)
    _check_message(await request.body())
    return _Exchange()


def error_response(error: AppError) -> Response:
    """Render a refusal that comes before the protocol's own."""
    if isinstance(error, UnknownKeyInPath):
        return Response(error.message, HTTPStatus.BAD_REQUEST, media_type="text/plain")
    status, code = error.status, INVALID_REQUEST
    match error:
        case Unreadable():
            code = PARSE_ERROR
        case InvalidInput():
            status = HTTPStatus.BAD_REQUEST
        case NoSuchRoute():
            status = error.answer
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        code = INTERNAL_ERROR
    problem: dict[str, Any] = {"code": code, "message": error.message}
    if isinstance(error, Unexpected):
        problem["data"] = {"incident": error.incident}
    headers = headers_of(error)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = _where_to_get_a_token()
    body = {"jsonrpc": "2.0", "id": None, "error": problem}
    return Response(json.dumps(body), status, headers=headers, media_type="application/json")


class _Exchange(Response):
    """The answer to one request. All tasks of the SDK have ended when it is sent, because Lambda may freeze then."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        manager = StreamableHTTPSessionManager(_server(), json_response=True, stateless=True)
        async with manager.run():
            await manager.handle_request(_taking_json(scope), receive, send)


@functools.cache
def _server() -> Server[Any]:
    return Server(
        "roost",
        title="Roost",
        version="1",
        instructions=_INSTRUCTIONS,
        on_list_tools=_list_tools,
        on_call_tool=_call_tool,
    )


async def _list_tools(
    _context: ServerRequestContext[Any], _params: PaginatedRequestParams | None
) -> ListToolsResult:
    return ListToolsResult(tools=_listed())


@functools.cache
def _listed() -> list[Tool]:
    return [
        Tool(
            name=tool.name,
            title=tool.title,
            description=tool.description,
            input_schema=tool.input_schema,
            output_schema=tool.output_schema,
            annotations=ToolAnnotations(
                read_only_hint=not tool.writes,
                destructive_hint=tool.destroys,
                idempotent_hint=tool.repeatable or not tool.writes,
                open_world_hint=tool.asks_others,
            ),
        )
        for tool in tools.TOOLS
    ]


async def _call_tool(
    context: ServerRequestContext[Any], params: CallToolRequestParams
) -> CallToolResult:
    tool = tools.find_tool(params.name)
    if tool is None:
        raise MCPError(
            INVALID_PARAMS,
            f"The tool {params.name[:100]!r} does not exist. Use one that tools/list returns.",
        )
    assert context.request is not None, "over HTTP there always is one"
    caller: Caller = context.request.state.caller
    try:
        written = tools.call_tool(tool, caller.member, params.arguments or {})
    except tools.ToolFailed as failed:
        return _result(str(failed), is_error=True)
    except Exception as error:  # noqa: BLE001  the SDK would send its text to the caller
        failure = unexpected(error, method="tools/call", path=tool.name)
        return _result(f"{failure.message} Incident: {failure.incident}", is_error=True)
    ignored = tools.unknown_arguments(tool, params.arguments or {})
    return _result(json.dumps(written, ensure_ascii=False), written, also=ignored)


def _result(
    text: str,
    data: dict[str, Any] | None = None,
    *,
    is_error: bool = False,
    also: str | None = None,
) -> CallToolResult:
    content = [TextContent(type="text", text=one) for one in (text, also) if one]
    return CallToolResult(content=[*content], structured_content=data, is_error=is_error)


def _check_origin(request: Request) -> None:
    """Refuse other sites' pages, which could make a browser resolve their name to this server (DNS rebinding)."""
    origin = request.headers.get("origin")
    if origin and origin not in {settings().public_url, *settings().cors_origins}:
        raise OriginRefused


def _check_message(body: bytes) -> None:
    """Refuse a body that is not a message: the SDK would answer with its parser's text, or overlook an invalid id."""
    try:
        read = from_json(body)
    except ValueError as error:
        raise Unreadable("The body is not valid JSON. Send one JSON-RPC 2.0 message.") from error
    try:
        message = jsonrpc_message_adapter.validate_python(read, by_name=False)
    except ValidationError as error:
        raise InvalidInput(_NO_MESSAGE) from error
    if isinstance(message, JSONRPCNotification) and "id" in read:
        raise InvalidInput(_NO_MESSAGE)


def _taking_json(scope: Scope) -> Scope:
    """Set `Accept` to JSON: nothing else is sent, and not all existing clients declare it."""
    headers = [(name, value) for name, value in scope["headers"] if name != b"accept"]
    return {**scope, "headers": [*headers, (b"accept", b"application/json, text/event-stream")]}


def _where_to_get_a_token() -> str:
    if Feature.APPS in settings().disabled_features:
        return "Bearer"
    return f'Bearer resource_metadata="{base_address()}{METADATA_PATH}"'

"""The tools that language models call, by the Model Context Protocol."""

from typing import Annotated

from fastapi import Path, Request, Response

from shared.web.app import as_handler, make_app
from shared.web.mcp import MESSAGE, RpcAnswer, answer, error_response, tools_router

mcp = tools_router()


@mcp.post("", response_model=RpcAnswer, openapi_extra=MESSAGE)
async def send_mcp_message(request: Request) -> Response:
    """Exchange one message of the Model Context Protocol.

    Streamable HTTP without sessions: each request holds one JSON-RPC message and is answered with one, as JSON. The
    header `Authorization` carries an API key or the token of a program. `tools/list` says which tools there are.
    """
    return await answer(request)


@mcp.post("/{api_key}", response_model=RpcAnswer, openapi_extra=MESSAGE)
async def send_mcp_message_by_key(
    request: Request, api_key: Annotated[str, Path(max_length=200)]
) -> Response:
    """Exchange one message, with the key in the address.

    For programs that cannot send a header. Addresses are written down in more places than headers are: prefer those.
    """
    assert api_key, "the guard has read it"
    return await answer(request)


app = make_app("mcp", routers=[mcp], render=error_response, below_api=True)
handler = as_handler(app)

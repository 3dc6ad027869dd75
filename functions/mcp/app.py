"""The tools for language models, over the Model Context Protocol."""

from typing import Annotated

from fastapi import Path, Request, Response

from shared.web.app import as_handler, make_app
from shared.web.mcp import MESSAGE, RpcAnswer, answer, error_response, tools_router

mcp = tools_router()


@mcp.post("", response_model=RpcAnswer, openapi_extra=MESSAGE)
async def send_mcp_message(request: Request) -> Response:
    """Exchange one message of the Model Context Protocol.

    Streamable HTTP without sessions: each request contains one JSON-RPC message, and the answer is one in JSON. The
    header `Authorization` contains an API key or the token of an app. `tools/list` lists the tools.
    """
    return await answer(request)


@mcp.post("/{api_key}", response_model=RpcAnswer, openapi_extra=MESSAGE)
async def send_mcp_message_by_key(
    request: Request, api_key: Annotated[str, Path(max_length=200)]
) -> Response:
    """Exchange one message, with the API key in the address.

    For programs that cannot send a header. Prefer headers: addresses are logged in more places.
    """
    assert api_key, "the guard has already read it"
    return await answer(request)


app = make_app("mcp", routers=[mcp], render=error_response, below_api=True)
handler = as_handler(app)

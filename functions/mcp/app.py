"""The tools that language models call, by the Model Context Protocol."""

from shared.web.app import as_handler, make_app

app = make_app("mcp", routers=[])
handler = as_handler(app)

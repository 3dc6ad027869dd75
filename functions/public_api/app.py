"""The public API that existing clients speak: `/public/v1`, and the same below `/api`.

Its wire contract is kept to the letter in `shared/public_api`; the rules behind it are everybody's.
"""

from shared.core.wire import WireModel
from shared.web.app import as_handler, make_app
from shared.web.v1 import public_response, public_router

api = public_router()


class Connected(WireModel):
    """The key works."""

    connected: bool


@api.get("/is-connected")
def is_connected() -> Connected:
    """Say that the key works."""
    return Connected(connected=True)


app = make_app("public_api", routers=[api], render=public_response)
handler = as_handler(app, also_below="/api")

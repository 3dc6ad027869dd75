"""Programs of other people: consent, tokens, registration, and the flow of devices without a browser."""

from shared.web.app import as_handler, make_app

app = make_app("oauth_provider", routers=[])
handler = as_handler(app)

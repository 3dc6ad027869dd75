"""Webhooks: who hears of an organization's posts, and what they were told."""

from shared.web.app import as_handler, make_app

app = make_app("automation", routers=[])
handler = as_handler(app)

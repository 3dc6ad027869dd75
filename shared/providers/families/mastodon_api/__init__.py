"""Shared code for servers with Mastodon's API: their instance documents and their software's promises."""

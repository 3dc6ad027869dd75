"""What servers that speak Mastodon's API report about themselves, and what their software promises."""

"""What servers that speak Mastodon's API say of themselves, and what their software promises."""

"""Shared code for servers of the AT Protocol."""

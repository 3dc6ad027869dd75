"""Channels for tests whose tokens can be opened, and what the platforms answer."""

import json
from collections.abc import Mapping
from typing import Any

import httpx
from sqlalchemy.orm import Session

from shared.aws.keys import open_sealed, seal
from shared.channels.models import Channel
from shared.organizations.models import Organization
from tests.builders import a_channel

BLUESKY = "https://pds.example"


def a_bluesky_channel(session: Session, organization: Organization, **columns: Any) -> Channel:
    """Add a channel whose token can be renewed."""
    values = {
        "provider": "bluesky",
        "remote_id": "did:plc:ada",
        "sealed_token": seal("old-access-token", organization.id),
        "refresh_token": seal("old-refresh-token", organization.id),
        "details": seal(json.dumps({"base": BLUESKY}), organization.id),
    }
    return a_channel(session, organization, **values | columns)


def opened(channel: Channel, column: str) -> str:
    """Open a sealed column."""
    return open_sealed(getattr(channel, column), channel.organization_id)


def new_session(
    access: str = "new-access-token", refresh: str = "new-refresh-token"
) -> httpx.Response:
    """Answer `refreshSession` as the atproto lexicon says."""
    body = {
        "accessJwt": access,
        "refreshJwt": refresh,
        "did": "did:plc:ada",
        "handle": "ada.example",
    }
    return httpx.Response(200, json=body)


def refused(status: int, error: str, message: str = "") -> httpx.Response:
    """Answer as an XRPC or OAuth refusal."""
    body: Mapping[str, str] = {"error": error, "message": message}
    return httpx.Response(status, json=body)

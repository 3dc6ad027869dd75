"""Channels for tests whose tokens can be opened, and what the platforms answer."""

import json
from collections.abc import Mapping
from typing import Any

import httpx
from sqlalchemy.orm import Session, object_session

from shared.aws import keys
from shared.aws.clients import client
from shared.aws.keys import open_sealed, seal
from shared.channels.connectors import Connector
from shared.channels.models import Channel
from shared.core.crypto import Purpose
from shared.core.reach import Reach
from shared.organizations.models import Member, Organization
from tests.builders import a_channel, a_session
from tests.conftest import Configure

BLUESKY = "https://pds.example"
PROVIDERS_SECRET = {
    "MASTODON_CLIENT_ID": "our-id",
    "MASTODON_CLIENT_SECRET": "our-secret-of-mastodon",
    "LINKEDIN_CLIENT_ID": "our-linkedin-id",
    "LINKEDIN_CLIENT_SECRET": "our-secret-of-linkedin",
}


def set_up_platforms(configure: Configure) -> None:
    """Make a key, and the secret with our applications' credentials; needs the fixture `aws`."""
    key_id = client("kms").create_key()["KeyMetadata"]["KeyId"]
    client("secretsmanager").create_secret(
        Name="roost/providers", SecretString=json.dumps(PROVIDERS_SECRET)
    )
    configure(KMS_KEY_ID=key_id, MASTODON_URL="https://social.example")
    keys._sealer.cache_clear()


def a_bluesky_channel(session: Session, organization: Organization, **columns: Any) -> Channel:
    """Add a channel whose token can be renewed."""
    values = {
        "provider": "bluesky",
        "remote_id": "did:plc:ada",
        "sealed_token": seal("old-access-token", Purpose.CHANNEL, organization.id),
        "refresh_token": seal("old-refresh-token", Purpose.CHANNEL, organization.id),
        "details": seal(json.dumps({"base": BLUESKY}), Purpose.CHANNEL, organization.id),
    }
    return a_channel(session, organization, **values | columns)


def a_connector(member: Member) -> Connector:
    """Sign a member in, to connect channels for the customers that they see."""
    session = object_session(member)
    assert session is not None
    session_id = a_session(session, member.user_id)
    reach = Reach(member.organization_id, member.customers)
    return Connector(reach, member.user_id, session_id=session_id)


def opened(channel: Channel, column: str) -> str:
    """Open a sealed column."""
    return open_sealed(getattr(channel, column), Purpose.CHANNEL, channel.organization_id)


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

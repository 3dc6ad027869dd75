"""Do channels that were connected before hosts were stored get theirs?"""

import importlib

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.builders import a_channel, an_organization

MIGRATION = "shared.db.migrations.versions.2026_11_30_f3a86c1d42b7_hosts_of_old_channels"


@pytest.mark.parametrize(
    ("provider", "remote_id", "before", "after"),
    [
        ("mastodon-custom", "42@Owls.example", "mastodon-custom", "owls.example"),
        ("mastodon-custom", "42@owls.example:8443", None, "owls.example"),
        ("mastodon-custom", "42@owls.example", "pets.example", "pets.example"),
        ("mastodon-custom", "42", "mastodon-custom", "mastodon-custom"),
        ("mastodon", "42@owls.example", None, None),
        ("bluesky", "did:plc:owls", None, None),
    ],
)
def test_an_instance_is_named_by_the_id_of_its_account(
    session: Session, provider: str, remote_id: str, before: str | None, after: str | None
) -> None:
    """Finding 2.2: all old channels of an organization counted as one host until they were connected again."""
    channel = a_channel(
        session,
        an_organization(session),
        provider=provider,
        remote_id=remote_id,
        named_host=before,
    )
    session.execute(text(importlib.import_module(MIGRATION).FILL))
    session.refresh(channel)
    assert channel.named_host == after

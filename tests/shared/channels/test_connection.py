"""Opening a line: the tokens are the channel's own, the credentials ours, and no token shows in a log."""

import httpx
import pytest
import respx
from sqlalchemy.orm import Session

from shared.channels.connection import (
    OpenedChannel,
    get_opened_channel,
    http_client,
    open_connection,
    open_new_connection,
)
from shared.channels.models import Channel
from shared.channels.queries import OPEN, get_channel_to_open
from shared.core.crypto import CannotOpen
from shared.core.ids import ChannelId
from shared.core.net import AddressRefused
from shared.core.reach import Reach
from shared.organizations.models import Organization
from shared.providers.errors import AppMisconfigured, ChannelDisconnected
from shared.providers.registry import provider
from shared.publishing.sweep_queries import LOST_PARTS
from tests.builders import a_channel, a_post, an_organization
from tests.conftest import Configure
from tests.shared.channels.builders import BLUESKY, a_bluesky_channel

pytestmark = pytest.mark.usefixtures("sealing")


def read(session: Session, channel_id: ChannelId) -> OpenedChannel:
    return get_channel_to_open(
        session, Reach(session.get_one(Channel, channel_id).organization_id), channel_id
    )


class TestOpenedChannel:
    def test_it_is_read_from_a_row_that_holds_more(self, session: Session) -> None:
        channel = a_bluesky_channel(session, an_organization(session))
        post = a_post(session, channel)
        [row] = LOST_PARTS.all(session, [post.id])
        assert row.id == post.id
        assert get_opened_channel(row).id == channel.id

    def test_no_token_shows_when_a_row_is_printed(self, session: Session) -> None:
        channel = a_bluesky_channel(session, an_organization(session))
        row = OPEN.one(session, channel.organization_id, None, channel.id)
        assert repr(row.access_token) not in repr(row)

    def test_no_token_shows_when_it_is_printed(self, session: Session) -> None:
        channel = a_bluesky_channel(session, an_organization(session))
        acting, api = open_connection(read(session, channel.id))
        shown = f"{read(session, channel.id)!r} {acting!r} {api.access!r}"
        assert "token=" not in shown
        assert "old-access-token" not in shown


class TestOpenLine:
    def test_tokens_and_server_are_the_channels(self, session: Session) -> None:
        channel = a_bluesky_channel(session, an_organization(session))
        acting, api = open_connection(read(session, channel.id))
        assert acting.spec.slug == "bluesky"
        assert api.base_url == BLUESKY
        assert api.access.access_token == "old-access-token"
        assert api.access.refresh_token == "old-refresh-token"
        assert api.access.remote_id == "did:plc:ada"

    def test_credentials_and_address_are_the_servers(
        self, session: Session, configure: Configure
    ) -> None:
        configure(PROVIDER_BASE_URLS='{"mastodon": "https://override.example/"}')
        _, api = open_new_connection("mastodon")
        assert api.base_url == "https://override.example"
        assert (api.app.client_id, api.app.client_secret) == ("our-id", "our-secret-of-mastodon")

    def test_another_organizations_seal_does_not_open(self, session: Session) -> None:
        channel = a_bluesky_channel(session, an_organization(session))
        other = an_organization(session)
        moved = a_channel(
            session,
            session.get_one(Organization, other.id),
            provider="bluesky",
            sealed_token=channel.access_token,
        )
        with pytest.raises(CannotOpen):
            open_connection(read(session, moved.id))

    def test_a_channel_without_tokens(self, session: Session) -> None:
        channel = a_channel(session, an_organization(session), sealed_token=b"")
        with pytest.raises(ChannelDisconnected):
            open_connection(read(session, channel.id))

    def test_missing_credentials_are_named(self) -> None:
        with pytest.raises(AppMisconfigured, match="X_API_KEY and X_API_SECRET"):
            open_new_connection("x")


class TestHttpClient:
    @pytest.mark.parametrize("slug", ["mastodon-custom", "bluesky"])
    def test_servers_that_members_name_must_be_public(self, slug: str) -> None:
        with pytest.raises(AddressRefused):
            http_client(provider(slug).spec).get("https://127.0.0.1/")

    def test_other_platforms_may_be_anywhere(self, respx_mock: respx.MockRouter) -> None:
        respx_mock.get("http://127.0.0.1/").mock(return_value=httpx.Response(200))
        assert http_client(provider("mastodon").spec).get("http://127.0.0.1/").is_success

    def test_one_client_a_process(self) -> None:
        assert http_client(provider("x").spec) is http_client(provider("mastodon").spec)

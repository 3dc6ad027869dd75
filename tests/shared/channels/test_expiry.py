"""Tokens that end soon: renewed where that can be done, warned of where not, each on its own."""

import time
from collections.abc import Mapping
from datetime import timedelta

import httpx
import pytest
import respx
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from shared.channels import expiry
from shared.channels.expiry import Done, renew_expiring
from shared.channels.models import Channel, ProviderPause
from shared.channels.pauses import hold_provider
from shared.channels.token_queries import CLAIM_REFRESH
from shared.notifications.models import Notification
from shared.organizations.models import Organization
from tests.builders import an_organization
from tests.shared.channels.builders import (
    BLUESKY,
    a_bluesky_channel,
    new_session,
    opened,
    refused,
)

REFRESH = f"{BLUESKY}/xrpc/com.atproto.server.refreshSession"

pytestmark = pytest.mark.usefixtures("sealing")


def run() -> Mapping[Done, int]:
    return renew_expiring(deadline=time.monotonic() + 300)


def ending(
    session: Session, organization: Organization, within: timedelta, **columns: object
) -> Channel:
    """Add a channel whose token ends `within` from now."""
    columns = {"remote_id": f"did:plc:{within}"} | columns
    return a_bluesky_channel(session, organization, token_expires_at=func.now() + within, **columns)


def titles(session: Session) -> list[str]:
    return list(session.scalars(select(Notification.title).order_by(Notification.created_at)))


class TestRenewing:
    def test_what_ends_soon_is_renewed_and_the_rest_left_alone(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        respx_mock.post(REFRESH).mock(return_value=new_session())
        organization = an_organization(session)
        soon = ending(session, organization, timedelta(minutes=4))
        ended = ending(session, organization, timedelta(hours=-1))
        later = ending(session, organization, timedelta(hours=1))
        without_end = a_bluesky_channel(session, organization)

        assert run() == {Done.RENEWED: 2}

        for channel in (soon, ended, later, without_end):
            session.refresh(channel)
        assert opened(soon, "access_token") == "new-access-token"
        assert (soon.token_version, ended.token_version) == (2, 2)
        assert (later.token_version, without_end.token_version) == (1, 1)

    def test_what_is_gone_or_disconnected_or_being_renewed_is_left_alone(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        organization, soon = an_organization(session), timedelta(minutes=1)
        ending(session, organization, soon, deleted_at=func.now())
        ending(session, organization, soon, disconnected_at=func.now())
        leased = ending(session, organization, soon, remote_id="did:plc:leased")
        assert CLAIM_REFRESH.find(session, organization.id, leased.id, 1, lease_seconds=60)
        assert run() == {}
        assert not respx_mock.calls

    @pytest.mark.parametrize("page_size", [1, 2, 100])
    def test_one_channels_failure_is_its_own(
        self,
        session: Session,
        respx_mock: respx.MockRouter,
        monkeypatch: pytest.MonkeyPatch,
        page_size: int,
    ) -> None:
        monkeypatch.setattr(expiry, "PAGE_SIZE", page_size)
        organization = an_organization(session)
        channels = [
            ending(session, organization, timedelta(seconds=second)) for second in range(1, 5)
        ]
        session.delete(channels[3])
        broken = ending(
            session, organization, timedelta(0), refresh_token=b"\x01\x00\x00not sealed by us"
        )
        respx_mock.post(REFRESH).mock(
            side_effect=[
                httpx.ConnectError("no route"),
                refused(400, "ExpiredToken", "Revoked"),
                new_session(),
            ]
        )
        assert run() == {Done.FAILED: 2, Done.DISCONNECTED: 1, Done.RENEWED: 1}
        for channel in (broken, *channels[:3]):
            session.refresh(channel)
        assert [channel.token_version for channel in channels[:3]] == [1, 1, 2]
        assert [channel.disconnected_at is None for channel in channels[:3]] == [True, False, True]
        assert broken.disconnected_at is None

    def test_a_platform_that_asked_us_to_wait_is_asked_when_the_wait_is_over(
        self, session: Session, respx_mock: respx.MockRouter
    ) -> None:
        organization = an_organization(session)
        soon = ending(session, organization, timedelta(minutes=1))
        hold_provider(session, "bluesky", wait=timedelta(minutes=40), reason="too many")
        hold_provider(session, "x", wait=timedelta(minutes=40), reason="too many")
        assert run() == {Done.NOT_YET: 1}
        assert not respx_mock.calls

        session.execute(
            update(ProviderPause)
            .where(ProviderPause.provider == "bluesky")
            .values(until=func.now() - timedelta(seconds=1))
        )
        respx_mock.post(REFRESH).mock(return_value=new_session())
        assert run() == {Done.RENEWED: 1}
        session.refresh(soon)
        assert soon.token_version == 2

    def test_it_stops_in_time(self, session: Session, respx_mock: respx.MockRouter) -> None:
        ending(session, an_organization(session), timedelta(minutes=1))
        assert renew_expiring(deadline=time.monotonic() + 30) == {}
        assert not respx_mock.calls


class TestWarning:
    @pytest.mark.parametrize(
        ("within", "told"),
        [
            (timedelta(days=15), False),
            (timedelta(days=13), True),
            (timedelta(days=2), True),
            (timedelta(hours=-1), True),
        ],
    )
    def test_members_are_told_in_time(
        self, session: Session, within: timedelta, told: bool
    ) -> None:
        # LinkedIn gives some applications no refresh token; providers.md, pain-points.md section 2.
        ending(
            session,
            an_organization(session),
            within,
            provider="linkedin-page",
            refresh_token=None,
        )
        assert run() == ({Done.WARNED: 1} if told else {})
        assert len(titles(session)) == told

    def test_each_warning_is_given_once(self, session: Session) -> None:
        organization = an_organization(session)
        channel = ending(
            session,
            organization,
            timedelta(days=10),
            provider="linkedin-page",
            refresh_token=None,
        )
        for days in (10, 9, 2, 1, -1, -2):
            channel.token_expires_at = func.now() + timedelta(days=days)
            session.flush()
            run()
        assert len(titles(session)) == 3
        assert any("has ended" in title for title in titles(session))
        session.refresh(channel)
        assert channel.disconnected_at is None

    def test_a_platform_that_renews_is_not_warned_of(self, session: Session) -> None:
        ending(session, an_organization(session), timedelta(days=2))
        assert run() == {}
        assert not titles(session)

"""How many messages of one organization are sent to webhooks at once: a slow receiver holds up nobody else."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, text
from sqlalchemy.orm import Session

from local.intrinsics import read_yaml
from shared.core.ids import DeliveryId
from shared.db.session import unit_of_work
from shared.organizations.models import Organization
from shared.webhooks.claim import Claimed, Crowded
from shared.webhooks.deliver import LEASE, _claim, deliver
from shared.webhooks.models import WebhookDelivery
from tests.builders import an_organization
from tests.shared.webhooks.builders import a_delivery, a_webhook, queued
from tests.shared.webhooks.receiver import Receiver

pytestmark = pytest.mark.usefixtures("webhooks_queue")
PER_HOST, PER_ORGANIZATION = 3, 5  # the defaults of the settings
TEMPLATE = Path(__file__).parents[3] / "template.yaml"


@pytest.fixture
def organization(session: Session) -> Organization:
    return an_organization(session)


def at(session: Session, organization: Organization, host: str, count: int) -> list[DeliveryId]:
    webhook = a_webhook(session, organization, url=f"https://{host}/hook")
    return [a_delivery(session, webhook).id for _ in range(count)]


def take(session: Session, delivery_id: DeliveryId) -> Claimed | Crowded | None:
    """Claim it as the function does, by the bounds that the settings have."""
    return _claim(session, delivery_id)


def sent_at_once(session: Session, ids: list[DeliveryId]) -> int:
    return sum(isinstance(take(session, one), Claimed) for one in ids)


class TestBounds:
    def test_one_host_gets_a_few_at_once(
        self, session: Session, organization: Organization
    ) -> None:
        """Finding 2.2, sibling: 200 messages to a receiver that takes ten seconds hold three places."""
        assert sent_at_once(session, at(session, organization, "slow.example", 20)) == PER_HOST

    def test_a_second_webhook_at_the_host_gains_nothing(
        self, session: Session, organization: Organization
    ) -> None:
        sent_at_once(session, at(session, organization, "slow.example", PER_HOST))
        assert sent_at_once(session, at(session, organization, "SLOW.example:8443", 2)) == 0

    def test_many_hosts_share_the_organizations_bound(
        self, session: Session, organization: Organization
    ) -> None:
        taken = sum(
            sent_at_once(session, at(session, organization, f"{name}.example", 2))
            for name in "abcdef"
        )
        assert taken == PER_ORGANIZATION

    def test_another_organization_is_not_held_up(
        self, session: Session, organization: Organization
    ) -> None:
        sent_at_once(session, at(session, organization, "slow.example", PER_HOST))
        other = an_organization(session)
        assert sent_at_once(session, at(session, other, "slow.example", 1)) == 1

    @pytest.mark.parametrize("status", [200, 500])
    def test_a_place_is_free_again_when_the_message_was_sent(
        self, session: Session, organization: Organization, receiver: Receiver, status: int
    ) -> None:
        receiver.status = status
        webhook = a_webhook(session, organization, url=receiver.url)
        for _ in range(2 * PER_HOST):
            deliver(a_delivery(session, webhook).id, deadline=time.monotonic() + 57)
        assert len(receiver.received) == 2 * PER_HOST

    def test_a_killed_worker_gives_its_places_back(
        self, session: Session, organization: Organization
    ) -> None:
        """Finding 1.13: its places are free when the lease is over, 75 seconds later."""
        sent_at_once(session, at(session, organization, "slow.example", PER_HOST))
        session.execute(
            text(
                "update webhook_deliveries set lease_until = lease_until - cast(:lease as interval)"
            ),
            {"lease": LEASE},
        )
        assert (
            sent_at_once(session, at(session, organization, "slow.example", PER_HOST)) == PER_HOST
        )

    @pytest.mark.parametrize("hosts", [1, 4])
    def test_claims_at_the_same_instant_do_not_share_the_last_place(
        self, committed: Engine, webhooks_queue: str, hosts: int
    ) -> None:
        """Finding 2.2: the bound is exact however many environments claim at once."""
        with Session(committed) as session, session.begin():
            organization = an_organization(session)
            ids = [
                one
                for number in range(hosts)
                for one in at(session, organization, f"{number}.example", 24 // hosts)
            ]

        def claims(one: DeliveryId) -> Claimed | Crowded | None:
            with unit_of_work() as session:
                return take(session, one)

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(claims, ids))
        assert sum(isinstance(one, Claimed) for one in found) == min(
            PER_HOST * hosts, PER_ORGANIZATION
        )


class TestTurn:
    def held(self, session: Session, organization: Organization, **columns: Any) -> WebhookDelivery:
        sent_at_once(session, at(session, organization, "slow.example", PER_HOST))
        webhook = a_webhook(session, organization, url="https://slow.example/hook")
        delivery = a_delivery(session, webhook, **columns)
        deliver(delivery.id, deadline=time.monotonic() + 57)
        session.refresh(delivery)
        return delivery

    def test_it_comes_again_without_having_used_up_a_try(
        self, session: Session, organization: Organization, receiver: Receiver
    ) -> None:
        """Finding 2.2, sibling: and a member sees in the log why it waits."""
        delivery = self.held(session, organization)
        assert (delivery.tries, delivery.state) == (0, "waiting")
        assert "waits its turn" in (delivery.error or "")
        assert delivery.enqueued_at == delivery.next_at
        [(named, seconds)] = queued().items()
        assert named == delivery.id
        assert 2 <= seconds <= 5

    def test_who_waits_for_long_is_asked_about_less_often(
        self, session: Session, organization: Organization
    ) -> None:
        self.held(session, organization, created_at=func.now() - timedelta(minutes=4))
        assert 30 <= next(iter(queued().values())) <= 36

    def test_nobody_waits_longer_than_a_minute_for_the_next_look(
        self, session: Session, organization: Organization
    ) -> None:
        self.held(session, organization, created_at=func.now() - timedelta(days=2))
        assert 60 <= next(iter(queued().values())) <= 62


class TestAQuietTenant:
    def test_is_served_at_once_beside_one_whose_receivers_hang(
        self, session: Session, organization: Organization
    ) -> None:
        """Finding 2.2, sibling: the function's environments as the template bounds them, each with a batch.

        A message that is sent to a hanging receiver holds its environment; one that waits for its turn does not.
        """
        source = read_yaml(TEMPLATE)["Resources"]["DeliverWebhooksFunction"]["Properties"][
            "Events"
        ]["Queue"]["Properties"]
        environments = source["ScalingConfig"]["MaximumConcurrency"]
        batch = source["BatchSize"]
        hostile = [
            one
            for number in range(10)
            for one in at(session, organization, f"{number}.example", 20)
        ]
        free = environments
        for first in range(0, len(hostile), batch):
            if free == 0:
                break
            if sent_at_once(session, hostile[first : first + batch]):
                free -= 1
        assert free >= environments - PER_ORGANIZATION > 0
        quiet = at(session, an_organization(session), "quiet.example", 1)
        assert sent_at_once(session, quiet) == 1


class TestHost:
    @pytest.mark.parametrize(
        ("url", "host"),
        [
            ("https://Hooks.Example.org/a?b=c#d", "hooks.example.org"),
            ("https://hooks.example.org:8443", "hooks.example.org"),
            ("https://hooks.example.org?x", "hooks.example.org"),
            ("https://user:p%40ss@hooks.example.org/", "hooks.example.org"),
            ("http://[::1]:3000/a", "[::1]"),
        ],
    )
    def test_is_read_from_the_address(
        self, session: Session, organization: Organization, url: str, host: str
    ) -> None:
        webhook = a_webhook(session, organization, url=url)
        session.refresh(webhook)
        assert webhook.host == host

    def test_follows_a_changed_address(self, session: Session, organization: Organization) -> None:
        webhook = a_webhook(session, organization)
        webhook.url = "https://other.example/"
        session.flush()
        session.refresh(webhook, ["host"])
        assert webhook.host == "other.example"

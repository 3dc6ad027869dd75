"""Every lease there is: how long a killed worker keeps others from its work, and who goes on then.

Finding 1.13 asks this of each lease. A new column that holds one must be listed here.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, text
from sqlalchemy.orm import Session

from local.intrinsics import read_yaml
from shared.channels import tokens
from shared.channels.token_queries import CLAIM_REFRESH
from shared.core.config import settings
from shared.db.all_models import Base
from shared.media.sweep import request_missing_variants
from shared.media.sweep_queries import VARIANTS_TAKE
from shared.notifications import mails
from shared.notifications.models import Notification, NotificationKind
from shared.organizations.models import Organization
from shared.posts.lifecycle import PostState
from shared.publishing import stage
from shared.publishing.models import Attempt, AttemptState, Staging, StagingState
from shared.publishing.reconcile import reconcile, resume_stagings, settle_lost_attempts
from shared.webhooks import deliver
from shared.webhooks.models import Webhook
from shared.webhooks.sweep import send_due_deliveries
from tests.builders import a_channel, a_media, a_member, a_post, an_organization
from tests.conftest import Configure
from tests.local.test_template import ROOT
from tests.shared.webhooks.builders import a_delivery

Hold = Callable[[Session, Organization], None]
GoOn = Callable[[Session, Organization], int]


@dataclass(frozen=True)
class Lease:
    """`hold` leaves the row as a killed worker does; `go_on` is what continues, and returns how many rows it took.

    `outlasts` is the function, by its name in the template, that is killed before its lease is over.
    """

    column: str
    length: timedelta
    outlasts: str
    hold: Hold
    go_on: GoOn


def _attempt(session: Session, organization: Organization) -> None:
    post = a_post(session, a_channel(session, organization), state=PostState.PUBLISHING)
    values = dict.fromkeys(("revision", "generation", "number"), 1)
    lease = timedelta(seconds=settings().lease_seconds)
    session.add(
        Attempt(
            organization_id=organization.id,
            post_id=post.id,
            root_id=post.id,
            channel_id=post.channel_id,
            state=AttemptState.RUNNING,
            lease_until=func.now() + lease,
            **values,
        )
    )


def _staging(session: Session, organization: Organization) -> None:
    post = a_post(session, a_channel(session, organization))
    session.add(
        Staging(
            organization_id=organization.id,
            post_id=post.id,
            revision=post.revision,
            generation=post.generation,
            state=StagingState.RUNNING,
            lease_until=func.now() + stage.LEASE_FOR_THE_ANSWER,
            updated_at=func.now() - timedelta(minutes=1),
        )
    )


def _delivery(session: Session, organization: Organization) -> None:
    ends = func.now() + deliver.LEASE
    webhook = Webhook(
        organization_id=organization.id, name="Zapier", url="https://hooks.example/", secret=b""
    )
    session.add(webhook)
    session.flush()
    a_delivery(session, webhook, tries=1, next_at=ends, lease_until=ends, enqueued_at=None)


def _refresh(session: Session, organization: Organization) -> None:
    a_channel(session, organization, refresh_lease_until=func.now() + tokens.LEASE)


def _renewed(session: Session, organization: Organization) -> int:
    channel_id = session.execute(text("select id from channels")).scalar_one()
    claimed = CLAIM_REFRESH.find(session, organization.id, channel_id, 1, lease_seconds=60)
    return int(claimed is not None)


def _mail(session: Session, organization: Organization) -> None:
    session.add(
        Notification(
            organization_id=organization.id,
            kind=NotificationKind.FAILURE,
            title="Not published",
            content="",
            created_at=func.now() - timedelta(minutes=3),
            mail_claimed_until=func.now() + mails.LEASE,
        )
    )


def _copies(session: Session, organization: Organization) -> None:
    a_media(
        session,
        organization,
        variants_made=False,
        updated_at=func.now() - VARIANTS_TAKE - timedelta(seconds=2),
        variants_due_at=func.now() + VARIANTS_TAKE,
    )


LEASES = [
    Lease(
        "attempts.lease_until",
        timedelta(seconds=75),
        "PublishFunction",
        _attempt,
        lambda *_: settle_lost_attempts(),
    ),
    Lease(
        "stagings.lease_until",
        stage.LEASE_FOR_THE_ANSWER,
        "",  # renewed with each range, so it is shorter than the function's time
        _staging,
        lambda *_: resume_stagings(),
    ),
    Lease(
        "webhook_deliveries.lease_until",
        deliver.LEASE,
        "DeliverWebhooksFunction",
        _delivery,
        lambda *_: send_due_deliveries(),
    ),
    Lease(
        "channels.refresh_lease_until",
        tokens.LEASE,
        "",  # the call to the platform ends before it
        _refresh,
        _renewed,
    ),
    Lease(
        "notifications.mail_claimed_until",
        mails.LEASE,
        "ReconcileFunction",
        _mail,
        lambda *_: mails.mail_overdue(go_on=lambda: True),
    ),
    Lease(
        "media.variants_due_at",
        VARIANTS_TAKE,
        "VariantsFunction",
        _copies,
        lambda *_: request_missing_variants(),
    ),
]
MOMENTS = {"webhook_deliveries.lease_until": ("next_at",)}  # that mean the same end
LONGEST = timedelta(minutes=8)
ALL = pytest.mark.parametrize("lease", LEASES, ids=lambda lease: lease.column)


@pytest.fixture
def organization(session: Session) -> Organization:
    organization = an_organization(session)
    a_member(session, organization)
    return organization


@pytest.fixture(autouse=True)
def _queues(aws: None, configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(MAIL_TRANSPORT="none")
    monkeypatch.setattr("shared.aws.queues.send", lambda *_: None)


def _pass(session: Session, lease: Lease, by: timedelta) -> None:
    table, column = lease.column.split(".")
    for moved in (column, *MOMENTS.get(lease.column, ())):
        statement = f"update {table} set {moved} = {moved} - cast(:by as interval)"
        session.execute(text(statement), {"by": by})
    session.expire_all()


class TestEachLease:
    @ALL
    def test_is_held_to_its_end_and_taken_over_after_it(
        self, session: Session, organization: Organization, lease: Lease
    ) -> None:
        """Finding 1.13: nobody disturbs a holder that lives, and a killed one costs minutes."""
        lease.hold(session, organization)
        session.flush()
        _pass(session, lease, lease.length - timedelta(seconds=1))
        assert lease.go_on(session, organization) == 0
        _pass(session, lease, timedelta(seconds=1))
        assert lease.go_on(session, organization) == 1

    @ALL
    def test_costs_minutes_at_most(self, lease: Lease) -> None:
        """Finding 1.13: the lease, and the sweep that runs every minute."""
        rate = _template()["Parameters"]["ReconcileRate"]["Default"]
        assert rate == "rate(1 minute)"
        assert lease.length + timedelta(minutes=1) <= LONGEST

    @ALL
    def test_outlasts_its_holder(self, lease: Lease) -> None:
        """A function that still runs is not disturbed: it is killed before its lease is over."""
        if lease.outlasts:
            timeout = _template()["Resources"][lease.outlasts]["Properties"]["Timeout"]
            assert timedelta(seconds=timeout) < lease.length

    def test_the_sweep_of_every_minute_takes_over(
        self, session: Session, organization: Organization
    ) -> None:
        """Each row is found by `reconcile` itself; a token's lease is taken by the next who needs the token."""
        swept = [lease for lease in LEASES if lease.column != "channels.refresh_lease_until"]
        for lease in swept:
            lease.hold(session, organization)
        session.flush()
        for lease in swept:
            _pass(session, lease, lease.length)
        found = reconcile(deadline=time.monotonic() + 55)
        assert (found.lost, found.stagings, found.deliveries, found.copies) == (1, 1, 1, 1)
        for lease in swept:  # nothing is left for a second sweep
            assert lease.go_on(session, organization) == 0, lease.column

    def test_every_column_that_holds_a_lease_is_listed(self) -> None:
        looks_like_one = re.compile(r"(?<!re)lease|claimed|variants_due")
        found = {
            f"{table.name}.{column.name}"
            for table in Base.metadata.tables.values()
            for column in table.columns
            if looks_like_one.search(column.name)
        }
        assert found == {lease.column for lease in LEASES}

    def test_a_file_that_kills_its_worker_each_time_is_requested_less_often(
        self, session: Session, organization: Organization
    ) -> None:
        media = a_media(
            session, organization, variants_made=False, updated_at=func.now() - timedelta(hours=2)
        )
        assert request_missing_variants() == 1
        session.refresh(media)
        left = session.execute(
            text("select variants_due_at - now() from media where id = :id"), {"id": media.id}
        ).scalar_one()
        assert left == timedelta(hours=1)
        assert request_missing_variants() == 0


def _template() -> Any:
    return read_yaml(ROOT / "template.yaml")

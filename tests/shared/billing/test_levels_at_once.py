"""Fifty requests at once for the last places of a level: never one too many, none lost, and no deadlock."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date

import boto3
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from shared.access import invitations
from shared.access.context import ActingMember, Profile, Via
from shared.access.team_schemas import InvitationIn
from shared.audit.entries import Actor
from shared.aws import keys
from shared.billing.plans import Allowances, Plan
from shared.channels import connect
from shared.channels.change import change_channel
from shared.channels.connectors import Connector
from shared.channels.levels import within_channels
from shared.core.crypto import hash_secret
from shared.core.errors import PlanLimit
from shared.core.ids import ChannelId, InvitationId, OrganizationId, UserId, new_id
from shared.core.reach import Reach
from shared.db.session import unit_of_work
from shared.media.schemas import NewUpload
from shared.media.upload import start_upload
from shared.organizations.models import Invitation, Role
from shared.webhooks import manage
from shared.webhooks.schemas import WebhookIn
from tests.builders import a_channel, a_member, a_user, an_actor, an_organization
from tests.conftest import Configure
from tests.shared.media.storage import make_storage

AT_ONCE = 50
FILE_BYTES = 10**9
OWNER = Profile(
    email="ada@example.org",
    name="Ada",
    last_name="",
    bio="",
    picture_url=None,
    organization_name="Roost Ltd",
    is_trialing=False,
    allow_trial=True,
    impersonation_reason=None,
    impersonation_ends_at=None,
)


@pytest.fixture(autouse=True)
def _several_connections(aws: None, committed: Engine, configure: Configure) -> Iterator[None]:
    key_id = boto3.client("kms").create_key()["KeyMetadata"]["KeyId"]
    make_storage(
        configure,
        BILLING="on",
        DATABASE_POOL_SIZE=AT_ONCE,
        KMS_KEY_ID=key_id,
        MAIL_TRANSPORT="none",
        MEDIA_QUOTA_BYTES=0,
    )
    yield
    keys._sealer.cache_clear()


@dataclass(frozen=True)
class Place:
    """An organization on the plan STANDARD (5 channels, 2 webhooks, 5 GB) with two more seats; 50 of its channels are disabled."""

    organization_id: OrganizationId
    owner_id: UserId
    disabled: list[ChannelId]
    guests: list[UserId]


@pytest.fixture
def place(committed: Engine) -> Place:
    with Session(committed, expire_on_commit=False) as session, session.begin():
        organization = an_organization(session, plan="standard", limits={"team_members": 2})
        owner = a_member(session, organization)
        disabled = [
            a_channel(session, organization, disabled=True, disabled_by="plan").id
            for _ in range(AT_ONCE)
        ]
        guests = [a_user(session).id for _ in range(10)]
        return Place(organization.id, owner.user_id, disabled, guests)


def _enable(at: Place, number: int) -> None:
    with unit_of_work() as session:
        reach, actor = Reach(at.organization_id), an_actor(at.organization_id)
        change_channel(session, reach, actor, at.disabled[number], {"disabled": False})


def _connect(at: Place, number: int) -> None:
    columns = {
        "remote_id": f"new-{number}",
        "root_remote_id": None,
        "needs_page": False,
        "access_token": b"new",
        "refresh_token": None,
        "token_expires_at": None,
        "details": None,
        "named_host": None,
        "name": "Ada",
        "username": None,
        "picture_url": None,
        "account_settings": "{}",
    }
    made = connect._Made("mastodon", f"new-{number}", columns, server=None, server_before=None)
    reach = Reach(at.organization_id)
    connector, chosen = Connector(reach, at.owner_id), connect._Chosen("UTC", None, None)
    with unit_of_work() as session, within_channels(session, at.organization_id):
        connect._save(session, reach, made, chosen, connector, at.owner_id)


def _add_webhook(at: Place, number: int) -> None:
    wanted = WebhookIn(name=f"hook {number}", url="https://hooks.example.org/roost")
    manage.add_webhook(
        an_actor(at.organization_id), wanted, unknown_channels=lambda _session, _ids: set()
    )


def _upload(at: Place, number: int) -> None:
    with unit_of_work() as session:
        new = NewUpload(name=f"{number}.mp4", size=FILE_BYTES)
        start_upload(session, an_actor(at.organization_id), new)


def _invite(at: Place, number: int) -> None:
    member = ActingMember(
        organization_id=at.organization_id,
        user_id=at.owner_id,
        role=Role.OWNER,
        timezone="UTC",
        via=Via.SESSION,
        allowances=Allowances(Plan.STANDARD, date(2026, 12, 1)),
    )
    with unit_of_work() as session:
        wanted = InvitationIn(email=f"guest{number}@example.org", role="USER", send_email=False)
        invitations.invite(session, member, OWNER, wanted)


STORED = {
    "channels": "select count(*) from channels where deleted_at is null and not disabled",
    "webhooks": "select count(*) from webhooks where deleted_at is null",
    "seats": "select (select count(*) from members) + (select count(*) from invitations)",
    "gigabytes": "select sum(size_bytes) / 1000000000 from media",
}
LIMITS = {"channels": 5, "webhooks": 2, "seats": 3, "gigabytes": 5}
# What raises each level, and how many places are free at first.
WAYS: dict[str, tuple[Callable[[Place, int], None], str, int]] = {
    "enable": (_enable, "channels", 5),
    "connect": (_connect, "channels", 5),
    "webhook": (_add_webhook, "webhooks", 2),
    "invite": (_invite, "seats", 2),
    "upload": (_upload, "gigabytes", 5),
}


def at_once(work: Callable[[int], object]) -> Counter[str]:
    """Do `work` fifty times at once; count how it ended."""

    def one(number: int) -> str:
        try:
            work(number)
        except PlanLimit:
            return "refused"
        return "done"

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return Counter(pool.map(one, range(AT_ONCE)))


def stored(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return {name: int(connection.scalar(text(count)) or 0) for name, count in STORED.items()}


@pytest.mark.parametrize("way", WAYS)
def test_the_last_places_are_given_once(committed: Engine, place: Place, way: str) -> None:
    do, level, free = WAYS[way]
    ended = at_once(lambda number: do(place, number))
    assert ended == {"done": free, "refused": AT_ONCE - free}
    assert stored(committed)[level] == LIMITS[level]


def test_all_kinds_at_once(committed: Engine, place: Place) -> None:
    """They lock the same organization first, so none waits for another in a circle."""
    ways = [do for do, _level, _free in WAYS.values()]
    ended = at_once(lambda number: ways[number % len(ways)](place, number))
    assert ended == {"done": 14, "refused": AT_ONCE - 14}
    assert stored(committed) == LIMITS


def test_joining_takes_the_seats_that_a_smaller_plan_left(committed: Engine, place: Place) -> None:
    """Ten were invited on a larger plan; two of them find a seat."""
    with unit_of_work() as session:
        for number in range(10):
            session.add(_an_open_invitation(session, place, number))

    def join(number: int) -> None:
        guest = place.guests[number % 10]
        with unit_of_work() as session:
            invitations.join(session, guest, f"token-{number % 10}", actor=Actor(user_id=guest))

    refused = 0
    with ThreadPoolExecutor(10) as pool:
        for one in [pool.submit(join, number) for number in range(10)]:
            refused += isinstance(one.exception(), PlanLimit)
    with committed.connect() as connection:
        members = connection.scalar(text("select count(*) from members"))
    assert (refused, members) == (8, 3)


def _an_open_invitation(session: Session, at: Place, number: int) -> Invitation:
    later = session.execute(text("select now() + interval '7 days'")).scalar_one()
    return Invitation(
        id=InvitationId(new_id()),
        organization_id=at.organization_id,
        invited_by=at.owner_id,
        is_open=True,
        role=Role.EDITOR,
        token_hash=hash_secret(f"token-{number}"),
        expires_at=later,
    )

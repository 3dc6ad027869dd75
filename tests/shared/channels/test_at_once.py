"""What happens when two members change channels, customers, tags and posts at the same moment, on two connections.

As in `tests/shared/posts/test_at_once.py`, the first runs up to its commit while the second starts.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import boto3
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from shared.channels import connect
from shared.channels.change import ChannelChanges, change_channel, delete_channel
from shared.channels.connectors import Connector
from shared.channels.customers import (
    add_customer,
    change_customer,
    delete_customer,
    rename_customer,
)
from shared.channels.schemas import ChangeCustomer
from shared.core.errors import Conflict, InvalidInput, NotFound
from shared.core.ids import ChannelId, CustomerId, OrganizationId, PostId, TagId, UserId
from shared.core.reach import Reach
from shared.db.session import unit_of_work
from shared.organizations.models import Role
from shared.posts.edit import edit
from shared.posts.find_slot import find_slot
from shared.posts.models import Tag
from shared.posts.parts import Author
from shared.posts.schemas import PostEdit, TagIn, TagWrite
from shared.posts.store import delete_posts_of_channel
from shared.posts.tags import add_tag, change_tag, delete_tag
from tests.builders import a_channel, a_customer, a_member, a_post, an_actor, an_organization
from tests.conftest import Configure
from tests.shared.posts.test_at_once import SOON, run_at_once

MORNING = [{"time": 540}]


@dataclass(frozen=True)
class Scene:
    """A channel of a customer, a queued post with a tag on it."""

    author: Author
    user: UserId
    channel: ChannelId
    remote_id: str
    customer: CustomerId
    tag: TagId
    root: PostId

    @property
    def organization(self) -> OrganizationId:
        return self.author.organization_id


UseCase = Callable[[Session, Scene], object]


def _connect(session: Session, at: Scene, *, again: bool) -> object:
    columns = {
        "remote_id": at.remote_id,
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
    made = connect._Made("mastodon", at.remote_id, columns, server=None, server_before=None)
    chosen = connect._Chosen("UTC", at.channel if again else None, None)
    reach = Reach(at.organization)
    return connect._save(session, reach, made, chosen, Connector(reach, at.user), at.user)


def _delete_channel(session: Session, at: Scene) -> None:
    delete_posts_of_channel(session, at.author, at.channel)
    reach, actor = Reach(at.organization), an_actor(at.organization)
    delete_channel(session, reach, actor, at.channel)


def _set(changes: ChannelChanges) -> UseCase:
    return lambda session, at: change_channel(
        session, Reach(at.organization), an_actor(at.organization), at.channel, changes
    )


def _tagged(session: Session, at: Scene) -> None:
    wanted = PostEdit(tags=[TagIn(value="launch", label="launch")])
    edit(session, at.author, at.root, wanted, revision=None)


USE_CASES: dict[str, UseCase] = {
    "add a tag": lambda session, at: add_tag(session, an_actor(at.organization), _tag("news")),
    "rename the tag": lambda session, at: change_tag(
        session, an_actor(at.organization), at.tag, _tag("news")
    ),
    "delete the tag": lambda session, at: delete_tag(session, an_actor(at.organization), at.tag),
    "use the tag": _tagged,
    "set posting times": _set({"posting_times": MORNING}),
    "find a slot": lambda session, at: find_slot(session, Reach(at.organization), at.channel),
    "change settings": _set({"additional_settings": [{"title": "a", "value": "b"}]}),
    "disable": _set({"disabled": True}),
    "add a customer": lambda session, at: add_customer(session, an_actor(at.organization), "Looms"),
    "rename the customer": lambda session, at: rename_customer(
        session, an_actor(at.organization), at.customer, "Looms"
    ),
    "delete the customer": lambda session, at: delete_customer(
        session, an_actor(at.organization), at.customer
    ),
    "choose the customer": lambda session, at: change_customer(
        session,
        Reach(at.organization),
        an_actor(at.organization),
        at.channel,
        ChangeCustomer(customer_id=at.customer),
    ),
    "name a customer": lambda session, at: change_customer(
        session,
        Reach(at.organization),
        an_actor(at.organization),
        at.channel,
        ChangeCustomer(name="Looms"),
    ),
    "connect": lambda session, at: _connect(session, at, again=False),
    "connect again": lambda session, at: _connect(session, at, again=True),
    "delete the channel": _delete_channel,
}
BROKEN = text("""
    select 'customer' as what from channels c left join customers on customers.id = c.customer_id
        where c.customer_id is not null and customers.id is null
    union all select 'account' from channels where deleted_at is null
        group by organization_id, provider, remote_id having count(*) > 1
    union all select 'tag' from tags where deleted_at is null group by organization_id, name having count(*) > 1
    union all select 'tokens' from channels where deleted_at is not null and access_token <> ''
    union all select 'queued' from posts join channels c on c.id = posts.channel_id
        where posts.state = 'queued' and posts.deleted_at is null and c.deleted_at is not null
""")


def _tag(name: str) -> TagWrite:
    return TagWrite(name=name, color="#2f6f4f")


@pytest.fixture(autouse=True)
def _aws(aws: None, committed: Engine, configure: Configure) -> None:
    sqs = boto3.client("sqs")
    configure(
        DATABASE_POOL_SIZE=4,
        PUBLISH_QUEUE_URL=sqs.create_queue(QueueName="publish")["QueueUrl"],
        STAGE_QUEUE_URL=sqs.create_queue(QueueName="stage")["QueueUrl"],
        MAIL_TRANSPORT="none",
    )


@pytest.fixture
def other() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def a_scene() -> Scene:
    with unit_of_work() as session:
        organization = an_organization(session)
        member = a_member(session, organization)
        customer = a_customer(session, organization)
        channel = a_channel(session, organization, customer_id=customer.id, posting_times=MORNING)
        tag = Tag(organization_id=organization.id, name="launch", color="#2f6f4f")
        session.add(tag)
        root = a_post(session, channel, publish_at=SOON)
        author = Author(Reach(organization.id), None, Role.OWNER)
        session.flush()
        ids = channel.id, channel.remote_id, customer.id, tag.id, root.id
        return Scene(author, member.user_id, *ids)


@pytest.mark.parametrize("first", USE_CASES)
class TestTwoAtOnce:
    def test_nothing_is_lost_doubled_or_left_dangling(
        self, committed: Engine, other: ThreadPoolExecutor, first: str
    ) -> None:
        """Finding 1.12: every use case that reads, decides and writes, beside every other."""
        for second in USE_CASES:
            at = a_scene()
            answers = run_at_once(committed, other, USE_CASES[first], USE_CASES[second], at)
            with committed.connect() as connection:
                broken = connection.execute(BROKEN).scalars().all()
            assert not broken, (first, second)
            for answer in answers:
                is_refusal = isinstance(answer, Conflict | NotFound | InvalidInput)
                assert answer is None or is_refusal, (first, second, answer)

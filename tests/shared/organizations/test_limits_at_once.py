"""How many of something an organization may have, when many requests at the same moment add one.

Every limit that is counted before a row is added is here; storage is tested in `tests/shared/media/test_quota.py`.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import ModuleType

import boto3
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from shared.aws import keys
from shared.channels import customers
from shared.core.errors import AppError, Conflict
from shared.core.ids import OrganizationId, UserId
from shared.db.session import unit_of_work
from shared.organizations import api_keys
from shared.posts import tags
from shared.posts.schemas import TagWrite
from shared.webhooks import manage
from shared.webhooks.schemas import WebhookIn
from tests.builders import a_member, an_organization
from tests.conftest import Configure

AT_ONCE = 8


@dataclass(frozen=True)
class Limit:
    """`add` adds one with a number that makes its name."""

    module: ModuleType
    constant: str
    table: str
    add: Callable[[OrganizationId, UserId, int], object]


def _customer(organization_id: OrganizationId, _user: UserId, number: int) -> None:
    with unit_of_work() as session:
        customers.add_customer(session, organization_id, f"Customer {number}")


def _tag(organization_id: OrganizationId, _user: UserId, number: int) -> None:
    with unit_of_work() as session:
        tags.add_tag(session, organization_id, TagWrite(name=f"tag {number}", color="#000000"))


def _key(organization_id: OrganizationId, user_id: UserId, number: int) -> None:
    with unit_of_work() as session:
        api_keys.make_api_key(
            session,
            organization_id,
            user_id,
            name=f"key {number}",
            scopes=("read",),
            expires_at=None,
        )


def _webhook(organization_id: OrganizationId, _user: UserId, number: int) -> None:
    wanted = WebhookIn(name=f"hook {number}", url="https://hooks.example.org/roost")
    manage.add_webhook(organization_id, wanted)


LIMITS = [
    Limit(customers, "MOST_CUSTOMERS", "customers", _customer),
    Limit(tags, "MAX_TAGS", "tags", _tag),
    Limit(api_keys, "MOST_KEYS", "api_keys", _key),
    Limit(manage, "MOST_WEBHOOKS", "webhooks", _webhook),
]


@pytest.fixture(autouse=True)
def _several_connections(aws: None, committed: Engine, configure: Configure) -> Iterator[None]:
    key_id = boto3.client("kms").create_key()["KeyMetadata"]["KeyId"]
    configure(DATABASE_POOL_SIZE=AT_ONCE, KMS_KEY_ID=key_id)
    yield
    keys._sealer.cache_clear()


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.table)
class TestLimits:
    def test_the_last_place_is_given_once(
        self, committed: Engine, monkeypatch: pytest.MonkeyPatch, limit: Limit
    ) -> None:
        """Two requests that both counted before either had added took the organization over its limit."""
        monkeypatch.setattr(limit.module, limit.constant, 2)
        with Session(committed) as session, session.begin():
            member = a_member(session, an_organization(session))
            ids = OrganizationId(member.organization_id), UserId(member.user_id)
        limit.add(*ids, 0)
        together = threading.Barrier(AT_ONCE)

        def one(number: int) -> AppError | None:
            together.wait(10)
            try:
                limit.add(*ids, number)
            except Conflict as error:
                return error
            return None

        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(pool.map(one, range(1, AT_ONCE + 1)))
        assert sum(answer is None for answer in answers) == 1
        assert {answer.code for answer in answers if answer} == {f"too_many_{limit.table}"}
        with committed.connect() as connection:
            count = connection.execute(text(f"select count(*) from {limit.table}"))
            assert count.scalar_one() == 2

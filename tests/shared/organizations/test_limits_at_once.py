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
from sqlalchemy import Engine, event, text
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
from tests.builders import a_member, an_actor, an_organization
from tests.conftest import Configure

AT_ONCE = 3


@dataclass(frozen=True)
class Limit:
    """`add` adds one with a number that makes its name."""

    module: ModuleType
    constant: str
    table: str
    add: Callable[[OrganizationId, UserId, int], object]


def _customer(organization_id: OrganizationId, _user: UserId, number: int) -> None:
    with unit_of_work() as session:
        customers.add_customer(session, an_actor(organization_id), f"Customer {number}")


def _tag(organization_id: OrganizationId, _user: UserId, number: int) -> None:
    with unit_of_work() as session:
        tags.add_tag(
            session, an_actor(organization_id), TagWrite(name=f"tag {number}", color="#000000")
        )


def _key(organization_id: OrganizationId, user_id: UserId, number: int) -> None:
    with unit_of_work() as session:
        api_keys.make_api_key(
            session,
            an_actor(organization_id),
            user_id,
            name=f"key {number}",
            scopes=("read",),
            customers=None,
            expires_at=None,
        )


def _webhook(organization_id: OrganizationId, _user: UserId, number: int) -> None:
    wanted = WebhookIn(name=f"hook {number}", url="https://hooks.example.org/roost")
    actor = an_actor(organization_id)
    manage.add_webhook(actor, wanted, unknown_channels=lambda _session, _ids: set())


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


class FirstHeldBack:
    """Holds the first transaction that is about to commit until the other requests have ended, or wait for a lock."""

    def __init__(self, engine: Engine, others: int) -> None:
        self._engine, self._others = engine, others
        self._is_first = threading.Lock()
        self.ended = threading.Semaphore(0)

    def __call__(self, _session: Session) -> None:
        if not self._is_first.acquire(blocking=False):
            return
        waiting = self._others
        for _ in range(1000):
            if self.ended.acquire(timeout=0.01):
                waiting -= 1
            if waiting <= self._blocked():
                return
        pytest.fail("the other requests neither ended nor waited for a lock")

    def _blocked(self) -> int:
        with self._engine.connect() as connection:
            return int(connection.scalar(text("select count(*) from pg_locks where not granted")))


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.table)
class TestLimits:
    def test_the_last_place_is_given_once(
        self, committed: Engine, monkeypatch: pytest.MonkeyPatch, limit: Limit
    ) -> None:
        """Two requests that both counted before either had added took the organization over its limit."""
        monkeypatch.setattr(limit.module, limit.constant, 2)
        with Session(committed) as session, session.begin():
            member = a_member(session, an_organization(session))
            ids = member.organization_id, member.user_id
        limit.add(*ids, 0)

        hold = FirstHeldBack(committed, AT_ONCE - 1)

        def one(number: int) -> AppError | None:
            try:
                limit.add(*ids, number)
            except Conflict as error:
                return error
            finally:
                hold.ended.release()
            return None

        event.listen(Session, "before_commit", hold)
        try:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                answers = list(pool.map(one, range(1, AT_ONCE + 1)))
        finally:
            event.remove(Session, "before_commit", hold)
        assert sum(answer is None for answer in answers) == 1
        assert {answer.code for answer in answers if answer} == {f"too_many_{limit.table}"}
        with committed.connect() as connection:
            count = connection.execute(text(f"select count(*) from {limit.table}"))
            assert count.scalar_one() == 2

"""The connection breaks when the server has done what publishing asked, and before it can say so."""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from shared.db import statement
from shared.db.session import CommitUnknown, Rows, execute_alone
from shared.db.statement import Statement
from shared.publishing.claim_queries import CLAIM, CLAIMED
from shared.publishing.record_queries import KEEP_LATE_RELEASE, RECORD_RELEASED
from shared.publishing.run import publish_due
from tests.database.proxy import CountingProxy
from tests.database.test_repeatable import Contents, contents
from tests.database.test_session import through_proxy
from tests.shared.publishing.world import World, a_thread

__all__ = ["through_proxy"]

NOW = timedelta(0)


@pytest.fixture
def proxy(world: World, through_proxy: CountingProxy) -> Iterator[CountingProxy]:
    """Publish through the proxy; the world has connections of its own."""
    yield through_proxy
    world.engine.dispose()


def publish(world: World) -> None:
    root = a_thread(world, "keyless", due_in=NOW)
    publish_due(root.id, root.revision, deadline=time.monotonic() + 55)


def losing_answer(
    proxy: CountingProxy,
    monkeypatch: pytest.MonkeyPatch,
    to: Statement[..., Any],
    then: Callable[[], object],
) -> Sequence[str]:
    """Lose the first answer to a statement; return the statements that are executed alone from then on."""
    asked: list[str] = []

    def losing(executed: str, *rest: Any) -> Rows:
        if not asked and executed == to.sql:
            proxy.lose_next_answer(then)
        if asked or executed == to.sql:
            asked.append(executed)
        return execute_alone(executed, *rest)

    monkeypatch.setattr(statement, "execute_alone", losing)
    return asked


class TestClaim:
    def test_goes_on_with_what_it_claimed(
        self, world: World, proxy: CountingProxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Otherwise the post would wait for reconcile, until the lease has ended."""
        asked = losing_answer(proxy, monkeypatch, CLAIM, lambda: None)
        publish(world)
        assert asked[:2] == [CLAIM.sql, CLAIMED.sql]
        assert world.platform.texts() == ["one"]
        with world.engine.connect() as connection:
            states = connection.execute(text("select state from attempts")).scalars().all()
        assert states == ["released"]

    def test_claims_again_what_was_not_claimed(
        self, world: World, proxy: CountingProxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The connection was cut before the server had worked, as a failover cuts it."""

        def undo() -> None:
            with world.engine.begin() as connection:
                connection.execute(text("delete from attempts"))
                connection.execute(text("alter table posts disable trigger user"))
                connection.execute(text("update posts set state = 'queued' where position = 0"))
                connection.execute(text("alter table posts enable trigger user"))

        asked = losing_answer(proxy, monkeypatch, CLAIM, undo)
        publish(world)
        assert asked[:3] == [CLAIM.sql, CLAIMED.sql, CLAIM.sql]
        assert world.platform.texts() == ["one"]

    def test_of_another_attempt_it_takes_nothing(
        self, world: World, proxy: CountingProxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The attempt was taken over while the answer was lost."""

        def take_over() -> None:
            with world.engine.begin() as connection:
                connection.execute(text("update attempts set step = step + 1"))

        losing_answer(proxy, monkeypatch, CLAIM, take_over)
        with pytest.raises(CommitUnknown):
            publish(world)
        assert world.platform.requests == []


class TestRecord:
    def test_repeated_it_changes_nothing(
        self, world: World, proxy: CountingProxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The release is stored, members are notified once, and reconcile sends the next part on its way."""
        stored: list[Contents] = []
        asked = losing_answer(
            proxy, monkeypatch, RECORD_RELEASED, lambda: stored.append(contents())
        )
        publish(world)
        assert asked == [
            RECORD_RELEASED.sql,
            RECORD_RELEASED.sql,
            KEEP_LATE_RELEASE.sql,
        ]
        assert [contents()] == stored
        world.run()
        assert world.platform.texts() == ["one", "two"]
        with world.engine.connect() as connection:
            assert (
                connection.execute(text("select state from posts")).scalars().all()
                == ["published"] * 2
            )
            assert connection.execute(text("select count(*) from notifications")).scalar_one() == 1

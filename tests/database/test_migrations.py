"""Whether the migrations lead to the models, and back."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import make_url

from shared.core.config import settings
from shared.db import migrate
from shared.db.base import Base
from tests.conftest import Configure


@pytest.fixture
def empty(postgres: str, configure: Configure) -> Iterator[Connection]:
    """Connect to a database of its own, in which there is nothing."""
    configure(DATABASE_URL=postgres)
    with migrate.migrating() as admin:
        admin = admin.execution_options(isolation_level="AUTOCOMMIT")
        admin.execute(text("CREATE DATABASE empty TEMPLATE template0"))
        url = make_url(postgres).set(database="empty")
        configure(DATABASE_URL=url.render_as_string(hide_password=False))
        try:
            with migrate.migrating() as connection:
                yield connection
        finally:
            admin.execute(text("DROP DATABASE empty WITH (FORCE)"))


def tables(connection: Connection) -> set[str]:
    found = set(inspect(connection).get_table_names())
    connection.rollback()
    return found - {"alembic_version"}


class TestMigrations:
    def test_lead_to_the_models(self, empty: Connection) -> None:
        migrate.upgrade(empty)
        assert tables(empty) == set(Base.metadata.tables)
        assert migrate.differences(empty) == []

    def test_lead_down_and_up_again(self, empty: Connection) -> None:
        migrate.upgrade(empty)
        newest = migrate.current(empty)
        migrate.downgrade(empty, "base")
        assert (tables(empty), migrate.current(empty)) == (set(), None)
        migrate.upgrade(empty)
        assert migrate.current(empty) == newest
        assert migrate.differences(empty) == []

    def test_upgrading_twice_changes_nothing(self, empty: Connection) -> None:
        migrate.upgrade(empty)
        newest = migrate.current(empty)
        migrate.upgrade(empty)
        assert migrate.current(empty) == newest

    def test_a_second_upgrade_waits_for_the_first(self, empty: Connection) -> None:
        with migrate.migrating() as other:
            with migrate._alone(empty):
                taken = other.execute(
                    text("SELECT pg_try_advisory_lock(:key)"), {"key": migrate._LOCK}
                )
                assert taken.scalar_one() is False
            freed = other.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": migrate._LOCK})
            assert freed.scalar_one() is True

    def test_what_is_missing_is_seen(self, empty: Connection) -> None:
        migrate.upgrade(empty)
        empty.execute(text("DROP INDEX ix_posts_due"))
        empty.execute(text("ALTER TABLE posts DROP COLUMN title"))
        empty.commit()
        assert {difference[0] for difference in migrate.differences(empty)} == {
            "add_index",
            "add_column",
        }

    def test_check_constraints_equal_the_models(self, empty: Connection) -> None:
        # Alembic does not compare checks, so an enum's new member would otherwise be found by production.
        migrate.upgrade(empty)
        migrated = _checks(empty)
        migrate.downgrade(empty, "base")
        Base.metadata.create_all(empty)
        empty.commit()
        assert migrated == _checks(empty)


def _checks(connection: Connection) -> dict[str, str]:
    rows = connection.execute(
        text("SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c'")
    )
    found = {row[0]: row[1] for row in rows}
    connection.rollback()
    return found


def test_settings_are_those_of_the_tests(database_url: str) -> None:
    assert settings().stage == "test"
    assert settings().database_url == database_url

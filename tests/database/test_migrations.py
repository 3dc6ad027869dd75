"""Whether the migrations lead to the models, and back."""

from sqlalchemy import Connection, inspect, text

from shared.core.config import settings
from shared.db import migrate
from shared.db.base import Base
from shared.db.partitions import partitions


def tables(connection: Connection) -> set[str]:
    found = set(inspect(connection).get_table_names()) - partitions(connection)
    connection.rollback()
    return found - {"alembic_version"}


class TestMigrations:
    def test_lead_to_the_models(self, empty_database: Connection) -> None:
        migrate.upgrade(empty_database)
        assert tables(empty_database) == set(Base.metadata.tables)
        assert migrate.differences(empty_database) == []

    def test_lead_down_and_up_again(self, empty_database: Connection) -> None:
        migrate.upgrade(empty_database)
        newest = migrate.current(empty_database)
        migrate.downgrade(empty_database, "base")
        assert (tables(empty_database), migrate.current(empty_database)) == (set(), None)
        migrate.upgrade(empty_database)
        assert migrate.current(empty_database) == newest
        assert migrate.differences(empty_database) == []

    def test_upgrading_twice_changes_nothing(self, migrated_database: Connection) -> None:
        newest = migrate.current(migrated_database)
        migrate.upgrade(migrated_database)
        assert migrate.current(migrated_database) == newest

    def test_a_second_upgrade_waits_for_the_first(self, empty_database: Connection) -> None:
        with migrate.migrating() as other:
            with migrate._alone(empty_database):
                taken = other.execute(
                    text("SELECT pg_try_advisory_lock(:key)"), {"key": migrate._LOCK}
                )
                assert taken.scalar_one() is False
            freed = other.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": migrate._LOCK})
            assert freed.scalar_one() is True

    def test_what_is_missing_is_seen(self, migrated_database: Connection) -> None:
        migrated_database.execute(text("DROP INDEX ix_posts_due"))
        migrated_database.execute(text("ALTER TABLE posts DROP COLUMN title"))
        migrated_database.commit()
        assert {difference[0] for difference in migrate.differences(migrated_database)} == {
            "add_index",
            "add_column",
        }

    def test_check_constraints_equal_the_models(self, migrated_database: Connection) -> None:
        # Alembic does not compare checks, so an enum's new member would otherwise be found by production.
        migrated = _checks(migrated_database)
        migrate.downgrade(migrated_database, "base")
        Base.metadata.create_all(migrated_database)
        migrated_database.commit()
        assert migrated == _checks(migrated_database)


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

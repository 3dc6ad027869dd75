"""Whether the audit log has a partition for each month, keeps its rows as they are, and drops only old months."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from shared.db import migrate
from shared.db.partitions import MONTHS_AHEAD, PARTITIONED, Month, partitions
from shared.db.roles import APPEND_ONLY, prepare_role

KEEP = timedelta(days=400)
NOW = datetime(2026, 11, 30, 23, 30, tzinfo=UTC)
CHANGES = (
    "UPDATE {0} SET action = 'other'",
    "DELETE FROM {0}",
    "TRUNCATE {0}",
    "UPDATE {0} SET at = at + interval '40 days'",  # into another partition
)


@pytest.fixture
def database(migrated_database: Connection) -> Connection:
    """A migrated database without partitions for months."""
    return migrated_database


def keep(database: Connection, now: datetime = NOW, keep: timedelta = KEEP) -> set[str]:
    """Keep the partitions, and return their names."""
    migrate.maintain(database, now=now, keep=keep)
    return names(database)


def names(database: Connection) -> set[str]:
    found = partitions(database)
    database.rollback()
    return found


def add(database: Connection, at: datetime) -> None:
    database.execute(
        text(
            "INSERT INTO audit_events (at, id, action, subject_kind) VALUES (:at, :id, 'a.b', 'a')"
        ),
        {"at": at, "id": uuid.uuid4()},
    )
    database.commit()


def places(database: Connection) -> dict[str, list[datetime]]:
    """Return the times of the rows of each partition that has some."""
    rows = database.execute(
        text("SELECT tableoid::regclass::text AS place, at FROM audit_events ORDER BY at")
    ).all()
    database.rollback()
    found: dict[str, list[datetime]] = {}
    for row in rows:
        found.setdefault(row.place, []).append(row.at.astimezone(UTC))
    return found


class TestMonths:
    def test_this_one_and_three_more_are_created(self, database: Connection) -> None:
        assert keep(database) == {
            "audit_events_default",
            "audit_events_2026_11",
            "audit_events_2026_12",
            "audit_events_2027_01",
            "audit_events_2027_02",
        }

    def test_a_second_run_changes_nothing(self, database: Connection) -> None:
        first = keep(database)
        add(database, NOW)
        before = places(database)
        assert keep(database) == first
        assert places(database) == before == {"audit_events_2026_11": [NOW]}

    def test_the_last_moment_of_a_month_is_in_it(self, database: Connection) -> None:
        keep(database)
        last = datetime(2026, 11, 30, 23, 59, 59, 999_999, tzinfo=UTC)
        first = datetime(2026, 12, 1, tzinfo=UTC)
        add(database, last)
        add(database, first)
        assert places(database) == {
            "audit_events_2026_11": [last],
            "audit_events_2026_12": [first],
        }

    def test_a_month_begins_in_utc_whatever_the_zone(self, database: Connection) -> None:
        """The session's zone must not shift a partition's bounds or the month of a stray row."""
        database.execute(text("SET timezone = 'Pacific/Auckland'"))
        database.commit()
        last = datetime(2026, 11, 30, 23, 59, tzinfo=UTC)  # 1 December in Auckland
        add(database, last)
        keep(database)
        assert places(database) == {"audit_events_2026_11": [last]}

    def test_the_next_month_adds_one(self, database: Connection) -> None:
        before = keep(database)
        assert keep(database, NOW + timedelta(hours=1)) - before == {"audit_events_2027_03"}

    @pytest.mark.parametrize(
        ("month", "months", "expected"),
        [
            (Month(2026, 12), 1, Month(2027, 1)),
            (Month(2026, 1), 11, Month(2026, 12)),
            (Month(2026, 9), 3, Month(2026, 12)),
            (Month(2026, 10), 15, Month(2028, 1)),
        ],
    )
    def test_are_counted_over_the_year(self, month: Month, months: int, expected: Month) -> None:
        assert month.later(months) == expected

    def test_are_ahead_by_three(self) -> None:
        assert MONTHS_AHEAD == 3


class TestDefault:
    def test_its_rows_are_moved_into_their_months(self, database: Connection) -> None:
        far = NOW + timedelta(days=300)
        add(database, NOW)
        add(database, far)
        assert places(database) == {"audit_events_default": [NOW, far]}
        keep(database)
        assert places(database) == {
            "audit_events_2026_11": [NOW],
            "audit_events_2027_09": [far],
        }

    def test_a_stray_row_of_a_month_that_exists_goes_there(self, database: Connection) -> None:
        keep(database)
        add(database, NOW + timedelta(days=200))
        keep(database)
        add(database, NOW)
        add(database, NOW + timedelta(days=250))
        keep(database)
        assert [len(rows) for rows in places(database).values()] == [1, 1, 1]
        assert "audit_events_default" not in places(database)

    def test_the_new_one_is_protected_too(self, database: Connection) -> None:
        add(database, NOW)
        keep(database)
        add(database, NOW + timedelta(days=1000))
        for change in CHANGES:
            refuse(database, change.format("audit_events_default"))

    def test_nothing_is_lost_when_it_stops_half_way(
        self, database: Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add(database, NOW)

        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("shared.db.partitions._protect", stop)
            with pytest.raises(KeyboardInterrupt):
                keep(database)
        assert places(database) == {"audit_events_default": [NOW]}
        keep(database)
        assert places(database) == {"audit_events_2026_11": [NOW]}


class TestOldMonths:
    def test_are_dropped_when_all_of_one_is_old(self, database: Connection) -> None:
        first = datetime(2025, 9, 10, tzinfo=UTC)
        keep(database, first)
        add(database, first)
        assert "audit_events_2025_09" in keep(database, datetime(2026, 11, 4, tzinfo=UTC))
        assert "audit_events_2025_09" not in keep(database, datetime(2026, 11, 5, tzinfo=UTC))
        assert places(database) == {}

    def test_are_dropped_earlier_if_less_is_kept(self, database: Connection) -> None:
        keep(database, datetime(2026, 9, 10, tzinfo=UTC))
        assert "audit_events_2026_09" in keep(database, NOW, timedelta(days=90))
        assert "audit_events_2026_09" not in keep(database, NOW, timedelta(days=31))

    def test_wait_for_a_reader_and_are_dropped_the_next_day(
        self, database: Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keep(database, datetime(2025, 1, 10, tzinfo=UTC))
        monkeypatch.setattr("shared.db.partitions._LOCK_TIMEOUT", timedelta(seconds=1))
        with migrate.migrating() as reader:
            reader.execute(text("SELECT count(*) FROM audit_events"))
            with pytest.raises(OperationalError, match="lock timeout"):
                keep(database)
            reader.rollback()
        database.rollback()
        assert "audit_events_2025_01" not in keep(database)


class TestAppendOnly:
    @pytest.mark.parametrize("change", CHANGES)
    @pytest.mark.parametrize(
        "table", ["audit_events", "audit_events_2026_11", "audit_events_default"]
    )
    def test_the_owner_changes_no_row(self, database: Connection, table: str, change: str) -> None:
        """On a laptop the functions' role owns the tables, so only triggers can refuse it."""
        keep(database)
        add(database, NOW)
        add(database, NOW + timedelta(days=2000))
        refuse(database, change.format(table))

    def test_every_partition_has_the_triggers(self, database: Connection) -> None:
        """TRUNCATE's are not inherited, so a new partition would be without one."""
        keep(database)
        found = {
            (row.partition, row.trigger)
            for row in database.execute(
                text(
                    "SELECT tgrelid::regclass::text AS partition, tgname AS trigger FROM pg_trigger"
                )
            )
        }
        database.rollback()
        for table in APPEND_ONLY:
            for name in {table, *(one for one in names(database) if one.startswith(table))}:
                assert {(name, "refuse_change"), (name, "refuse_truncate")} <= found

    def test_what_is_partitioned_is_what_the_database_says(self, database: Connection) -> None:
        rows = database.execute(text("SELECT partrelid::regclass::text FROM pg_partitioned_table"))
        assert set(rows.scalars()) == set(PARTITIONED)
        database.rollback()


def refuse(database: Connection, statement: str) -> None:
    """Run a statement that must be refused."""
    with pytest.raises(ProgrammingError, match="never changed or deleted"):
        database.execute(text(statement))
    database.rollback()


class TestFunctionsRole:
    @pytest.fixture
    def role(self, database: Connection) -> Iterator[str]:
        prepare_role(database, "app")
        yield "app"
        for statement in ("DROP OWNED BY app", "DROP ROLE app"):
            database.execute(text(statement))
        database.commit()

    def privileges(self, database: Connection, table: str) -> set[str]:
        rows = database.execute(
            text(
                "SELECT privilege_type FROM pg_class, aclexplode(relacl)"
                " WHERE relname = :table AND grantee = 'app'::regrole"
            ),
            {"table": table},
        )
        found = set(rows.scalars())
        database.rollback()
        return found

    def test_inserts_and_reads_and_nothing_else(self, database: Connection, role: str) -> None:
        keep(database)
        prepare_role(database, role)
        for table in {"audit_events", *names(database)}:
            assert self.privileges(database, table) == {"INSERT", "SELECT"}, table
        assert "DELETE" in self.privileges(database, "audit_addresses")

    def test_nor_on_partitions_of_later_days(self, database: Connection, role: str) -> None:
        """What is granted by default on new tables would include them."""
        for now in (NOW, NOW + timedelta(days=35)):
            keep(database, now)
        add(database, NOW + timedelta(days=2000))
        keep(database, NOW + timedelta(days=36))
        for name in names(database):
            assert self.privileges(database, name) == {"INSERT", "SELECT"}, name

    def test_is_refused_on_a_partition_by_its_own_name(
        self, database: Connection, role: str
    ) -> None:
        keep(database)
        add(database, NOW)
        for table in ("audit_events", "audit_events_2026_11"):
            for change in CHANGES:
                database.execute(text(f"SET LOCAL ROLE {role}"))
                with pytest.raises(ProgrammingError, match="permission denied"):
                    database.execute(text(change.format(table)))
                database.rollback()
        database.execute(text(f"SET LOCAL ROLE {role}"))
        assert database.execute(text("SELECT count(*) FROM audit_events")).scalar_one() == 1
        database.rollback()

"""Can a prepared statement outlive a migration, and does the server have the memory for all of them?"""

import importlib
import pkgutil
import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, TextClause, text

import shared
from shared.access.context_queries import By, identify_by
from shared.core.ids import new_id
from shared.db import migrate
from shared.db.base import Base
from shared.db.prepared import MOST_PREPARED
from shared.db.session import read_only, run
from shared.db.statement import NoRow, Statement, sql
from shared.db.wire import WireConnection, WireDialect
from shared.notifications.models import Notification
from shared.organizations.models import Organization
from tests.builders import a_channel, a_post, an_organization

MIGRATIONS = Path(migrate.__file__).parent / "migrations" / "versions"
MB = 2**20
# One Aurora capacity unit. Source: docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-serverless-v2.how-it-works.html,
# read 2026-12.
CAPACITY_UNIT = 2048 * MB
# What the 64 largest statements of all functions would take on one connection; no function runs all of them. Stated in
# docs/adr/0005-pg8000-in-one-flush.md.
MOST_A_CONNECTION = 16 * MB
PLANS = text("""
    select coalesce(sum(total_bytes), 0)::bigint from pg_backend_memory_contexts
    where name like 'CachedPlan%' or name = 'Prepared Queries'
""")


class OneNotification(NamedTuple):
    organization_id: UUID
    notification_id: UUID


RENAME_NOTIFICATION = Statement(
    "rename_notification",
    sql(
        "update notifications set title = 'u' where organization_id = :organization_id and id = :notification_id"
    ),
    params=OneNotification,
    row=NoRow,
    repeatable=True,
)


def statements() -> Mapping[str, str]:
    """Return every statement that a module of `shared` names, and those that say who is calling, as they are sent."""
    found: dict[str, TextClause] = {}
    values = {
        statement.name: statement.sql
        for statement in (identify_by(by, None, reads_profile=True) for by in By)
    }
    for module in pkgutil.walk_packages(shared.__path__, "shared."):
        if ".migrations" not in module.name:
            for name, value in vars(importlib.import_module(module.name)).items():
                if isinstance(value, TextClause):
                    found[f"{module.name.removeprefix('shared.')}.{name}"] = value
                if isinstance(value, Statement):
                    values[value.name] = value.sql
    dialect = WireDialect()
    return values | {name: str(value.compile(dialect=dialect)) for name, value in found.items()}


def wire_of(connection: Connection) -> WireConnection:
    wire = connection.connection.dbapi_connection
    assert isinstance(wire, WireConnection)
    return wire


def described(wire: WireConnection) -> Mapping[str, list[tuple[str, int]]]:
    """Return the names and types of the columns that each statement returns."""
    found = {}
    for name, sent in statements().items():
        statement, columns, _ = wire.prepare_statement(sent, ())
        wire.close_prepared_statement(statement)
        found[name] = [(column["name"], column["type_oid"]) for column in columns or ()]
    return found


class TestResults:
    def test_a_new_column_changes_none(self, migrated_database: Connection) -> None:
        """No result has a `*`, directly or by a subquery."""
        before = described(wire_of(migrated_database))
        assert len(before) > 80
        for table in Base.metadata.tables:
            migrated_database.execute(text(f"alter table {table} add column one_more text"))
        migrated_database.commit()
        assert described(wire_of(migrated_database)) == before

    @pytest.mark.parametrize(
        "path", sorted(MIGRATIONS.glob("*.py")), ids=lambda path: path.stem[-40:]
    )
    def test_no_migration_changes_a_type_in_place(self, path: Path) -> None:
        upgrade = path.read_text(encoding="utf-8")
        assert not re.search(r"\balter_column\([^)]*\btype_\s*=", upgrade)
        assert not re.search(r"\balter\s+(column\s+)?\w+\s+(set\s+data\s+)?type\b", upgrade, re.I)


@pytest.fixture
def migrated(committed: Engine) -> Iterator[None]:
    """Take away afterwards what a migration of the test added."""
    yield
    with migrate.migrating() as connection:
        for table in Base.metadata.tables:
            connection.execute(text(f"alter table {table} drop column if exists one_more"))
        connection.commit()


class Traffic:
    """Threads that write and read all the time."""

    def __init__(self, organization: Organization) -> None:
        self._organization_id = organization.id
        self._ends = threading.Event()
        self.errors: list[Exception] = []
        self.rounds = 0
        self._threads = [threading.Thread(target=self._go) for _ in range(3)]

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join(30)

    def wait_for(self, rounds: int) -> None:
        target = self.rounds + rounds
        while self.rounds < target and not self.errors:
            self._ends.wait(0.01)

    def _go(self) -> None:
        while not self._ends.is_set() and not self.errors:
            try:
                self._once()
            except Exception as error:  # noqa: BLE001  whatever it is, the test tells it
                self.errors.append(error)
            self.rounds += 1

    def _once(self) -> None:
        ids = {"organization_id": self._organization_id}

        def write(session: Any) -> None:
            session.add(Notification(**ids, kind="info", title="t", content="c"))
            session.flush()
            channel = a_channel(session, session.get_one(Organization, self._organization_id))
            a_post(session, channel)

        run(write)
        with read_only() as session:
            session.query(Notification).filter_by(**ids).limit(3).all()
            session.execute(text("select id, title from posts where organization_id = :organization_id limit 3"), ids).all()  # fmt: skip
        RENAME_NOTIFICATION.alone(self._organization_id, new_id())


def test_statements_keep_running_while_a_migration_changes_their_tables(migrated: None) -> None:
    organization = run(an_organization)
    with Traffic(organization) as traffic, migrate.migrating() as connection:
        traffic.wait_for(30)
        connection.execute(text("set lock_timeout = '15s'"))
        for change in (
            "alter table {} add column one_more text not null default 'x'",
            "alter table {} add constraint one_more_is_x check (one_more = 'x') not valid",
            "alter table {} validate constraint one_more_is_x",
            "create index on {} (one_more)",
        ):
            for table in ("organizations", "channels", "posts", "notifications"):
                connection.execute(text(change.format(table)))
                connection.commit()
            traffic.wait_for(15)
    assert traffic.errors == []
    assert traffic.rounds > 75


class TestMemory:
    def test_the_largest_statements_fit_on_a_connection(self, committed: Engine) -> None:
        sizes: list[int] = []
        with migrate.migrating() as connection:
            connection.execute(text("set plan_cache_mode = force_generic_plan"))
            for number, sql in enumerate(statements().values()):
                before = connection.execute(PLANS).scalar_one()
                nulls = ", ".join("null" for _ in set(re.findall(r"\$\d+", sql)))
                connection.exec_driver_sql(f"prepare s{number} as {sql}")
                connection.exec_driver_sql(
                    f"explain execute s{number}" + f"({nulls})" * bool(nulls)
                )
                sizes.append(connection.execute(PLANS).scalar_one() - before)
            connection.exec_driver_sql("deallocate all")
        assert len(sizes) > MOST_PREPARED
        assert 8 * MB < sum(sorted(sizes)[-MOST_PREPARED:]) < MOST_A_CONNECTION

"""Migrates the schema to a revision, and compares it with the models.

python -m shared.db.migrate revision "add plans"    write the revision that changes the database to match the models
python -m shared.db.migrate upgrade [REVISION]      to the newest one by default
python -m shared.db.migrate downgrade REVISION      `base` empties the database
python -m shared.db.migrate check                   report differences between models and database
"""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, text

from shared.core.log import log
from shared.db.all_models import Base
from shared.db.partitions import keep_partitions, partitions
from shared.db.session import connect
from shared.db.wire import WireConnection

_SCRIPTS = Path(__file__).parent / "migrations"
# An arbitrary number: every migrating process takes the same lock.
_LOCK = 4_201_337_003
_LOCK_TIMEOUT = timedelta(minutes=5)
# A revision that waits longer than this for a table fails, so that it does not block everything behind it.
_TABLE_LOCK_TIMEOUT = timedelta(seconds=15)
_LONGEST = timedelta(minutes=14)


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Upgrade the schema to `revision` under a lock; other migrations wait until this is done.

    A schema that is newer than this code stays unchanged. That happens when a failed deployment is rolled back, so every
    revision must keep what the previous version uses.
    """
    with _alone(connection):
        if _is_ahead(connection):
            log.warning("schema.ahead", extra={"revision": current(connection)})
            return
        command.upgrade(_config(connection), revision)
    log.info("schema.upgraded", extra={"revision": current(connection)})


def downgrade(connection: Connection, revision: str) -> None:
    """Downgrade the schema to `revision`; `base` is an empty database. Dropped data is lost."""
    with _alone(connection):
        command.downgrade(_config(connection), revision)
    log.info("schema.downgraded", extra={"revision": current(connection)})


def maintain(connection: Connection, *, now: datetime, keep: timedelta) -> None:
    """Keep the partitions of tables; migrations wait until this is done. Rows older than `keep` are dropped."""
    with _alone(connection):
        keep_partitions(connection, now=now, keep=keep)


def current(connection: Connection) -> str | None:
    """Return the database's revision; `None` if it is empty."""
    found = MigrationContext.configure(connection).get_current_revision()
    connection.rollback()
    return found


def differences(connection: Connection) -> list[Any]:
    """List the changes that the database needs to match the models; empty if there are none."""
    context = MigrationContext.configure(
        connection, opts={"compare_server_default": True, "include_object": declared(connection)}
    )
    found = compare_metadata(context, Base.metadata)
    connection.rollback()
    return list(found)


def declared(connection: Connection) -> Callable[..., bool]:
    """Return a filter for Alembic that leaves out partitions, which the models do not declare."""
    undeclared = partitions(connection)
    connection.rollback()  # Alembic begins its own transactions

    def is_declared(found: Any, name: str | None, kind: str, *_: Any) -> bool:
        table = name if kind == "table" else getattr(getattr(found, "table", None), "name", None)
        return table not in undeclared

    return is_declared


def _is_ahead(connection: Connection) -> bool:
    known = {script.revision for script in ScriptDirectory(str(_SCRIPTS)).walk_revisions()}
    return current(connection) not in known | {None}


@contextmanager
def migrating(
    make: Callable[[timedelta], WireConnection] = lambda longest: connect(
        answer_within=longest, most_prepared=0
    ),
    *,
    longest: timedelta = _LONGEST,
) -> Iterator[Connection]:
    """Open a connection whose statements may take up to `longest`. `make` opens it; by default as the settings say.

    It prepares no statements, because a revision changes what they return.
    """
    engine = create_engine("postgresql+wire://", creator=lambda: make(longest), poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("SET idle_in_transaction_session_timeout = 0"))
        connection.execute(text("SET idle_session_timeout = 0"))
        connection.commit()
        yield connection


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    _set_lock_timeout(connection, _LOCK_TIMEOUT)
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
    _set_lock_timeout(connection, _TABLE_LOCK_TIMEOUT)
    # A revision creates objects there and finds only them and PostgreSQL's own, whatever the role's search path is.
    connection.execute(text("SET search_path = public"))
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(text("RESET search_path"))
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
        connection.commit()


def _set_lock_timeout(connection: Connection, timeout: timedelta) -> None:
    connection.execute(
        text("SELECT set_config('lock_timeout', :value, false)"), {"value": f"{timeout.seconds}s"}
    )


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "%%(year)d_%%(month).2d_%%(day).2d_%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    return config


def _formatting(config: Config) -> Config:
    """Format the generated revision."""
    for name, options in (("fix", "check --fix --quiet"), ("layout", "format --quiet")):
        config.set_section_option("post_write_hooks", f"{name}.type", "module")
        config.set_section_option("post_write_hooks", f"{name}.module", "ruff")
        config.set_section_option(
            "post_write_hooks", f"{name}.options", f"{options} REVISION_SCRIPT_FILENAME"
        )
    config.set_section_option("post_write_hooks", "hooks", "fix, layout")
    return config


def main() -> int:
    """Run one of the commands above on the database of the settings."""
    parser = argparse.ArgumentParser(prog="python -m shared.db.migrate", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("revision").add_argument("message")
    commands.add_parser("upgrade").add_argument("revision", nargs="?", default="head")
    commands.add_parser("downgrade").add_argument("revision")
    commands.add_parser("check")
    given = parser.parse_args()
    with migrating() as connection:
        if given.command == "revision":
            command.revision(_formatting(_config(connection)), given.message, autogenerate=True)
        elif given.command == "upgrade":
            upgrade(connection, given.revision)
        elif given.command == "downgrade":
            downgrade(connection, given.revision)
        elif found := differences(connection):
            for difference in found:
                log.error("schema.differs", extra={"difference": repr(difference)})
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

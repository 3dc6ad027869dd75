"""What the role that the functions log in as may do, and how long its statements may take.

The administrator owns the tables and migrates them. The functions' role reads and writes rows and can change no table.
Its limits are set on the role: a limit set on each connection would cost a round trip each time.
"""

from datetime import timedelta

from sqlalchemy import Connection, text

# Below the 29 s of an HTTP function and the 30 s after which our end of the connection gives up.
STATEMENT_TIMEOUT = timedelta(seconds=20)
# A process that was stopped inside a transaction holds its row locks no longer than this.
IDLE_IN_TRANSACTION_TIMEOUT = timedelta(seconds=30)
# Where the database may sleep, an invocation closes its connection (`db/invocations.py`). This ends what a killed or stuck
# process left open, and elsewhere what a frozen one keeps for nothing. A process that comes back finds out by the ping of
# `db/session.py`.
IDLE_SESSION_TIMEOUT = timedelta(minutes=4)


def prepare_role(connection: Connection, role: str) -> None:
    """Make `role` if there is none, let it log in by IAM and work on every table, present and future.

    To be run by the owner of the tables, before and after migrations alike.
    """
    name = connection.dialect.identifier_preparer.quote_identifier(role)
    if not _exists(connection, role):
        connection.exec_driver_sql(f"CREATE ROLE {name} LOGIN")
    if _exists(connection, "rds_iam"):  # Aurora's mark of a role that logs in by a signed token
        connection.exec_driver_sql(f"GRANT rds_iam TO {name}")
    connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA public TO {name}")
    for what, privileges in (
        ("TABLES", "SELECT, INSERT, UPDATE, DELETE"),
        ("SEQUENCES", "USAGE, SELECT"),
    ):
        connection.exec_driver_sql(f"GRANT {privileges} ON ALL {what} IN SCHEMA public TO {name}")
        connection.exec_driver_sql(
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT {privileges} ON {what} TO {name}"
        )
    _limit(connection, name)
    connection.commit()


def limit_own_role(connection: Connection) -> None:
    """Set the time limits on the role that is logged in: where it is the only one there is."""
    _limit(connection, "CURRENT_USER")
    connection.commit()


def _limit(connection: Connection, name: str) -> None:
    for setting, limit in (
        ("statement_timeout", STATEMENT_TIMEOUT),
        ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT),
        ("idle_session_timeout", IDLE_SESSION_TIMEOUT),
    ):
        connection.exec_driver_sql(f"ALTER ROLE {name} SET {setting} = '{limit.seconds}s'")


def _exists(connection: Connection, role: str) -> bool:
    found = text("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :role)")
    return bool(connection.execute(found, {"role": role}).scalar_one())

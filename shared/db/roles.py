"""The permissions and time limits of the functions' database role.

The administrator owns the tables and migrates them. The functions' role reads and writes rows and cannot change tables.
The limits are set on the role, because setting them on each connection would cost a round trip each time.
"""

from datetime import timedelta

from sqlalchemy import Connection, text

# Below the 29 s of an HTTP function and the 30 s after which our end of the connection times out.
STATEMENT_TIMEOUT = timedelta(seconds=20)
# A process that stops inside a transaction keeps its row locks no longer than this.
IDLE_IN_TRANSACTION_TIMEOUT = timedelta(seconds=30)
# If the database may pause, an invocation closes its connection (`db/invocations.py`). This limit closes the connection of a
# killed or stuck process, and otherwise of a frozen one. A process that resumes notices it through the ping in
# `db/session.py`.
IDLE_SESSION_TIMEOUT = timedelta(minutes=4)

APPEND_ONLY = ("audit_events",)
"""The tables whose rows the functions' role may insert and read, but not change or delete. Their triggers refuse it too."""


def prepare_role(connection: Connection, role: str) -> None:
    """Create `role` if it does not exist, and let it log in by IAM and read and write all present and future tables.

    What it may do with `APPEND_ONLY` tables is revoked last, since it is granted for all tables. The owner of the tables runs this, before or after migrations.
    """
    name = connection.dialect.identifier_preparer.quote_identifier(role)
    if not _exists(connection, role):
        connection.exec_driver_sql(f"CREATE ROLE {name} LOGIN")
    if _exists(connection, "rds_iam"):  # Aurora's role for logging in with a signed token
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
    for table in APPEND_ONLY:
        for part in _with_partitions(connection, table):
            revoke_changes(connection, part)
    _limit(connection, name)
    connection.commit()


def revoke_changes(connection: Connection, table: str) -> None:
    """Leave to everybody but the owner of an append-only table only what inserts and reads its rows."""
    granted = text("""
        SELECT DISTINCT rolname FROM pg_class, aclexplode(relacl) JOIN pg_roles ON pg_roles.oid = grantee
        WHERE pg_class.oid = to_regclass(:name) AND grantee <> relowner AND privilege_type NOT IN ('SELECT', 'INSERT')
    """)
    for role in connection.execute(granted, {"name": f"public.{table}"}).scalars().all():
        name = connection.dialect.identifier_preparer.quote_identifier(role)
        connection.exec_driver_sql(
            f"REVOKE UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER, MAINTAIN ON {table} FROM {name}"
        )


def _with_partitions(connection: Connection, table: str) -> list[str]:
    """Return a table's name and those of its partitions; empty if the table does not exist."""
    found = text("""
        SELECT relname FROM pg_class
        WHERE oid = to_regclass(:name) OR oid IN (SELECT relid FROM pg_partition_tree(to_regclass(:name)))
    """)
    return list(connection.execute(found, {"name": f"public.{table}"}).scalars())


def limit_own_role(connection: Connection) -> None:
    """Set the time limits on the current role, for databases with only one role."""
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

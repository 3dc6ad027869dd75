"""Runs a migration with Alembic on the given connection, each revision in its own transaction."""

from alembic import context

from shared.db import migrate
from shared.db.all_models import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    transaction_per_migration=True,
    compare_server_default=True,
    include_object=migrate.declared(connection),
)
with context.begin_transaction():
    context.run_migrations()

"""Runs a migration with Alembic on the given connection, each revision in its own transaction."""

from alembic import context

from shared.db.all_models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transaction_per_migration=True,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()

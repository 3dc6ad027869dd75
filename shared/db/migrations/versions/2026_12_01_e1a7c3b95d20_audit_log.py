"""the audit log: what was done, by whom and from where, in rows that are only added.

`shared/db/partitions.py` creates the months after this; until then, rows go into the default partition.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "e1a7c3b95d20"
down_revision: str | None = "e4c0b7d19f52"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "audit_events",
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=True),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("impersonated_by", sa.Uuid(), nullable=True),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("api_key_id", sa.Uuid(), nullable=True),
        sa.Column("grant_id", sa.Uuid(), nullable=True),
        sa.Column("link_id", sa.Uuid(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject_kind", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("before", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("after", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("at", "id", name="pk_audit_events"),
        postgresql_partition_by="RANGE (at)",
    )
    for column in ("organization_id", "subject_id", "user_id"):
        op.create_index(f"ix_audit_events_{column}", "audit_events", [column, "at", "id"])
    op.create_index(
        "ix_audit_events_impersonated_by",
        "audit_events",
        ["impersonated_by", "at", "id"],
        postgresql_where=sa.text("impersonated_by is not null"),
    )
    op.create_table(
        "audit_addresses",
        sa.Column("audit_event_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("audit_event_id", name="pk_audit_addresses"),
    )
    op.create_index("ix_audit_addresses_at", "audit_addresses", ["at"])
    op.execute("""
        create function refuse_change() returns trigger language plpgsql as $$
        begin
            raise exception 'rows of % are never changed or deleted', tg_table_name using errcode = '42501';
        end $$
    """)
    op.execute("create table audit_events_default partition of audit_events default")
    # Partitions inherit triggers for rows. TRUNCATE has none for rows, so each partition gets its own.
    op.execute("""
        create trigger refuse_change before update or delete on audit_events
        for each row execute function refuse_change()
    """)
    for table in ("audit_events", "audit_events_default"):
        op.execute(f"""
            create trigger refuse_truncate before truncate on {table}
            for each statement execute function refuse_change()
        """)


def downgrade() -> None:
    op.drop_table("audit_addresses")
    op.drop_table("audit_events")
    op.execute("drop function refuse_change()")

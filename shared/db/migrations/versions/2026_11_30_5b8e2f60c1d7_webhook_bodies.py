"""bodies of webhook messages, one for all deliveries of an event.

The release before this one still writes `webhook_deliveries.body` and reads it; rows that this release writes hold `[]`
there. If that release comes back, it would send `[]` for messages that wait at that moment.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "5b8e2f60c1d7"
down_revision: str | None = "34f1b68607e9"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "webhook_bodies",
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column(
            "body", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False
        ),
        sa.Column("kept_until", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_webhook_bodies_organization_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_webhook_bodies")),
    )
    op.create_index("ix_webhook_bodies_kept_until", "webhook_bodies", ["kept_until"])
    op.alter_column("webhook_deliveries", "body", server_default=sa.text("'[]'"))


def downgrade() -> None:
    op.execute(
        "update webhook_deliveries d set body = b.body from webhook_bodies b "
        "where b.event_id = d.event_id and d.body = '[]'"
    )
    op.alter_column("webhook_deliveries", "body", server_default=None)
    op.drop_index("ix_webhook_bodies_kept_until", table_name="webhook_bodies")
    op.drop_table("webhook_bodies")

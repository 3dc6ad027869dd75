"""what organizations use of their plan is counted; a channel knows whether its plan switched it off."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "c7d2e4f8a1b3"
down_revision: str | None = "b9d4f0a27c61"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "usage",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("section", sa.Text(), nullable=False),
        sa.Column("period_start", sa.Date(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.CheckConstraint("used >= 0", name=op.f("ck_usage_used_not_negative")),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_usage_organization_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "organization_id", "section", "period_start", name=op.f("pk_usage")
        ),
    )
    op.create_table(
        "first_runs",
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column(
            "ran_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("task", name=op.f("pk_first_runs")),
    )
    op.add_column("posts", sa.Column("counted_period", sa.Date(), nullable=True))
    op.create_index(
        "ix_posts_counted",
        "posts",
        ["organization_id", "counted_period"],
        postgresql_where=sa.text("counted_period is not null"),
    )
    op.add_column("channels", sa.Column("disabled_by", sa.Text(), nullable=True))
    op.create_index(
        "ix_channels_disabled_by",
        "channels",
        ["organization_id"],
        postgresql_where=sa.text("disabled_by is not null"),
    )


def downgrade() -> None:
    op.drop_index("ix_channels_disabled_by", table_name="channels")
    op.drop_column("channels", "disabled_by")
    op.drop_index("ix_posts_counted", table_name="posts")
    op.drop_column("posts", "counted_period")
    op.drop_table("first_runs")
    op.drop_table("usage")

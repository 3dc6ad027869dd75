"""impersonations have a reason and an end, and organizations choose whether their owners get an email about them.

The previous version finds a member to act as without a row here, so an impersonation that it began is over for the new one.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "a7e2d9c41b63"
down_revision: str | None = "e27b9d4f1c83"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "impersonations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "started_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["operator_id"], ["users.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_impersonations_session_id", "impersonations", ["session_id", "member_id"])
    op.create_index("ix_impersonations_operator_id", "impersonations", ["operator_id"])
    op.create_index(
        "ix_impersonations_organization_id", "impersonations", ["organization_id", "started_at"]
    )
    op.create_index("ix_impersonations_user_id", "impersonations", ["user_id"])
    op.create_index("ix_impersonations_ends_at", "impersonations", ["ends_at"])
    op.add_column(
        "organizations",
        sa.Column(
            "mails_impersonations", sa.Boolean(), server_default=sa.text("true"), nullable=False
        ),
    )


def downgrade() -> None:
    op.drop_column("organizations", "mails_impersonations")
    op.drop_table("impersonations")

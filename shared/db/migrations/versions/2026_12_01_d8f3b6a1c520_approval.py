"""posts wait for approval: the rules of organizations and customers, and the steps of each review."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "d8f3b6a1c520"
down_revision: str | None = "b3f6c8d20e97"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def _one_of(name: str, *members: str) -> sa.Enum:
    return sa.Enum(*members, name=name, native_enum=False, create_constraint=True)


_COLUMNS = {
    "approval": ("none", "optional", "required"),
    "approved_by": ("team", "client", "team_then_client"),
}


def upgrade() -> None:
    for column, members in _COLUMNS.items():
        op.add_column(
            "organizations",
            sa.Column(
                column,
                _one_of(column, *members),
                server_default=sa.text(f"'{members[0]}'"),
                nullable=False,
            ),
        )
        op.add_column("customers", sa.Column(column, _one_of(column, *members), nullable=True))
    op.create_check_constraint(
        op.f("ck_posts_queued_is_approved"),
        "posts",
        "state <> 'queued' or review in ('none', 'approved')",
    )
    op.create_table(
        "reviews",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("root_id", sa.Uuid(), nullable=False),
        sa.Column("step", _one_of("review_step", "team", "client"), nullable=False),
        sa.Column("steps", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column(
            "outcome",
            _one_of("review_outcome", "approved", "declined", "withdrawn"),
            nullable=True,
        ),
        sa.Column("requested_by", sa.Uuid(), nullable=True),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("link_id", sa.Uuid(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("reminders", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("voided_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(outcome is null) = (decided_at is null)", name=op.f("ck_reviews_decided_has_time")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_reviews_organization_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["root_id"], ["posts.id"], name=op.f("fk_reviews_root_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["requested_by"],
            ["users.id"],
            name=op.f("fk_reviews_requested_by"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["decided_by"], ["users.id"], name=op.f("fk_reviews_decided_by"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reviews")),
    )
    op.create_index("ix_reviews_root_id", "reviews", ["root_id", "created_at"])
    op.create_index("ix_reviews_organization_id", "reviews", ["organization_id"])
    op.create_index(
        "uq_reviews_waiting",
        "reviews",
        ["root_id"],
        unique=True,
        postgresql_where=sa.text("outcome is null"),
    )
    op.create_index(
        "uq_reviews_approved",
        "reviews",
        ["root_id", "step"],
        unique=True,
        postgresql_where=sa.text("outcome = 'approved' and voided_at is null"),
    )


def downgrade() -> None:
    op.drop_table("reviews")
    # The version before knows no reviews, so a post that waits stays a draft.
    op.execute("update posts set review = 'none' where review <> 'none'")
    op.drop_constraint(op.f("ck_posts_queued_is_approved"), "posts")
    for table in ("organizations", "customers"):
        for column in _COLUMNS:
            op.drop_column(table, column)

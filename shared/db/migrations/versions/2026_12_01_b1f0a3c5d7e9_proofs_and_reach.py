"""sessions know how the person proved their identity; members, API keys and consents can be limited to customers."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "b1f0a3c5d7e9"
down_revision: str | None = "d5e2b7c04a19"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_LIMITED = ("members", "api_keys", "oauth_grants")


def upgrade() -> None:
    now = sa.text("now()")
    op.create_table(
        "factors",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "totp", "passkey", name="factor_kind", native_enum=False, create_constraint=True
            ),
            nullable=False,
        ),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_factors_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_factors")),
    )
    op.create_index("ix_factors_user_id", "factors", ["user_id"])
    op.add_column(
        "sessions",
        sa.Column(
            "ends_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("(now() + '90 days'::interval)"),
            nullable=False,
        ),
    )
    op.add_column(
        "sessions",
        sa.Column(
            "authenticated_at", sa.DateTime(timezone=True), server_default=now, nullable=False
        ),
    )
    op.add_column(
        "sessions",
        sa.Column(
            "methods",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{password}'::text[]"),
            nullable=False,
        ),
    )
    op.add_column("sessions", sa.Column("connection_id", sa.Uuid(), nullable=True))
    # A session from before is as old as it is, and has the same longest life from now on.
    op.execute("update sessions set authenticated_at = created_at")
    op.add_column(
        "organizations",
        sa.Column(
            "limits",
            postgresql.JSONB(none_as_null=True),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
    )
    op.add_column(
        "organizations",
        sa.Column("requires_mfa_from", sa.DateTime(timezone=True), nullable=True),
    )
    for column in ("needs_approval", "may_approve"):
        op.add_column(
            "members",
            sa.Column(column, sa.Boolean(), server_default=sa.text("false"), nullable=False),
        )
    for table in _LIMITED:
        op.add_column(table, sa.Column("customers", postgresql.ARRAY(sa.Uuid()), nullable=True))


def downgrade() -> None:
    for table in _LIMITED:
        op.drop_column(table, "customers")
    for column in ("needs_approval", "may_approve"):
        op.drop_column("members", column)
    for column in ("limits", "requires_mfa_from"):
        op.drop_column("organizations", column)
    for column in ("ends_at", "authenticated_at", "methods", "connection_id"):
        op.drop_column("sessions", column)
    op.drop_table("factors")

"""company logins: an organization's own OpenID client, its domains, and the people who came through it."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "d81b5e3fa470"
down_revision: str | None = "a3e9c5d1b704"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def _time(name: str, *, now: bool = False, nullable: bool = True) -> sa.Column[object]:
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "company_logins",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("client_secret", sa.LargeBinary(), nullable=True),
        sa.Column(
            "role",
            sa.Enum(
                "owner",
                "admin",
                "editor",
                "member",
                "viewer",
                name="role",
                native_enum=False,
                create_constraint=True,
            ),
            server_default=sa.text("'member'"),
            nullable=False,
        ),
        sa.Column("customers", postgresql.ARRAY(sa.Uuid()), nullable=True),
        sa.Column("required", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        _time("created_at", now=True, nullable=False),
        _time("updated_at", now=True, nullable=False),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("organization_id"),
    )
    op.create_table(
        "company_domains",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        _time("created_at", now=True, nullable=False),
        _time("proven_at"),
        _time("checked_at"),
        _time("missing_since"),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("organization_id", "domain"),
    )
    proven = sa.text("proven_at is not null")
    op.create_index(
        "uq_company_domains_proven",
        "company_domains",
        ["domain"],
        unique=True,
        postgresql_where=proven,
    )
    op.create_index(
        "ix_company_domains_checked_at", "company_domains", ["checked_at"], postgresql_where=proven
    )
    op.create_table(
        "company_identities",
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        _time("created_at", now=True, nullable=False),
        _time("last_used_at", now=True, nullable=False),
        sa.ForeignKeyConstraint(["connection_id"], ["company_logins.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("connection_id", "subject"),
    )
    op.create_index("ix_company_identities_user_id", "company_identities", ["user_id"])
    op.create_index(
        "ix_sessions_connection_id",
        "sessions",
        ["connection_id"],
        postgresql_where=sa.text("connection_id is not null"),
    )


def downgrade() -> None:
    op.drop_index("ix_sessions_connection_id", table_name="sessions")
    op.drop_table("company_identities")
    op.drop_table("company_domains")
    op.drop_table("company_logins")

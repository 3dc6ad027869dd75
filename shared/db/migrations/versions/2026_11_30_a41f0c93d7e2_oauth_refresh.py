"""refresh tokens of third-party apps, the most that an app can be given, and accounts that nobody activates."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "a41f0c93d7e2"
down_revision: str | None = "8e40c2d7f613"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("oauth_apps", sa.Column("scopes", postgresql.ARRAY(sa.Text())))
    op.add_column(
        "oauth_apps",
        sa.Column("refreshes", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column("oauth_grants", sa.Column("token_ends_at", sa.DateTime(timezone=True)))
    op.add_column("oauth_grants", sa.Column("family_hash", sa.LargeBinary()))
    op.add_column("oauth_grants", sa.Column("refresh_hash", sa.LargeBinary()))
    op.create_unique_constraint(
        op.f("uq_oauth_grants_family_hash"), "oauth_grants", ["family_hash"]
    )
    op.create_index(
        "ix_users_never_activated",
        "users",
        ["created_at"],
        postgresql_where=sa.text("activated_at is null"),
    )


def downgrade() -> None:
    op.drop_index("ix_users_never_activated", table_name="users")
    op.drop_constraint(op.f("uq_oauth_grants_family_hash"), "oauth_grants", type_="unique")
    op.drop_column("oauth_grants", "refresh_hash")
    op.drop_column("oauth_grants", "family_hash")
    op.drop_column("oauth_grants", "token_ends_at")
    op.drop_column("oauth_apps", "refreshes")
    op.drop_column("oauth_apps", "scopes")

"""a user can sign in with several logins; everything in signing in that works once is a challenge.

Codes that were mailed before are copied, so their links still work; the previous version goes on with its own table. An address
belongs to one living user, whatever the login.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "f7d3a90b2c64"
down_revision: str | None = "e1a7c3b95d20"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_PROVIDERS = ("local", "github", "google", "farcaster", "wallet", "generic", "apple")
_KINDS = (
    "activate",
    "reset_password",
    "login_state",
    "registration",
    "link",
    "new_email",
    "undo_email",
)


def upgrade() -> None:
    now = sa.text("now()")
    op.create_table(
        "logins",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column(
            "provider",
            sa.Enum(*_PROVIDERS, name="login_provider", native_enum=False, create_constraint=True),
            nullable=False,
        ),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_logins_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_logins")),
    )
    op.create_index("ix_logins_user_id", "logins", ["user_id"])
    op.create_index(
        "uq_logins_provider_issuer_subject",
        "logins",
        ["provider", "issuer", "subject"],
        unique=True,
    )
    op.create_table(
        "challenges",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(*_KINDS, name="challenge_kind", native_enum=False, create_constraint=True),
            nullable=False,
        ),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column(
            "remember",
            postgresql.JSONB(none_as_null=True),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_challenges_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_challenges")),
    )
    op.create_index("ix_challenges_user_id", "challenges", ["user_id", "kind"])
    op.create_index("ix_challenges_expires_at", "challenges", ["expires_at"])
    op.execute(
        "insert into challenges (hash, kind, user_id, expires_at) "
        "select code_hash, purpose, user_id, expires_at from mailed_codes "
        "where used_at is null and expires_at > now()"
    )
    op.create_index(
        "uq_users_email",
        "users",
        ["email"],
        unique=True,
        postgresql_where=sa.text("deleted_at is null"),
    )
    op.drop_constraint(op.f("ck_users_local_has_password"), "users")
    op.create_index("ix_api_keys_created_by", "api_keys", ["created_by"])


def downgrade() -> None:
    op.drop_index("ix_api_keys_created_by", table_name="api_keys")
    # Nobody's password: the previous version wants one for every local account, and lets its user set another by mail.
    op.execute(
        "update users set password_hash = '$2b$11$' || repeat('.', 53) "
        "where login_provider = 'local' and password_hash is null"
    )
    op.create_check_constraint(
        op.f("ck_users_local_has_password"),
        "users",
        "login_provider <> 'local' or password_hash is not null",
    )
    op.drop_index("uq_users_email", table_name="users")
    op.drop_table("challenges")
    op.drop_table("logins")

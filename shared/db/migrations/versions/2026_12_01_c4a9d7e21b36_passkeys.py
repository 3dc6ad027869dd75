"""passkeys as second factors, and as logins without an address."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "c4a9d7e21b36"
down_revision: str | None = "b7c2e9d4f108"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_BEFORE = (
    "activate",
    "reset_password",
    "login_state",
    "registration",
    "link",
    "new_email",
    "undo_email",
    "second_factor",
    "recovery",
    "stop_recovery",
)


def upgrade() -> None:
    op.add_column("factors", sa.Column("credential_id", sa.LargeBinary(), nullable=True))
    op.add_column("factors", sa.Column("public_key", sa.LargeBinary(), nullable=True))
    op.add_column("factors", sa.Column("sign_count", sa.BigInteger(), nullable=True))
    op.add_column("factors", sa.Column("transports", postgresql.ARRAY(sa.Text()), nullable=True))
    op.create_index("uq_factors_credential_id", "factors", ["credential_id"], unique=True)
    _allow(*_BEFORE, "passkey")


def downgrade() -> None:
    op.execute("delete from challenges where kind = 'passkey'")
    _allow(*_BEFORE)
    op.execute("delete from factors where kind = 'passkey'")
    op.drop_index("uq_factors_credential_id", table_name="factors")
    for column in ("transports", "sign_count", "public_key", "credential_id"):
        op.drop_column("factors", column)


def _allow(*kinds: str) -> None:
    name = op.f("ck_challenges_challenge_kind")
    op.drop_constraint(name, "challenges")
    listed = ", ".join(f"'{kind}'" for kind in kinds)
    op.create_check_constraint(name, "challenges", f"kind in ({listed})")

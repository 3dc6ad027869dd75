"""a random value for each user, of which the links that switch off mails are made."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "b7d1e5a2c948"
down_revision: str | None = "8d21c4b7a9e3"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# The default is volatile, so every user that there is gets a value of their own, as every new one does: code of before
# need not know the column.
_RANDOM = "sha256((uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())))"


def upgrade() -> None:
    op.add_column(
        "users",
        sa.Column(
            "unsubscribe_seed", sa.LargeBinary(), nullable=False, server_default=sa.text(_RANDOM)
        ),
    )


def downgrade() -> None:
    op.drop_column("users", "unsubscribe_seed")

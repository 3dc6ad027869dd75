"""late releases, and stagings that are long past."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "7c41d0a5be92"
down_revision: str | None = "2df0049668e6"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_index("ix_stagings_updated_at", "stagings", ["updated_at"])
    op.create_index(
        "ix_attempts_late",
        "attempts",
        ["channel_id", "release_id"],
        unique=False,
        postgresql_where=sa.text(
            "release_id is not null and state <> 'released' and finished_at is not null"
        ),
    )


def downgrade() -> None:
    op.drop_index("ix_stagings_updated_at", table_name="stagings")
    op.drop_index(
        "ix_attempts_late",
        table_name="attempts",
        postgresql_where=sa.text(
            "release_id is not null and state <> 'released' and finished_at is not null"
        ),
    )

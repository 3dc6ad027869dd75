"""rolling limits count the calls of a minute as one element: its number stands beside its time.

Elements that were written before have no number and count as one call each, until their hour is over.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "c3f1a9d27b58"
down_revision: str | None = "a4c81e6f2d97"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column(
        "rate_limits",
        sa.Column(
            "counts",
            postgresql.ARRAY(sa.Integer()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
    )


def downgrade() -> None:
    op.drop_column("rate_limits", "counts")

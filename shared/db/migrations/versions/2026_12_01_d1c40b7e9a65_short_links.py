"""organizations keep whether they want links to be shortened."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "d1c40b7e9a65"
down_revision: str | None = "a91c5e7b3f08"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column(
        "organizations",
        sa.Column(
            "shortlink",
            sa.Enum(
                "ask", "yes", "no", name="short_link", native_enum=False, create_constraint=True
            ),
            server_default=sa.text("'ask'"),
            nullable=False,
        ),
    )


def downgrade() -> None:
    op.drop_column("organizations", "shortlink")

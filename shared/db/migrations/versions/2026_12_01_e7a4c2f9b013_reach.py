"""files and notifications know their customers, and a pending connection that of its channel."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "e7a4c2f9b013"
down_revision: str | None = "d1c40b7e9a65"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_CUSTOMERS_OF_FILES = """
    update media m set customers = used.customers
    from (
        select cast(held.value ->> 'id' as uuid) as id, array_agg(distinct c.customer_id) as customers
        from posts p cross join lateral jsonb_array_elements(p.media) as held(value)
        join channels c on c.id = p.channel_id
        where jsonb_array_length(p.media) > 0 and c.customer_id is not null
        group by 1
    ) used
    where m.id = used.id
"""


def upgrade() -> None:
    op.add_column("oauth_states", sa.Column("customer_id", sa.Uuid(), nullable=True))
    op.add_column("notifications", sa.Column("customer_id", sa.Uuid(), nullable=True))
    op.add_column("media", sa.Column("uploaded_with", sa.Uuid(), nullable=True))
    op.add_column(
        "media",
        sa.Column(
            "customers",
            postgresql.ARRAY(sa.Uuid()),
            server_default=sa.text("'{}'::uuid[]"),
            nullable=False,
        ),
    )
    op.execute(_CUSTOMERS_OF_FILES)


def downgrade() -> None:
    for column in ("customers", "uploaded_with"):
        op.drop_column("media", column)
    op.drop_column("notifications", "customer_id")
    op.drop_column("oauth_states", "customer_id")

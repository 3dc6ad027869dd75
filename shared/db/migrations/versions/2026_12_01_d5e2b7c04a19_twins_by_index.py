"""the index of a channel's posts by time holds the hash of their text, so that composing finds a twin without reading them.

The index is built inside the migration's transaction, so writes to posts wait for it: a few seconds for a million rows,
within the 15 seconds that a migration may wait for a table.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "d5e2b7c04a19"
down_revision: str | None = "c3f1a9d27b58"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_index("ix_posts_channel", "posts", ["channel_id", "publish_at", "content_hash"])
    op.drop_index("ix_posts_channel_id", table_name="posts")


def downgrade() -> None:
    op.create_index("ix_posts_channel_id", "posts", ["channel_id", "publish_at"])
    op.drop_index("ix_posts_channel", table_name="posts")

"""whole threads: parts linked to the part before them, and an index on parts that wait for one.

The index is built inside the migration's transaction, so writes to posts wait for it: about a second for a million
posts, within the 15 seconds that a migration may hold a table.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "5b0c7e1f2a64"
down_revision: str | None = "5b8e2f60c1d7"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_index(
        "ix_posts_waiting",
        "posts",
        ["publish_at", "id"],
        postgresql_where=sa.text("state = 'queued' and deleted_at is null and due_at is null"),
    )
    # Two edits at once could link a part to a row that was never written.
    op.execute(
        """
        update posts set parent_id = q.id from posts q
        where posts.position > 0 and posts.state <> 'published'
            and q.root_id = posts.root_id and q.position = posts.position - 1
            and posts.parent_id is distinct from q.id
        """
    )


def downgrade() -> None:
    op.drop_index("ix_posts_waiting", table_name="posts")

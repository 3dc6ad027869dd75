"""indexes by which each step of the sweep reads no more than it takes."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "8e40c2d7f613"
down_revision: str | None = "5b1d0c9e7a42"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_DUE = "state = 'queued' and deleted_at is null and due_at is not null"
_UNARMED = f"{_DUE} and armed_revision is null"
_HELD = f"{_DUE} and told_generation is distinct from generation and error_code in ('rate_limited', 'crowded')"
_CROWDED = f"{_DUE} and error_code = 'crowded'"


def upgrade() -> None:
    op.add_column("posts", sa.Column("told_generation", sa.Integer(), nullable=True))
    op.drop_index("ix_posts_unarmed", table_name="posts")
    op.create_index("ix_posts_unarmed", "posts", ["due_at"], postgresql_where=sa.text(_UNARMED))
    op.create_index(
        "ix_posts_check",
        "posts",
        [sa.text("GREATEST(due_at, next_check_at)")],
        postgresql_where=sa.text(_DUE),
    )
    op.create_index(
        "ix_posts_late",
        "posts",
        ["publish_at"],
        postgresql_where=sa.text(f"{_DUE} and position = 0"),
    )
    op.create_index(
        "ix_posts_held", "posts", ["error_code", "publish_at"], postgresql_where=sa.text(_HELD)
    )
    op.create_index(
        "ix_posts_crowded", "posts", ["organization_id"], postgresql_where=sa.text(_CROWDED)
    )


def downgrade() -> None:
    op.drop_index("ix_posts_crowded", table_name="posts")
    op.drop_index("ix_posts_held", table_name="posts")
    op.drop_index("ix_posts_late", table_name="posts")
    op.drop_index("ix_posts_check", table_name="posts")
    op.drop_index("ix_posts_unarmed", table_name="posts")
    op.create_index("ix_posts_unarmed", "posts", ["id"], postgresql_where=sa.text(_UNARMED))
    op.drop_column("posts", "told_generation")

"""the recovery of a lost second factor, and the seats that stay closed after it."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "b7c2e9d4f108"
down_revision: str | None = "a8d3f1c6b205"
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
)
_NEW = ("recovery", "stop_recovery")


def upgrade() -> None:
    now = sa.text("now()")
    op.create_table(
        "recoveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("opens_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("mailed_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_recoveries_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recoveries")),
    )
    op.create_index(
        "uq_recoveries_user_id",
        "recoveries",
        ["user_id"],
        unique=True,
        postgresql_where=sa.text("stopped_at is null and finished_at is null"),
    )
    op.add_column("members", sa.Column("recovery_id", sa.Uuid(), nullable=True))
    op.add_column("members", sa.Column("recovery_objected_by", sa.Uuid(), nullable=True))
    op.create_index(
        "ix_members_recovery_id",
        "members",
        ["recovery_id"],
        postgresql_where=sa.text("recovery_id is not null"),
    )
    _allow(*_BEFORE, *_NEW)


def downgrade() -> None:
    op.execute("delete from challenges where kind in ('recovery', 'stop_recovery')")
    _allow(*_BEFORE)
    # The previous version knows no closed seats, so nobody may come in by one.
    op.execute("update members set disabled = true where recovery_id is not null")
    op.drop_index("ix_members_recovery_id", table_name="members")
    op.drop_column("members", "recovery_objected_by")
    op.drop_column("members", "recovery_id")
    op.drop_table("recoveries")


def _allow(*kinds: str) -> None:
    name = op.f("ck_challenges_challenge_kind")
    op.drop_constraint(name, "challenges")
    listed = ", ".join(f"'{kind}'" for kind in kinds)
    op.create_check_constraint(name, "challenges", f"kind in ({listed})")
